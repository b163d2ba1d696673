use crate::entry::{is_kv, is_put};
use crate::scan::range_of;
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use kappadb_view::{Change, Index, KeyUpdate, Keyed, Notice, Upkeep, ViewError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The key-value view's index.
pub struct KvIndex {
    tree: Arc<dyn Tree>,
    keyed: Keyed,
}

impl Index for KvIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        let ours: Vec<Change<'_>> = changes.iter().filter(|change| is_kv(change)).copied().collect();
        let updates = self.keyed.apply_all(rows, &ours)?;
        Ok(updates.iter().filter_map(KeyUpdate::notice).collect())
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        match (selector, range_of(selector)) {
            (Selector::Keys(_) | Selector::Versions(_), _) => {
                self.keyed.matches(&*self.tree, selector, without)
            }
            (Selector::Scan { limit, backwards, .. }, Some(range)) => {
                Ok(self.first_matches(&range, *limit, *backwards, without)?.0)
            }
            (_, Some(range)) => self.range_matches(&range, without),
            (_, None) => Err(ViewError::Unsupported),
        }
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        self.keyed.upkeep(idle, |index| &mut index.keyed)
    }

    fn check(&self) -> Result<Vec<String>, ViewError> {
        let mut wrong = 0_u64;
        for row in self.walk(&crate::KeyRange::ALL, false) {
            let (_, active) = row?;
            let ascends = active.is_sorted_by(|a, b| a.id < b.id);
            let redundant = active.iter().any(|e| active.iter().any(|f| rules::makes_redundant(f, e)));
            wrong += u64::from(active.is_empty() || !ascends || redundant);
        }
        let text = format!("the versions of {wrong} keys are not those that nothing makes redundant");
        let mut found = self.keyed.audit()?;
        found.extend((wrong > 0).then_some(text));
        Ok(found)
    }
}

impl KvIndex {
    pub(crate) fn new(tree: Arc<dyn Tree>, keyed: Keyed) -> Self {
        KvIndex { tree, keyed }
    }

    pub(crate) fn keyed(&self) -> &Keyed {
        &self.keyed
    }

    pub(crate) fn tree(&self) -> &dyn Tree {
        &*self.tree
    }

    /// The versions of a key that no other makes redundant, ascending by id: what a new version must know of.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.active(&*self.tree, key)
    }

    /// The versions of a key that no other replaces, ascending by id. Several are a conflict; one may be a delete.
    pub fn heads(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.heads(&*self.tree, key)
    }

    /// The head to show by default at the time `now` ([`rules::winner`]). It may be a delete. None if there are no heads.
    pub fn winner(&self, key: &[u8], now: Timestamp) -> Result<Option<Version>, ViewError> {
        let heads = self.heads(key)?;
        Ok(rules::winner(&heads.iter().collect::<Vec<_>>(), now).cloned())
    }

    /// True if the key has a value at the time `now`.
    pub fn contains(&self, key: &[u8], now: Timestamp) -> Result<bool, ViewError> {
        Ok(self.winner(key, now)?.is_some_and(|winner| is_put(&winner)))
    }

    /// All versions of a key that are held, ascending by id.
    pub fn history(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.versions(&*self.tree, key)
    }
}
