//! What can go wrong: one enum for each phase.

use kappadb_core::{FeedKey, KeyError, Seq, codec::DecodeError};
use kappadb_entry::{BundleError, EntryError};
use kappadb_journal::{LockError, Position};
use kappadb_merkle::{ForkError, TreeError};
use kappadb_store::StoreError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why feeds could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal could not be opened.
    #[error("journal: {0}")]
    Journal(#[from] kappadb_journal::OpenError),
    /// Derived state could be neither read nor made anew.
    #[error("derived state: {0}")]
    Store(#[from] StoreError),
    /// A file or directory of the database could not be made or read.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing of what was written here but the keys that it was written with.
    #[error(
        "the journal in {} is gone, with all that was derived from it, but keys of feeds that were written here are not: put a backup of the \
         folder back, or join again in a new folder, for from an empty journal these feeds would fork", .0.display()
    )]
    Gone(PathBuf),
    /// What was indexed could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was found could not be written down.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why something could not be made durable. Shared by all who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The journal could not be written. Nothing of it counts; the next write tries again.
    #[error("{}", with_cause(.0))]
    Journal(Arc<kappadb_journal::AppendError>),
    /// It is durable in the journal, but derived state could not be brought up to it. Nothing more is accepted until the database is
    /// opened again, which makes that good.
    #[error("it is durable, but derived state could not follow: {0}")]
    Derived(Arc<ReadError>),
    /// An earlier error of this kind; open the database again.
    #[error("an earlier write failed; open the database again")]
    Poisoned,
}

/// An error with what the system said.
fn with_cause(error: &kappadb_journal::AppendError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("journal: {error}: {cause}"),
        None => error.to_string(),
    }
}

impl CommitError {
    /// True if the disk takes nothing, for want of room or because it may not be written.
    pub fn is_refusal(&self) -> bool {
        matches!(self, CommitError::Journal(error) if error.is_refusal())
    }
}

/// Why an append was refused. None of its blocks is kept, unless it is a [`AppendError::Commit`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No such feed here.
    #[error("feed {0} is not defined here")]
    Undefined(FeedKey),
    /// Its secret key is not here.
    #[error("feed {0} is not written by this replica")]
    NotOurs(FeedKey),
    /// Its secret key cannot be had.
    #[error("{0}")]
    Secret(Arc<SecretError>),
    /// Its writer signed two histories.
    #[error("feed {feed} forked at block {seq}; go on with a new feed")]
    Forked {
        /// The feed.
        feed: FeedKey,
        /// From where.
        seq: Seq,
    },
    /// Whether this folder is the one that was written last has not been found out.
    #[error(
        "whether feed {0} may be written here is not known; it may be written in another copy of this folder"
    )]
    Unsure(FeedKey),
    /// The feed was given up, or peers know more of it than was written here: appending would fork it.
    #[error("there may be more of feed {0} than was written here; go on with a new feed that continues it")]
    Behind(FeedKey),
    /// The journal is damaged; blocks of own feeds may be among what was lost, and appending could fork them.
    #[error(
        "the journal is damaged ({0}); `kappa verify` says what was lost, and after `kappa settle` writing goes on"
    )]
    Damaged(Box<kappadb_journal::Damage>),
    /// A block is no entry.
    #[error("block {index}: {error}")]
    Block {
        /// Its place among the blocks given.
        index: usize,
        /// What is wrong.
        error: EntryError,
    },
    /// The feed is full.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It could not be made durable, or derived state could not be read: see there.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a feed could not be made or accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// The feed is on the block list.
    #[error("feed {0} was dropped here and is not taken in")]
    Dropped(FeedKey),
    /// Not signed by the feed for this database.
    #[error(transparent)]
    Signature(#[from] KeyError),
    /// What remembers outside of the folder how far feeds are written could not be told of it.
    #[error("the new feed could not be noted outside of the folder: {0}")]
    Witness(#[source] io::Error),
    /// The secret key could not be written down.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The secret key of the feed that it goes on for cannot be had.
    #[error(transparent)]
    Before(#[from] SecretError),
    /// It could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why the secret key of an own feed cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not hold the key that its name says.
    #[error("{} does not hold the secret key of the feed it is named after: put the file back from a backup", .0.display())]
    Wrong(PathBuf),
}

/// Why a bundle was not stored. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The feed is on the block list.
    #[error("feed {0} was dropped here and is not taken in")]
    Dropped(FeedKey),
    /// No such feed here.
    #[error("feed {0} is not defined here")]
    Undefined(FeedKey),
    /// It builds on nodes that are not those held here. Ask again with nothing known: then it shows whether the writer forked or the
    /// peer lied.
    #[error("the proof does not fit what is known of feed {0}")]
    KnownMismatch(FeedKey),
    /// It does not prove what it claims.
    #[error(transparent)]
    Refused(#[from] BundleError),
    /// It contradicts what is held of the feed, but no path to both nodes is at hand to show that.
    #[error("node {index} of feed {feed} is not the one held")]
    Contradiction {
        /// The feed.
        feed: FeedKey,
        /// The node.
        index: u64,
    },
    /// More heads of the feed that are not linked to each other than are kept.
    #[error("feed {0} has too many heads that are not linked to its newest one")]
    TooManyHeads(FeedKey),
    /// Evidence of a fork that shows nothing.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// What is held could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why payloads could not be cleared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClearError {
    /// No such feed here.
    #[error("feed {0} is not defined here")]
    Undefined(FeedKey),
    /// What is to be cleared cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written down. What was written of it counts when the database is opened again.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a feed could not be dropped or allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropError {
    /// Its secret key is here: what this replica wrote is not dropped by it.
    #[error("feed {0} is written by this replica; it can be dropped where it was fetched")]
    Own(FeedKey),
    /// It could not be written down.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why the journal could not be made smaller. Whatever was done of it is done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// A segment could not be written anew.
    #[error(transparent)]
    Rewrite(#[from] kappadb_journal::RewriteError),
    /// What was indexed could not be read or changed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written down.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Derived state could not be made to last.
    #[error("derived state: {0}")]
    Store(#[from] StoreError),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No such feed here.
    #[error("feed {0} is not defined here")]
    Undefined(FeedKey),
    /// Nothing at all is known of the feed's blocks.
    #[error("no head of feed {0} is known")]
    NoHead(FeedKey),
    /// The journal does not give the record.
    #[error("journal: {0}")]
    Journal(#[from] kappadb_journal::ReadError),
    /// The store failed.
    #[error("derived state: {0}")]
    Store(#[from] StoreError),
    /// A derived row cannot be understood. A rebuild helps.
    #[error("derived state: {0}")]
    Row(#[from] DecodeError),
    /// A tree node that ought to be at hand is not. A rebuild helps, unless the journal is damaged.
    #[error("node {index} of feed {feed} is missing")]
    MissingNode {
        /// The feed.
        feed: FeedKey,
        /// The node.
        index: u64,
    },
    /// Derived rows speak of blocks beyond the longest head. A rebuild helps.
    #[error("derived state has blocks of feed {feed} up to {end}, and heads up to {length}")]
    Beyond {
        /// The feed.
        feed: FeedKey,
        /// One more than the last block.
        end: Seq,
        /// The longest head's length.
        length: u64,
    },
    /// A derived row points at a record that holds something else. A rebuild helps.
    #[error("derived state points at the wrong record at {0}")]
    Misplaced(Position),
    /// A block is held that cannot be split into header and payload.
    #[error(transparent)]
    Block(#[from] EntryError),
    /// Tree sizes that cannot be.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl CompactError {
    /// True if it lacked room.
    pub fn is_full(&self) -> bool {
        use kappadb_journal::RewriteError;
        match self {
            CompactError::Rewrite(RewriteError::DiskFull { .. })
            | CompactError::Store(StoreError::DiskFull { .. }) => true,
            CompactError::Commit(error) => error.is_refusal(),
            _ => false,
        }
    }
}

impl ReadError {
    /// True if what was asked for is lost to damage in the journal, and trying again will not help.
    pub fn is_damage(&self) -> bool {
        matches!(self, ReadError::Journal(kappadb_journal::ReadError::Bad { .. }))
    }
}
