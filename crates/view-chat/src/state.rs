//! What is said of channels and writers: keyed entries under the shared rules, and what their authors took back.
//!
//! A version that was taken back stays among the versions of its key: what counts is worked out without it when it is asked for. So
//! it is there again if what took it back is withdrawn, and what it had replaced shows as long as it does not count.

use crate::index::ChatIndex;
use crate::rows;
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::space::CHAT;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::{Change, KeyUpdate, Keyed, Upkeep, ViewError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct State {
    keyed: Keyed,
    /// False if nothing was ever taken back, as is mostly the case.
    any_taken: bool,
    /// Another one after each change, in this process and view or any other.
    stamp: u64,
}

/// A number that was not given out before.
fn next_stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl State {
    pub fn open(prefix: u8, tree: &Arc<dyn Tree>, few: usize) -> Result<State, ViewError> {
        let any_taken = prefix_range(&**tree, &[rows::TAKEN]).next().transpose()?.is_some();
        Ok(State { keyed: Keyed::with_memory(prefix, CHAT, tree, few)?, any_taken, stamp: next_stamp() })
    }

    pub fn apply(
        &mut self,
        rows: &mut Overlay<'_>,
        changes: &[Change<'_>],
    ) -> Result<Vec<KeyUpdate>, ViewError> {
        if !changes.is_empty() {
            self.stamp = next_stamp();
        }
        self.keyed.apply_all(rows, changes)
    }

    /// What is to be done in the background for it.
    pub fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<ChatIndex>>> {
        self.keyed.upkeep(idle, |index: &mut ChatIndex| &mut index.state.keyed)
    }

    /// The author of `target` took it back with its entry `by`, or that entry counts no more.
    pub fn take(&mut self, rows: &mut Overlay<'_>, key: &[u8], target: &EntryId, by: u64, held: bool) {
        self.stamp = next_stamp();
        let row = rows::taken_by(key, target, by);
        if held {
            self.any_taken = true;
            rows.put(row, Vec::new());
        } else {
            rows.delete(row);
        }
    }

    /// What was taken back of a key, and by which entries.
    fn taken(&self, tree: &dyn Tree, key: &[u8]) -> Result<Vec<(EntryId, EntryId)>, ViewError> {
        if !self.any_taken {
            return Ok(Vec::new());
        }
        let prefix = rows::taken(key);
        let mut taken = Vec::new();
        for row in prefix_range(tree, &prefix) {
            taken.extend(rows::read_taken(&row?.0));
        }
        Ok(taken)
    }

    /// The same without the entries that took it back.
    fn taken_of(&self, tree: &dyn Tree, key: &[u8]) -> Result<BTreeSet<EntryId>, ViewError> {
        Ok(self.taken(tree, key)?.into_iter().map(|(target, _)| target).collect())
    }

    /// The versions that no other makes redundant, also those that were taken back: what a new version must name.
    pub fn known(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().active(key)
    }

    /// True if this version was taken back.
    pub fn is_taken(&self, tree: &dyn Tree, key: &[u8], id: &EntryId) -> Result<bool, ViewError> {
        Ok(self.taken_of(tree, key)?.contains(id))
    }

    /// All versions that are held.
    pub fn versions(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().versions(key)
    }

    /// The versions that count, of which no other makes one redundant.
    pub fn counting(&self, tree: &dyn Tree, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let active = self.keyed.read().active(key)?;
        self.without_taken(tree, key, active)
    }

    fn without_taken(
        &self,
        tree: &dyn Tree,
        key: &[u8],
        active: Vec<Version>,
    ) -> Result<Vec<Version>, ViewError> {
        let taken = self.taken_of(tree, key)?;
        self.keyed.read().leave_out(key, active, |id| taken.contains(id))
    }

    /// What a key says at a time, but for what some wrote.
    pub fn winner(
        &self,
        tree: &dyn Tree,
        key: &[u8],
        now: Timestamp,
        without: impl Fn(&FeedKey) -> bool,
    ) -> Result<Option<Version>, ViewError> {
        let taken = self.taken_of(tree, key)?;
        let active = self.keyed.read().active(key)?;
        let out = |id: &EntryId| taken.contains(id) || without(&id.feed);
        let counting = self.keyed.read().leave_out(key, active, out)?;
        Ok(rules::winner(&rules::heads(&counting), now).cloned())
    }

    /// What the keys that begin so say at a time.
    pub fn winners(
        &self,
        tree: &dyn Tree,
        prefix: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(Vec<u8>, Version)>, ViewError> {
        let mut found = Vec::new();
        for row in self.keyed.read().scan(prefix, None) {
            let (key, active) = row?;
            let counting = self.without_taken(tree, &key, active)?;
            let winner = rules::winner(&rules::heads(&counting), now).cloned();
            found.extend(winner.map(|winner| (key, winner)));
        }
        Ok(found)
    }

    /// The first key after `after` that begins with `prefix`.
    pub fn next_key(&self, prefix: &[u8], after: Option<&[u8]>) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self.keyed.read().scan(prefix, after).next().transpose()?.map(|(key, _)| key))
    }

    /// What must be sent to whoever asks for a key: every version, since the asker may know that one was taken back which nobody
    /// here knows of, and what took others back.
    pub fn entries(&self, tree: &dyn Tree, key: &[u8]) -> Result<Vec<EntryId>, ViewError> {
        let mut ids: Vec<EntryId> = self.keyed.read().versions(key)?.into_iter().map(|v| v.id).collect();
        ids.extend(self.taken(tree, key)?.into_iter().map(|(_, by)| by));
        Ok(ids)
    }

    /// The same for all keys that begin so, also those of which nothing but what took it back is held.
    pub fn entries_of(&self, tree: &dyn Tree, prefix: &[u8]) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        for row in self.keyed.read().scan(prefix, None) {
            let (key, _) = row?;
            ids.extend(self.keyed.read().versions(&key)?.into_iter().map(|v| v.id));
        }
        if self.any_taken {
            for row in prefix_range(tree, &[rows::TAKEN]) {
                let (row, _) = row?;
                let key = row.get(3..row.len().saturating_sub(48)).unwrap_or_default();
                if key.starts_with(prefix) {
                    ids.extend(rows::read_taken(&row).map(|(_, by)| by));
                }
            }
        }
        Ok(ids)
    }
}

impl ChatIndex {
    /// A number that changes whenever anything changes that is said of channels and writers.
    pub fn said_stamp(&self) -> u64 {
        self.state.stamp
    }

    /// The versions of a key that no other makes redundant, ascending by id, also those that were taken back: what a new version must
    /// name.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.state.known(key)
    }

    /// All versions of a key that are held, also those that were taken back or replaced.
    pub fn versions(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.state.versions(key)
    }

    /// All versions of a key that are held and were not taken back.
    pub fn standing_versions(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let taken = self.state.taken_of(&*self.tree, key)?;
        let mut versions = self.versions(key)?;
        versions.retain(|version| !taken.contains(&version.id));
        Ok(versions)
    }

    /// The versions of a key that were not taken back, of which no other makes one redundant; ascending by id.
    pub fn counting_versions(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.state.counting(&*self.tree, key)
    }

    /// What a key says at the time `now`; none if it says nothing that counts.
    pub fn winner(&self, key: &[u8], now: Timestamp) -> Result<Option<Version>, ViewError> {
        self.winner_without(key, now, |_| false)
    }

    /// The same as if those for whom `without` is true had written nothing.
    pub fn winner_without(
        &self,
        key: &[u8],
        now: Timestamp,
        without: impl Fn(&FeedKey) -> bool,
    ) -> Result<Option<Version>, ViewError> {
        self.state.winner(&*self.tree, key, now, without)
    }

    /// What the keys that begin so say at the time `now`.
    pub fn winners(&self, prefix: &[u8], now: Timestamp) -> Result<Vec<(Vec<u8>, Version)>, ViewError> {
        self.state.winners(&*self.tree, prefix, now)
    }
}
