//! An import lets others write between its steps, and what they wrote counts.

use kappadb::{Database, Feature, ImportOptions, ImportReport};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// More nodes than are written in one step.
const NODES: usize = 9_000;
/// Nodes that somebody edits meanwhile: some are written in the first step, others are not.
const EDITED: [usize; 12] = [1, 800, 1_600, 2_400, 3_200, 4_000, 4_800, 5_600, 6_400, 7_200, 8_000, 9_000];

struct World {
    dir: TempDir,
    database: Database,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path().join("db")).create().await.unwrap();
        World { dir, database }
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("file");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Imports a file; when the first of its items are durable, `meanwhile` is done to its end before the import goes on.
    async fn import<F: Future<Output = ()> + Send>(
        &self,
        file: &Path,
        meanwhile: impl FnOnce(Database) -> F + Send + 'static,
    ) -> ImportReport {
        let (database, runtime) = (self.database.clone(), Handle::current());
        let meanwhile = Mutex::new(Some(meanwhile));
        let told = Arc::new(Mutex::new(Vec::new()));
        let durable = {
            let told = told.clone();
            move |items: u64| {
                told.lock().unwrap().push(items);
                if let Some(meanwhile) = meanwhile.lock().unwrap().take() {
                    runtime.block_on(meanwhile(database.clone()));
                }
            }
        };
        let report = self.database.map().import(file, ImportOptions::default(), durable).await.unwrap();
        let told = told.lock().unwrap();
        assert!(told.len() > 1, "it was written in one step: {told:?}");
        report
    }

    /// Imports a file while somebody gives some of its nodes a name of a newer version, which stays.
    async fn import_beside_edits(&self, file: &Path, version: u32, name: &'static str) -> ImportReport {
        let report = self
            .import(file, move |database| async move {
                for id in EDITED {
                    database.map().put(by_hand(id, version, name)).await.unwrap();
                }
            })
            .await;
        for id in EDITED {
            assert!(self.text(&format!("n{id}")).await.contains(name));
        }
        report
    }

    async fn text(&self, id: &str) -> String {
        let found = self.database.map().get(id).await.unwrap().one();
        let found = found.unwrap_or_else(|| panic!("{id} is not there"));
        assert!(!found.is_conflict(), "{id} is in conflict");
        kappadb_geo::geojson::to_text(found.versions[0].feature.as_ref().unwrap())
    }
}

fn node(id: usize, version: u32, name: &str) -> String {
    let lon = id as f64 / 1000.0;
    format!(r#"<node id="{id}" version="{version}" lat="60" lon="{lon}"><tag k="name" v="{name}"/></node>"#)
}

fn map(version: u32, name: &str) -> String {
    let nodes = (1..=NODES).fold(String::new(), |mut all, id| {
        let _ = write!(all, "{}", node(id, version, name));
        all
    });
    format!(r#"<osm version="0.6">{nodes}</osm>"#)
}

/// A node with this name, as somebody saves it by hand.
fn by_hand(id: usize, version: u32, name: &str) -> Feature {
    let text = format!(
        r#"{{"type":"Feature","id":"n{id}","geometry":{{"type":"Point","coordinates":[{},60]}},
        "properties":{{"@type":"node","@id":{id},"@version":{version},"name":"{name}"}}}}"#,
        id as f64 / 1000.0
    );
    kappadb_geo::geojson::from_text_by_id(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn others_write_while_a_map_is_imported() {
    let world = World::new().await;
    let file = world.file(&map(1, "old"));
    let report = world
        .import(&file, |database| async move {
            database.kv().put("key", b"value".to_vec()).await.unwrap();
        })
        .await;
    assert_eq!((report.taken, report.blocks), (NODES as u64, NODES as u64));
    assert!(world.text("n1").await.contains("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_maps_while_the_first_map_is_imported_stays() {
    let world = World::new().await;
    let file = world.file(&map(1, "old"));
    let report = world.import_beside_edits(&file, 2, "new").await;
    assert!(world.text("n5").await.contains("old"));
    let all = report.taken + report.older + report.unchanged;
    assert_eq!((all, report.older), (NODES as u64, EDITED.len() as u64), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_maps_while_a_newer_map_is_imported_stays() {
    let world = World::new().await;
    let file = world.file(&map(1, "old"));
    world.database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap();
    let file = world.file(&map(2, "new"));
    let report = world.import_beside_edits(&file, 3, "newest").await;
    assert!(world.text("n5").await.contains("new"));
    // Some were written before, and the others are left as they are.
    assert_eq!(report.taken + report.older, NODES as u64, "{report:?}");
    assert!(0 < report.older && report.older < EDITED.len() as u64, "{report:?}");
    let again = world.database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap();
    assert_eq!((again.blocks, again.older), (0, EDITED.len() as u64), "{again:?}");
}

/// Nothing of such a file is written, so there are no steps between which others could write.
#[tokio::test(flavor = "multi_thread")]
async fn others_write_while_a_map_that_is_held_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (compared, told) = mpsc::channel();
    let (written, done) = mpsc::channel::<()>();
    let done = Mutex::new(done);
    // As long as nobody has written the import waits a moment after each thousand items, so that whoever wants to has asked for the turn.
    let progress = move |progress: kappadb::Progress| {
        if progress.task == "comparing" {
            let _ = compared.send(());
            let _ = done.lock().unwrap().recv_timeout(Duration::from_secs(2));
        }
    };
    let database = Database::builder(dir.path().join("db")).progress(progress).create().await.unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, map(1, "old")).unwrap();
    database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap();
    let import = {
        let (database, file) = (database.clone(), file.clone());
        tokio::spawn(
            async move { database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap() },
        )
    };
    tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
    database.map().put(by_hand(NODES + 1, 1, "new")).await.unwrap();
    assert!(!import.is_finished(), "whoever writes has to wait for the end of an import");
    drop(written);
    let report = import.await.unwrap();
    assert_eq!((report.unchanged, report.blocks), (NODES as u64, 0), "{report:?}");
}
