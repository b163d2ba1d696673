//! Checks a view against one made anew, in memory, from what it was made of.

use crate::directory::Stamp;
use crate::generation::Generation;
use crate::handle::PauseGuard;
use crate::indexer::Core;
use crate::mark::Mark;
use crate::source::Source;
use crate::{Exclusions, Index, View, ViewError};
use kappadb_core::{EntryId, Lseq};
use kappadb_feed::{Arrival, ReadError};
use kappadb_query::Selector;
use kappadb_store::{MemoryStore, Store};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A log as it was at a mark.
struct Frozen<'a> {
    source: &'a dyn Source,
    mark: &'a Mark,
}

impl Source for Frozen<'_> {
    fn end(&self) -> Lseq {
        self.mark.next
    }

    fn arrivals(&self, from: Lseq, max_blocks: usize) -> Result<Vec<Arrival>, ReadError> {
        let mut arrivals = self.source.arrivals(from, max_blocks)?;
        arrivals.retain(|arrival| arrival.lseq < self.mark.next);
        Ok(arrivals)
    }

    fn exclusions(&self) -> Exclusions {
        self.mark.excluded.clone()
    }

    fn subscribe(&self, _: Arc<dyn Fn() + Send + Sync>) {}
}

fn fresh<V: View>(core: &Core<V>, mark: &Mark) -> Result<Generation<V>, ViewError> {
    let tree = MemoryStore::new().tree("fresh")?;
    let stamp = Stamp { version: core.view.version(), generation: 0 };
    let generation = Generation::new(core.view.clone(), stamp, tree);
    let source = Frozen { source: &*core.source, mark };
    while generation.step(&source, &mark.excluded, &|| false)?.more {}
    Ok(generation)
}

fn all<V: View>(generation: &Generation<V>) -> Result<Option<BTreeSet<EntryId>>, ViewError> {
    match generation.read(|index| index.matches(&Selector::Everything, &BTreeSet::new())) {
        Some(Ok(ids)) => Ok(Some(ids.into_iter().collect())),
        Some(Err(ViewError::Unsupported)) => Ok(None),
        Some(Err(error)) => Err(error),
        None => Err(ViewError::Inconsistent("the index is not open")),
    }
}

/// Returns a sentence for each thing that is wrong: what the index itself finds, and entries that it would or would not
/// send although a fresh one would not or would.
pub(crate) fn verify<V: View>(core: &Core<V>) -> Result<Vec<String>, ViewError> {
    let _still = PauseGuard::new(core.control.clone());
    let mark = core.current(|current| current.mark()).flatten();
    let mark = mark.ok_or_else(|| ViewError::Rebuilding(core.name.clone()))?;
    let mut wrong = core.read(|index| index.check())??;
    let fresh = all(&fresh(core, &mark)?)?;
    let kept = core.current(all).transpose()?.flatten();
    if let (Some(fresh), Some(kept)) = (fresh, kept) {
        wrong.extend(kept.difference(&fresh).map(|id| format!("{id} is in it and should not be")));
        wrong.extend(fresh.difference(&kept).map(|id| format!("{id} is missing")));
    }
    Ok(wrong.into_iter().map(|what| format!("view {}: {what}", core.name)).collect())
}
