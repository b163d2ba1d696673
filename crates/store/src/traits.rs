use crate::{Batch, FileId, NewFile, StoreError, StoredFile, bounds};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// Rows of a range, from both ends. After an error it ends.
pub type Rows<'a> = Box<dyn DoubleEndedIterator<Item = Result<Row, StoreError>> + 'a>;

/// An ordered map from bytes to bytes. All methods block; never call them on an async executor's thread.
pub trait Tree: Send + Sync {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The rows between the bounds in the order of their keys. No snapshot: batches applied meanwhile may be seen, row
    /// by row. Bounds that hold nothing (also such that cross) give nothing.
    fn range<'a>(&'a self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Rows<'a>;

    /// Applies all writes of `batch` or none, also across a crash. Lasting after the next [`Store::flush`] at the
    /// latest; batches last in the order in which they were applied.
    fn apply(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Begins a file of this tree. Nobody else may be writing one of this name.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], here and while it is written: nothing else is the worse for it.
    fn new_file(&self, id: FileId) -> Result<Box<dyn NewFile>, StoreError>;

    /// A file that was finished. None if there is none.
    fn open_file(&self, id: FileId) -> Result<Option<Arc<dyn StoredFile>>, StoreError>;

    /// The numbers of the files of a group, ascending; also of such as were never finished, or are to go.
    fn files(&self, group: u16) -> Result<Vec<u64>, StoreError>;
}

/// Named trees under one roof.
pub trait Store: Send + Sync {
    /// The tree of this name, made if it is not there.
    fn tree(&self, name: &str) -> Result<Arc<dyn Tree>, StoreError>;

    /// The names of all trees, ascending.
    fn trees(&self) -> Result<Vec<String>, StoreError>;

    /// Drops a tree; false if there was none. Handles to it that still live give [`StoreError::Dropped`].
    fn drop_tree(&self, name: &str) -> Result<bool, StoreError>;

    /// Makes everything applied so far last.
    fn flush(&self) -> Result<(), StoreError>;

    /// Makes everything applied last, and lets go of all that the store has open, whoever still holds it or a tree of it: reading
    /// and writing fail from then on with [`StoreError::Closed`]. The caller sees to it that none is under way.
    ///
    /// # Errors
    /// If something could not be made to last. It is closed all the same.
    fn close(&self) -> Result<(), StoreError>;

    /// Has `call` called, on any thread, when the store has let go of what it had open because nobody used it: a good time for whoever uses
    /// it to do the same. It is quick and does not use the store. Default: that never happens.
    fn on_sleep(&self, call: Arc<dyn Fn() + Send + Sync>) {
        let _ = call;
    }

    /// Bytes on disk.
    fn disk_bytes(&self) -> Result<u64, StoreError>;
}

/// The rows of `tree` whose keys start with `prefix`.
pub fn prefix_range<'a>(tree: &'a dyn Tree, prefix: &[u8]) -> Rows<'a> {
    let (from, to) = bounds::prefix_bounds(prefix);
    tree.range(bounds::borrowed(&from), bounds::borrowed(&to))
}
