//! A small ordered byte store with atomic batches.
//!
//! What lies in a store is derived: everything can be rebuilt from the journal. So the contract is small (four verbs
//! and a directory of trees), flushing is seldom, and a store that cannot be opened or read is an error that the caller
//! answers with [`SledStore::wipe`] and a rebuild. Knows no word of the domain above.
//!
//! - [`Store`], [`Tree`]: the contract
//! - [`Batch`], [`Overlay`]: writes to be, applied at once
//! - [`NewFile`], [`StoredFile`]: files of a tree, for what is written once in large pieces
//! - [`MemoryStore`]: for tests and for checking a view against a fresh rebuild
//! - [`SledStore`]: on disk
//! - [`FaultStore`]: wraps another and fails where a test wants it to

mod batch;
mod bounds;
mod error;
mod fault;
mod file;
mod lock;
mod memory;
mod options;
mod overlay;
mod seal;
mod sled;
mod traits;

pub use batch::{Batch, Op};
pub use bounds::prefix_bounds;
pub use error::StoreError;
pub use fault::{Call, Fault, FaultPlan, FaultStore};
pub use file::{FileId, NewFile, StoredFile};
pub use lock::OuterLock;
pub use memory::MemoryStore;
pub use options::SledOptions;
pub use overlay::Overlay;
pub use seal::SealError;
pub use sled::SledStore;
pub use traits::{Row, Rows, Store, Tree, prefix_range};
