use crate::FileId;
use bytes::Bytes;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key's value.
    Put(Bytes, Bytes),
    /// Removes a key, whether it is there or not.
    Delete(Bytes),
}

/// Writes to one tree, in order, applied all or none. The last write to a key counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
    gone: Vec<FileId>,
}

impl Batch {
    /// A batch that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op::Put(key.into(), value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.ops.push(Op::Delete(key.into()));
    }

    /// Removes a file that no row speaks of any more once the batch is applied.
    pub fn remove_file(&mut self, file: FileId) {
        self.gone.push(file);
    }

    /// The files that go.
    pub fn removed_files(&self) -> &[FileId] {
        &self.gone
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.gone.is_empty()
    }

    /// The writes, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Op> {
        self.ops.iter()
    }
}

impl FromIterator<Op> for Batch {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        Batch { ops: ops.into_iter().collect(), gone: Vec::new() }
    }
}
