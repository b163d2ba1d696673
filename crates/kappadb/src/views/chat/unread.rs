//! What came and was not read yet. What counts is when something came here, not when its author says that it was written.

use super::correspondence::{self, Known};
use super::read::Shower;
use super::{ChatError, Message, Said};
use crate::error::ReadError;
use crate::folder::markers::Marker;
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, StateKey, TOPICS, mentions};
use kappadb_core::{EntryId, FeedKey, RangeSet, Timestamp};
use kappadb_view_chat::{Came, Lately, Place};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Messages that are asked for of a channel that was marked as read, and of one that never was.
const SINCE: u32 = 1_000;
const FIRST: u32 = 100;

/// Where messages are: in a channel, or between this writer and another feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversation {
    /// A channel, as it is spelled.
    Channel(String),
    /// Private messages of a feed to this writer.
    Private {
        /// The feed.
        with: FeedKey,
        /// What it calls itself.
        nick: Option<String>,
    },
}

/// `channel`, which is null if it is private; then `with` and `nick` say with whom.
impl Serialize for Conversation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Conversation::Channel(channel) => map.serialize_entry("channel", channel)?,
            Conversation::Private { with, nick } => {
                map.serialize_entry("channel", &())?;
                map.serialize_entry("with", with)?;
                map.serialize_entry("nick", nick)?;
            }
        }
        map.end()
    }
}

/// What came and was not marked as read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Where.
    #[serde(flatten)]
    pub of: Conversation,
    /// Messages that are shown here, by others.
    pub messages: u64,
    /// Those of them that mention this writer's nickname.
    pub mentions: u64,
    /// There may be more: this replica does not hold all of the channel, and so many are as many as are asked for.
    pub more: bool,
}

/// Messages that somebody has seen, for [`Chat::mark_shown`](crate::Chat::mark_shown).
#[derive(Debug, Clone, Default)]
pub struct Marks(BTreeMap<Spot, HashSet<EntryId>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Spot {
    /// By folded name.
    Channel(String),
    Private {
        by: FeedKey,
        to: FeedKey,
    },
}

impl Marks {
    /// Notes a message.
    pub fn add(&mut self, message: &Message) {
        let spot = match &message.said {
            Said::Private { to, .. } => Spot::Private { by: message.author, to: *to },
            _ => match Channel::new(&message.channel) {
                Ok(channel) => Spot::Channel(channel.folded),
                // Of no channel that can be read.
                Err(_) => return,
            },
        };
        self.0.entry(spot).or_default().insert(message.id);
    }
}

/// What has come to a channel, as its marker has it.
enum Since {
    /// It was never marked.
    Ever,
    Marked(Marker),
    /// Numbers of arrivals have another meaning than when it was marked: what is dated later counts.
    Dated(Timestamp),
}

/// Marks these messages as read, and no others. Durable when it returns.
pub(super) fn mark_shown(parts: &ChatParts, marks: Marks) -> Result<(), ChatError> {
    parts.chat.ready()?;
    let mut shown = HashMap::new();
    for (spot, ids) in marks.0 {
        shown.extend(chat_spot(parts, spot).map(|channel| (channel, ids)));
    }
    let read = |channel: &str, place: &Place| shown.get(channel).is_some_and(|ids| ids.contains(&place.id));
    chat_mark(parts, shown.keys().cloned(), read)
}

/// The name that a channel or lane has in the index.
fn chat_spot(parts: &ChatParts, spot: Spot) -> Option<String> {
    match spot {
        Spot::Channel(folded) => Some(folded),
        Spot::Private { by, to } => Some(parts.pair(&to, &by).ok()?.inbox().channel()),
    }
}

/// The place of a message of a channel.
pub(super) fn chat_place(parts: &ChatParts, folded: &str, id: EntryId) -> Result<Place, ChatError> {
    let entry = parts.entry(id)?.ok_or(ChatError::NotThere(id))?;
    let row = parts.chat.read(|index| index.message(&entry.header, id))??;
    let row = row.filter(|(channel, _)| channel == folded);
    row.map(|(_, place)| place).ok_or(ChatError::NotThere(id))
}

pub(super) fn chat_mark(
    parts: &ChatParts,
    channels: impl IntoIterator<Item = String>,
    read: impl Fn(&str, &Place) -> bool,
) -> Result<(), ChatError> {
    let (me, partial) = (parts.me(), partial_feeds(parts));
    parts.state.markers.set(channels, |channel, marker| {
        let seen = parts.feeds.end();
        parts.chat.ready()?;
        let since = since(parts, channel, marker)?;
        let mut left = Left::default();
        for (came, unread) in news(parts, channel, &since, &me, &partial)? {
            if came.lseq < seen {
                left.note(came.lseq, unread && !read(channel, &came.place));
            }
        }
        let last = parts.chat.read(|index| index.came_before(channel, seen))??;
        Ok(Marker { seen, time: parts.clock.now(), last, left: left.0 })
    })
}

/// Feeds of which not all is held: what comes of them may be older than what came before.
fn partial_feeds(parts: &ChatParts) -> BTreeSet<FeedKey> {
    let partial = parts.feeds.list().into_iter().filter(|info| info.held < info.length);
    partial.map(|info| info.feed).collect()
}

fn since(parts: &ChatParts, channel: &str, marker: Option<&Marker>) -> Result<Since, ReadError> {
    let Some(marker) = marker else { return Ok(Since::Ever) };
    let same = match marker.last {
        _ if marker.seen > parts.feeds.end() => false,
        None => true,
        Some((lseq, _)) => {
            parts.chat.read(|index| index.came_before(channel, lseq.saturating_add(1)))?? == marker.last
        }
    };
    Ok(if same { Since::Marked(marker.clone()) } else { Since::Dated(marker.time) })
}

/// The messages by others that came to a channel, with whether they are unread, from the first one on that is or later; in the order in which
/// they came.
fn news(
    parts: &ChatParts,
    channel: &str,
    since: &Since,
    me: &BTreeSet<FeedKey>,
    partial: &BTreeSet<FeedKey>,
) -> Result<Vec<(Came, bool)>, ReadError> {
    let from = match since {
        Since::Marked(marker) => marker.left.iter().next().unwrap_or(marker.seen),
        Since::Ever | Since::Dated(_) => 0,
    };
    let mut news = Vec::new();
    let other = |came: &Came| !me.contains(&came.place.id.feed);
    parts.chat.read(|index| {
        index.came(channel, from, |came| news.extend(other(&came).then_some((came, true))))
    })??;
    match since {
        Since::Ever => {}
        Since::Dated(time) => news.iter_mut().for_each(|(came, unread)| *unread = came.place.order > *time),
        Since::Marked(marker) => pass_over(parts, channel, marker, partial, &mut news)?,
    }
    Ok(news)
}

/// Takes out what is read, and what a replica that does not hold all fetched of the time before: an author's message is older than one that
/// was here when the channel was marked if its author wrote it before that.
fn pass_over(
    parts: &ChatParts,
    channel: &str,
    marker: &Marker,
    partial: &BTreeSet<FeedKey>,
    news: &mut [(Came, bool)],
) -> Result<(), ReadError> {
    let doubtful = |came: &Came| {
        came.lseq >= marker.seen && came.place.order < marker.time && partial.contains(&came.place.id.feed)
    };
    let mut written: HashMap<FeedKey, u64> = HashMap::new();
    if news.iter().any(|(came, _)| doubtful(came)) {
        let mut note = |came: Came| {
            let last = written.entry(came.place.id.feed).or_default();
            *last = came.place.id.seq.max(*last);
        };
        let before = |came: Came| {
            if came.lseq < marker.seen {
                note(came)
            }
        };
        parts.chat.read(|index| index.came(channel, 0, before))??;
    }
    for (came, unread) in news {
        let EntryId { feed, seq } = came.place.id;
        *unread = match came.lseq < marker.seen {
            true => marker.left.contains(came.lseq),
            false => !doubtful(came) || written.get(&feed).is_none_or(|last| seq > *last),
        };
    }
    Ok(())
}

pub(super) fn chat_unread(parts: &ChatParts) -> Result<Vec<Unread>, ChatError> {
    let me = parts.me();
    let nicks = me.iter().filter_map(|feed| parts.chat_nick(feed).transpose());
    let nicks = nicks.collect::<Result<Vec<_>, _>>()?;
    let counting = Counting { parts, now: parts.clock.now(), partial: partial_feeds(parts), me, nicks };
    let mut shower = Shower::new(parts)?;
    let mut all = counting.channels(&mut shower)?;
    all.extend(counting.private(&mut shower)?);
    Ok(all)
}

/// What is to be asked of peers, beside what came late, so that [`chat_unread`] knows of what came to them.
pub(super) fn chat_lately(parts: &ChatParts) -> Result<Vec<Lately>, ChatError> {
    let mut all = Vec::new();
    for channel in chat_joined(parts, &parts.me())? {
        let since = parts.state.markers.get(&channel).map(|marker| marker.time.0);
        let limit = since.map_or(FIRST, |_| SINCE);
        all.push(Lately { channel, from: since.unwrap_or(i64::MIN), limit, late: 0 });
    }
    Ok(all)
}

/// The channels that any of these feeds is in, by folded name.
pub(super) fn chat_joined(
    parts: &ChatParts,
    feeds: &BTreeSet<FeedKey>,
) -> Result<BTreeSet<String>, ReadError> {
    let mut joined = BTreeSet::new();
    for feed in feeds {
        let mut candidates = parts.chat.read(|index| index.channels_by(feed))??;
        for (key, _) in parts.chat.read(|index| index.winners(TOPICS, parts.clock.now()))?? {
            if let Some(StateKey::Topic(channel)) = StateKey::decode(&key) {
                candidates.insert(channel.to_owned());
            }
        }
        for channel in candidates {
            if parts.chat_is_member(&channel, feed)? {
                joined.insert(channel);
            }
        }
    }
    Ok(joined)
}

/// Arrivals that are left unread, in as few ranges as may be: only a message that is read ends one.
#[derive(Default)]
struct Left(RangeSet, Option<u64>);

impl Left {
    fn note(&mut self, lseq: u64, unread: bool) {
        let from = self.1.take().filter(|_| unread).unwrap_or(lseq);
        if unread {
            self.0.insert(from..lseq.saturating_add(1));
            self.1 = Some(lseq);
        }
    }
}

/// What counting goes by.
struct Counting<'a> {
    parts: &'a ChatParts,
    now: Timestamp,
    me: BTreeSet<FeedKey>,
    nicks: Vec<String>,
    partial: BTreeSet<FeedKey>,
}

impl Counting<'_> {
    fn channels(&self, shower: &mut Shower<'_>) -> Result<Vec<Unread>, ChatError> {
        let mut all = Vec::new();
        for channel in chat_joined(self.parts, &self.me)? {
            let (messages, mentions, marked) = self.count(&channel, &channel, None, shower)?;
            if messages > 0 {
                let asked = if marked { SINCE } else { FIRST };
                let more = messages >= u64::from(asked) && self.is_partial(&channel)?;
                let of = Conversation::Channel(self.parts.chat_spelling(&channel)?);
                all.push(Unread { of, messages, mentions, more });
            }
        }
        Ok(all)
    }

    fn private(&self, shower: &mut Shower<'_>) -> Result<Vec<Unread>, ChatError> {
        let mut by_feed: BTreeMap<FeedKey, u64> = BTreeMap::new();
        for correspondence in correspondence::correspondences(self.parts, None, Known::Here)? {
            if !self.me.contains(&correspondence.other) {
                let (lane, by) = (correspondence.pair.inbox().channel(), correspondence.other);
                let (messages, ..) = self.count(&lane, "", Some(by), shower)?;
                *by_feed.entry(by).or_default() += messages;
            }
        }
        let mut all = Vec::new();
        for (with, messages) in by_feed.into_iter().filter(|(_, messages)| *messages > 0) {
            let of = Conversation::Private { with, nick: self.parts.chat_nick(&with)? };
            all.push(Unread { of, messages, mentions: 0, more: false });
        }
        Ok(all)
    }

    /// Messages and mentions in a channel or lane, by all or by one feed, and whether it was ever marked. `moderated` is the channel's name by
    /// which moderation goes.
    fn count(
        &self,
        channel: &str,
        moderated: &str,
        by: Option<FeedKey>,
        shower: &mut Shower<'_>,
    ) -> Result<(u64, u64, bool), ChatError> {
        let marker = self.parts.state.markers.get(channel);
        let since = since(self.parts, channel, marker.as_ref())?;
        let mut hidden: HashMap<FeedKey, bool> = HashMap::new();
        let (mut messages, mut mentioned) = (0, 0);
        for (came, unread) in news(self.parts, channel, &since, &self.me, &self.partial)? {
            let author = came.place.id.feed;
            let counts = unread && came.place.order <= self.now && by.is_none_or(|by| by == author);
            if counts && !*hidden.entry(author).or_insert_with(|| shower.hidden(moderated, &author).is_some())
            {
                messages += 1;
                mentioned += u64::from(came.calls && self.is_mentioned(channel, &came.place)?);
            }
        }
        Ok((messages, mentioned, marker.is_some()))
    }

    fn is_mentioned(&self, channel: &str, place: &Place) -> Result<bool, ReadError> {
        let said = self.parts.chat_spoken(channel, place)?.said;
        let text = said.text().unwrap_or_default();
        Ok(self.nicks.iter().any(|nick| mentions(text, nick)))
    }

    /// True if this replica does not hold all that those who posted in a channel wrote.
    fn is_partial(&self, channel: &str) -> Result<bool, ReadError> {
        let posters = self.parts.chat.read(|index| index.posters(channel))??;
        Ok(posters.iter().any(|feed| self.partial.contains(feed)))
    }
}
