use crate::control::{Control, Patience};
use crate::indexer::Core;
use crate::watch::Watcher;
use crate::{Index, View, ViewError};
use kappadb_core::{EntryId, Lseq};
use kappadb_query::Selector;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A registered view. Clones are handles to the same one. All methods block for as long as they say; none belongs on an
/// async executor's thread.
pub struct ViewHandle<V: View> {
    core: Arc<Core<V>>,
}

impl<V: View> Clone for ViewHandle<V> {
    fn clone(&self) -> Self {
        ViewHandle { core: self.core.clone() }
    }
}

impl<V: View> ViewHandle<V> {
    pub(crate) fn new(core: Arc<Core<V>>) -> Self {
        ViewHandle { core }
    }

    /// The view's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// False if the database was opened without it.
    pub fn runs(&self) -> bool {
        !self.core.control.is_off()
    }

    /// Looks at the index. Nothing is applied to it meanwhile, so be brief; and do not read again inside, which may wait
    /// for itself.
    ///
    /// [`ViewError::Rebuilding`] if there is nothing to look at yet, [`ViewError::Stalled`] if indexing failed.
    pub fn read<R>(&self, look: impl FnOnce(&V::Index) -> R) -> Result<R, ViewError> {
        self.core.read(look)
    }

    /// Looks at the index if that needs no waiting: everything that had arrived before the call is indexed, as [`ViewHandle::ready`] says, and nothing
    /// is applied just now. None otherwise, and now and then without need. May be called on an async executor's thread, if `look` may be.
    pub fn try_read<R>(&self, look: impl FnOnce(&V::Index) -> R) -> Option<R> {
        if self.core.is_ready() { self.core.try_read(look) } else { None }
    }

    /// [`Index::matches`] of the index, for somebody who has dropped no feed.
    pub fn matches(&self, selector: &Selector) -> Result<Vec<EntryId>, ViewError> {
        self.read(|index| index.matches(selector, &BTreeSet::new()))?
    }

    /// Returns when everything that had arrived before the call is indexed, and every fork proven before it is
    /// taken into account. Waits for the end of pauses, too.
    ///
    /// # Errors
    /// [`ViewError::Late`] if it has not gone forward for half a minute, [`ViewError::Stalled`] if indexing fails,
    /// [`ViewError::Closed`].
    pub fn ready(&self) -> Result<(), ViewError> {
        self.core.ready(Patience::OWN)
    }

    /// Returns when all arrivals before `lseq` are indexed.
    pub fn ready_at(&self, lseq: Lseq) -> Result<(), ViewError> {
        self.core.ready_at(lseq)
    }

    /// Returns when indexing has stopped; it goes on when the guard, and every other guard of this view, is dropped.
    pub fn pause(&self) -> PauseGuard {
        PauseGuard::new(self.core.control.clone())
    }

    /// Returns when all upkeep is done that is due when nothing arrives. Whatever arrives meanwhile puts it off.
    pub fn rest(&self) -> Result<(), ViewError> {
        self.core.control.rest()
    }

    /// Change notices from now on. Read what you watch after this call, so that no change falls in between.
    pub fn watch(&self) -> Watcher {
        self.watch_keys(|_| true)
    }

    /// The same for some keys alone: others can neither wake the watcher nor make it lag. `wanted` is quick and never blocks.
    pub fn watch_keys(&self, wanted: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Watcher {
        self.core.watchers.add(wanted)
    }
}

/// Keeps a view's indexing stopped.
#[must_use = "indexing goes on as soon as this is dropped"]
pub struct PauseGuard {
    control: Arc<Control>,
}

impl PauseGuard {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        control.pause();
        PauseGuard { control }
    }
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        self.control.resume();
    }
}
