//! Reading keys and values: without an executor, against one moment, one after the other; and what becomes of values that lie in the view.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use futures::StreamExt;
use kappadb::{BlockingKv, Database, EntryId, KeyRange, KvItem, KvOp, RangeSet, ScanOptions};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

async fn database() -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("db")).create().await.unwrap();
    (dir, database)
}

fn key(n: u32) -> String {
    format!("key/{n:05}")
}

async fn fill(database: &Database, keys: impl Iterator<Item = u32>, value: &str) {
    let ops: Vec<KvOp> = keys.map(|n| KvOp::put(key(n), format!("{value} {n}"))).collect();
    for part in ops.chunks(1_000) {
        database.kv().batch(part.to_vec()).await.unwrap();
    }
}

/// Does something where it may block.
async fn on_a_thread<T: Send + 'static>(
    kv: BlockingKv,
    work: impl FnOnce(BlockingKv) -> T + Send + 'static,
) -> T {
    tokio::task::spawn_blocking(move || work(kv)).await.unwrap()
}

fn texts(items: &[KvItem]) -> Vec<(String, String)> {
    let text =
        |item: &KvItem| (String::from_utf8(item.key.clone()).unwrap(), item.value.text().unwrap().to_owned());
    items.iter().map(text).collect()
}

#[tokio::test]
async fn a_thread_without_an_executor_reads_what_a_task_reads() {
    let (_dir, database) = database().await;
    let large = "x".repeat(100_000);
    fill(&database, 0..50, "small").await;
    database.kv().put("large", large.clone()).await.unwrap();
    database.kv().put("empty", "").await.unwrap();
    database.kv().put("gone", "soon").await.unwrap();
    database.kv().delete("gone").await.unwrap();
    let wanted = ["large", "key/00007", "gone", "never", "empty"];
    let (found, there, heads, page, items) = on_a_thread(database.kv().blocking(), move |kv| {
        let options = ScanOptions { limit: Some(7), backwards: true, after: None };
        let each: Vec<_> = wanted.iter().map(|key| kv.get(key).unwrap().one()).collect();
        assert_eq!(kv.get_all(wanted).unwrap().items, each);
        let items = kv.items(&KeyRange::ALL, &options).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let there: Vec<_> = wanted
            .iter()
            .map(|key| kv.state(key).unwrap().one().is_some_and(|state| state.winner.is_some()))
            .collect();
        let page = kv.scan(&KeyRange::ALL, &options).unwrap();
        (each, there, kv.heads("gone").unwrap().items, page, items)
    })
    .await;
    let lens: Vec<_> =
        found.iter().map(|value| value.as_ref().map(|value| value.held().unwrap().len())).collect();
    assert_eq!(lens, [Some(100_000), Some(7), None, None, Some(0)]);
    assert_eq!(there, [true, true, false, false, true]);
    let kv = database.kv();
    for (key, value) in wanted.iter().zip(found) {
        assert_eq!(kv.get(key).await.unwrap().one(), value);
    }
    assert_eq!(kv.heads("gone").await.unwrap().items, heads);
    assert!(page.items == items && page.next.is_some());
    database.close().await.unwrap();
}

#[tokio::test]
async fn who_puts_a_key_reads_it_at_once_whichever_way_it_is_read() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    for n in 0..200 {
        kv.put("counter", n.to_string()).await.unwrap();
        assert_eq!(kv.get("counter").await.unwrap().one().unwrap().text(), Some(&n.to_string()[..]));
        assert_eq!(
            kv.get_all(["counter"]).await.unwrap().items[0].as_ref().unwrap().text(),
            Some(&n.to_string()[..])
        );
    }
    database.close().await.unwrap();
}

#[tokio::test]
async fn several_questions_against_one_moment_agree_whatever_is_written_meanwhile() {
    let (_dir, database) = database().await;
    let kv = database.kv();
    // One key with more versions than share a row.
    let many: Vec<EntryId> = {
        let mut ids = Vec::new();
        for n in 0..20 {
            ids.push(kv.put_with_context("many", n.to_string(), &[]).await.unwrap());
        }
        ids
    };
    fill(&database, 0..10_000, "before").await;
    let snapshot = kv.snapshot().await.unwrap();
    let first = snapshot.scan(&KeyRange::prefix("key/"), &ScanOptions::default()).await.unwrap();
    assert_eq!(first.items.len(), 10_000);
    // Enough that what is in memory is packed, and runs are merged.
    fill(&database, (0..40_000).step_by(2), "after").await;
    kv.batch((1..400).step_by(2).map(|n| KvOp::delete(key(n))).collect()).await.unwrap();
    kv.put("many", "one").await.unwrap();
    assert_eq!(kv.get(key(2)).await.unwrap().one().unwrap().text(), Some("after 2"));
    assert_eq!(kv.heads("many").await.unwrap().items.len(), 1);

    let again = snapshot.scan(&KeyRange::prefix("key/"), &ScanOptions::default()).await.unwrap();
    assert_eq!((again.items, again.next), (first.items.clone(), first.next.clone()));
    assert_eq!(snapshot.get(key(2)).await.unwrap().one().unwrap().text(), Some("before 2"));
    let [some, none] = snapshot.get_all([key(1), key(31_000)]).await.unwrap().items.try_into().unwrap();
    assert!(some.unwrap().text() == Some("before 1") && none.is_none());
    let heads = snapshot.heads("many").await.unwrap().items;
    assert_eq!(
        heads.iter().map(|head| head.id).collect::<std::collections::BTreeSet<_>>(),
        many.into_iter().collect()
    );
    let streamed: Vec<KvItem> = snapshot
        .items(&KeyRange::prefix("key/"), &ScanOptions::default())
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(streamed, first.items);
    let blocking = on_a_thread(snapshot.blocking(), |kv| kv.get(key(3)).unwrap().one()).await;
    assert_eq!(blocking.unwrap().text(), Some("before 3"));
    // It is no door to what comes later, not even through another.
    let copy = on_a_thread(snapshot.blocking(), |kv| kv.snapshot().unwrap()).await;
    assert!(copy.get(key(31_000)).await.unwrap().one().is_none());
    drop((snapshot, copy));
    assert_eq!(database.verify().await.unwrap(), Vec::<String>::new());
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_a_range_is_what_a_scan_of_it_is() {
    let (_dir, database) = database().await;
    fill(&database, 0..3_000, "v").await;
    let kv = database.kv();
    for backwards in [false, true] {
        for limit in [None, Some(0), Some(1), Some(1_024), Some(1_025), Some(2_500), Some(9_999)] {
            for after in [None, Some(key(1_500).into_bytes())] {
                let options = ScanOptions { limit, backwards, after };
                let page = kv.scan(&KeyRange::ALL, &options).await.unwrap();
                let items: Vec<KvItem> =
                    kv.items(&KeyRange::ALL, &options).await.unwrap().map(Result::unwrap).collect().await;
                assert_eq!(texts(&items), texts(&page.items), "{options:?}");
            }
        }
    }
    let mut items = kv.items(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
    assert_eq!(items.next().await.unwrap().unwrap().key, key(0).into_bytes());
    // What is written while it goes on is of a later moment.
    kv.put(key(2_999), "later").await.unwrap();
    let rest: Vec<KvItem> = items.map(Result::unwrap).collect().await;
    assert!(rest.len() == 2_999 && rest.last().unwrap().value.text() == Some("v 2999"));
    database.close().await.unwrap();
}

/// The runs of views: files that have many rows each.
fn runs_have(dir: &Path, word: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(Result::unwrap).any(|entry| match entry.file_type().unwrap().is_dir() {
        true => runs_have(&entry.path(), word),
        false => fs::read(entry.path()).unwrap().windows(word.len()).any(|at| at == word),
    })
}

#[tokio::test]
async fn a_value_that_was_cleared_is_not_shown_and_a_compaction_takes_it_out_of_the_view() {
    let (dir, database) = database().await;
    let kv = database.kv();
    // It does not repeat, so it lies in a page as it is.
    let secret = "Zq8#vK2!mX5@pL9$wR3%nT7^bY1&cF4*gH6(dJ0)";
    fill(&database, 0..20_000, "v").await;
    let id = kv.put(key(10_500), secret).await.unwrap();
    let other = kv.put("other", "which stays where it is, of so many bytes").await.unwrap();
    // It is packed, and later replaced.
    fill(&database, 20_000..40_000, "v").await;
    kv.put(key(10_500), "replaced").await.unwrap();
    let snapshot = kv.snapshot().await.unwrap();
    database.close().await.unwrap();
    drop((kv, snapshot));
    let path = dir.path().join("db");
    assert!(runs_have(&path.join("derived"), secret.as_bytes()));

    let database = Database::builder(&path).open().await.unwrap();
    let kv = database.kv();
    let snapshot = kv.snapshot().await.unwrap();
    let one = |id: EntryId| std::iter::once(id.seq..id.seq + 1).collect::<RangeSet>();
    database.clear_for_good(id.feed, one(id)).await.unwrap();
    database.clear_for_good(other.feed, one(other)).await.unwrap();
    let gone = |value: Option<kappadb::Value>| value.unwrap().bytes.is_none();
    assert!(gone(kv.get("other").await.unwrap().one()));
    assert!(gone(kv.get_all(["other"]).await.unwrap().items.remove(0)));
    assert!(gone(on_a_thread(kv.blocking(), |kv| kv.get("other").unwrap().one()).await));
    assert!(gone(snapshot.get("other").await.unwrap().one()), "not even at a moment before");
    let page = kv.scan(&KeyRange::prefix("other"), &ScanOptions::default()).await.unwrap();
    assert!(page.items[0].value.bytes.is_none());
    drop(snapshot);
    database.compact().await.unwrap();
    assert_eq!(database.verify().await.unwrap(), Vec::<String>::new());
    assert_eq!(kv.get(key(10_500)).await.unwrap().one().unwrap().text(), Some("replaced"));
    assert_eq!(kv.get(key(39_000)).await.unwrap().one().unwrap().text(), Some("v 39000"));
    database.close().await.unwrap();
    assert!(!runs_have(&path, secret.as_bytes()), "neither in the log nor in the view");
}

#[tokio::test]
async fn a_value_lies_in_the_view_or_in_the_log_by_its_size_and_nobody_can_tell() {
    let (dir, database) = database().await;
    let kv = database.kv();
    let sizes = [0, 1, 511, 512, 513, 4_096, 70_000];
    let value = |size: usize| vec![b'v'; size];
    for size in sizes {
        kv.put(format!("{size}"), value(size)).await.unwrap();
    }
    for round in 0..2 {
        let database = match round {
            0 => database.clone(),
            _ => Database::builder(dir.path().join("second")).create().await.unwrap(),
        };
        if round == 1 {
            // The same in one batch.
            let ops = sizes.map(|size| KvOp::put(format!("{size}"), value(size))).to_vec();
            database.kv().batch(ops).await.unwrap();
        }
        for size in sizes {
            let found = database.kv().get(format!("{size}")).await.unwrap().one().unwrap();
            assert_eq!(found.held().unwrap(), &value(size));
        }
        let page = database.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
        assert_eq!(page.items.len(), sizes.len());
        assert!(
            page.items
                .iter()
                .all(|item| item.key == item.value.held().unwrap().len().to_string().into_bytes())
        );
        assert_eq!(database.verify().await.unwrap(), Vec::<String>::new());
    }
}
