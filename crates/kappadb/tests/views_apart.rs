//! A view that fails, panics or never ends is nobody else's business: keys, map, peers and upkeep go on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use common::{builder, join, run, serve};
use kappadb::view::{Change, Index, Notice, Overlay, Selector, Tree, View, ViewError};
use kappadb::{Database, EntryId, Extent, FeedKey, MapQuery, RangeSet, Source, geojson};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

/// What becomes of each batch of the view.
#[derive(Clone)]
enum Fate {
    Fails,
    Panics,
    /// Waits until the gate is open.
    Waits(Arc<(Mutex<bool>, Condvar)>),
}

/// A view of nothing.
struct Odd(&'static str, Fate);
struct OddIndex(Fate);

impl View for Odd {
    type Index = OddIndex;

    fn name(&self) -> &str {
        self.0
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, _: Arc<dyn Tree>) -> Result<OddIndex, ViewError> {
        Ok(OddIndex(self.1.clone()))
    }
}

impl Index for OddIndex {
    fn apply(&mut self, _: &[Change<'_>], _: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        match &self.0 {
            Fate::Fails => Err(ViewError::Custom("as always".into())),
            Fate::Panics => panic!("as always"),
            Fate::Waits(gate) => {
                drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
                Ok(Vec::new())
            }
        }
    }

    fn matches(&self, _: &Selector, _: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        Ok(Vec::new())
    }
}

/// Writes, reads, is asked by a new peer, drops a feed and compacts: all that a person does.
async fn works_as_ever(database: &Database, folder: &Path) {
    let server = serve(database).await;
    for n in 0..20 {
        database.kv().put(format!("key {n}"), "value").await.unwrap();
    }
    let feature =
        r#"{"type":"Feature","id":"here","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}"#;
    database.map().put(geojson::from_text(feature).unwrap()).await.unwrap();
    assert_eq!(database.kv().get("key 7").await.unwrap().one().unwrap().text(), Some("value"));
    let world: Extent = "-180,-90,180,90".parse().unwrap();
    assert_eq!(database.map().find(&MapQuery::new(world)).await.unwrap().items.len(), 1);

    let other = join(folder, &server).await;
    let answer = other.ask("kv", Selector::Keys(vec![b"key 3".to_vec()])).from(Source::Peers).await.unwrap();
    assert!(answer.is_complete() && answer.asked.failures.is_empty(), "{answer:?}");
    assert!(other.kv().get("key 3").await.unwrap().one().is_some());
    other.kv().put("of the other", "x").await.unwrap();
    other.close().await.unwrap();

    let feed = database.writer().await.unwrap();
    database.clear_for_good(feed, RangeSet::below(2)).await.unwrap();
    database.compact().await.unwrap();
    database.rebuild(Some("kv")).await.unwrap();
    assert!(database.kv().get("key 19").await.unwrap().one().is_some());
    server.stop().await;
}

/// All that a person does, beside a view with this name and fate. Returns the database, and why the view says that it stands still.
async fn beside(name: &'static str, fate: Fate, folder: &Path) -> (Database, String) {
    let database = builder(&folder.join("a")).create().await.unwrap();
    let view = database.view(Odd(name, fate)).await.unwrap();
    works_as_ever(&database, &folder.join("b")).await;
    match view.ready() {
        Err(ViewError::Stalled { reason, .. }) => (database, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_view_that_always_fails_is_not_noticed_by_keys_and_map() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, reason) = beside("fails", Fate::Fails, dir.path()).await;
        assert_eq!(reason, "as always");
        assert!(database.ready().await.is_err(), "who asks for all views is told");
        let problems = database.verify().await.unwrap();
        assert!(problems.len() == 1 && problems[0].contains("fails"), "{problems:?}");
        database.close().await.unwrap();
    });
}

#[test]
fn a_view_that_panics_is_not_noticed_by_keys_and_map() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, reason) = beside("panics", Fate::Panics, dir.path()).await;
        assert!(reason.contains("panicked"), "{reason}");
        database.close().await.unwrap();
    });
}

#[test]
fn a_view_that_takes_long_for_a_batch_is_waited_for_by_nobody_else() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = builder(&dir.path().join("a")).create().await.unwrap();
        let gate = Arc::<(Mutex<bool>, Condvar)>::default();
        let view = database.view(Odd("waits", Fate::Waits(gate.clone()))).await.unwrap();
        for n in 0..20 {
            database.kv().put(format!("key {n}"), "value").await.unwrap();
        }
        assert!(database.kv().get("key 7").await.unwrap().one().is_some());
        let server = serve(&database).await;
        let other = join(&dir.path().join("b"), &server).await;
        let answer =
            other.ask("kv", Selector::Keys(vec![b"key 3".to_vec()])).from(Source::Peers).await.unwrap();
        assert!(answer.is_complete() && answer.asked.failures.is_empty(), "{answer:?}");
        other.close().await.unwrap();
        server.stop().await;
        let status = database.status().await.unwrap();
        assert!(status.views.iter().any(|view| view.name == "waits" && view.lag > 0), "{status:?}");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        view.ready().unwrap();
        database.close().await.unwrap();
    });
}
