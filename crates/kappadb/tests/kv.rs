//! The key-value handle: writing, conflicts, batches, ranges, watching, large values, several writers.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests may fail loudly")]

use kappadb::{
    BlobError, Clock, Content, Database, EntryId, KeyRange, Kv, KvError, KvOp, LogError, MAX_VALUE, NotHeld,
    RangeSet, ScanOptions, Source, Timestamp, WriterError,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A clock that the test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

async fn database() -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("db")).create().await.unwrap();
    (dir, database)
}

async fn text(kv: &Kv, key: &str) -> Option<String> {
    kv.get(key).await.unwrap().one().map(|value| value.text().unwrap().to_owned())
}

async fn ids(kv: &Kv, key: &str) -> Vec<EntryId> {
    let mut ids: Vec<_> = kv.heads(key).await.unwrap().items.iter().map(|head| head.id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_value_is_put_replaced_and_deleted() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    assert_eq!(kv.get("a").await.unwrap().one(), None);
    let first = kv.put("a", "1").await.unwrap();
    let second = kv.put("a", vec![0xff, 0]).await.unwrap();
    let value = kv.get("a").await.unwrap().one().unwrap();
    assert_eq!((value.id, value.author, &value.heads), (second, second.feed, &vec![second]));
    assert_eq!((value.bytes.as_deref(), value.text()), (Some(&[0xff, 0][..]), None));
    let third = kv.delete("a").await.unwrap().unwrap();
    assert_eq!(kv.get("a").await.unwrap().one(), None);
    assert_eq!(kv.delete("a").await.unwrap(), None, "it is deleted already");
    assert_eq!(kv.delete("b").await.unwrap(), None, "it never was");
    let heads = kv.heads("a").await.unwrap().items;
    assert_eq!((heads.len(), &heads[0].content, heads[0].winner), (1, &Content::Deleted, true));
    let history = kv.history("a").await.unwrap().items;
    assert_eq!(history.iter().map(|r| r.version.id).collect::<Vec<_>>(), [third, second, first]);
    assert_eq!(
        history.iter().map(|r| (r.current, r.is_delete())).collect::<Vec<_>>(),
        [(true, true), (false, false), (false, false)]
    );
    assert_eq!(kv.put("", "x").await.unwrap_err().to_string(), "a key must not be empty");
    assert!(matches!(kv.put(vec![b'k'; 1025], "x").await, Err(KvError::Key(_))));
    kv.put(vec![b'k'; 1024], "x").await.unwrap();
    assert!(matches!(kv.put("big", vec![0; MAX_VALUE + 1]).await, Err(KvError::TooLong(_))));
    database.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_value_is_a_value() {
    let (_dir, database) = database().await;
    database.kv().put("a", "").await.unwrap();
    assert_eq!(text(&database.kv(), "a").await.as_deref(), Some(""));
}

#[tokio::test]
async fn writes_that_do_not_see_each_other_are_a_conflict_until_merged() {
    let (_dir, database) = database().await;
    database.new_writer("bob").await.unwrap();
    let (kv, bob) = (database.kv(), database.with_writer("bob").await.unwrap().kv());
    let base = kv.put("a", "0").await.unwrap();
    let mine = kv.put_with_context("a", "mine", &[base]).await.unwrap();
    assert!(matches!(kv.merge("a", "x").await, Err(KvError::NoConflict)));
    let theirs = bob.put_with_context("a", "theirs", &[base]).await.unwrap();
    assert_ne!(mine.feed, theirs.feed);
    let mut both = [mine, theirs];
    both.sort_unstable();
    assert_eq!(ids(&kv, "a").await, both);
    let heads = kv.heads("a").await.unwrap().items;
    assert_eq!(heads.iter().filter(|head| head.winner).count(), 1);
    assert!(heads[0].winner, "the winner first");
    assert_eq!(Some(heads[0].id), kv.get("a").await.unwrap().one().map(|value| value.id));
    let merged = bob.merge("a", "ours").await.unwrap();
    assert_eq!(ids(&kv, "a").await, [merged]);
    assert_eq!(kv.history("a").await.unwrap().items.len(), 4);
    let other = EntryId { seq: 99, ..base };
    assert!(
        matches!(kv.put_with_context("a", "x", &[other]).await, Err(KvError::NotHeld(id)) if id == other)
    );
    assert!(
        matches!(kv.put_with_context("b", "x", &[base]).await, Err(KvError::NotHeld(_))),
        "of another key"
    );
}

#[tokio::test]
async fn compare_and_set_is_against_the_heads() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    let first = kv.put_if("a", "1", &[]).await.unwrap();
    assert!(matches!(kv.put_if("a", "2", &[]).await, Err(KvError::Changed { found }) if found == [first]));
    let second = kv.put_if("a", "2", &[first, first]).await.unwrap();
    assert!(
        matches!(kv.put_if("a", "3", &[first]).await, Err(KvError::Changed { found }) if found == [second])
    );
    // Of many who saw the same heads one gets through.
    let tries = (0..8).map(|n| kv.put_if("a", n.to_string(), std::slice::from_ref(&second)));
    let won = futures::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
    assert_eq!(kv.history("a").await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_batch_is_one_append_and_the_last_word_on_a_key_counts() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    kv.put("gone", "x").await.unwrap();
    let before = database.status().await.unwrap().feeds[0].length;
    let ops = vec![KvOp::put("a", "1"), KvOp::put("b", "2"), KvOp::put("a", "3"), KvOp::delete("gone")];
    let ids = kv.batch(ops).await.unwrap();
    assert_eq!((ids.len(), ids[0]), (4, ids[2]));
    assert_eq!(database.status().await.unwrap().feeds[0].length, before + 3);
    assert_eq!(text(&kv, "a").await.as_deref(), Some("3"));
    assert_eq!((text(&kv, "b").await.as_deref(), text(&kv, "gone").await), (Some("2"), None));
    assert!(kv.batch(vec![KvOp::put("c", "1"), KvOp::put("", "2")]).await.is_err());
    assert_eq!(text(&kv, "c").await, None, "all or nothing");
    assert!(kv.batch(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_others_write() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    let key = |n: u32| format!("k/{n:03}");
    kv.batch((0..100).map(|n| KvOp::put(key(n), n.to_string())).collect()).await.unwrap();
    kv.put("j", "before").await.unwrap();
    kv.put("l", "after").await.unwrap();
    kv.batch((0..100).filter(|n| n % 3 == 0).map(|n| KvOp::delete(key(n))).collect()).await.unwrap();
    for backwards in [false, true] {
        let mut expected: Vec<_> = (0..100).filter(|n| n % 3 != 0).map(key).collect();
        if backwards {
            expected.reverse();
        }
        let mut options = ScanOptions { limit: Some(7), backwards, after: None };
        let mut found = Vec::new();
        loop {
            let page = kv.scan(&KeyRange::prefix("k/"), &options).await.unwrap();
            assert!(page.items.len() == 7 || page.next.is_none());
            let keys = page.items.into_iter().map(|item| String::from_utf8(item.key).unwrap());
            found.extend(keys.filter(|key| !key.ends_with('x')));
            kv.put(format!("k/{:03}x", found.len()), "in between").await.unwrap();
            let Some(next) = page.next else { break };
            options.after = Some(next);
        }
        assert_eq!(found, expected);
    }
    let none = ScanOptions { limit: Some(0), ..Default::default() };
    assert!(kv.scan(&KeyRange::ALL, &none).await.unwrap().items.is_empty());
    let all = kv.scan(&KeyRange::new("k/001".."k/005"), &ScanOptions::default()).await.unwrap();
    assert_eq!(all.items.iter().filter(|item| item.value.text() != Some("in between")).count(), 3);
}

#[tokio::test]
async fn whoever_asks_for_a_page_learns_that_there_are_more() {
    let (dir, full) = database().await;
    for n in 0..10 {
        full.kv().put(format!("k{n}"), "v").await.unwrap();
    }
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let sparse = Database::builder(dir.path().join("sparse")).join(&server.ticket()).await.unwrap();
    for backwards in [false, true] {
        let (mut options, mut seen) = (ScanOptions { limit: Some(3), backwards, after: None }, Vec::new());
        loop {
            assert!(
                sparse.kv().scan(&KeyRange::ALL, &options).from(Source::Peers).await.unwrap().is_complete()
            );
            let page = sparse.kv().scan(&KeyRange::ALL, &options).await.unwrap();
            seen.extend(page.items.into_iter().map(|item| item.key));
            options.after = page.next;
            if options.after.is_none() {
                break;
            }
        }
        assert_eq!((seen.len(), seen.is_sorted()), (10, !backwards));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_value_larger_than_a_block_is_put_read_and_fetched() {
    let (dir, database) = database().await;
    let large: Vec<u8> = (0..5 << 20).map(|n: u32| (n ^ (n >> 8)) as u8).collect();
    database.kv().put("large", large.clone()).await.unwrap();
    database.kv().put("small", "s").await.unwrap();
    assert!(database.kv().get("large").await.unwrap().one().unwrap().bytes.unwrap() == large);
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let sparse = Database::builder(dir.path().join("sparse")).join(&server.ticket()).await.unwrap();
    let answer = sparse.kv().get_all(["small"]).from(Source::Peers).await.unwrap();
    assert_eq!((answer.asked.blocks_fetched, answer.is_complete()), (1, true));
    let answer = sparse.kv().get_all(["large"]).from(Source::Peers).await.unwrap();
    assert_eq!((answer.asked.missing, answer.is_complete()), (0, true));
    let value = sparse.kv().get("large").await.unwrap().one().unwrap();
    let mut reader = sparse.kv().read(value.id).await.unwrap();
    let mut read = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        assert!(bytes.len() <= 512 << 10);
        read.extend_from_slice(&bytes);
    }
    assert!(read == large);
}

#[tokio::test]
async fn writers_have_names_and_feeds() {
    let (dir, database) = database().await;
    let default = database.writer().await.unwrap();
    let bob = database.new_writer("bob").await.unwrap();
    assert!(matches!(database.new_writer("bob").await, Err(WriterError::Exists(_))));
    assert!(matches!(database.new_writer(" bob").await, Err(WriterError::Name(_))));
    assert!(matches!(database.with_writer("eve").await, Err(WriterError::Unknown(_))));
    let as_bob = database.with_writer("bob").await.unwrap();
    let id = as_bob.kv().put("a", "1").await.unwrap();
    assert_eq!((id.feed, as_bob.writer().await.unwrap()), (bob, bob));
    assert_eq!(database.kv().put("a", "2").await.unwrap().feed, default);
    assert_eq!(as_bob.with_writer("default").await.unwrap().kv().put("a", "3").await.unwrap().feed, default);
    let named =
        |list: Vec<kappadb::WriterInfo>| list.into_iter().map(|w| (w.name, w.feed)).collect::<Vec<_>>();
    let expected = [("bob".to_owned(), bob), ("default".to_owned(), default)];
    assert_eq!(named(database.writers().await.unwrap()), expected);
    drop(as_bob);
    database.close().await.unwrap();
    let again = Database::builder(dir.path().join("db")).open().await.unwrap();
    assert_eq!(named(again.writers().await.unwrap()), expected);
    assert_eq!(again.with_writer("bob").await.unwrap().kv().put("a", "4").await.unwrap().feed, bob);
    assert_eq!(again.kv().history("a").await.unwrap().items.iter().filter(|r| r.current).count(), 1);
}

#[tokio::test]
async fn a_server_lives_as_long_as_any_handle() {
    let (dir, database) = database().await;
    let server =
        database.with_writer("default").await.unwrap().serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    database.kv().put("a", "1").await.unwrap();
    let sparse = Database::builder(dir.path().join("sparse")).join(&server.ticket()).await.unwrap();
    let answer = sparse.kv().get_all(["a"]).from(Source::Peers).await.unwrap();
    assert!(answer.asked.failures.is_empty() && answer.is_complete(), "{answer:?}");
}

#[tokio::test]
async fn what_is_not_due_loses_against_what_is_until_its_time_and_watchers_are_told_then() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands(Arc::new(AtomicI64::new(1_000_000)));
    let early = Hands(Arc::new(AtomicI64::new(1_000_300)));
    let future = Database::builder(dir.path().join("future")).clock(early).create().await.unwrap();
    future.kv().put("a", "later").await.unwrap();
    let server = future.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let now =
        Database::builder(dir.path().join("now")).clock(hands.clone()).join(&server.ticket()).await.unwrap();
    now.kv().put("a", "now").await.unwrap();
    let mut watcher = now.kv().watch(["a"]);
    assert_eq!(watcher.next().await.unwrap().unwrap().heads.len(), 1);
    let _ = now.kv().get_all(["a"]).from(Source::Peers).await.unwrap();
    let change = watcher.next().await.unwrap().unwrap();
    let value = change.value.unwrap();
    assert_eq!((value.text(), value.heads.len(), value.ahead), (Some("now"), 2, 1));
    assert_eq!(text(&now.kv(), "a").await.as_deref(), Some("now"));
    let page = now.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
    assert_eq!(page.items[0].value.text(), Some("now"));
    hands.0.store(1_000_300, Ordering::SeqCst);
    let change =
        tokio::time::timeout(Duration::from_secs(10), watcher.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(change.value.unwrap().text(), Some("later"));
}

#[tokio::test]
async fn a_value_does_not_vanish_because_its_writers_clock_is_a_year_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands(Arc::new(AtomicI64::new(1_000_000)));
    let early = Hands(Arc::new(AtomicI64::new(1_000_000 + 365 * 86_400_000)));
    let first = Database::builder(dir.path().join("first")).clock(hands.clone()).create().await.unwrap();
    first.kv().put("a", "old").await.unwrap();
    let server = first.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let ahead =
        Database::builder(dir.path().join("ahead")).clock(early).join(&server.ticket()).await.unwrap();
    let _ = ahead.kv().get_all(["a"]).from(Source::Peers).await.unwrap();
    ahead.kv().put("a", "new").await.unwrap();
    let other = ahead.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let reader =
        Database::builder(dir.path().join("reader")).clock(hands).join(&other.ticket()).await.unwrap();
    assert!(reader.kv().get_all(["a"]).from(Source::Peers).await.unwrap().is_complete());
    let value = reader.kv().get("a").await.unwrap().one().unwrap();
    assert_eq!((value.text(), value.heads.len(), value.ahead), (Some("new"), 1, 1));
    assert_eq!(reader.kv().state("a").await.unwrap().one().unwrap().ahead, 1);
    let _ =
        reader.kv().scan(&KeyRange::prefix(""), &ScanOptions::default()).from(Source::Peers).await.unwrap();
    let page = reader.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].value.ahead), (1, 1));
}

#[tokio::test]
async fn after_a_step_back_of_the_clock_a_process_reads_its_own_put() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands(Arc::new(AtomicI64::new(1_000_000)));
    let database = Database::builder(dir.path()).clock(hands.clone()).create().await.unwrap();
    let kv = database.kv();
    kv.put("a", "1").await.unwrap();
    kv.put("a", "2").await.unwrap();
    hands.0.store(999_000, Ordering::SeqCst);
    assert_eq!(text(&kv, "a").await.as_deref(), Some("2"));
    kv.put("a", "3").await.unwrap();
    assert_eq!(text(&kv, "a").await.as_deref(), Some("3"), "it replaced what is dated later");
    assert!(kv.delete("a").await.unwrap().is_some());
    assert_eq!(kv.get("a").await.unwrap().one(), None);
}

#[tokio::test]
async fn a_slow_watcher_gets_the_latest_state_and_is_told_that_it_lagged() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    let mut slow = kv.watch(["a"]);
    assert_eq!(slow.next().await.unwrap().unwrap().value, None);
    for n in 0..5 {
        kv.put("a", n.to_string()).await.unwrap();
        database.ready().await.unwrap();
    }
    let change = slow.next().await.unwrap().unwrap();
    assert_eq!((change.value.unwrap().text(), change.lagged), (Some("4"), true));
    kv.put("a", "5").await.unwrap();
    let change = slow.next().await.unwrap().unwrap();
    assert_eq!((change.value.unwrap().text(), change.lagged), (Some("5"), false));
}

#[tokio::test]
async fn changes_that_came_in_one_batch_are_not_passed_over_in_silence() {
    let (dir, database) = database().await;
    for n in 0..20 {
        database.kv().put("a", n.to_string()).await.unwrap();
    }
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let other = Database::builder(dir.path().join("other")).join(&server.ticket()).await.unwrap();
    let mut watcher = other.kv().watch(["a"]);
    assert_eq!(watcher.next().await.unwrap().unwrap().value, None);
    let _ = other.kv().history("a").from(Source::Peers).await.unwrap();
    let (mut last, mut lagged, mut told) = (None, false, 0);
    while last.as_deref() != Some("19") {
        let change = watcher.next().await.unwrap().unwrap();
        last = change.value.map(|value| value.text().unwrap().to_owned());
        (lagged, told) = (lagged || change.lagged, told + 1);
    }
    assert!(told == 20 || lagged, "{told} of 20 changes, and no word of the others");
}

#[tokio::test]
async fn a_watcher_that_lost_notices_looks_at_everything_again() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    kv.put("p/kept", "0").await.unwrap();
    kv.put("p/gone", "0").await.unwrap();
    let mut watcher = kv.watch_prefix("p/");
    for _ in 0..2 {
        watcher.next().await.unwrap().unwrap();
    }
    // More notices than a watcher's queue holds.
    for round in 0..5 {
        let ops = (0..1_000).map(|n| KvOp::put(format!("p/{n:04}"), format!("{round}")));
        kv.batch(ops.collect()).await.unwrap();
        database.ready().await.unwrap();
    }
    kv.delete("p/gone").await.unwrap();
    database.ready().await.unwrap();
    let (mut told, mut lagged) = (std::collections::BTreeMap::new(), 0);
    while told.len() < 1_001 {
        let change =
            tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.unwrap().unwrap().unwrap();
        lagged += usize::from(change.lagged);
        let value = change.value.map(|value| value.text().unwrap().to_owned());
        assert_eq!(told.insert(change.key, value), None, "each once");
    }
    assert_eq!(told.remove(&b"p/gone"[..]), Some(None));
    assert!(told.values().all(|value| value.as_deref() == Some("4")));
    assert!(lagged >= 1_000, "{lagged}");
}

#[tokio::test]
async fn a_prefix_watcher_hears_of_new_keys_and_of_nothing_else() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    for key in ["p/b", "p/a", "q"] {
        kv.put(key, "0").await.unwrap();
    }
    let mut watcher = kv.watch_prefix("p/");
    let mut next = async || {
        let change = watcher.next().await.unwrap().unwrap();
        (String::from_utf8(change.key).unwrap(), change.value.map(|value| value.text().unwrap().to_owned()))
    };
    assert_eq!(next().await, ("p/a".into(), Some("0".into())));
    assert_eq!(next().await, ("p/b".into(), Some("0".into())));
    kv.put("q", "1").await.unwrap();
    kv.put("p/c", "1").await.unwrap();
    assert_eq!(next().await, ("p/c".into(), Some("1".into())));
    kv.delete("p/a").await.unwrap();
    assert_eq!(next().await, ("p/a".into(), None));
}

#[tokio::test]
async fn what_was_cleared_is_a_head_without_a_value_and_what_was_dropped_is_none() {
    let (dir, database) = database().await;
    let kv = database.kv();
    let new = "new, and longer than a digest of it is";
    let old = kv.put("a", "old, and longer than a digest of it is").await.unwrap();
    let id = kv.put("a", new).await.unwrap();
    kv.put("b", "kept").await.unwrap();
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let other = Database::builder(dir.path().join("other")).join(&server.ticket()).await.unwrap();
    let _ = other.kv().history("a").from(Source::Peers).await.unwrap();
    let _ =
        other.kv().scan(&KeyRange::prefix(""), &ScanOptions::default()).from(Source::Peers).await.unwrap();
    let mut watcher = other.kv().watch(["a"]);
    assert_eq!(watcher.next().await.unwrap().unwrap().value.unwrap().text(), Some(new));

    let two = std::iter::once(old.seq..id.seq + 1).collect();
    other.clear(id.feed, two).await.unwrap();
    let value = other.kv().get("a").await.unwrap().one().unwrap();
    assert_eq!((value.id, value.bytes, value.heads), (id, None, vec![id]));
    assert_eq!(other.kv().heads("a").await.unwrap().items[0].content, Content::NotHeld);
    assert!(matches!(other.kv().read(id).await, Err(BlobError::Cleared { .. })));
    let page = other.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
    let texts: Vec<_> = page.items.iter().map(|item| item.value.text().map(str::to_owned)).collect();
    assert_eq!(texts, [None, Some("kept".to_owned())]);
    let contents = other.kv().history("a").await.unwrap().into_iter().map(|r| r.version.content);
    assert!(contents.eq([Content::NotHeld, Content::NotHeld]));

    other.drop_feed(id.feed).await.unwrap();
    assert_eq!(other.kv().get("a").await.unwrap().one(), None);
    let change = tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.unwrap();
    let change = change.unwrap().unwrap();
    assert_eq!((change.value, change.heads), (None, Vec::new()));
    assert_eq!(kv.get("a").await.unwrap().one().unwrap().text(), Some(new), "elsewhere it is there");
}

/// Copies a database's folder without what can be made anew.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == "derived" => {}
            true => copy(&path, &to),
            false => drop(fs::copy(path, to).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_batch_survives_a_power_cut_whole_or_not_at_all() {
    let (dir, database) = database().await;
    database.kv().put("before", "x").await.unwrap();
    let (home, segment) = (dir.path().join("db"), Path::new("journal/00000000.kj"));
    let before = fs::metadata(home.join(segment)).unwrap().len();
    // Many records of the journal.
    let ops = (0..1_000).map(|n| KvOp::put(format!("k{n:04}"), vec![7; 200]));
    database.kv().batch(ops.collect()).await.unwrap();
    let after = fs::metadata(home.join(segment)).unwrap().len();
    assert!(after - before > 200_000);
    let cuts = (1..8).map(|n| before + (after - before) * n / 8).chain([before, after - 1, after]);
    for (cut, n) in cuts.zip(0..) {
        let cut_off = dir.path().join(format!("cut{n}"));
        copy(&home, &cut_off);
        fs::File::options().write(true).open(cut_off.join(segment)).unwrap().set_len(cut).unwrap();
        let database = Database::builder(&cut_off).open().await.unwrap();
        let keys = database.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap().items.len();
        assert_eq!(keys, if cut == after { 1_001 } else { 1 }, "cut at {cut} of {after}");
        assert_eq!(text(&database.kv(), "before").await.as_deref(), Some("x"));
        database.kv().put("on", "it goes").await.unwrap();
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_value_that_was_cleared_comes_back_when_it_is_asked_for() {
    let (dir, database) = database().await;
    let long = vec![7; 2_000_000];
    let short = database.kv().put("short", "some forty bytes, which are more than a digest").await.unwrap();
    let id = database.kv().put("long", long.clone()).await.unwrap();
    database.kv().put("tiny", "x").await.unwrap();
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let path = dir.path().join("other");
    let other = Database::builder(&path).join(&server.ticket()).await.unwrap();
    assert!(
        other
            .kv()
            .scan(&KeyRange::prefix(""), &ScanOptions::default())
            .from(Source::Peers)
            .await
            .unwrap()
            .is_complete()
    );
    let size = |database: Database, key: &'static str| async move {
        let value = database.kv().get(key).await.unwrap().one().unwrap();
        value.held().map(|bytes| bytes.len())
    };
    assert_eq!(size(other.clone(), "long").await, Ok(2_000_000));

    // By whoever fetched it, and asked for after a restart.
    let all = RangeSet::below(id.seq + 9);
    assert!(
        matches!(database.clear(id.feed, all.clone()).await, Err(LogError::OnlyCopy(feed)) if feed == id.feed)
    );
    let before = other.status().await.unwrap().feeds[0].bytes;
    let cleared = other.clear(id.feed, all.clone()).await.unwrap();
    assert!(
        before - other.status().await.unwrap().feeds[0].bytes == cleared.bytes && cleared.bytes > 1_990_000
    );
    assert_eq!(size(other.clone(), "tiny").await, Ok(1), "it would be longer without");
    assert_eq!(size(other.clone(), "short").await, Err(NotHeld(short)));
    assert_eq!(size(other.clone(), "long").await, Err(NotHeld(id)));
    other.compact().await.unwrap();
    other.close().await.unwrap();
    let other = Database::builder(&path).open().await.unwrap();
    let answer = other.kv().get_all(["short", "long"]).from(Source::Peers).await.unwrap();
    assert!(
        answer.is_complete() && answer.asked.missing == 0 && answer.asked.blocks_fetched > 30,
        "{answer:?}"
    );
    assert_eq!(size(other.clone(), "long").await, Ok(2_000_000));
    assert!(size(other.clone(), "short").await.is_ok());
    assert_eq!(other.verify().await.unwrap(), Vec::<String>::new());

    // By who wrote it.
    let at_other = other.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let here = database.clone();
    here.clear_for_good(id.feed, all).await.unwrap();
    assert_eq!(size(here, "long").await, Err(NotHeld(id)));
    server.stop().await;
    database.close().await.unwrap();
    let database = Database::builder(dir.path()).join(&at_other.ticket()).await.unwrap();
    assert!(database.kv().get_all(["long"]).from(Source::Peers).await.unwrap().is_complete());
    assert_eq!(size(database.clone(), "long").await, Ok(2_000_000));
    database.kv().put("long", "goes on").await.unwrap();
    assert_eq!(database.verify().await.unwrap(), Vec::<String>::new());
}
