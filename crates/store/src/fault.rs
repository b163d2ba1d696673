use crate::{Batch, FileId, NewFile, Rows, Store, StoreError, StoredFile, Tree};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A kind of call to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Tree::get`]
    Get,
    /// [`Tree::range`]: the range gives one error and ends.
    Range,
    /// [`Tree::apply`]
    Apply,
    /// [`Store::flush`]
    Flush,
    /// [`Tree::new_file`]
    NewFile,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Without any effect.
    Refuse,
    /// With its whole effect: the caller does not learn that it succeeded.
    Unheard,
    /// With the first half of the batch applied: a store that breaks its promise of atomicity.
    Tear,
    /// Because the disk is full, where that is an error of its own: [`Tree::new_file`].
    Full,
}

#[derive(Default)]
struct Plan {
    calls: BTreeMap<Call, u64>,
    faults: Vec<(Call, u64, Fault)>,
}

/// Which calls fail, over all trees of a [`FaultStore`]. Clones share one plan; it can be changed at any time.
#[derive(Clone, Default)]
pub struct FaultPlan(Arc<Mutex<Plan>>);

impl FaultPlan {
    /// Nothing fails.
    pub fn none() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `n`-th `call` from now on (0 is the next one) fails as `fault` says.
    pub fn fail(&self, call: Call, n: u64, fault: Fault) {
        let mut plan = self.lock();
        let made = plan.calls.get(&call).copied().unwrap_or(0);
        plan.faults.push((call, made + n, fault));
    }

    /// How many calls of this kind were made.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls.get(&call).copied().unwrap_or(0)
    }

    /// Forgets all failures still to come.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    fn strike(&self, call: Call) -> Option<Fault> {
        let mut plan = self.lock();
        let made = plan.calls.entry(call).or_default();
        let n = *made;
        *made += 1;
        plan.faults.iter().find(|(c, at, _)| (*c, *at) == (call, n)).map(|(_, _, fault)| *fault)
    }
}

/// A store that fails where its plan says.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    plan: FaultPlan,
}

impl FaultStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Store>, plan: FaultPlan) -> Self {
        FaultStore { inner, plan }
    }
}

impl Store for FaultStore {
    fn tree(&self, name: &str) -> Result<Arc<dyn Tree>, StoreError> {
        Ok(Arc::new(FaultTree { inner: self.inner.tree(name)?, plan: self.plan.clone() }))
    }

    fn trees(&self) -> Result<Vec<String>, StoreError> {
        self.inner.trees()
    }

    fn drop_tree(&self, name: &str) -> Result<bool, StoreError> {
        self.inner.drop_tree(name)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let fault = self.plan.strike(Call::Flush);
        if fault != Some(Fault::Refuse) {
            self.inner.flush()?;
        }
        fault.map_or(Ok(()), |_| Err(StoreError::Injected(Call::Flush)))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }

    fn on_sleep(&self, call: Arc<dyn Fn() + Send + Sync>) {
        self.inner.on_sleep(call);
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.inner.disk_bytes()
    }
}

struct FaultTree {
    inner: Arc<dyn Tree>,
    plan: FaultPlan,
}

impl Tree for FaultTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.plan.strike(Call::Get) {
            Some(_) => Err(StoreError::Injected(Call::Get)),
            None => self.inner.get(key),
        }
    }

    fn range<'a>(&'a self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Rows<'a> {
        match self.plan.strike(Call::Range) {
            Some(_) => Box::new(std::iter::once(Err(StoreError::Injected(Call::Range)))),
            None => self.inner.range(from, to),
        }
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let fault = self.plan.strike(Call::Apply);
        match fault {
            None | Some(Fault::Unheard | Fault::Full) => self.inner.apply(batch)?,
            Some(Fault::Tear) => self.inner.apply(&batch.iter().take(batch.len() / 2).cloned().collect())?,
            Some(Fault::Refuse) => {}
        }
        fault.map_or(Ok(()), |_| Err(StoreError::Injected(Call::Apply)))
    }
    fn new_file(&self, id: FileId) -> Result<Box<dyn NewFile>, StoreError> {
        match self.plan.strike(Call::NewFile) {
            Some(Fault::Full) => Err(StoreError::DiskFull { path: PathBuf::new() }),
            Some(_) => Err(StoreError::Injected(Call::NewFile)),
            None => self.inner.new_file(id),
        }
    }

    fn open_file(&self, id: FileId) -> Result<Option<Arc<dyn StoredFile>>, StoreError> {
        self.inner.open_file(id)
    }

    fn files(&self, group: u16) -> Result<Vec<u64>, StoreError> {
        self.inner.files(group)
    }
}
