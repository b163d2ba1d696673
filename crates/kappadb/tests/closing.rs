//! Closing a database that others still hold, and opening it again.

use kappadb::{Cause, Database, OpenError, Source};

fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    Cause::of(error) == Some(Cause::Closed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_ends_everything_whoever_holds_handles_and_the_folder_is_free_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
    let database = builder().create().await.unwrap();
    let (kv, map, chat, blobs) = (database.kv(), database.map(), database.chat(), database.blobs());
    let (other, server) = (database.clone(), database.serve(([127, 0, 0, 1], 0).into()).await.unwrap());
    let busy = kv.clone();
    let writes = tokio::spawn(async move {
        for n in 0.. {
            if let Err(error) = busy.put(format!("key {n}"), "value").await {
                return (n, error);
            }
        }
        unreachable!()
    });
    kv.put("before", "x").await.unwrap();
    let moment = kv.snapshot().await.unwrap();
    database.close().await.unwrap();

    let (written, error) = writes.await.unwrap();
    assert!(is_closed(&error), "{error:?}");
    assert!(is_closed(&kv.get("before").await.unwrap_err()));
    assert!(is_closed(&kv.blocking().get("before").unwrap_err()));
    assert!(is_closed(&moment.get("before").await.unwrap_err()));
    assert!(is_closed(&kv.put("x", "y").await.unwrap_err()));
    assert!(is_closed(&map.get("n1").await.unwrap_err()));
    assert!(is_closed(&chat.channels().await.unwrap_err()));
    assert!(is_closed(&blobs.list(None, 10).await.unwrap_err()));
    assert!(is_closed(&other.status().await.unwrap_err()));
    assert!(is_closed(&other.compact().await.unwrap_err()));
    assert!(is_closed(&other.writer().await.unwrap_err()));
    other.close().await.unwrap();

    let again = builder().open().await.unwrap();
    let kv = again.kv();
    for n in 0..written {
        assert!(kv.get(format!("key {n}")).await.unwrap().one().is_some(), "key {n} was promised");
    }
    assert!(kv.get("before").await.unwrap().one().is_some());
    assert_eq!(again.verify().await.unwrap(), Vec::<String>::new());
    // A peer of the server that is still there is told so, and takes nothing for an answer.
    let peer = Database::builder(dir.path().join("peer")).state(dir.path().join("of-peer"));
    let peer = peer.join(&server.ticket()).await.unwrap();
    let answer = peer.ask("kv", kappadb::view::Selector::Everything).from(Source::Peers).await.unwrap();
    assert!(!answer.is_complete() && answer.asked.blocks_fetched == 0, "{answer:?}");
    server.stop().await;
    again.close().await.unwrap();
}

#[tokio::test]
async fn who_opens_a_folder_twice_is_told_that_it_is_this_process() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
    let first = builder().open_or_create().await.unwrap();
    let id = first.id();
    let error = builder().open().await.err().unwrap();
    let OpenError::InUse { holder, .. } = &error else { panic!("{error:?}") };
    assert_eq!(holder.as_ref().unwrap().pid, std::process::id());
    assert!(error.to_string().contains("this process"), "{error}");
    first.close().await.unwrap();
    let second = builder().open_or_create().await.unwrap();
    assert_eq!(second.id(), id);
    second.close().await.unwrap();
}
