//! What was deleted or taken back: nobody is to read it any more, so whoever holds it gives its payload up.

use crate::index::{ChatIndex, moment};
use crate::rows::{self, BAD, Mark, Place};
use kappadb_chat::edited;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::Header;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What deletes name, and edits, which may be of what was deleted: until it was seen to that it is erased, if it must be. It has rows as long, so
/// it is looked at once, whatever process asks.
#[derive(Default)]
pub(crate) struct Named(Mutex<State>);

#[derive(Default)]
struct State {
    /// To be looked at, with how often anything was named by then.
    due: BTreeMap<EntryId, u64>,
    /// Not held yet.
    waiting: HashSet<EntryId>,
    /// Seen to: their rows can go.
    done: Vec<EntryId>,
    count: u64,
}

/// What is to be looked at: [`ChatIndex::named_by_deletes`].
#[derive(Debug, Clone, Default)]
pub struct Due(BTreeMap<EntryId, u64>);

impl Due {
    /// The entries.
    pub fn ids(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.0.keys().copied()
    }
}

impl Named {
    pub fn load(tree: &dyn Tree) -> Result<Named, ViewError> {
        let mut state = State::default();
        for row in prefix_range(tree, &[rows::NAMED]) {
            state.due.insert(rows::read_named(&row?.0).ok_or(BAD)?, 0);
        }
        Ok(Named(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, targets: impl IntoIterator<Item = EntryId>, rows: &mut Overlay<'_>) {
        let mut state = self.lock();
        for id in targets {
            state.count += 1;
            let count = state.count;
            state.waiting.remove(&id);
            state.due.insert(id, count);
            rows.put(rows::named(&id), Vec::new());
        }
    }

    /// An entry came that may have been waited for.
    pub fn came(&self, id: &EntryId) {
        let mut state = self.lock();
        if state.waiting.remove(id) {
            let count = state.count;
            state.due.insert(*id, count);
        }
    }

    /// True if rows can go.
    pub fn is_done(&self) -> bool {
        !self.lock().done.is_empty()
    }

    /// Takes the rows away of what was seen to and was not named again since.
    pub fn tidy(&self, rows: &mut Overlay<'_>) {
        let mut state = self.lock();
        for id in std::mem::take(&mut state.done) {
            if !state.due.contains_key(&id) && !state.waiting.contains(&id) {
                rows.delete(rows::named(&id));
            }
        }
    }
}

impl ChatIndex {
    /// The entries that deletes name, and edits, of which it was not yet seen to that they are erased if they must be. Whether they must be is said by
    /// [`ChatIndex::is_erased`].
    pub fn named_by_deletes(&self) -> Due {
        Due(self.named.lock().due.clone())
    }

    /// It was seen to that these are erased if they must be, but for those that are not held yet.
    pub fn seen_to(&self, due: &Due, not_held: impl IntoIterator<Item = EntryId>) {
        let mut state = self.named.lock();
        let waiting: HashSet<EntryId> = not_held.into_iter().collect();
        for (id, count) in &due.0 {
            if state.due.get(id) == Some(count) {
                state.due.remove(id);
                match waiting.contains(id) {
                    true => drop(state.waiting.insert(*id)),
                    false => state.done.push(*id),
                }
            }
        }
    }

    /// Has the words of deleted messages go with the next upkeep, wherever they are kept. False if there are none to go.
    pub fn forget_deleted(&self) -> Result<bool, ViewError> {
        self.lexicon.forget_all()
    }

    /// The entries of a feed that deletes name.
    pub fn named_by_deletes_of(&self, feed: &FeedKey) -> Result<Vec<EntryId>, ViewError> {
        let prefix = rows::author(feed);
        let mut named = Vec::new();
        let mut found = self.shelf.with_prefix(&prefix)?;
        while found.advance()? {
            let (_, place, mark) = rows::read_authored(found.key()).ok_or(BAD)?;
            match mark {
                Mark::Posted => {}
                Mark::Deleted(_) => named.push(place.id),
                // With its message, if that is deleted.
                Mark::Edited(by) => named.push(EntryId { seq: by, ..place.id }),
            }
        }
        for row in prefix_range(&*self.tree, &[rows::TAKEN]) {
            let target = rows::read_taken(&row?.0).map(|(target, _)| target);
            named.extend(target.filter(|target| target.feed == *feed));
        }
        Ok(named)
    }

    /// True if the entry with this header was deleted or taken back by its author, and that counts.
    pub fn is_erased(&self, header: &Header, id: EntryId) -> Result<bool, ViewError> {
        if let Some(key) = &header.key {
            return self.state.is_taken(&*self.tree, key, &id);
        }
        let Some((channel, order)) = moment(header) else { return Ok(false) };
        // An edit is gone with what it is of.
        let id = edited(header).filter(|target| target.feed == id.feed).unwrap_or(id);
        let key = rows::message_at(channel, &Place { order, id });
        let (mut found, head) = (self.shelf.with_prefix(&key)?, rows::messages(channel).len());
        while found.advance()? {
            let (place, mark) = rows::read_message(found.key(), head).ok_or(BAD)?;
            if matches!(mark, Mark::Deleted(_)) && self.counting(&place, mark).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
