//! What was deleted or taken back: nobody is to read it any more, so whoever holds it gives its payload up.

use crate::index::{ChatIndex, moment};
use crate::rows::{self, BAD, Mark, Place};
use kappadb_chat::edited;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::Header;
use kappadb_store::prefix_range;
use kappadb_view::ViewError;
use kappadb_view::packed::after;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What deletes named that came lately; none if it is not known which.
#[derive(Default)]
pub(crate) struct Fresh(Mutex<Option<Vec<EntryId>>>);

impl Fresh {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<EntryId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, targets: impl IntoIterator<Item = EntryId>) {
        if let Some(fresh) = self.lock().as_mut() {
            fresh.extend(targets);
        }
    }

    fn take(&self) -> Option<Vec<EntryId>> {
        self.lock().replace(Vec::new())
    }
}

impl ChatIndex {
    /// The entries that deletes name which came since this was called last; the first time, those of all deletes. Whether they count is said by
    /// [`ChatIndex::is_erased`].
    pub fn named_by_deletes(&self) -> Result<Vec<EntryId>, ViewError> {
        match self.fresh.take() {
            Some(fresh) => Ok(fresh),
            None => self.named_by_deletes_of(None),
        }
    }

    /// Gives these at the next call of [`ChatIndex::named_by_deletes`] again: nothing of them is held yet.
    pub fn wait_for(&self, named: Vec<EntryId>) {
        self.fresh.add(named);
    }

    /// The entries that deletes name, of one feed or of all.
    pub fn named_by_deletes_of(&self, feed: Option<&FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        let prefix = feed.map_or_else(|| rows::AUTHORS.to_vec(), rows::author);
        let mut named = Vec::new();
        let mut found = self.shelf.range(&prefix, after(&prefix).as_deref(), false)?;
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
            named.extend(target.filter(|target| feed.is_none_or(|feed| target.feed == *feed)));
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
        let (mut found, head) =
            (self.shelf.range(&key, after(&key).as_deref(), false)?, rows::messages(channel).len());
        while found.advance()? {
            let (place, mark) = rows::read_message(found.key(), head).ok_or(BAD)?;
            if matches!(mark, Mark::Deleted(_)) && self.counting(&place, mark).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
