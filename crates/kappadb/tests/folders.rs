//! Folders that are moved, copied, restored and cloned, with real peers: `design/log.md`, "Whose folder is it".

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::{Database, FeedStatus, Server};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nothing here may hang: what takes longer than any of it can fails.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test).await });
    // A thread that waits for ever must not keep the failure from being told.
    runtime.shutdown_background();
    ended.unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, target) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

async fn open(dir: &Path) -> Database {
    Database::builder(dir).open().await.unwrap()
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn put(database: &Database, key: &str) {
    database.kv().put(key, key).await.unwrap();
}

async fn feeds(database: &Database) -> Vec<FeedStatus> {
    database.status().await.unwrap().feeds
}

/// A folder of somebody who joined, has written and is closed; and the peer that it knows.
struct World {
    dir: tempfile::TempDir,
    peer: Database,
    server: Server,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let peer = Database::builder(dir.path().join("peer")).create().await.unwrap();
        let server = serve(&peer).await;
        let world = World { dir, peer, server };
        let home = Database::builder(world.path("home")).join(&world.server.ticket()).await.unwrap();
        put(&home, "first").await;
        home.close().await.unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn a_copied_folder_with_a_feed_and_a_peer_that_does_not_answer_goes_on_in_a_new_feed() {
    run(async {
        let world = World::new().await;
        copy(&world.path("home"), &world.path("copy"));
        let World { dir, peer, server } = world;
        server.stop().await;
        peer.close().await.unwrap();
        let copy = open(&dir.path().join("copy")).await;
        assert!(copy.warnings().iter().any(|warning| warning.contains("new feed")), "{:?}", copy.warnings());
        put(&copy, "second").await;
        let new = feeds(&copy).await.into_iter().filter(|feed| feed.predecessor.is_some());
        assert_eq!(new.count(), 1);
    });
}
