//! Who posted where, and what.

use crate::index::ChatIndex;
use crate::page::{PageQuery, due_first};
use crate::rows::BAD;
use crate::rows::{self, Mark, Place};
use kappadb_chat::{Channel, MEMBERS, StateKey, code, members_of};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules;
use kappadb_view::ViewError;
use kappadb_view::packed::{Merged, after};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Folded name of its channel.
    pub channel: String,
    /// Where it stands there.
    pub place: Place,
}

/// What one feed wrote to a channel and did not delete, going back.
struct Own<'a> {
    rows: Merged<'a>,
    deleted: Option<Place>,
}

impl Own<'_> {
    fn next(&mut self, index: &ChatIndex) -> Result<Option<Place>, ViewError> {
        while self.rows.advance()? {
            let (_, place, mark) = rows::read_authored(self.rows.key()).ok_or(BAD)?;
            // Going back, deletes and edits come before the message.
            match mark {
                Mark::Edited(_) => {}
                _ if index.counting(&place, mark).is_none() => {}
                Mark::Deleted(_) => self.deleted = Some(place),
                Mark::Posted if self.deleted == Some(place) => {}
                Mark::Posted => return Ok(Some(place)),
            }
        }
        Ok(None)
    }
}

impl ChatIndex {
    /// All names of channels in which somebody posted or deleted something, as they are.
    pub(crate) fn posted_to(&self) -> Result<Vec<Vec<u8>>, ViewError> {
        let (mut names, mut from) = (Vec::new(), rows::POSTERS.to_vec());
        let end = after(&rows::POSTERS);
        loop {
            let mut found = self.shelf.range(&from, end.as_deref(), false)?;
            if !found.advance()? {
                return Ok(names);
            }
            let (name, ..) = rows::read_poster(found.key()).ok_or(BAD)?;
            let next = after(&rows::posters(name)).ok_or(BAD)?;
            names.push(name.to_vec());
            from = next;
        }
    }

    /// Who posted to a channel or deleted something there, whenever: by feed.
    pub fn posters(&self, channel: &str) -> Result<Vec<FeedKey>, ViewError> {
        let prefix = rows::posters(channel.as_bytes());
        let mut found = self.shelf.with_prefix(&prefix)?;
        let mut feeds = Vec::new();
        while found.advance()? {
            feeds.push(rows::read_poster(found.key()).ok_or(BAD)?.1);
        }
        feeds.dedup();
        Ok(feeds)
    }

    /// Who posted to a channel, and when last of what is due, or of all if none is. Deleted messages count, too: they were
    /// posted.
    pub fn posted(&self, channel: &str, now: Timestamp) -> Result<Vec<Place>, ViewError> {
        let mut last = Vec::new();
        for feed in self.posters(channel)? {
            last.extend(due_first(now, |to| self.last_by(&feed, channel, to))?);
        }
        Ok(last)
    }

    /// A piece of evidence for each feed that wrote a private message in a window: what it calls itself, or else one of those messages.
    pub(crate) fn correspondents(&self, from: i64, to: i64) -> Result<Vec<EntryId>, ViewError> {
        let prefix = rows::lane_posters();
        let mut found = self.shelf.with_prefix(&prefix)?;
        let mut last: BTreeMap<FeedKey, Place> = BTreeMap::new();
        while found.advance()? {
            let (channel, feed, _) = rows::read_poster(found.key()).ok_or(BAD)?;
            let Ok(channel) = std::str::from_utf8(channel) else { continue };
            if !last.contains_key(&feed)
                && let Some(place) = self.last_by(&feed, channel, Timestamp(to))?
                && place.order.0 >= from
            {
                last.insert(feed, place);
            }
        }
        let mut ids = Vec::new();
        for (feed, place) in last {
            let named =
                self.state.entries(&*self.tree, &StateKey::Profile { feed, field: "nick" }.encode())?;
            match named.is_empty() {
                true => ids.push(place.id),
                false => ids.extend(named),
            }
        }
        Ok(ids)
    }

    /// Who wrote to lanes, be it their own or not.
    pub fn lane_writers(&self) -> Result<BTreeSet<FeedKey>, ViewError> {
        let prefix = rows::lane_posters();
        let mut found = self.shelf.with_prefix(&prefix)?;
        let mut feeds = BTreeSet::new();
        while found.advance()? {
            feeds.insert(rows::read_poster(found.key()).ok_or(BAD)?.1);
        }
        Ok(feeds)
    }

    /// The channels of the lanes that a feed wrote to.
    pub fn lanes_of(&self, feed: &FeedKey) -> Result<Vec<String>, ViewError> {
        let (mut lanes, mut from) = (Vec::new(), rows::author_in_lanes(feed));
        let end = after(&from);
        loop {
            let mut found = self.shelf.range(&from, end.as_deref(), false)?;
            if !found.advance()? {
                return Ok(lanes);
            }
            let (channel, ..) = rows::read_authored(found.key()).ok_or(BAD)?;
            let next = after(&rows::author_in(feed, channel)).ok_or(BAD)?;
            lanes.extend(std::str::from_utf8(channel).map(str::to_owned));
            from = next;
        }
    }

    /// Who posted to a channel something that was not withdrawn, be it deleted or not.
    pub fn posters_of(&self, channel: &str) -> Result<BTreeSet<FeedKey>, ViewError> {
        let prefix = rows::posters(channel.as_bytes());
        let mut found = self.shelf.with_prefix(&prefix)?;
        let mut feeds = BTreeSet::new();
        while found.advance()? {
            let (_, feed, posted) = rows::read_poster(found.key()).ok_or(BAD)?;
            let counts = || Ok::<_, ViewError>(self.last_by(&feed, channel, Timestamp(i64::MAX))?.is_some());
            if posted && (!self.withdrawn.concerns(&feed) || counts()?) {
                feeds.insert(feed);
            }
        }
        Ok(feeds)
    }

    /// The message of a channel that a feed wrote last, deleted or not.
    pub fn last_written(&self, feed: &FeedKey, channel: &str) -> Result<Option<Place>, ViewError> {
        let mut found = self.by_author_in(feed, channel, Timestamp(i64::MAX))?;
        let mut last: Option<Place> = None;
        while found.advance()? {
            let (_, place, mark) = rows::read_authored(found.key()).ok_or(BAD)?;
            if mark == Mark::Posted && self.counting(&place, mark).is_some() {
                last = Some(last.filter(|last| last.id.seq > place.id.seq).unwrap_or(place));
            }
        }
        Ok(last)
    }

    /// The channels in which a feed posted something, or said that it is there or not, by folded name.
    pub fn channels_by(&self, feed: &FeedKey) -> Result<BTreeSet<String>, ViewError> {
        let posted = self.channels_of(feed)?.into_iter().filter_map(|name| String::from_utf8(name).ok());
        let mut names: BTreeSet<String> = posted.filter(|name| Channel::is_folded(name)).collect();
        for name in self.joined_or_left()? {
            let key = StateKey::Member { channel: &name, feed: *feed }.encode();
            if !self.active(&key)?.is_empty() {
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// The channels that somebody joined or left.
    fn joined_or_left(&self) -> Result<Vec<String>, ViewError> {
        let (mut names, mut after) = (Vec::new(), None);
        while let Some(key) = self.state.next_key(MEMBERS, after.as_deref())? {
            let Some(StateKey::Member { channel, .. }) = StateKey::decode(&key) else { break };
            names.push(channel.to_owned());
            // On to the next channel.
            after = Some([&members_of(channel)[..], &[0xff; 32]].concat());
        }
        Ok(names)
    }

    fn last_by(&self, feed: &FeedKey, channel: &str, to: Timestamp) -> Result<Option<Place>, ViewError> {
        let mut found = self.by_author_in(feed, channel, to)?;
        while found.advance()? {
            let (_, place, mark) = rows::read_authored(found.key()).ok_or(BAD)?;
            if mark == Mark::Posted && self.counting(&place, mark).is_some() {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn by_author_in(&self, feed: &FeedKey, channel: &str, to: Timestamp) -> Result<Merged<'_>, ViewError> {
        let all = rows::author_in(feed, channel.as_bytes());
        let end = match to.0.checked_add(1) {
            Some(end) => Some(rows::author_from(feed, channel.as_bytes(), end)),
            None => after(&all),
        };
        self.shelf.range(&all, end.as_deref(), true)
    }

    /// Folded names of the channels that somebody posted to, whenever, or joined or left, whatever is left of that: see [`ChatIndex::is_live`].
    pub fn channels(&self) -> Result<BTreeSet<String>, ViewError> {
        let mut names = BTreeSet::new();
        for name in self.posted_to()? {
            let Ok(name) = String::from_utf8(name) else { continue };
            if Channel::is_folded(&name) && self.last_posted(&name, Timestamp(i64::MAX))?.is_some() {
                names.insert(name);
            }
        }
        names.extend(self.joined_or_left()?);
        Ok(names)
    }

    /// True if a channel has a message that is not deleted, or somebody joined it and did not leave.
    pub fn is_live(&self, channel: &str) -> Result<bool, ViewError> {
        let any = Timestamp(i64::MAX);
        if self.latest(channel, any)?.is_some() {
            return Ok(true);
        }
        let members = self.winners(&members_of(channel), any)?;
        Ok(members.iter().any(|(_, version)| version.kind.code == code::JOIN))
    }

    /// True if the last message of a channel is not deleted: then there is more to it than its past.
    pub fn ends_live(&self, channel: &str) -> Result<bool, ViewError> {
        let last = self.last_posted(channel, Timestamp(i64::MAX))?;
        last.map_or(Ok(false), |last| self.is_there(channel, &last))
    }

    /// The first key of a membership of a channel: evidence that somebody joined it or left.
    pub fn first_member(&self, channel: &str) -> Result<Option<Vec<u8>>, ViewError> {
        self.first_member_of_others(channel, &BTreeSet::new())
    }

    /// The same of others than some.
    pub(crate) fn first_member_of_others(
        &self,
        channel: &str,
        except: &BTreeSet<FeedKey>,
    ) -> Result<Option<Vec<u8>>, ViewError> {
        let of = members_of(channel);
        let mut after: Option<Vec<u8>> = None;
        loop {
            after = self.state.next_key(&of, after.as_deref())?;
            match after.as_deref().and_then(StateKey::decode) {
                Some(StateKey::Member { feed, .. }) if except.contains(&feed) => {}
                _ => return Ok(after),
            }
        }
    }

    /// What that says by now, taken back or not: how a channel is spelled that nobody posted to.
    pub fn first_joined(&self, channel: &str, now: Timestamp) -> Result<Option<EntryId>, ViewError> {
        let Some(key) = self.first_member(channel)? else { return Ok(None) };
        let active = self.active(&key)?;
        Ok(rules::winner(&rules::heads(&active), now).map(|version| version.id))
    }

    /// What a feed posted up to a time, in all channels, the latest first; what is deleted is left out.
    pub fn by_author(&self, feed: &FeedKey, to: Timestamp, limit: usize) -> Result<Vec<Row>, ViewError> {
        let mut channels = Vec::new();
        for name in self.channels_of(feed)? {
            let Ok(channel) = String::from_utf8(name) else { continue };
            let mut own = self.own(feed, &channel, to)?;
            channels.extend(own.next(self)?.map(|head| (head, channel, own)));
        }
        let mut found = Vec::new();
        while found.len() < limit {
            let latest = channels.iter().enumerate().max_by_key(|(_, (head, ..))| *head);
            let Some(at) = latest.map(|(at, _)| at) else { break };
            let Some((head, channel, own)) = channels.get_mut(at) else { break };
            found.push(Row { channel: channel.clone(), place: *head });
            match own.next(self)? {
                Some(next) => *head = next,
                None => drop(channels.swap_remove(at)),
            }
        }
        Ok(found)
    }

    /// The channels that a feed posted to or deleted something in, as they are.
    fn channels_of(&self, feed: &FeedKey) -> Result<Vec<Vec<u8>>, ViewError> {
        let (mut names, mut from) = (Vec::new(), rows::author(feed));
        let end = after(&from);
        loop {
            let mut found = self.shelf.range(&from, end.as_deref(), false)?;
            if !found.advance()? {
                return Ok(names);
            }
            let (name, ..) = rows::read_authored(found.key()).ok_or(BAD)?;
            let next = after(&rows::author_in(feed, name)).ok_or(BAD)?;
            names.push(name.to_vec());
            from = next;
        }
    }

    fn own(&self, feed: &FeedKey, channel: &str, to: Timestamp) -> Result<Own<'_>, ViewError> {
        Ok(Own { rows: self.by_author_in(feed, channel, to)?, deleted: None })
    }

    /// The messages of a channel that are next after a place, going back, by others than some. However much those few wrote: it is not walked
    /// through, each other author is asked.
    pub fn by_others(&self, query: &PageQuery<'_>) -> Result<Vec<Place>, ViewError> {
        let mut found = Vec::new();
        for feed in self.posters(query.channel)? {
            if query.except.contains(&feed) {
                continue;
            }
            found.extend(self.latest_by(&feed, query)?);
            // Only the latest of all are wanted.
            found.sort_unstable_by_key(|place| Reverse(*place));
            found.truncate(query.limit);
        }
        Ok(found)
    }

    fn latest_by(&self, feed: &FeedKey, query: &PageQuery<'_>) -> Result<Vec<Place>, ViewError> {
        let (mut own, mut found) = (self.own(feed, query.channel, Timestamp(query.to))?, Vec::new());
        while found.len() < query.limit
            && let Some(place) = own.next(self)?.filter(|place| place.order.0 >= query.from)
        {
            found.extend(query.after.is_none_or(|after| place < after).then_some(place));
        }
        Ok(found)
    }

    /// Every entry of a window that is not of those to be left out: messages, and what deletes them.
    pub(crate) fn window_of_others(&self, query: &PageQuery<'_>) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        for feed in self.posters(query.channel)? {
            if query.except.contains(&feed) {
                continue;
            }
            let mut rows = self.by_author_in(&feed, query.channel, Timestamp(query.to))?;
            while rows.advance()? {
                let (_, place, mark) = rows::read_authored(rows.key()).ok_or(BAD)?;
                if place.order.0 < query.from {
                    break;
                }
                ids.extend(self.counting(&place, mark));
            }
        }
        Ok(ids)
    }

    /// The entry that a row is about, unless it was withdrawn.
    pub(crate) fn counting(&self, place: &Place, mark: Mark) -> Option<EntryId> {
        let id = mark.by(place);
        (!self.withdrawn.contains(&id)).then_some(id)
    }
}
