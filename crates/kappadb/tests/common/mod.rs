//! Folders that are each on a machine of its own, so that a copy of both is one that nothing but peers can tell from what was copied.

mod copy;

pub use copy::copy;
use kappadb::{Builder, Database, Server};
use std::future::Future;
use std::path::{Path, PathBuf};

pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

pub fn state(dir: &Path) -> PathBuf {
    dir.with_extension("state")
}

pub fn builder(dir: &Path) -> Builder {
    Database::builder(dir).state(state(dir))
}

pub fn copy_with_state(from: &Path, to: &Path) {
    copy(from, to);
    copy(&state(from), &state(to));
}

pub async fn open(dir: &Path) -> Database {
    builder(dir).open().await.unwrap()
}

pub async fn join(dir: &Path, server: &Server) -> Database {
    builder(dir).join(&server.ticket()).await.unwrap()
}

pub async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}
