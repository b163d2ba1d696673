//! Feeds over journal and Merkle trees: append, sparse put, proofs, heads, forks, arrivals.
//!
//! [`Feeds`] is the storage of a replica. The **journal** is the truth; what is needed to find things in it again lies in one
//! tree of the [`kappadb_store::Store`], is written in batches with a cursor, and is made anew whenever it is missing, stale,
//! of another format or unreadable. Nothing is visible (to a peer, to a view, to [`Feeds::held`]) before it is durable.
//!
//! | file | what |
//! |---|---|
//! | `feeds`, `reads`, `care` | the handle that everything else uses |
//! | `append`, `put`, `fork` | what is written: own blocks, peers' blocks, evidence |
//! | `writer` | journal, then index, then the readers' picture |
//! | `witness` | what remembers outside of the folder how far own feeds were written |
//! | `index`, `heads`, `rows`, `batch` | derived state: what records teach, which head leads, the rows |
//! | `state`, `blocks`, `runs`, `nodes`, `pages`, `cache` | what readers see and how it is found |
//! | `clear`, `places`, `blocklist`, `compact` | payloads that go or come back, feeds that are not wanted, the disk given back |
//! | `prove` | bundles for peers |
//! | `open`, `replay`, `lost`, `settle`, `verify`, `keys` | opening, deriving, damage and going on after it, checking everything, secret keys |
//!
//! Blocking: never call this on an async executor's thread.

mod append;
mod batch;
mod blocklist;
mod blocks;
mod cache;
mod care;
mod clear;
mod compact;
mod config;
mod error;
mod feeds;
mod fork;
mod heads;
mod index;
mod info;
mod keys;
mod lost;
mod nodes;
mod open;
mod pages;
mod places;
mod problem;
mod prove;
mod put;
mod queue;
mod reads;
mod replay;
mod rows;
mod runs;
mod settle;
mod state;
mod verify;
mod witness;
mod writer;

pub use config::{Config, OpenReport, Random, Rebuilt, lock};
pub use error::{
    AppendError, ClearError, CommitError, CompactError, DefineError, DropError, OpenError, PutError,
    ReadError, SecretError,
};
pub use feeds::Feeds;
pub use info::{Append, Arrival, Cleared, Compacted, Disk, FeedInfo, PutOutcome};
pub use kappadb_journal::{DirLock, LockError, LockHolder, Locking, is_locked};
pub use problem::Problem;
pub use witness::Witness;
