//! Messages of a channel in the order in which they came here, which is nobody's clock.

use crate::index::ChatIndex;
use crate::rows::{self, BAD, Mark, Place};
use kappadb_core::{EntryId, FeedKey, Lseq, Timestamp};
use kappadb_view::ViewError;
use kappadb_view::packed::after;
use std::collections::{BTreeSet, HashSet};

/// A message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// Its number among all that ever came.
    pub lseq: Lseq,
    /// Where it stands in its channel.
    pub place: Place,
    /// False if it mentions nobody, as it was or as it was edited.
    pub calls: bool,
}

impl ChatIndex {
    /// Tells of the messages that came to a channel from an arrival on, in the order in which they came, and are not deleted.
    pub fn came(&self, channel: &str, from: Lseq, mut each: impl FnMut(Came)) -> Result<(), ViewError> {
        let from = rows::messages_that_came(channel.as_bytes(), from);
        let all = rows::messages_that_came(channel.as_bytes(), Lseq::MAX);
        let mut found = self.shelf.range(&from, after(&all).as_deref(), false)?;
        // Mostly nothing came, and then nobody asks what became of it.
        if !found.advance()? {
            return Ok(());
        }
        let deleted = self.changed(&rows::deletes_that_came(channel.as_bytes()), |_| true)?;
        let calling = self.changed(&rows::edits_that_came(channel.as_bytes()), |calls| calls)?;
        loop {
            let (lseq, place, calls) = rows::read_message_came(found.key()).ok_or(BAD)?;
            if self.counting(&place, Mark::Posted).is_some() && !deleted.contains(&place) {
                each(Came { lseq, place, calls: calls || calling.contains(&place) });
            }
            if !found.advance()? {
                return Ok(());
            }
        }
    }

    /// The last message that came to a channel before an arrival, deleted or not; withdrawn or not, too.
    pub fn came_before(&self, channel: &str, before: Lseq) -> Result<Option<(Lseq, EntryId)>, ViewError> {
        let all = rows::messages_that_came(channel.as_bytes(), 0);
        let end = rows::messages_that_came(channel.as_bytes(), before);
        let mut found = self.shelf.range(&all, Some(&end), true)?;
        if !found.advance()? {
            return Ok(None);
        }
        let (lseq, place, _) = rows::read_message_came(found.key()).ok_or(BAD)?;
        Ok(Some((lseq, place.id)))
    }

    /// The places of messages that some entries of a channel deleted or edited, of those that call somebody, or not, as is wanted.
    fn changed(&self, by: &[u8], wanted: impl Fn(bool) -> bool) -> Result<HashSet<Place>, ViewError> {
        let mut found = self.shelf.with_prefix(by)?;
        let mut changed = HashSet::new();
        while found.advance()? {
            let (place, by, calls) = rows::read_change_came(found.key()).ok_or(BAD)?;
            changed.extend((wanted(calls) && !self.withdrawn.contains(&by)).then_some(place));
        }
        Ok(changed)
    }

    /// The messages before an order time that came last to a channel, and the last deletes and edits of such, by others than some.
    pub(crate) fn came_late(
        &self,
        channel: &str,
        before: Timestamp,
        limit: usize,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let channel = channel.as_bytes();
        let (all, last) =
            (rows::messages_that_came(channel, 0), rows::messages_that_came(channel, Lseq::MAX));
        let message = |key: &[u8]| rows::read_message_came(key).map(|(_, place, _)| (place, place.id));
        let mut ids = self.last_of(&all, &last, message, before, limit, except)?;
        let change = |key: &[u8]| rows::read_change_came(key).map(|(place, by, _)| (place, by));
        for changes in [rows::deletes_that_came(channel), rows::edits_that_came(channel)] {
            ids.extend(self.last_of(&changes, &changes, change, before, limit, except)?);
        }
        Ok(ids)
    }

    /// The last rows from one on to those that begin like another, by the entries that they are about.
    fn last_of(
        &self,
        from: &[u8],
        last: &[u8],
        read: impl Fn(&[u8]) -> Option<(Place, EntryId)>,
        before: Timestamp,
        limit: usize,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut found = self.shelf.range(from, after(last).as_deref(), true)?;
        let mut ids = Vec::new();
        while ids.len() < limit && found.advance()? {
            let (place, id) = read(found.key()).ok_or(BAD)?;
            let wanted = place.order < before && !self.withdrawn.contains(&id) && !except.contains(&id.feed);
            ids.extend(wanted.then_some(id));
        }
        Ok(ids)
    }
}
