//! What earlier answers have shown: reading offline is as good as it was, reading writes nothing that lasts, and nothing is called
//! complete that may not be.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::{Asked, ChatError, Database, RangeSet, ReadOptions, Server};
use std::future::Future;
use std::path::Path;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

async fn create(dir: &Path) -> Database {
    Database::builder(dir).create().await.unwrap()
}

async fn open(dir: &Path) -> Database {
    Database::builder(dir).open().await.unwrap()
}

async fn join(dir: &Path, server: &Server) -> Database {
    Database::builder(dir).join(&server.ticket()).await.unwrap()
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn put(database: &Database, key: &str, value: &str) {
    database.kv().put(key, value.as_bytes().to_vec()).await.unwrap();
}

async fn ask(database: &Database, key: &str) -> Asked {
    database.kv().ask_keys([key]).await.unwrap()
}

fn journal(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join("journal")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn reading_offline_is_complete_as_of_when_it_was_asked() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let full = create(&one).await;
        put(&full, "a/1", "x").await;
        put(&full, "b/1", "y").await;
        let server = serve(&full).await;
        let sparse = join(&two, &server).await;
        let before = ask(&sparse.local(), "a/1").await;
        assert!(!before.complete && before.as_of.is_none(), "never asked: {before:?}");
        let asked = sparse.kv().ask_prefix("a/").await.unwrap();
        assert!(asked.complete && asked.as_of.is_none() && asked.blocks_fetched == 1, "{asked:?}");

        server.stop().await;
        for local in [false, true] {
            let sparse = if local { sparse.local() } else { sparse.clone() };
            let covered = ask(&sparse, "a/1").await;
            assert!(!covered.complete && covered.as_of.is_some(), "a narrower question: {covered:?}");
            assert_eq!(covered.failures.is_empty(), local);
            let other = ask(&sparse, "b/1").await;
            assert!(!other.complete && other.as_of.is_none(), "{other:?}");
            // Several questions are as good as the worst of them.
            let both = sparse.kv().ask_keys(["a/1", "b/1"]).await.unwrap();
            assert!(!both.complete && both.as_of.is_none());
        }
        let as_of = ask(&sparse, "a/1").await.as_of;
        sparse.close().await.unwrap();
        let sparse = open(&two).await;
        assert_eq!(ask(&sparse.local(), "a/1").await.as_of, as_of);
        sparse.close().await.unwrap();

        // Lost with derived data, which is safe.
        let sparse = Database::builder(&two).rebuild().open().await.unwrap();
        assert_eq!(ask(&sparse.local(), "a/1").await.as_of, None);
        let value = sparse.kv().get("a/1").await.unwrap().unwrap();
        assert_eq!(value.text(), Some("x"));
    });
}

#[test]
fn six_hundred_different_questions_leave_the_journal_as_long_as_it_was() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let full = create(&one).await;
        for writer in 0..5 {
            full.new_writer(&format!("w{writer}")).await.unwrap();
            put(&full.with_writer(&format!("w{writer}")).await.unwrap(), "key", "x").await;
        }
        let server = serve(&full).await;
        let sparse = join(&two, &server).await;
        assert!(ask(&sparse, "key").await.complete);
        let before = journal(&two);
        for n in 0..660 {
            assert!(ask(&sparse, &format!("nothing {n}")).await.complete);
        }
        assert_eq!(journal(&two), before);
        server.stop().await;
        assert!(ask(&sparse.local(), "nothing 0").await.as_of.is_some());
        assert!(ask(&sparse.local(), "nothing 659").await.as_of.is_some());
    });
}

#[test]
fn nothing_is_complete_as_of_a_time_before_a_feed_was_dropped_and_forgotten() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = create(&dir.path().join("one")).await;
        put(&full, "a", "x").await;
        let server = serve(&full).await;
        let sparse = join(&dir.path().join("two"), &server).await;
        assert!(ask(&sparse, "a").await.complete);
        let feed = full.writer().await.unwrap();
        server.stop().await;
        sparse.drop_feed(feed).await.unwrap();
        sparse.allow_feed(feed).await.unwrap();
        assert!(ask(&sparse.local(), "a").await.as_of.is_some(), "all of it is still here");
        sparse.drop_feed(feed).await.unwrap();
        sparse.compact().await.unwrap();
        sparse.allow_feed(feed).await.unwrap();
        assert!(sparse.kv().get("a").await.unwrap().is_none());
        assert_eq!(ask(&sparse.local(), "a").await.as_of, None);
    });
}

#[test]
fn a_channel_read_offline_is_complete_as_of_when_it_was_read() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = create(&dir.path().join("one")).await;
        full.chat().post("tea", "hello").await.unwrap();
        let server = serve(&full).await;
        let sparse = join(&dir.path().join("two"), &server).await;
        let read = |database: Database| async move {
            let asked = database.chat().ask("tea", &ReadOptions::latest(20)).await?;
            let page = database.chat().read("tea", &ReadOptions::latest(20)).await?;
            Ok::<_, ChatError>((asked, page.messages.len()))
        };
        let (asked, shown) = read(sparse.clone()).await.unwrap();
        assert!(asked.complete && shown == 1);
        // Its name comes with the next question, for it is known now who is shown.
        assert!(read(sparse.clone()).await.unwrap().0.complete);
        server.stop().await;
        let (asked, shown) = read(sparse.local()).await.unwrap();
        assert!(!asked.complete && asked.as_of.is_some() && shown == 1, "{asked:?}");
        let other = sparse.local().chat().ask("coffee", &ReadOptions::latest(20)).await.unwrap();
        assert_eq!(other.as_of, None);
    });
}

#[test]
fn one_down_beside_one_that_is_sparse_is_not_complete() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = create(&dir.path().join("full")).await;
        put(&full, "a", "x").await;
        put(&full, "b", "y").await;
        let at_full = serve(&full).await;
        let relay = join(&dir.path().join("relay"), &at_full).await;
        assert!(ask(&relay, "a").await.complete);
        let at_relay = serve(&relay).await;
        let reader = join(&dir.path().join("reader"), &at_full).await;
        reader.close().await.unwrap();
        let reader = join(&dir.path().join("reader"), &at_relay).await;
        at_full.stop().await;
        let covered = ask(&reader, "a").await;
        assert!(covered.complete && covered.failures.len() == 1, "what it was asked before: {covered:?}");
        let other = ask(&reader, "b").await;
        assert!(!other.complete && other.as_of.is_none() && other.peers == 1, "{other:?}");
        at_relay.stop().await;
        let nobody = ask(&reader, "a").await;
        assert!(!nobody.complete && nobody.as_of.is_some() && nobody.failures.len() == 2, "{nobody:?}");
    });
}

#[test]
fn what_was_cleared_here_is_still_part_of_the_answer() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = create(&dir.path().join("one")).await;
        put(&full, "a", "x").await;
        let server = serve(&full).await;
        let sparse = join(&dir.path().join("two"), &server).await;
        assert!(ask(&sparse, "a").await.complete);
        sparse.clear(full.writer().await.unwrap(), RangeSet::below(9)).await.unwrap();
        assert!(ask(&sparse.local(), "a").await.as_of.is_some());
    });
}
