//! One error enum per phase; sources kept.

mod blobs;
mod open;

pub use blobs::{BlobError, NotHeld, PutBlobError, is_not_held};
pub use open::{CreateError, OpenError};

use kappadb_core::{EntryId, FeedKey};
use std::io;
use std::path::PathBuf;

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The entry breaks a limit.
    #[error(transparent)]
    Entry(#[from] kappadb_entry::EntryError),
    /// The feature cannot be an entry.
    #[cfg(feature = "map")]
    #[error(transparent)]
    Feature(#[from] kappadb_geo::FeatureError),
    /// There is no such feature to delete.
    #[error("there is no feature {0:?} here to delete")]
    NoFeature(String),
    /// Ways have the node as a corner.
    #[error("{id} is a corner of {}: take it out of these, or delete them, first", some(ways))]
    StillUsed {
        /// The node.
        id: String,
        /// The ways.
        ways: Vec<String>,
    },
    /// The feature's heads are others than those that were expected. Nothing was written.
    #[error("{id:?} was changed meanwhile: its heads are {}", ids(found))]
    Changed {
        /// The feature.
        id: String,
        /// The heads that are held, ascending. None: nothing is known of it.
        found: Vec<EntryId>,
    },
    /// What was to be made of a feature is another one. Nothing was written.
    #[error("{wanted:?} was to be changed, and what was given is {given:?}")]
    OtherFeature {
        /// The feature that was to be changed.
        wanted: String,
        /// What was given.
        given: String,
    },
    /// It has one version, or none.
    #[error("{0:?} is not in conflict: there is nothing to merge")]
    NoConflict(String),
    /// None of its versions can be read here.
    #[error("no version of {0:?} can be read here; ask for it first")]
    NoContent(String),
    /// What this machine remembers of feeds cannot be read or written; nothing was written.
    #[error(
        "{path}, which tells this folder from its copies, cannot be used; name a folder that can be written in KAPPA_STATE"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no place for what this machine remembers of feeds.
    #[error(
        "there is no place to remember what was written here: name a folder that can be written in KAPPA_STATE"
    )]
    NoState,
    /// The folder could not be told what remembers it.
    #[error("cannot write {path}")]
    Witness {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log took nothing.
    #[error(transparent)]
    Append(#[from] kappadb_feed::AppendError),
    /// No writer feed could be made.
    #[error(transparent)]
    Define(#[from] kappadb_feed::DefineError),
    /// The name of a writer could not be written down.
    #[error("cannot write {path}")]
    Names {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it would replace could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why there is no such writer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriterError {
    /// None has this name.
    #[error("there is no writer {0:?} here; make it with `kappa writer new`")]
    Unknown(String),
    /// One has this name already.
    #[error("there is a writer {0:?} already")]
    Exists(String),
    /// It cannot be a name.
    #[error(
        "{0:?} cannot be the name of a writer: 1 to 96 characters, none of them a control character, no white space around them, not `imported:` before them"
    )]
    Name(String),
    /// It could not be made.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ReadError> for WriterError {
    fn from(error: ReadError) -> Self {
        WriterError::Write(error.into())
    }
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A view.
    #[error(transparent)]
    View(#[from] kappadb_view::ViewError),
    /// A block.
    #[error(transparent)]
    Block(#[from] kappadb_feed::ReadError),
    /// What was learnt could not be written down.
    #[error(transparent)]
    Commit(#[from] kappadb_feed::CommitError),
    /// Checking everything could not be done.
    #[error(transparent)]
    Check(#[from] kappadb_feed::OpenError),
    /// The database was closed, or the async runtime is shutting down.
    #[error("the database is closed")]
    Closed,
    /// The work panicked: a fault in this library or in a view. What was durable before is durable.
    #[error("a fault in this program ended the work: {0}")]
    Panicked(String),
}

/// What became of blocking work that did not come to its end.
impl From<tokio::task::JoinError> for ReadError {
    fn from(error: tokio::task::JoinError) -> Self {
        error.try_into_panic().map_or(ReadError::Closed, ReadError::of_panic)
    }
}

impl ReadError {
    /// What a panic in this library's work is told as.
    pub(crate) fn of_panic(panic: Box<dyn std::any::Any + Send>) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        ReadError::Panicked(text.unwrap_or("no reason given").to_owned())
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No ticket can be made of the address.
    #[error(transparent)]
    Ticket(#[from] kappadb_net::TicketError),
    /// Where to listen could not be written down.
    #[error("cannot write down where this replica listens")]
    Keep(#[source] io::Error),
    /// The database is closed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why the list of known peers was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The ticket names this replica itself.
    #[error(
        "this is a ticket of this replica itself (or of a folder that this one is a copy of: then join in a new, empty folder)"
    )]
    Own,
    /// The ticket is for another database.
    #[error("the ticket is for another database, {0}")]
    OtherDatabase(kappadb_core::DatabaseId),
    /// No such peer is known.
    #[error("no peer {0} is known here")]
    Unknown(kappadb_core::FeedKey),
    /// It cannot be a name.
    #[error("{0:?} cannot be the name of a peer: 1 to 64 bytes, no control characters")]
    Name(String),
    /// Another peer is called so.
    #[error("another peer is called {0:?} already")]
    Taken(String),
    /// It could not be written down.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database is closed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a peer could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It was not reached, or was not who it should be.
    #[error(transparent)]
    Dial(#[from] std::sync::Arc<kappadb_net::DialError>),
    /// When it was called or asked a moment ago it said nothing for long, and others could be asked: it was not waited for.
    #[error("it is not connected: {0}")]
    Away(String),
    /// It could not be talked to for so long.
    #[error("it did not answer within {} s", .0.as_secs_f32())]
    Late(std::time::Duration),
    /// The session ended, or the peer refused.
    #[error(transparent)]
    Session(#[from] kappadb_net::AskError),
}

impl AskError {
    /// True if the peer cannot tell what came since a token.
    pub(crate) fn is_stale(&self) -> bool {
        use kappadb_net::AskError::Query;
        use kappadb_sync::{QueryError::Refused, Refusal};
        matches!(self, AskError::Session(Query(Refused { reason: Refusal::Stale, .. })))
    }

    /// True if the peer was waited for in vain.
    pub(crate) fn is_late(&self) -> bool {
        use kappadb_net::AskError::Query;
        use kappadb_sync::QueryError::TimedOut;
        match self {
            AskError::Late(_) | AskError::Session(Query(TimedOut { .. })) => true,
            AskError::Dial(error) => matches!(**error, kappadb_net::DialError::Timeout { .. }),
            _ => false,
        }
    }
}

/// Why what is followed could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It could not be written down.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database is closed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why the log could not be made smaller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Payloads could not be cleared.
    #[error(transparent)]
    Clear(#[from] kappadb_feed::ClearError),
    /// The feed is written here, and what is cleared of it may be nowhere else.
    #[error(
        "feed {0} is written here, and nobody else may hold what it says; `--force` clears it all the same"
    )]
    OnlyCopy(FeedKey),
    /// A feed could not be dropped or allowed.
    #[error(transparent)]
    Drop(#[from] kappadb_feed::DropError),
    /// Feeds could not be made sure of, or a new one be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The disk could not be given back.
    #[error(transparent)]
    Compact(#[from] kappadb_feed::CompactError),
    /// It could not be written down.
    #[error(transparent)]
    Commit(#[from] kappadb_feed::CommitError),
    /// Views could not be brought up to it.
    #[error(transparent)]
    View(#[from] kappadb_view::ViewError),
    /// Derived data could not be changed.
    #[error(transparent)]
    Store(#[from] kappadb_store::StoreError),
    /// The database is closed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why what lies beyond a fork could not be looked at, or not be appended again. What was appended before is durable; calling it again goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// No such feed is known.
    #[error("no feed {0} is known here")]
    Unknown(FeedKey),
    /// The feed is another replica's, which alone can say again what it said.
    #[error("feed {0} was not written here; who wrote it can recover what lies beyond its fork")]
    NotOurs(FeedKey),
    /// It could not be appended.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// That it was done could not be written down.
    #[error("what was recovered is there, but that cannot be written down in {path}")]
    Note {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Entries for people.
pub(crate) fn ids(ids: &[EntryId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

/// The first few of these, for people.
fn some(ids: &[String]) -> String {
    const NAMED: usize = 10;
    let more = if ids.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", ids.get(..NAMED).unwrap_or(ids).join(", "))
}
