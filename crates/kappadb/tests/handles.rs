//! What an open database takes of the process it is in, and gives back when it is closed.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::Database;
use std::fs;
use std::time::Duration;

/// How many files are open, and how many threads the engine and the views have.
fn taken() -> (usize, usize) {
    let names = fs::read_dir("/proc/self/task").unwrap();
    let names = names.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    // The engine's helpers for opening are for all stores, and the runtime's come and go.
    let ours = ["sled", "kappadb-flush", "view"];
    let threads = names.filter(|name| ours.iter().any(|ours| name.starts_with(ours))).count();
    (fs::read_dir("/proc/self/fd").unwrap().count(), threads)
}

/// What is let go of without a word may take a moment to end.
async fn comes_back_to(before: (usize, usize)) -> bool {
    for _ in 0..3_000 {
        if taken() == before {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_database_that_was_opened_and_closed_fifty_times_leaves_no_files_open_and_no_threads() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
    builder().create().await.unwrap().close().await.unwrap();
    // Its own threads may take a moment to end, too.
    while taken().1 > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = taken();
    for n in 0..50 {
        let database = builder().open().await.unwrap();
        database.kv().put("key", format!("{n}")).await.unwrap();
        // Whether it is closed or just let go of.
        if n % 2 == 0 {
            database.close().await.unwrap()
        } else {
            drop(database)
        }
        assert!(comes_back_to(before).await, "opening {n}: {before:?}, then {:?}", taken());
    }
}

/// Whoever embeds this keeps handles in structs of his own, which he prints, sends, and shares.
#[test]
fn every_handle_can_be_printed_and_shared_between_threads() {
    fn fits<T: std::fmt::Debug + Send + Sync + 'static>() {}
    fits::<kappadb::Builder>();
    fits::<Database>();
    fits::<kappadb::Kv>();
    fits::<kappadb::BlockingKv>();
    fits::<kappadb::KvSnapshot>();
    fits::<kappadb::KvItems>();
    fits::<kappadb::KvWatcher>();
    fits::<kappadb::Map>();
    fits::<kappadb::Chat>();
    fits::<kappadb::ChatWatcher>();
    fits::<kappadb::ChatAsker>();
    fits::<kappadb::Blobs>();
    fits::<kappadb::BlobReader>();
    fits::<kappadb::Server>();
}
