//! The segmented, checksummed arrival log: the truth of a replica, from which everything else is rebuilt.
//!
//! A [`Journal`] is a folder of segment files with the records of all feeds, in the order in which they arrived. One
//! writer appends; any number of [`Reader`]s read single records and scan. The bytes are in `design/formats.md`.
//!
//! - **Durable means synced.** [`Journal::append`] hands bytes to the system, [`Journal::sync`] puts them on the disk.
//!   After a failed sync the journal takes nothing more until it is opened anew.
//! - **Each block has a number**, its `lseq`, given by the order of records and of the blocks in them. A number that
//!   was ever durable is never given to another block, not even after damage. One that was not, was never shown to
//!   anyone, and is used again if its block is lost in a crash.
//! - **Torn is not damaged.** What a crash may leave at the very end is cut off when the journal is opened, and the
//!   replica gets a new incarnation. Everything else that cannot be read is reported as [`Damage`], with its place
//!   and the `lseq`s that it can have held, and the rest stays readable.

mod cursor;
mod disk;
mod error;
pub mod fault;
mod files;
mod journal;
mod lock;
mod options;
mod position;
mod reader;
mod record;
mod recover;
mod rewrite;
mod sealed;
mod segment;
mod survey;
mod tail;
mod walk;

pub use disk::{Disk, DiskFile};
pub use error::{
    AppendError, Cause, Cut, Damage, LockError, OpenError, ReadError, RecordError, RewriteError,
};
pub use journal::{Journal, Placed};
pub use lock::{DirLock, LockHolder, Locking, is_locked, lock_dir};
pub use options::Options;
pub use position::Position;
pub use reader::{Located, Reader};
pub use record::{MAX_BODY, Record};
pub use recover::Recovery;
pub use rewrite::Rewrite;
