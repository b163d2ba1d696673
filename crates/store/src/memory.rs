use crate::{Batch, FileId, NewFile, Op, Rows, Store, StoreError, StoredFile, Tree, bounds};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

type Map = BTreeMap<Bytes, Bytes>;

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore {
    trees: RwLock<BTreeMap<String, Arc<MemoryTree>>>,
}

struct MemoryTree {
    name: String,
    dropped: AtomicBool,
    rows: RwLock<Map>,
    files: Arc<RwLock<Files>>,
}

type Files = BTreeMap<FileId, Bytes>;

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with the same in it as this has now. From then on each goes its own way.
    pub fn copy(&self) -> MemoryStore {
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let copies = trees.iter().map(|(name, tree)| (name.clone(), Arc::new(tree.copy())));
        MemoryStore { trees: RwLock::new(copies.collect()) }
    }
}

impl Store for MemoryStore {
    fn tree(&self, name: &str) -> Result<Arc<dyn Tree>, StoreError> {
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let (rows, files) = (RwLock::default(), Arc::default());
            Arc::new(MemoryTree { name: name.to_owned(), dropped: false.into(), rows, files })
        };
        Ok(trees.entry(name.to_owned()).or_insert_with(fresh).clone())
    }

    fn trees(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.trees.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect())
    }

    fn drop_tree(&self, name: &str) -> Result<bool, StoreError> {
        let removed = self.trees.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        removed.iter().for_each(|tree| tree.dropped.store(true, Ordering::Release));
        Ok(removed.is_some())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// There is nothing to let go of: it answers as before.
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl MemoryTree {
    fn copy(&self) -> MemoryTree {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner).clone();
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (rows, files) = (RwLock::new(rows), Arc::new(RwLock::new(files)));
        MemoryTree { name: self.name.clone(), dropped: false.into(), rows, files }
    }

    fn alive(&self) -> Result<(), StoreError> {
        match self.dropped.load(Ordering::Acquire) {
            true => Err(StoreError::Dropped(self.name.clone())),
            false => Ok(()),
        }
    }

    fn read<R>(&self, f: impl FnOnce(&Map) -> R) -> Result<R, StoreError> {
        self.alive()?;
        Ok(f(&self.rows.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tree for MemoryTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(|rows| rows.get(key).cloned())
    }

    fn range<'a>(&'a self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Rows<'a> {
        Box::new(Walk { tree: self, from: bounds::owned(from), to: bounds::owned(to), failed: false })
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.alive()?;
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch.iter() {
            match op {
                Op::Put(key, value) => drop(rows.insert(key.clone(), value.clone())),
                Op::Delete(key) => drop(rows.remove(key)),
            }
        }
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        batch.removed_files().iter().for_each(|file| drop(files.remove(file)));
        Ok(())
    }

    fn new_file(&self, id: FileId) -> Result<Box<dyn NewFile>, StoreError> {
        self.alive()?;
        Ok(Box::new(Writing { id, bytes: Vec::new(), files: self.files.clone() }))
    }

    fn open_file(&self, id: FileId) -> Result<Option<Arc<dyn StoredFile>>, StoreError> {
        self.alive()?;
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        Ok(files.get(&id).map(|bytes| Arc::new(bytes.clone()) as _))
    }

    fn files(&self, group: u16) -> Result<Vec<u64>, StoreError> {
        self.alive()?;
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        Ok(files.keys().filter(|id| id.group == group).map(|id| id.number).collect())
    }
}

struct Writing {
    id: FileId,
    bytes: Vec<u8>,
    files: Arc<RwLock<Files>>,
}

impl NewFile for Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Arc<dyn StoredFile>, StoreError> {
        let bytes = Bytes::from(self.bytes);
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(self.id, bytes.clone());
        Ok(Arc::new(bytes))
    }
}

impl StoredFile for Bytes {
    fn len(&self) -> u64 {
        Bytes::len(self) as u64
    }

    fn read(&self, at: u64, len: usize) -> Result<Bytes, StoreError> {
        let end = usize::try_from(at).ok().and_then(|at| Some(at..at.checked_add(len)?));
        let range = end.filter(|range| range.end <= Bytes::len(self));
        range.map(|range| self.slice(range)).ok_or(StoreError::Short)
    }
}

/// What is left of a range. Looks up one row at a time, so that no lock is held between rows.
struct Walk<'a> {
    tree: &'a MemoryTree,
    from: Bound<Bytes>,
    to: Bound<Bytes>,
    failed: bool,
}

impl Walk<'_> {
    fn step(&mut self, back: bool) -> Option<Result<(Bytes, Bytes), StoreError>> {
        let (from, to) = (bounds::borrowed(&self.from), bounds::borrowed(&self.to));
        if self.failed || bounds::is_void(from, to) {
            return None;
        }
        let row = self.tree.read(|rows| {
            let mut range = rows.range::<[u8], _>((from, to));
            let row = if back { range.next_back() } else { range.next() };
            row.map(|(key, value)| (key.clone(), value.clone()))
        });
        match &row {
            Ok(Some((key, _))) if back => self.to = Bound::Excluded(key.clone()),
            Ok(Some((key, _))) => self.from = Bound::Excluded(key.clone()),
            Ok(None) => {}
            Err(_) => self.failed = true,
        }
        row.transpose()
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl DoubleEndedIterator for Walk<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}
