//! A database, open: the handles of its views, and what it is asked as a whole.

mod asking;
mod builder;
mod keeping;
mod open;
mod server;
mod serving;
mod writing;

pub use asking::EntryPage;
pub use builder::{Builder, usual_patience};
pub use server::Server;

use crate::engine::pool::aside;
use crate::engine::{self, Progress};
use crate::error::{ReadError, WriteError};
use crate::folder::callers::Callers;
use crate::folder::listen::ListenFile;
use crate::network::{Handle, Manner};
use crate::node::Follows;
use crate::views::Parts;
use crate::views::blobs::Blobs;
#[cfg(feature = "chat")]
use crate::views::chat::Chat;
use crate::views::kv::Kv;
#[cfg(feature = "map")]
use crate::views::map::Map;
use kappadb_core::{DatabaseId, Timestamp};
use kappadb_view::{View, ViewHandle};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A replica of a database, open. Clones are handles to the same one.
///
/// All methods may be called from any task; blocking work runs on threads of the database's own. When the last
/// handle goes, what was promised durable is durable; [`Database::close`] also leaves a clean end, so that the next
/// opening is quick.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) parts: Arc<Parts>,
    pub(crate) shared: Arc<Shared>,
}

/// What belongs to the database as a whole, whoever has a handle.
pub(crate) struct Shared {
    /// Where it listens when it serves.
    listen: ListenFile,
    /// Who called.
    callers: Arc<Callers>,
    /// What is followed whenever it serves.
    pub(crate) follows: Arc<Follows>,
    /// What people should know of how opening went.
    warnings: Vec<String>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Database {
    /// Says how to make or open the database in `dir`.
    pub fn builder(dir: impl AsRef<Path>) -> Builder {
        Builder::new(dir)
    }

    /// The database's name, the same for all of its replicas.
    pub fn id(&self) -> DatabaseId {
        self.parts.id
    }

    /// The time, by the clock that it was opened with: what a view is asked with for which time matters.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// A handle to the same database whose long work tells this how far it has come ([`Builder::progress`]).
    #[must_use]
    pub fn with_progress(&self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Database {
        let manner = self.parts.manner.clone();
        self.with_manner(Manner { progress: Some(Arc::new(progress)), ..manner })
    }

    /// A handle to the same database whose questions let peers be silent for as long, and no longer than their sessions do ([`Builder::patience`]).
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Database {
        let manner = self.parts.manner.clone();
        self.with_manner(Manner { patience: Some(patience), ..manner })
    }

    fn with_manner(&self, manner: Manner) -> Database {
        let (network, name) = (self.parts.network.clone(), self.parts.name.clone());
        let parts = self.parts.with(Handle { network, name, manner });
        Database { parts: Arc::new(parts), shared: self.shared.clone() }
    }

    /// Keys and values.
    pub fn kv(&self) -> Kv {
        Kv::new(&self.parts)
    }

    /// Messages in channels.
    #[cfg(feature = "chat")]
    pub fn chat(&self) -> Chat {
        Chat::new(&self.parts)
    }

    /// Map features.
    #[cfg(feature = "map")]
    pub fn map(&self) -> Map {
        Map::new(&self.parts)
    }

    /// Bytes of any number, such as photos.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(&self.parts)
    }

    /// Adds a view of your own. It is brought up to date in the background; `ready` of its handle waits for that.
    pub async fn view<V: View>(&self, view: V) -> Result<ViewHandle<V>, ReadError> {
        Ok(self.run(move |parts| parts.views.register(view)).await??)
    }

    /// Puts on the disk all that was written before and is not there yet ([`Durability`](crate::Durability)).
    ///
    /// # Errors
    /// If the disk does not take it: then nothing more is written until the database is opened again.
    pub async fn sync(&self) -> Result<(), WriteError> {
        Ok(self.run(|parts| parts.feeds.settle()).await?.map_err(ReadError::from)?)
    }

    /// Waits until every view has indexed all that is held now. No question needs it: each waits for its own view.
    ///
    /// # Errors
    /// The first view's that fails or does not go forward, once the others are ready.
    pub async fn ready(&self) -> Result<(), ReadError> {
        Ok(self.run(|parts| parts.views.all_ready()).await??)
    }

    /// Ends everything in order, whoever holds handles: what is under way ends, indexers stop, all is durable, the journal gets its clean end,
    /// and the folder is free. From then on every handle, and every peer of a server that still runs, is told that it is closed
    /// ([`ReadError::Closed`]); closing again does nothing.
    ///
    /// An import or another long write ends between two batches; a long reading (a check, an export) is waited for. If this is dropped, the database closes all the same.
    ///
    /// # Errors
    /// If the journal could not be given its clean end. It is closed all the same, and the next opening looks through it.
    pub async fn close(self) -> Result<(), ReadError> {
        self.parts.links.close().await;
        // Not on the database's own threads: what is done there is waited for.
        let parts = self.parts;
        let threads = parts.threads.clone();
        aside(&threads, move || parts.close()).await?
    }

    /// Runs blocking work where it may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        engine::run(&self.parts, job).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Durability;

    #[tokio::test]
    async fn a_write_is_on_the_disk_when_it_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
        let database = builder().durability(Durability::Buffered).create().await.unwrap();
        let (kv, feeds) = (database.kv(), database.parts.feeds.clone());
        kv.put("buffered", "value").await.unwrap();
        assert!(!feeds.is_settled());
        assert!(kv.get("buffered").await.unwrap().one().is_some(), "it is read at once");
        kv.put("now", "value").durability(Durability::Now).await.unwrap();
        assert!(feeds.is_settled());
        kv.put("buffered", "other").await.unwrap();
        assert!(!feeds.is_settled());
        database.sync().await.unwrap();
        assert!(feeds.is_settled());
        kv.put("interval", "value").durability(Durability::Interval(Duration::from_secs(1))).await.unwrap();
        kv.put("sooner", "value").durability(Durability::Interval(Duration::from_millis(50))).await.unwrap();
        for _ in 0..6_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if feeds.is_settled() {
                break;
            }
        }
        assert!(feeds.is_settled(), "the interval has passed long ago");
        // Whoever is told of it must not see it go.
        kv.put("asked for", "value").await.unwrap();
        assert!(!feeds.is_settled());
        let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let part = Database::builder(dir.path().join("part")).state(dir.path().join("part state"));
        let part = part.durability(Durability::Buffered).join(&server.ticket()).await.unwrap();
        part.kv().put("theirs", "value").await.unwrap();
        assert!(!part.parts.feeds.is_settled());
        let _ = part.ask("kv", crate::view::Selector::Everything).from(crate::Source::Peers).await.unwrap();
        assert!(feeds.is_settled() && part.parts.feeds.is_settled());
        assert!(part.kv().get("asked for").await.unwrap().one().is_some());
        kv.put("last", "value").await.unwrap();
        server.stop().await;
        drop((feeds, kv));
        database.close().await.unwrap();
        let database = builder().wait(Duration::from_secs(60)).open().await.unwrap();
        assert!(database.kv().get("last").await.unwrap().one().is_some());
        assert_eq!(database.verify().await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_told_and_is_not_that_the_database_was_closed() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path()).create().await.unwrap();
        let error = database.run(|_| assert_eq!(1, 2, "one and one")).await.unwrap_err();
        assert!(matches!(&error, ReadError::Panicked(text) if text.contains("one and one")), "{error}");
        assert!(database.kv().get("x").await.unwrap().one().is_none(), "and others go on");
    }
}
