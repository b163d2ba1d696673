//! What a view can do that somebody wrote who has nothing but the library.

use kappadb::view::{PayloadError, Selector, ViewError, ViewHandle};
use kappadb::{Builder, BuiltIn, Clock, Database, Timestamp};
use kappadb_stranger::{SPACE, Words, delete, put};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn builder(dir: &Path) -> Builder {
    Database::builder(dir).state(dir.with_extension("state"))
}

/// Handles of views block.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(job).await.unwrap()
}

async fn get(database: &Database, words: &ViewHandle<Words>, key: &str) -> Result<Option<Vec<u8>>, String> {
    let (words, now, key) = (words.clone(), database.now(), key.to_owned());
    blocking(move || {
        words.ready().map_err(|error| error.to_string())?;
        // What is read of the payload is read without the index, so that indexing goes on.
        let found = words.read(|index| index.get(&key, now)).and_then(|found| found);
        let Some(mut payload) = found.map_err(|error| error.to_string())? else { return Ok(None) };
        let mut value = Vec::new();
        payload.read_to_end(&mut value).map_err(|error| error.to_string())?;
        assert_eq!(value.len() as u64, payload.size());
        Ok(Some(value))
    })
    .await
}

fn containing(word: &str) -> Selector {
    Selector::Custom(word.into())
}

#[test]
fn the_whole_view_is_fewer_than_a_hundred_lines() {
    assert!(include_str!("../src/lib.rs").lines().count() < 100);
}

#[tokio::test]
async fn it_answers_by_the_clock_is_watched_and_tidied_and_reads_values_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand(Arc::new(AtomicI64::new(1_800_000_000_000)));
    let database = builder(&dir.path().join("db")).clock(hand.clone()).create().await.unwrap();
    let words = database.view(Words).await.unwrap();
    let watcher = words.watch();
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for (key, value) in
        [("a small apple", b"core".to_vec()), ("nothing", Vec::new()), ("a large apple", large.clone())]
    {
        database.replace(&words, put(key, value)).await.unwrap();
    }
    assert_eq!(get(&database, &words, "a small apple").await.unwrap().unwrap(), b"core");
    assert_eq!(get(&database, &words, "nothing").await.unwrap().unwrap(), b"");
    assert!(get(&database, &words, "a large apple").await.unwrap().unwrap() == large);
    assert_eq!(get(&database, &words, "a pear").await.unwrap(), None);
    let told = blocking(move || {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while keys.len() < 3 {
            let changes = watcher.next(Duration::from_secs(60)).unwrap();
            assert!(!changes.lagged);
            keys.extend(changes.notices.into_iter().map(|notice| notice.key));
        }
        keys
    });
    assert_eq!(told.await, ["a small apple", "nothing", "a large apple"].map(str::as_bytes));
    // Dated tomorrow: it counts from then on.
    let due = Timestamp(hand.now().0 + 86_400_000);
    let tomorrow = kappadb::view::Draft { time: Some(due), ..put("a small apple", b"pie".to_vec()) };
    let other = database.write(vec![tomorrow]).await.unwrap();
    assert_eq!(other.len(), 1);
    assert_eq!(get(&database, &words, "a small apple").await.unwrap().unwrap(), b"core");
    hand.0.store(due.0, Ordering::Relaxed);
    assert_eq!(get(&database, &words, "a small apple").await.unwrap().unwrap(), b"pie");
    database.replace(&words, delete("a small apple")).await.unwrap();
    assert_eq!(get(&database, &words, "a small apple").await.unwrap(), None);
    for n in 0..40 {
        let drafts = (0..1_000).map(|m| put(&format!("key {n} {m}"), format!("{n}")));
        database.write(drafts.collect()).await.unwrap();
    }
    let tidied = words.clone();
    blocking(move || tidied.rest()).await.unwrap();
    assert_eq!(get(&database, &words, "key 7 77").await.unwrap().unwrap(), b"7");
    assert_eq!(database.verify().await.unwrap(), [""; 0]);
    drop(words);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_peer_asks_it_in_its_own_words_and_fetches_a_large_value_when_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let full = builder(&dir.path().join("full")).create().await.unwrap();
    let words = full.view(Words).await.unwrap();
    let large = vec![7; 3_000_000];
    for (key, value) in
        [("red apple", b"1".to_vec()), ("pear", b"2".to_vec()), ("green apple", large.clone())]
    {
        full.replace(&words, put(key, value)).await.unwrap();
    }
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let sparse = builder(&dir.path().join("sparse")).join(&server.ticket()).await.unwrap();
    let theirs = sparse.view(Words).await.unwrap();
    let answer = sparse.ask("words", containing("apple")).from(kappadb::Source::Peers).await.unwrap();
    assert!(answer.is_complete());
    assert_eq!((answer.items.len(), answer.asked.blocks_fetched), (2, 2));
    assert_eq!(get(&sparse, &theirs, "red apple").await.unwrap().unwrap(), b"1");
    assert_eq!(get(&sparse, &theirs, "pear").await.unwrap(), None);
    let error = get(&sparse, &theirs, "green apple").await.map(drop).unwrap_err();
    assert!(error.contains("bytes 0..") && error.contains("not held here"), "{error}");
    let large_id = *answer.items.iter().max_by_key(|id| id.seq).unwrap();
    let entry = sparse.read(large_id).await.unwrap().unwrap();
    let chunks = entry.header.detached().unwrap().chunks().clone();
    let asked = sparse.fetch(large_id.feed, chunks).await.unwrap();
    assert_eq!((asked.blocks_fetched, asked.failures.len()), (46, 0));
    assert!(get(&sparse, &theirs, "green apple").await.unwrap().unwrap() == large);
    let (index, now) = (theirs.clone(), sparse.now());
    let piece = blocking(move || {
        let payload = index.read(|index| index.get("green apple", now)).unwrap().unwrap().unwrap();
        let piece = payload.piece(2_999_990)?;
        assert!(payload.piece(3_000_000)?.is_empty());
        Ok::<_, PayloadError>(piece)
    });
    assert_eq!(piece.await.unwrap(), vec![7; 10]);
    drop((words, theirs));
    sparse.close().await.unwrap();
    server.stop().await;
    full.close().await.unwrap();
}

#[tokio::test]
async fn a_database_runs_the_views_it_wants_and_keeps_and_passes_on_what_it_knows_nothing_of() {
    let dir = tempfile::tempdir().unwrap();
    let first = builder(&dir.path().join("first")).create().await.unwrap();
    let words = first.view(Words).await.unwrap();
    let id = first.replace(&words, put("apple", b"red".to_vec())).await.unwrap();
    first.kv().put("key", "value").await.unwrap();
    let seqs = (0..=id.seq + 1).collect();
    let server = first.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    // One in the middle that knows neither these words nor, this time, anything else.
    let middle_dir = dir.path().join("middle");
    let middle = builder(&middle_dir).views([]).join(&server.ticket()).await.unwrap();
    assert!(middle.fetch(id.feed, seqs).await.unwrap().blocks_fetched >= 2);
    let error = middle.kv().get("key").await.unwrap_err().to_string();
    assert!(error.contains("\"kv\" does not run here"), "{error}");
    assert!(middle.map().watch(&"24,60,25,61".parse().unwrap()).next().await.unwrap().is_err());
    assert!(middle.chat().channels().await.is_err() && middle.kv().put("a", "b").await.is_err());
    let names: Vec<String> = middle.status().await.unwrap().views.into_iter().map(|view| view.name).collect();
    assert!(!names.iter().any(|name| ["kv", "map", "chat", "blobs"].contains(&name.as_str())), "{names:?}");
    assert_eq!(middle.verify().await.unwrap(), [""; 0]);
    middle.compact().await.unwrap();
    server.stop().await;
    drop(words);
    first.close().await.unwrap();
    let passed_on = middle.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let last = builder(&dir.path().join("last")).join(&passed_on.ticket()).await.unwrap();
    // Nobody there answers for a view that does not run, and that is told.
    let asked = last.kv().get("key").from(kappadb::Source::Peers).await.unwrap();
    assert!(!asked.is_complete() && asked.asked.failures.len() == 1);
    let seqs = (0..=id.seq + 1).collect();
    assert!(last.fetch(id.feed, seqs).await.unwrap().blocks_fetched >= 2);
    let theirs = last.view(Words).await.unwrap();
    assert_eq!(get(&last, &theirs, "apple").await.unwrap().unwrap(), b"red");
    assert_eq!(last.kv().get("key").await.unwrap().one().unwrap().text(), Some("value"));
    assert_eq!(last.read(id).await.unwrap().unwrap().header.kind.space, SPACE);
    passed_on.stop().await;
    middle.close().await.unwrap();
    // What did not run is brought up to date when it runs again.
    let middle = builder(&middle_dir).views([BuiltIn::Kv]).open().await.unwrap();
    assert_eq!(middle.kv().get("key").await.unwrap().one().unwrap().text(), Some("value"));
    let view = middle.view(Words).await.unwrap();
    assert!(matches!(middle.view(Words).await, Err(kappadb::ReadError::View(ViewError::Taken(_)))));
    assert_eq!(get(&middle, &view, "apple").await.unwrap().unwrap(), b"red");
}
