//! Writes that are made at the same time, and that nobody waits for any more.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::view::{Draft, Kind};
use kappadb::{
    Database, EntryId, Feature, FlagChange, Ids, ImportOptions, KvError, KvOp, Label, PostOptions, ReadError,
    Value, WriteError, geojson,
};
use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tempfile::TempDir;

async fn database() -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Database::builder(dir.path().join("db")).state(dir.path().join("state"));
    let database = builder.create().await.unwrap();
    (dir, database)
}

fn cafe(id: &str, count: u64) -> Feature {
    geojson::from_text(&format!(
        r#"{{"type":"Feature","id":"{id}","properties":{{"count":"{count}"}},"geometry":{{"type":"Point","coordinates":[1,2]}}}}"#
    ))
    .unwrap()
}

fn count(value: Option<Value>) -> Option<Vec<u8>> {
    let count: u64 = value.map_or(0, |value| value.text().unwrap().parse().unwrap());
    Some((count + 1).to_string().into_bytes())
}

async fn text(database: &Database, key: &str) -> Option<String> {
    database.kv().get(key).await.unwrap().one().map(|value| value.text().unwrap().to_owned())
}

/// Keeps the turn at writing until it is dropped.
struct Held {
    go: Option<mpsc::Sender<()>>,
    done: tokio::task::JoinHandle<()>,
}

impl Held {
    async fn by(database: &Database) -> Held {
        let (go, wait) = mpsc::channel::<()>();
        let (begun, told) = tokio::sync::oneshot::channel();
        let hold = database.kv().update("held", move |_| {
            begun.send(()).unwrap();
            let _ = wait.recv();
            None
        });
        let done = tokio::spawn(async move { assert_eq!(hold.await.unwrap(), None) });
        told.await.unwrap();
        Held { go: Some(go), done }
    }

    async fn end(mut self) {
        self.go.take();
        self.done.await.unwrap();
    }
}

/// Polls a write once, so that it waits for its turn.
fn join<F: Future + Unpin>(write: &mut F) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(std::pin::Pin::new(write).poll(&mut context), Poll::Pending));
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_who_count_up_at_once_leave_forty() {
    let (_dir, database) = database().await;
    let all: Vec<_> = (0..40).map(|_| tokio::spawn(database.kv().update("count", count))).collect();
    for one in all {
        assert!(one.await.unwrap().unwrap().is_some());
    }
    assert_eq!(text(&database, "count").await.as_deref(), Some("40"));
    assert_eq!(database.kv().heads("count").await.unwrap().items.len(), 1);
    let up = |found: Option<kappadb::Found>| {
        let text = found.map(|found| geojson::to_text(found.versions[0].feature.as_ref().unwrap()));
        let count = text.map_or(0, |text| {
            let at = text.find("count\":\"").unwrap() + "count\":\"".len();
            text[at..].split('"').next().unwrap().parse().unwrap()
        });
        Some(cafe("cafe", count + 1))
    };
    let all: Vec<_> = (0..40).map(|_| tokio::spawn(database.map().update("cafe", up))).collect();
    for one in all {
        assert!(one.await.unwrap().unwrap().is_some());
    }
    let found = database.map().get("cafe").await.unwrap().one().unwrap();
    assert!(!found.is_conflict());
    assert_eq!(found.versions[0].feature, Some(cafe("cafe", 40)));
    let other = database.map().update("cafe", |_| Some(cafe("bar", 1))).await;
    assert!(matches!(other, Err(WriteError::OtherFeature { .. })), "{other:?}");
    assert!(database.map().update("cafe", |_| None).await.unwrap().is_some());
    assert!(database.map().update("cafe", |_| None).await.unwrap().is_none());
    assert!(database.kv().update("count", |_| None).await.unwrap().is_some());
    assert!(database.kv().update("count", |_| None).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_share_a_turn_see_one_another() {
    let (_dir, database) = database().await;
    let (kv, large) = (database.kv(), vec![7; 300_000]);
    kv.put("key", "before").await.unwrap();
    let feed = database.writer().await.unwrap();
    let held = Held::by(&database).await;
    let mut writes: Vec<_> = (0..20).map(|n| kv.put("key", format!("{n}"))).collect();
    writes.push(kv.put("large", large.clone()));
    writes.iter_mut().for_each(join);
    let mut updated = kv.update("large", move |value| {
        assert_eq!(value.unwrap().bytes.unwrap(), large);
        Some(b"small".to_vec())
    });
    join(&mut updated);
    let mut chat: Vec<_> = (0..5).map(|n| database.chat().post("tea", &format!("{n}"))).collect();
    chat.iter_mut().for_each(join);
    held.end().await;
    let mut ids = Vec::new();
    for write in writes {
        ids.push(write.await.unwrap());
    }
    assert!(ids.iter().all(|id| id.feed == feed) && ids.is_sorted());
    assert_eq!(text(&database, "key").await.as_deref(), Some("19"));
    assert_eq!(kv.heads("key").await.unwrap().items.len(), 1);
    assert_eq!(kv.history("key").await.unwrap().items.len(), 21);
    updated.await.unwrap().unwrap();
    assert_eq!(text(&database, "large").await.as_deref(), Some("small"));
    for post in chat {
        post.await.unwrap();
    }
    let page = database.chat().read("tea", &kappadb::ReadOptions::latest(9)).await.unwrap();
    let said: Vec<_> = page.messages.iter().filter_map(|message| message.said.text()).collect();
    assert!(said == ["0", "1", "2", "3", "4"] || said == ["4", "3", "2", "1", "0"], "{said:?}");
    assert_eq!(database.verify().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_fails_alone() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    let held = Held::by(&database).await;
    let mut good: Vec<_> = (0..3).map(|n| kv.put(format!("good {n}"), "value")).collect();
    let mut too_long = kv.batch(vec![KvOp::put("first", "value"), KvOp::put("k".repeat(100_000), "value")]);
    let mut changed = kv.put_if("good 0", "other", &[]);
    let mut panics = kv.update("good 1", |_| unreachable!("a fault of the caller's"));
    let mut after = kv.put("good 3", "value");
    good.iter_mut().for_each(join);
    [&mut changed, &mut after].into_iter().for_each(join);
    join(&mut too_long);
    join(&mut panics);
    held.end().await;
    for write in good {
        write.await.unwrap();
    }
    assert!(matches!(too_long.await, Err(KvError::Key(_))));
    assert!(matches!(changed.await, Err(KvError::Changed { found }) if found.len() == 1));
    let panicked = panics.await;
    assert!(
        matches!(panicked, Err(KvError::Write(WriteError::Read(ReadError::Panicked(_))))),
        "{panicked:?}"
    );
    after.await.unwrap();
    assert_eq!(text(&database, "first").await, None, "of a batch all is there, or nothing");
    for n in 0..4 {
        assert_eq!(text(&database, &format!("good {n}")).await.as_deref(), Some("value"));
    }
    assert_eq!(database.verify().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_dropped_before_its_turn_leaves_nothing_and_after_that_it_is_whole() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    drop(kv.put("never polled", "value"));
    let held = Held::by(&database).await;
    let mut waiting = kv.put("waiting", "value");
    join(&mut waiting);
    drop(waiting);
    held.end().await;
    let (go, wait) = mpsc::channel::<()>();
    let (begun, told) = tokio::sync::oneshot::channel();
    let begins = tokio::spawn(kv.update("begun", move |_| {
        begun.send(()).unwrap();
        let _ = wait.recv();
        Some(b"value".to_vec())
    }));
    told.await.unwrap();
    begins.abort();
    assert!(begins.await.unwrap_err().is_cancelled());
    drop(go);
    kv.put("last", "value").await.unwrap();
    assert_eq!(text(&database, "never polled").await, None);
    assert_eq!(text(&database, "waiting").await, None);
    assert_eq!(text(&database, "begun").await.as_deref(), Some("value"));
}

fn nodes(count: usize) -> String {
    let nodes = (1..=count).fold(String::new(), |mut all, id| {
        let _ = write!(
            all,
            r#"<node id="{id}" version="1" lat="60" lon="{}"><tag k="a" v="b"/></node>"#,
            id as f64 / 1e3
        );
        all
    });
    format!(r#"<osm version="0.6">{nodes}</osm>"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_polls_any_more_keeps_no_write_waiting() {
    let (dir, database) = database().await;
    let (file, map) = (dir.path().join("cafe.geojsonl"), database.map());
    std::fs::write(&file, geojson::to_text(&cafe("cafe", 1))).unwrap();
    let read = map.read_import(&file, &Ids::default()).await.unwrap();
    let held = Held::by(&database).await;
    let mut import = Box::pin(map.apply_import(read, false, |_| ()));
    for _ in 0..20 {
        join(&mut import);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held.end().await;
    let put = tokio::time::timeout(Duration::from_secs(60), database.kv().put("key", "value"));
    put.await.expect("a put waits for an import that nobody polls").unwrap();
    assert_eq!(import.await.unwrap().taken, 1);
}

/// The application's runtime has one thread for files, and the import stands still while it has the turn.
#[test]
fn a_flood_of_puts_during_an_import_keeps_neither_reads_nor_the_applications_files_waiting() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let (begun, told) = mpsc::channel();
        let wait = Mutex::new(wait);
        let progress = move |progress: kappadb::Progress| {
            if progress.task == "comparing" {
                let _ = begun.send(());
                let _ = wait.lock().unwrap().recv();
            }
        };
        let builder = Database::builder(dir.path().join("db")).state(dir.path().join("state"));
        let database = builder.progress(progress).create().await.unwrap();
        database.kv().put("key", "value").await.unwrap();
        database.map().put(cafe("cafe", 1)).await.unwrap();
        let file = dir.path().join("file.osm");
        std::fs::write(&file, nodes(1_500)).unwrap();
        let import = {
            let (database, file) = (database.clone(), file.clone());
            tokio::spawn(async move { database.map().import(file, ImportOptions::default(), |_| ()).await })
        };
        while told.try_recv().is_err() {
            assert!(!import.is_finished(), "it did not stand still");
            tokio::task::yield_now().await;
        }
        let puts: Vec<_> =
            (0..600).map(|n| tokio::spawn(database.kv().put(format!("{n}"), "value"))).collect();
        tokio::task::yield_now().await;
        let others = async {
            assert_eq!(text(&database, "key").await.as_deref(), Some("value"));
            assert!(database.map().get("cafe").await.unwrap().one().is_some());
            // What an async runtime does with files.
            let read = tokio::task::spawn_blocking(move || std::fs::read(&file));
            assert!(!read.await.unwrap().unwrap().is_empty());
        };
        tokio::time::timeout(Duration::from_secs(60), others).await.expect("others wait for the import");
        assert!(!import.is_finished() && puts.iter().all(|put| !put.is_finished()));
        drop(go);
        import.await.unwrap().unwrap();
        for put in puts {
            put.await.unwrap().unwrap();
        }
    });
}

/// Compiles only if what the methods give borrows nothing, and can go to another thread.
#[tokio::test(flavor = "multi_thread")]
async fn every_write_can_be_spawned() {
    async fn spawned<T: Send + 'static, E: std::fmt::Debug + Send + 'static>(
        write: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> T {
        tokio::spawn(write).await.unwrap().unwrap()
    }
    let (_dir, database) = database().await;
    let id: EntryId = spawned(database.kv().put("key", "value")).await;
    spawned(database.kv().put_if("key", "other", &[id])).await;
    spawned(database.kv().put_with_context("key", "third", &[id])).await;
    spawned(database.kv().merge("key", "merged")).await;
    spawned(database.kv().update("key", |_| Some(b"updated".to_vec()))).await;
    spawned(database.kv().batch(vec![KvOp::delete("key")])).await;
    spawned(database.kv().delete("key")).await;
    let feature = spawned(database.map().put(cafe("cafe", 1))).await;
    spawned(database.map().put_if(cafe("cafe", 2), &[feature])).await;
    let refused = tokio::spawn(database.map().put_if(cafe("cafe", 3), &[feature])).await.unwrap();
    assert!(matches!(refused, Err(WriteError::Changed { .. })), "{refused:?}");
    spawned(database.map().put_all(vec![cafe("bar", 1), cafe("inn", 1)])).await;
    spawned(database.map().update("cafe", |_| Some(cafe("cafe", 4)))).await;
    assert!(tokio::spawn(database.map().merge("cafe")).await.unwrap().is_err());
    spawned(database.map().delete("cafe")).await;
    let post = spawned(database.chat().post("tea", "text")).await;
    spawned(database.chat().emote("tea", "waves")).await;
    let reply = PostOptions { reply_to: Some(post), ..PostOptions::default() };
    spawned(database.chat().post_with("tea", "answer", &reply)).await;
    spawned(database.chat().edit(post, "other text", None)).await;
    spawned(database.chat().set_topic("tea", "topic")).await;
    spawned(database.chat().join("tea")).await;
    spawned(database.chat().leave("tea")).await;
    spawned(database.chat().archive("tea", "reason")).await;
    spawned(database.chat().unarchive("tea", "reason")).await;
    spawned(database.chat().set_profile("nick", "anna")).await;
    spawned(database.chat().delete(post)).await;
    let other = spawned(database.new_writer("other")).await;
    spawned(database.chat().flag(None, other, FlagChange::Add(Vec::new()), "reason")).await;
    let private = spawned(database.chat().send_private(other, "text")).await;
    spawned(database.chat().reply_private(other, "text", private)).await;
    let draft = Draft { key: Some(b"key".to_vec()), ..Draft::new(Kind { space: 77, code: 0 }) };
    spawned(database.write(vec![draft])).await;
    spawned(database.writer()).await;
    spawned(database.new_feed()).await;
    let blobs = database.blobs();
    spawned(async move { blobs.put(&b"bytes"[..], Label::default()).await }).await;
    assert_eq!(database.verify().await.unwrap(), [""; 0]);
}
