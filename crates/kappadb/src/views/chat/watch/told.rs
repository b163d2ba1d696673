//! What a watcher has told of a channel, or of private messages, and what there is to tell.

use super::super::correspondence::{self, Known};
use super::super::lanes::Span;
use super::super::read::Shower;
use super::super::{ChatError, Message, ReadOptions};
use super::{ChatChange, WINDOW, What};
use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, Lane};
use kappadb_core::{EntryId, Timestamp};
use kappadb_view_chat::{PageQuery, Place};
use std::collections::{BTreeMap, BTreeSet};

/// Messages whose time has not come that are waited for, the first of them.
const WAITING: usize = 1_000;

/// What is watched as one.
pub enum Source {
    Channel(Channel),
    /// All private messages to and from the handle's writer.
    Private,
}

impl Source {
    /// A folded name, or what the names of all lanes begin with.
    pub fn key(&self) -> &str {
        match self {
            Source::Channel(channel) => &channel.folded,
            Source::Private => Lane::MARK,
        }
    }

    /// The latest messages, the latest first.
    fn latest(&self, parts: &ChatParts, limit: usize) -> Result<Vec<Message>, ChatError> {
        let options = ReadOptions::latest(limit);
        let page = match self {
            Source::Channel(channel) => parts.chat_read(channel, &options),
            Source::Private => parts.private(None, &options),
        };
        Ok(page?.messages)
    }

    /// The first messages whose time has not come.
    fn later(&self, parts: &ChatParts) -> Result<Vec<Place>, ReadError> {
        let from = parts.clock.now().0.saturating_add(1);
        match self {
            Source::Channel(channel) => {
                let latest = PageQuery::latest(&channel.folded, Timestamp(i64::MAX), WAITING);
                let later = PageQuery { from, backwards: false, ..latest };
                parts.chat.read(|index| index.page(&later))?.map_err(ReadError::from)
            }
            Source::Private => private_places(parts, from, WAITING),
        }
    }

    /// Where a message is that came, if it belongs here.
    fn place(&self, parts: &ChatParts, id: EntryId) -> Result<Option<Place>, ReadError> {
        let Some(entry) = parts.entry(id)? else { return Ok(None) };
        let found = parts.chat.read(|index| index.message(&entry.header, id))??;
        Ok(found
            .filter(|(channel, _)| channel.starts_with(self.key()) && self.is_whole(channel))
            .map(|(_, place)| place))
    }

    fn is_whole(&self, channel: &str) -> bool {
        matches!(self, Source::Private) || channel == self.key()
    }

    /// A message as it is shown; none if it is gone, or between others.
    fn message(
        &self,
        shower: &mut Shower<'_>,
        parts: &ChatParts,
        place: Place,
    ) -> Result<Option<Message>, ReadError> {
        match self {
            Source::Channel(channel) => {
                let there = parts.chat.read(|index| index.is_there(&channel.folded, &place))??;
                there.then(|| shower.message(&channel.folded, place)).transpose()
            }
            Source::Private => private_message(parts, shower, place),
        }
    }
}

/// A source, and what was told of it.
pub struct Told {
    source: Source,
    /// The latest messages told of; none for one that is not shown at present.
    told: BTreeMap<Place, Option<Message>>,
    /// Messages whose time has not come.
    due: BTreeSet<Place>,
    /// There were too many of them, and it was said.
    overflown: bool,
}

impl Told {
    pub fn new(source: Source) -> Told {
        Told { source, told: BTreeMap::new(), due: BTreeSet::new(), overflown: false }
    }

    /// The channel as it is spelled; empty for private messages.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Channel(channel) => channel.shown.clone(),
            Source::Private => String::new(),
        }
    }

    /// When the next message becomes due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|place| place.order)
    }

    pub fn look(&mut self, parts: &ChatParts, what: What) -> Result<Vec<ChatChange>, ChatError> {
        match what {
            What::Latest(limit) => self.begin(parts, limit),
            What::Came(ids) => Ok(self.come(parts, ids)?),
            What::Went(ids) => Ok(ids.into_iter().filter_map(|id| self.lose(id)).collect()),
            What::Again => Ok(self.look_again(parts)?),
        }
    }

    fn begin(&mut self, parts: &ChatParts, limit: usize) -> Result<Vec<ChatChange>, ChatError> {
        let mut changes = Vec::new();
        if limit > 0 {
            parts.chat.ready()?;
            for message in self.source.latest(parts, limit)?.into_iter().rev() {
                let place = Place { order: message.time, id: message.id };
                changes.extend(self.see(place, Some(message)));
            }
        }
        self.due.extend(self.source.later(parts)?);
        Ok(changes)
    }

    fn come(&mut self, parts: &ChatParts, ids: Vec<EntryId>) -> Result<Vec<ChatChange>, ReadError> {
        let (mut shower, mut changes) = (Shower::new(parts)?, Vec::new());
        let mut places = Vec::new();
        for id in ids {
            places.extend(self.source.place(parts, id)?);
        }
        // What comes at once is told in reading order.
        places.sort_unstable();
        for place in places {
            if place.order > parts.clock.now() {
                changes.extend(self.wait_for(place));
            } else if let Some(message) = self.source.message(&mut shower, parts, place)? {
                changes.extend(self.see(place, Some(message)));
            }
        }
        Ok(changes)
    }

    fn look_again(&mut self, parts: &ChatParts) -> Result<Vec<ChatChange>, ReadError> {
        let (mut shower, mut changes) = (Shower::new(parts)?, Vec::new());
        for place in self.told.keys().copied().collect::<Vec<_>>() {
            let message = self.source.message(&mut shower, parts, place)?;
            changes.extend(self.see(place, message));
        }
        Ok(changes)
    }

    /// A message as it is now; none if it is not there any more.
    fn see(&mut self, place: Place, message: Option<Message>) -> Option<ChatChange> {
        let message = message.filter(|message| message.hidden.is_none());
        let before = self.told.insert(place, message.clone()).flatten();
        if self.told.len() > WINDOW {
            self.told.pop_first();
        }
        match message {
            Some(message) if before.as_ref() != Some(&message) => Some(ChatChange::Shown(Box::new(message))),
            None if before.is_some() => Some(self.gone(place.id)),
            _ => None,
        }
    }

    /// A message was deleted: it may also be one that was there before anything was told.
    fn lose(&mut self, id: EntryId) -> Option<ChatChange> {
        self.due.retain(|place| place.id != id);
        match self.told.iter_mut().find(|(place, _)| place.id == id) {
            Some((_, message)) => message.take().map(|_| self.gone(id)),
            // Whether a private message that was never told of was one to or from this writer cannot be told any more.
            None => matches!(self.source, Source::Channel(_)).then(|| self.gone(id)),
        }
    }

    fn gone(&self, id: EntryId) -> ChatChange {
        ChatChange::Gone { id, channel: self.name() }
    }

    /// Remembers a message whose time has not come. Beyond a bound the last one is given up, which is told.
    fn wait_for(&mut self, place: Place) -> Option<ChatChange> {
        self.due.insert(place);
        if self.due.len() <= WAITING {
            return None;
        }
        self.due.pop_last();
        let told = std::mem::replace(&mut self.overflown, true);
        (!told).then(|| ChatChange::Lagged { channel: self.name() })
    }

    /// Those whose time has come.
    pub fn due_until(&mut self, now: Timestamp) -> Vec<EntryId> {
        let mut came = Vec::new();
        while self.due.first().is_some_and(|place| place.order <= now) {
            came.extend(self.due.pop_first().map(|place| place.id));
            self.overflown = false;
        }
        came
    }
}

/// The first places from a time on in all lanes that this writer shares.
fn private_places(parts: &ChatParts, from: i64, limit: usize) -> Result<Vec<Place>, ReadError> {
    let span = Span { from, to: i64::MAX, backwards: false, after: None };
    let shared = correspondence::correspondences(parts, None, Known::Here)?;
    let mut lanes = parts.lanes(&shared, span);
    let mut places = Vec::new();
    while places.len() < limit
        && let Some((_, place)) = lanes.next()?
    {
        places.push(place);
    }
    Ok(places)
}

/// A private message to or from this writer, as it is shown.
fn private_message(
    parts: &ChatParts,
    shower: &mut Shower<'_>,
    place: Place,
) -> Result<Option<Message>, ReadError> {
    let Some(entry) = parts.entry(place.id)? else { return Ok(None) };
    let Some((channel, _)) = parts.chat.read(|index| index.message(&entry.header, place.id))?? else {
        return Ok(None);
    };
    let author = place.id.feed;
    let me = parts.me();
    // Of its own words the author knows whom they are for; of others' only those that lie in a lane to this writer.
    let lane = match me.contains(&author) {
        true => {
            parts.own_private(place.id, &entry).and_then(|(to, _)| Some((to, parts.pair(&author, &to).ok()?)))
        }
        false => me.into_iter().find_map(|own| {
            let pair = parts.pair(&own, &author).ok()?;
            (pair.inbox().channel() == channel).then_some((own, pair))
        }),
    };
    let Some((to, pair)) = lane else { return Ok(None) };
    let spoken = parts.opened(&pair, &channel, to, place)?;
    let hidden = shower.hidden("", &author);
    Ok(Some(shower.spoken("", place, spoken, hidden)?))
}
