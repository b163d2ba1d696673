//! Checks a view against one made anew from what it was made of.

use crate::directory::Stamp;
use crate::generation::Generation;
use crate::handle::PauseGuard;
use crate::indexer::Core;
use crate::mark::{Mark, excludes_all};
use crate::source::Source;
use crate::{Exclusions, Index, Payloads, View, ViewError};
use kappadb_core::Lseq;
use kappadb_feed::{Arrival, ReadError};
use kappadb_store::{MemoryStore, Store, StoreError, Tree};
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

/// What the names of trees begin with that are made to be compared with.
const FOLDER: &str = "verify/";

/// Removes such trees: whoever made them was killed. If it cannot be done now it is done some other time.
pub(crate) fn sweep(store: &dyn Store) {
    let left = store.trees().unwrap_or_default().into_iter().filter(|name| name.starts_with(FOLDER));
    left.for_each(|name| drop(store.drop_tree(&name)));
}

/// A tree for the rows of a generation that is made to be compared with. It goes when this does.
struct Scratch<'a> {
    store: &'a dyn Store,
    name: String,
}

impl Scratch<'_> {
    /// The tree, with nothing in it. None made before may be in use.
    fn empty(&self) -> Result<Arc<dyn Tree>, StoreError> {
        self.store.drop_tree(&self.name)?;
        self.store.tree(&self.name)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.store.drop_tree(&self.name) {
            tracing::warn!(%error, "rows that were made to verify a view could not be removed, and will be when it is opened again");
        }
    }
}

/// A generation with nothing in it.
fn empty<V: View>(core: &Core<V>, scratch: &Scratch<'_>) -> Result<Generation<V>, ViewError> {
    let stamp = Stamp { version: core.view.version(), generation: 0 };
    let payloads = Payloads::new(core.source.clone());
    Ok(Generation::new(core.view.clone(), stamp, scratch.empty()?, payloads, core.threads.clone()))
}

/// Brings a generation to a mark, and does its upkeep meanwhile.
fn bring<V: View>(generation: &Generation<V>, core: &Core<V>, mark: &Mark) -> Result<(), ViewError> {
    let source = Frozen { source: &*core.source, mark };
    while generation.step(&source, &mark.excluded, &|| false)?.more {
        generation.keep_up_now()?;
    }
    Ok(())
}

/// How far the generation that answers has come.
fn mark<V: View>(core: &Core<V>) -> Result<Mark, ViewError> {
    let mark = core.current(|current| current.mark()).flatten();
    mark.ok_or_else(|| ViewError::Rebuilding(core.name.clone()))
}

/// Returns a sentence for each thing that is wrong: what the index itself finds, and what is otherwise than in a fresh one. That one is made in
/// `store`, or in memory where that has no room.
///
/// The view goes on meanwhile, but for the end, when the two are compared as they are at one moment.
pub(crate) fn verify<V: View>(core: &Core<V>, store: &dyn Store) -> Result<Vec<String>, ViewError> {
    let verify_in = |store| verify_in(core, &Scratch { store, name: format!("{FOLDER}{}", core.name) });
    match verify_in(store) {
        Err(ViewError::Store(StoreError::DiskFull { .. })) => verify_in(&MemoryStore::new()),
        verified => verified,
    }
}

fn verify_in<V: View>(core: &Core<V>, scratch: &Scratch<'_>) -> Result<Vec<String>, ViewError> {
    const NOT_OPEN: ViewError = ViewError::Inconsistent("the index is not open");
    let (mut fresh, forgotten) = (empty(core, scratch)?, core.source.forgotten());
    let before = mark(core)?;
    let made = bring(&fresh, core, &before);
    let _still = PauseGuard::new(core.control.clone());
    let now = mark(core)?;
    // What was taken out of the log meanwhile cannot be taken out of what was made from it, nor put back.
    let is_of_use =
        made.is_ok() && core.source.forgotten() == forgotten && excludes_all(&now.excluded, &before.excluded);
    if !is_of_use {
        drop(fresh);
        fresh = empty(core, scratch)?;
    }
    bring(&fresh, core, &now)?;
    let mut wrong = core.read(|index| index.check())??;
    let compare = |kept: &V::Index| fresh.read(|fresh| kept.compare(fresh)).ok_or(NOT_OPEN)?;
    wrong.extend(core.read(compare)??);
    Ok(wrong.into_iter().map(|what| format!("view {}: {what}", core.name)).collect())
}
