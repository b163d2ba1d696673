//! Checks a view against one made anew, in memory, from what it was made of.

use crate::directory::Stamp;
use crate::generation::Generation;
use crate::handle::PauseGuard;
use crate::indexer::Core;
use crate::mark::{Mark, excludes_all};
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

/// A generation with nothing in it.
fn empty<V: View>(core: &Core<V>) -> Result<Generation<V>, ViewError> {
    let tree = MemoryStore::new().tree("fresh")?;
    let stamp = Stamp { version: core.view.version(), generation: 0 };
    Ok(Generation::new(core.view.clone(), stamp, tree))
}

/// Brings a generation to a mark.
fn bring<V: View>(generation: &Generation<V>, core: &Core<V>, mark: &Mark) -> Result<(), ViewError> {
    let source = Frozen { source: &*core.source, mark };
    while generation.step(&source, &mark.excluded, &|| false)?.more {}
    Ok(())
}

/// How far the generation that answers has come.
fn mark<V: View>(core: &Core<V>) -> Result<Mark, ViewError> {
    let mark = core.current(|current| current.mark()).flatten();
    mark.ok_or_else(|| ViewError::Rebuilding(core.name.clone()))
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
///
/// The view goes on meanwhile, but for the end, when the two are compared as they are at one moment.
pub(crate) fn verify<V: View>(core: &Core<V>) -> Result<Vec<String>, ViewError> {
    let (mut fresh, forgotten) = (empty(core)?, core.source.forgotten());
    let before = mark(core)?;
    let made = bring(&fresh, core, &before);
    let _still = PauseGuard::new(core.control.clone());
    let now = mark(core)?;
    // What was taken out of the log meanwhile cannot be taken out of what was made from it, nor put back.
    let is_of_use =
        made.is_ok() && core.source.forgotten() == forgotten && excludes_all(&now.excluded, &before.excluded);
    if !is_of_use {
        fresh = empty(core)?;
    }
    bring(&fresh, core, &now)?;
    let mut wrong = core.read(|index| index.check())??;
    let fresh = all(&fresh)?;
    let kept = core.current(all).transpose()?.flatten();
    if let (Some(fresh), Some(kept)) = (fresh, kept) {
        wrong.extend(kept.difference(&fresh).map(|id| format!("{id} is in it and should not be")));
        wrong.extend(fresh.difference(&kept).map(|id| format!("{id} is missing")));
    }
    Ok(wrong.into_iter().map(|what| format!("view {}: {what}", core.name)).collect())
}
