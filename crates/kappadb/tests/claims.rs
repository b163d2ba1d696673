//! What earlier answers have shown: reading offline is as good as it was, reading writes nothing that lasts, and nothing is called
//! complete that may not be.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::{
    Answer, ChatError, Completeness, Database, KeyRange, KvState, RangeSet, ReadOptions, ScanOptions, Server,
    Source,
};
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

/// What is known of a key, by peers or here.
async fn ask(database: &Database, key: &str, source: Source) -> Answer<KvState> {
    database.kv().state(key).from(source).await.unwrap()
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
        let before = ask(&sparse, "a/1", Source::Local).await;
        assert!(!before.is_complete() && before.as_of().is_none(), "never asked: {before:?}");
        let answer = sparse
            .kv()
            .scan(&KeyRange::prefix("a/"), &ScanOptions::default())
            .from(Source::Peers)
            .await
            .unwrap();
        assert!(
            answer.is_complete() && answer.as_of().is_none() && answer.asked.blocks_fetched == 1,
            "{answer:?}"
        );

        server.stop().await;
        for source in [Source::Local, Source::Peers] {
            let covered = ask(&sparse, "a/1", source).await;
            assert!(!covered.is_complete() && covered.as_of().is_some(), "a narrower question: {covered:?}");
            assert_eq!(covered.asked.failures.is_empty(), source == Source::Local);
            let other = ask(&sparse, "b/1", source).await;
            assert!(!other.is_complete() && other.as_of().is_none(), "{other:?}");
            // Several questions are as good as the worst of them.
            let both = sparse.kv().get_all(["a/1", "b/1"]).from(source).await.unwrap();
            assert!(!both.is_complete() && both.as_of().is_none());
        }
        let as_of = ask(&sparse, "a/1", Source::Peers).await.as_of();
        sparse.close().await.unwrap();
        let sparse = open(&two).await;
        assert_eq!(ask(&sparse, "a/1", Source::Local).await.as_of(), as_of);
        sparse.close().await.unwrap();

        // Lost with derived data, which is safe.
        let sparse = Database::builder(&two).rebuild().open().await.unwrap();
        assert_eq!(ask(&sparse, "a/1", Source::Local).await.as_of(), None);
        let value = sparse.kv().get("a/1").await.unwrap().one().unwrap();
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
        assert!(ask(&sparse, "key", Source::Peers).await.is_complete());
        let before = journal(&two);
        for n in 0..660 {
            assert!(ask(&sparse, &format!("nothing {n}"), Source::Peers).await.is_complete());
        }
        assert_eq!(journal(&two), before);
        server.stop().await;
        assert!(ask(&sparse, "nothing 0", Source::Local).await.as_of().is_some());
        assert!(ask(&sparse, "nothing 659", Source::Local).await.as_of().is_some());
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
        assert!(ask(&sparse, "a", Source::Peers).await.is_complete());
        let feed = full.writer().await.unwrap();
        server.stop().await;
        sparse.drop_feed(feed).await.unwrap();
        sparse.allow_feed(feed).await.unwrap();
        assert!(ask(&sparse, "a", Source::Local).await.as_of().is_some(), "all of it is still here");
        sparse.drop_feed(feed).await.unwrap();
        sparse.compact().await.unwrap();
        sparse.allow_feed(feed).await.unwrap();
        assert!(sparse.kv().get("a").await.unwrap().one().is_none());
        assert_eq!(ask(&sparse, "a", Source::Local).await.as_of(), None);
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
            let answer = database.chat().read("tea", &ReadOptions::latest(20)).from(Source::Peers).await?;
            let page = database.chat().read("tea", &ReadOptions::latest(20)).await?;
            Ok::<_, ChatError>((answer, page.messages.len()))
        };
        let (answer, shown) = read(sparse.clone()).await.unwrap();
        assert!(answer.is_complete() && shown == 1);
        // Its name comes with the next question, for it is known now who is shown.
        assert!(read(sparse.clone()).await.unwrap().0.is_complete());
        server.stop().await;
        let answer = sparse.chat().read("tea", &ReadOptions::latest(20)).await.unwrap();
        assert!(answer.completeness.as_of().is_some() && answer.messages.len() == 1, "{answer:?}");
        let other = sparse.chat().read("coffee", &ReadOptions::latest(20)).await.unwrap();
        assert_eq!(other.completeness, Completeness::Partial);
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
        assert!(ask(&relay, "a", Source::Peers).await.is_complete());
        let at_relay = serve(&relay).await;
        let reader = join(&dir.path().join("reader"), &at_full).await;
        reader.close().await.unwrap();
        let reader = join(&dir.path().join("reader"), &at_relay).await;
        at_full.stop().await;
        let covered = ask(&reader, "a", Source::Peers).await;
        assert!(
            covered.is_complete() && covered.asked.failures.len() == 1,
            "what it was asked before: {covered:?}"
        );
        let other = ask(&reader, "b", Source::Peers).await;
        assert!(!other.is_complete() && other.as_of().is_none() && other.asked.peers == 1, "{other:?}");
        at_relay.stop().await;
        let nobody = ask(&reader, "a", Source::Peers).await;
        assert!(
            !nobody.is_complete() && nobody.as_of().is_some() && nobody.asked.failures.len() == 2,
            "{nobody:?}"
        );
    });
}

#[test]
fn what_was_cleared_here_is_still_part_of_the_answer() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let full = create(&dir.path().join("one")).await;
        put(&full, "a", "longer than a digest of it, so that clearing it gains something").await;
        let server = serve(&full).await;
        let sparse = join(&dir.path().join("two"), &server).await;
        assert!(ask(&sparse, "a", Source::Peers).await.is_complete());
        sparse.clear(full.writer().await.unwrap(), RangeSet::below(9)).await.unwrap();
        assert!(ask(&sparse, "a", Source::Local).await.as_of().is_some());
        // But what it says is not here.
        let value = sparse.kv().get("a").await.unwrap();
        assert_eq!((value.completeness, value.asked.missing), (Completeness::Partial, 1));
    });
}
