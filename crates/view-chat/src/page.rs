//! Messages of a channel in reading order, from either end.

use crate::index::{ChatIndex, moment};
use crate::rows::BAD;
use crate::rows::{self, Mark, Place};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::Header;
use kappadb_view::ViewError;
use kappadb_view::packed::{Merged, after};
use std::collections::BTreeSet;

/// A part of a channel.
#[derive(Debug, Clone)]
pub struct PageQuery<'a> {
    /// Its folded name.
    pub channel: &'a str,
    /// Order time in milliseconds, included.
    pub from: i64,
    /// Order time in milliseconds, included.
    pub to: i64,
    /// True to begin with the latest.
    pub backwards: bool,
    /// Go on after this place.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: usize,
    /// Leave out what these wrote.
    pub except: &'a BTreeSet<FeedKey>,
}

impl<'a> PageQuery<'a> {
    /// The latest messages up to a time.
    pub fn latest(channel: &'a str, to: Timestamp, limit: usize) -> PageQuery<'a> {
        static NOBODY: BTreeSet<FeedKey> = BTreeSet::new();
        PageQuery { channel, from: i64::MIN, to: to.0, backwards: true, after: None, limit, except: &NOBODY }
    }

    /// The keys of its rows: from, to.
    fn bounds(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let channel = self.channel.as_bytes();
        let mut from = rows::messages_from(channel, self.from);
        let mut to = match self.to.checked_add(1) {
            Some(end) => Some(rows::messages_from(channel, end)),
            None => after(&rows::messages(channel)),
        };
        if let Some(place) = &self.after {
            let at = rows::message_at(channel, place);
            if self.backwards {
                to = to.map(|to| to.min(at));
            } else {
                from = from.max(after(&at).unwrap_or(at));
            }
        }
        (from, to)
    }
}

/// Messages and what was said of them, read along: each once, with whether it is there.
struct Walk<'a> {
    rows: Merged<'a>,
    head: usize,
    /// A row that was read and belongs to the next message.
    waiting: Option<(Place, Mark)>,
}

/// A message that something is known of.
struct Known {
    place: Place,
    posted: bool,
    /// Deletes of it.
    deleted: Vec<EntryId>,
    /// Edits of it.
    edited: Vec<EntryId>,
}

impl Known {
    fn new(place: Place) -> Known {
        Known { place, posted: false, deleted: Vec::new(), edited: Vec::new() }
    }
}

impl ChatIndex {
    fn walk(&self, query: &PageQuery<'_>) -> Result<Walk<'_>, ViewError> {
        let (from, to) = query.bounds();
        let rows = self.shelf.range(&from, to.as_deref(), query.backwards)?;
        Ok(Walk { rows, head: rows::messages(query.channel.as_bytes()).len(), waiting: None })
    }

    /// Messages of a channel that are not deleted, in reading order.
    pub fn page(&self, query: &PageQuery<'_>) -> Result<Vec<Place>, ViewError> {
        Ok(self.page_as_edited(query)?.into_iter().map(|(place, _)| place).collect())
    }

    /// The same with the last edit of each.
    pub fn page_as_edited(&self, query: &PageQuery<'_>) -> Result<Vec<(Place, Option<EntryId>)>, ViewError> {
        let mut found = Vec::new();
        let wanted = |known: &Known| known.deleted.is_empty() && !query.except.contains(&known.place.id.feed);
        self.walk_posted(query, |known| {
            let edit = known.edited.iter().copied().max();
            found.extend(wanted(&known).then_some((known.place, edit)));
            found.len() < query.limit
        })?;
        Ok(found)
    }

    /// Messages of a channel, deleted or not, in reading order: whoever holds some of these counts no others as there.
    pub fn posted_page(&self, query: &PageQuery<'_>) -> Result<Vec<Place>, ViewError> {
        let mut found = Vec::new();
        self.walk_posted(query, |known| {
            found.push(known.place);
            found.len() < query.limit
        })?;
        Ok(found)
    }

    /// Goes through what was posted, until `more` says that it is enough.
    fn walk_posted(
        &self,
        query: &PageQuery<'_>,
        mut more: impl FnMut(Known) -> bool,
    ) -> Result<(), ViewError> {
        if query.limit == 0 || query.from > query.to {
            return Ok(());
        }
        let mut walk = self.walk(query)?;
        while let Some(known) = walk.next(self)? {
            if known.posted && !more(known) {
                break;
            }
        }
        Ok(())
    }

    /// Every entry of a window: messages, and what deletes them, whenever that was.
    pub(crate) fn window(&self, query: &PageQuery<'_>) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        if query.from > query.to {
            return Ok(ids);
        }
        let mut walk = self.walk(query)?;
        while let Some(known) = walk.next(self)? {
            if !query.except.contains(&known.place.id.feed) {
                ids.extend(known.posted.then_some(known.place.id));
                ids.extend(known.deleted);
                ids.extend(known.edited);
            }
        }
        Ok(ids)
    }

    /// The last message of a channel that is due, deleted or not; if none is, the last of all.
    pub fn last_posted(&self, channel: &str, now: Timestamp) -> Result<Option<Place>, ViewError> {
        self.last_posted_by_others(channel, now, &BTreeSet::new())
    }

    /// The same by others than some.
    pub(crate) fn last_posted_by_others(
        &self,
        channel: &str,
        now: Timestamp,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Option<Place>, ViewError> {
        due_first(now, |to| self.last_up_to(channel, to, except))
    }

    fn last_up_to(
        &self,
        channel: &str,
        to: Timestamp,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Option<Place>, ViewError> {
        let mut walk = self.walk(&PageQuery::latest(channel, to, 1))?;
        while let Some(known) = walk.next(self)? {
            if known.posted && !except.contains(&known.place.id.feed) {
                return Ok(Some(known.place));
            }
        }
        Ok(None)
    }

    /// The entries that say something of a message: itself, and what deletes it.
    pub(crate) fn said_of(&self, channel: &str, place: &Place) -> Result<Vec<EntryId>, ViewError> {
        let key = rows::message_at(channel.as_bytes(), place);
        let mut rows = self.shelf.with_prefix(&key)?;
        let (head, mut ids) = (rows::messages(channel.as_bytes()).len(), Vec::new());
        while rows.advance()? {
            let (place, mark) = rows::read_message(rows.key(), head).ok_or(BAD)?;
            ids.extend(self.counting(&place, mark));
        }
        Ok(ids)
    }

    /// True if a message is held there and not deleted.
    pub fn is_there(&self, channel: &str, place: &Place) -> Result<bool, ViewError> {
        let key = rows::message_at(channel.as_bytes(), place);
        let mut rows = self.shelf.with_prefix(&key)?;
        let (head, mut posted) = (rows::messages(channel.as_bytes()).len(), false);
        while rows.advance()? {
            let (place, mark) = rows::read_message(rows.key(), head).ok_or(BAD)?;
            match mark {
                _ if self.counting(&place, mark).is_none() => {}
                Mark::Posted => posted = true,
                Mark::Deleted(_) => return Ok(false),
                Mark::Edited(_) => {}
            }
        }
        Ok(posted)
    }

    /// The edits of a message that count, in the order in which its author made them: the last one says what it says now.
    pub fn edits(&self, channel: &str, place: &Place) -> Result<Vec<EntryId>, ViewError> {
        let key = rows::message_at(channel.as_bytes(), place);
        let mut rows = self.shelf.with_prefix(&key)?;
        let (head, mut edits) = (rows::messages(channel.as_bytes()).len(), Vec::new());
        while rows.advance()? {
            let (place, mark) = rows::read_message(rows.key(), head).ok_or(BAD)?;
            if matches!(mark, Mark::Edited(_)) {
                edits.extend(self.counting(&place, mark));
            }
        }
        Ok(edits)
    }

    /// The channel and place of a message, if it is one that is held and not deleted.
    pub fn message(&self, header: &Header, id: EntryId) -> Result<Option<(String, Place)>, ViewError> {
        let Some((channel, order)) = moment(header) else { return Ok(None) };
        let Ok(channel) = String::from_utf8(channel.to_vec()) else { return Ok(None) };
        let place = Place { order, id };
        Ok(self.is_there(&channel, &place)?.then_some((channel, place)))
    }

    /// The order time of the last message of a channel that is due.
    pub fn latest(&self, channel: &str, now: Timestamp) -> Result<Option<Timestamp>, ViewError> {
        let latest = self.page(&PageQuery::latest(channel, now, 1))?;
        Ok(latest.first().map(|place| place.order))
    }
}

/// What is found up to `now`; if that is nothing, what is found at all. As [`kappadb_entry::rules::standing`]: what is not due
/// loses only against what is.
pub(crate) fn due_first<T>(
    now: Timestamp,
    find: impl Fn(Timestamp) -> Result<Option<T>, ViewError>,
) -> Result<Option<T>, ViewError> {
    match find(now)? {
        None if now.0 < i64::MAX => find(Timestamp(i64::MAX)),
        found => Ok(found),
    }
}

impl Walk<'_> {
    fn row(&mut self, index: &ChatIndex) -> Result<Option<(Place, Mark)>, ViewError> {
        if let Some(waiting) = self.waiting.take() {
            return Ok(Some(waiting));
        }
        while self.rows.advance()? {
            let (place, mark) = rows::read_message(self.rows.key(), self.head).ok_or(BAD)?;
            if index.counting(&place, mark).is_some() {
                return Ok(Some((place, mark)));
            }
        }
        Ok(None)
    }

    fn next(&mut self, index: &ChatIndex) -> Result<Option<Known>, ViewError> {
        let mut known: Option<Known> = None;
        while let Some((place, mark)) = self.row(index)? {
            let so_far = known.get_or_insert_with(|| Known::new(place));
            if so_far.place != place {
                self.waiting = Some((place, mark));
                break;
            }
            match mark {
                Mark::Posted => so_far.posted = true,
                Mark::Deleted(_) => so_far.deleted.push(mark.by(&place)),
                Mark::Edited(_) => so_far.edited.push(mark.by(&place)),
            }
        }
        Ok(known)
    }
}
