//! Replicas of one database under a clock that is set by hand.

use kappadb::{Builder, Clock, Database, PeerConnection, PeerState, Server, Ticket, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A clock that is set by hand.
#[derive(Clone, Default)]
pub struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl Hand {
    /// Lets everything said so far become due.
    pub fn pass(&self) {
        self.0.fetch_add(1_000, Ordering::SeqCst);
    }

    /// It is this time.
    pub fn at(&self, time: i64) {
        self.0.store(time, Ordering::SeqCst);
    }
}

/// Where they lie, and their clock.
pub struct House {
    dir: TempDir,
    /// All go by it.
    pub clock: Hand,
}

impl Default for House {
    fn default() -> Self {
        Self::new()
    }
}

impl House {
    /// Nothing is there yet; it is 1000 s after the beginning of time.
    pub fn new() -> House {
        let clock = Hand::default();
        clock.at(1_000_000);
        House { dir: tempfile::tempdir().expect("temp dir"), clock }
    }

    /// Where one of this name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A database of this name, that knows whom it is told of and nobody else. Its peers may be slow, for the machine may be busy.
    pub fn builder(&self, name: &str) -> Builder {
        let builder = Database::builder(self.path(name)).clock(self.clock.clone());
        builder.patience(Duration::from_secs(30)).introductions(false)
    }

    /// Makes the database.
    pub async fn create(&self, name: &str) -> Database {
        self.builder(name).create().await.expect("create")
    }

    /// Makes another replica of it.
    pub async fn join(&self, name: &str, ticket: &Ticket) -> Database {
        self.builder(name).join(ticket).await.expect("join")
    }
}

/// Answers others on a free port.
pub async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.expect("serve")
}

/// True if this replica puts its questions to the one behind the server: it knows it as a peer, or there is a session with it, whoever called.
pub fn asks(database: &Database, server: &Server) -> bool {
    let peer = server.ticket().peer;
    let states = database.peers().states();
    let open = |state: &PeerState| matches!(state.connection, PeerConnection::Open { .. });
    states.iter().any(|state| state.key == peer && (state.known.is_some() || open(state)))
}
