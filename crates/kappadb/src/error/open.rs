//! Making and opening a database.

use super::{PeerError, ReadError, WriteError};
use kappadb_feed::{LockError, LockHolder};
use std::io;
use std::path::PathBuf;

/// Why a database could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is one already.
    #[error("{0} already holds a database; choose another directory")]
    Exists(PathBuf),
    /// There is a replica of another database.
    #[error("{dir} holds another database, {database}; join in another directory")]
    OtherDatabase {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        database: kappadb_core::DatabaseId,
    },
    /// Its files could not be written.
    #[error("cannot write the database's files in {dir}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ticket names no peer that it can have.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// It was made but does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The first feed could not be made.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is open already: in another process, or in this one, as [`LockHolder::pid`] says. [`Database::close`](crate::Database::close) ends that,
    /// whoever holds handles.
    #[error("{dir} is in use by {}", named(holder.as_ref()))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who it is, if it says so.
        holder: Option<LockHolder>,
    },
    /// The process, or the system, has as many files open as it may. Nothing of it stays: tried again later, it may go.
    #[error(
        "too many open files: this process may have no more, and {dir} needs some; close another database, or allow more (`ulimit -n`)"
    )]
    TooManyFiles {
        /// The directory.
        dir: PathBuf,
        /// What could not be opened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A link where only files and folders of the database belong.
    #[error(
        "{0} is a symbolic link; what it leads to may be somebody else's, so put the file or folder itself there"
    )]
    Link(PathBuf),
    /// No ticket can hold what is to be in it.
    #[error(transparent)]
    Ticket(#[from] kappadb_net::TicketError),
    /// Nothing there.
    #[error("{0} holds no kappa database; make one with `kappa init` or `kappa join`")]
    NotADatabase(PathBuf),
    /// Made by another version.
    #[error("{dir} has format {found}, which this version cannot read")]
    Version {
        /// The directory.
        dir: PathBuf,
        /// The format's version.
        found: String,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error(
        "{path} is damaged: expected {wanted}; restore it from a backup, or join again in a new directory"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should be there.
        wanted: &'static str,
    },
    /// Derived data could be neither read nor made anew.
    #[error("the derived data cannot be opened")]
    Store(#[from] kappadb_store::StoreError),
    /// Journal, feeds or keys.
    #[error(transparent)]
    Feeds(kappadb_feed::OpenError),
    /// A view.
    #[error(transparent)]
    View(#[from] kappadb_view::ViewError),
    /// The runtime is shutting down, or opening met a fault.
    #[error("the database could not be opened: {0}")]
    Stopped(#[source] ReadError),
}

impl OpenError {
    /// True if it is the derived data that cannot be used as it is.
    pub(crate) fn wants_rebuild(&self) -> bool {
        use kappadb_feed::{CommitError, OpenError as Feeds, ReadError as Block};
        let of_block = |error: &Block| matches!(error, Block::Store(error) if error.wants_rebuild());
        match self {
            OpenError::Store(error)
            | OpenError::Feeds(Feeds::Store(error))
            | OpenError::View(kappadb_view::ViewError::Store(error)) => error.wants_rebuild(),
            OpenError::Feeds(Feeds::Read(error)) => of_block(error),
            OpenError::Feeds(Feeds::Commit(CommitError::Derived(error))) => of_block(error),
            _ => false,
        }
    }
}

impl From<kappadb_feed::OpenError> for OpenError {
    fn from(error: kappadb_feed::OpenError) -> Self {
        match error {
            kappadb_feed::OpenError::Lock(LockError::Held { dir, holder }) => {
                OpenError::InUse { dir, holder }
            }
            error => OpenError::Feeds(error),
        }
    }
}

fn named(holder: Option<&LockHolder>) -> String {
    match holder {
        Some(LockHolder { pid, .. }) if *pid == std::process::id() => {
            "this process, which has it open already".to_owned()
        }
        Some(holder) => holder.to_string(),
        None => "another process".to_owned(),
    }
}
