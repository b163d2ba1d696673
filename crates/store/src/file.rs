//! Files of a tree: what is written once, in order and in large pieces, and never changed. The engine would pack it anew with whatever lies
//! near, and keep it in memory.

use crate::StoreError;
use bytes::Bytes;
use std::sync::Arc;

/// The name of a file among those of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// What it belongs to, as the owner of the tree wants it.
    pub group: u16,
    /// Its number in the group.
    pub number: u64,
}

/// A file being written. Dropped before it is finished, it goes.
pub trait NewFile: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Ends it. Rows that are applied from now on may speak of it: it lasts at the latest when they do.
    fn finish(self: Box<Self>) -> Result<Arc<dyn StoredFile>, StoreError>;
}

/// A file that was finished. It can be read as long as this lives, also once it is removed.
#[expect(clippy::len_without_is_empty, reason = "nobody asks that")]
pub trait StoredFile: Send + Sync {
    /// Bytes in it.
    fn len(&self) -> u64;

    /// So many of its bytes.
    ///
    /// # Errors
    /// [`StoreError::Short`] if it has fewer.
    fn read(&self, at: u64, len: usize) -> Result<Bytes, StoreError>;
}
