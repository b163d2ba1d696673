use crate::{Batch, FileId, Op, StoreError, Tree, prefix_bounds, prefix_range};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A tree with writes that are not applied yet: reads see them, the tree does not until the batch is applied.
pub struct Overlay<'a> {
    tree: &'a dyn Tree,
    pending: BTreeMap<Bytes, Option<Bytes>>,
    gone: Vec<FileId>,
}

impl<'a> Overlay<'a> {
    /// `tree` without any pending write.
    pub fn new(tree: &'a dyn Tree) -> Self {
        Overlay { tree, pending: BTreeMap::new(), gone: Vec::new() }
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.tree.get(key),
        }
    }

    /// The rows whose keys start with `prefix`, in the order of their keys.
    pub fn range_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut changed = self.pending.range::<Bytes, _>(prefix_bounds(prefix)).peekable();
        if changed.peek().is_none() {
            return prefix_range(self.tree, prefix).collect();
        }
        let mut rows = prefix_range(self.tree, prefix).collect::<Result<BTreeMap<_, _>, _>>()?;
        for (key, value) in changed {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        Ok(rows.into_iter().collect())
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.pending.insert(key.into(), Some(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.pending.insert(key.into(), None);
    }

    /// Removes a file that no row speaks of any more once this is applied.
    pub fn remove_file(&mut self, file: FileId) {
        self.gone.push(file);
    }

    /// The number of keys written.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True if nothing was written or removed.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.gone.is_empty()
    }

    /// The writes, one a key, in the order of the keys.
    pub fn into_batch(self) -> Batch {
        let op = |(key, value)| match value {
            Some(value) => Op::Put(key, value),
            None => Op::Delete(key),
        };
        let mut batch: Batch = self.pending.into_iter().map(op).collect();
        self.gone.into_iter().for_each(|file| batch.remove_file(file));
        batch
    }
}
