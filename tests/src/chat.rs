//! A plain model of chat: what was written, who holds what of it, and what that comes to. No index, no order of arrival, nothing that is kept.

use kappadb::{EntryId, FeedKey};
use std::collections::{BTreeMap, BTreeSet};

/// Where private messages are, beside the channels 0, 1 and 2.
pub const PRIVATE: usize = 3;

/// What somebody wrote.
#[derive(Debug, Clone)]
pub enum What {
    /// A message, in private if it is to somebody.
    Post {
        /// Its order time.
        order: i64,
        /// Its words.
        text: String,
        /// The reader of a private one.
        to: Option<FeedKey>,
    },
    /// That a message is gone.
    Delete {
        /// Which.
        target: EntryId,
    },
    /// That a message says something else now.
    Edit {
        /// Which.
        target: EntryId,
        /// What.
        text: String,
    },
    /// That its author is there.
    Join,
    /// That it is not.
    Leave,
}

/// Something that somebody wrote.
#[derive(Debug, Clone)]
pub struct Event {
    /// The entry.
    pub id: EntryId,
    /// Where.
    pub channel: usize,
    /// What.
    pub what: What,
}

/// What is known of a replica.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its writer.
    pub me: FeedKey,
    /// Which of all events it holds.
    pub held: BTreeSet<usize>,
    /// Messages marked as read.
    pub read: BTreeSet<EntryId>,
    /// Whom it hides, where.
    pub hides: BTreeSet<(FeedKey, usize)>,
}

impl Seen {
    /// A replica that holds nothing yet.
    pub fn new(me: FeedKey) -> Seen {
        Seen { me, held: BTreeSet::new(), read: BTreeSet::new(), hides: BTreeSet::new() }
    }
}

/// A message as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// Its order time.
    pub order: i64,
    /// The entry.
    pub id: EntryId,
    /// What it says now.
    pub text: String,
    /// The reader of a private one.
    pub to: Option<FeedKey>,
}

/// All that was written.
#[derive(Debug, Default)]
pub struct Model(pub Vec<Event>);

impl Model {
    fn events(&self, known: &BTreeSet<usize>, channel: usize) -> Vec<&Event> {
        known.iter().filter_map(|n| self.0.get(*n)).filter(|event| event.channel == channel).collect()
    }

    /// All messages of a channel that are not deleted, whatever the time, as they say now.
    pub fn messages(&self, known: &BTreeSet<usize>, channel: usize) -> Vec<Shown> {
        let events = self.events(known, channel);
        let mut messages = Vec::new();
        for event in &events {
            let What::Post { order, text, to } = &event.what else { continue };
            let id = event.id;
            if events.iter().any(|other| matches!(&other.what, What::Delete { target } if *target == id)) {
                continue;
            }
            let edits = events.iter().filter_map(|other| match &other.what {
                What::Edit { target, text } if *target == id => Some((other.id.seq, text)),
                _ => None,
            });
            let text = edits.max().map_or(text, |(_, text)| text).clone();
            messages.push(Shown { order: *order, id, text, to: *to });
        }
        messages.sort();
        messages
    }

    /// What a replica that knows of this shows of a channel, or of what is private to its writer or by it, the latest first.
    pub fn page(&self, seen: &Seen, known: &BTreeSet<usize>, channel: usize, now: i64) -> Vec<Shown> {
        let mine = |m: &Shown| m.to.is_none_or(|to| [to, m.id.feed].contains(&seen.me));
        let mut shown = self.messages(known, channel);
        shown.retain(|m| m.order <= now && mine(m) && !seen.hides.contains(&(m.id.feed, channel)));
        shown.reverse();
        shown
    }

    /// Those that others wrote and that were not marked.
    pub fn unread(&self, seen: &Seen, known: &BTreeSet<usize>, channel: usize, now: i64) -> Vec<Shown> {
        let mut messages = self.page(seen, known, channel, now);
        messages.retain(|message| message.id.feed != seen.me && !seen.read.contains(&message.id));
        messages
    }

    /// Who is in a channel.
    pub fn members(&self, known: &BTreeSet<usize>, channel: usize) -> BTreeSet<FeedKey> {
        // What each said last of being there, in the order of its feed.
        let mut last: BTreeMap<FeedKey, (u64, bool)> = BTreeMap::new();
        for event in self.events(known, channel) {
            let there = match event.what {
                What::Post { .. } | What::Join => true,
                What::Leave => false,
                What::Delete { .. } | What::Edit { .. } => continue,
            };
            let said = last.entry(event.id.feed).or_insert((event.id.seq, there));
            *said = (*said).max((event.id.seq, there));
        }
        last.into_iter().filter(|(_, (_, there))| *there).map(|(feed, _)| feed).collect()
    }

    /// A channel is there while it has a message, or somebody who joined.
    pub fn is_live(&self, known: &BTreeSet<usize>, channel: usize) -> bool {
        let mut joined: BTreeMap<FeedKey, (u64, bool)> = BTreeMap::new();
        for event in self.events(known, channel) {
            if let What::Join | What::Leave = event.what {
                let said = (event.id.seq, matches!(event.what, What::Join));
                let last = joined.entry(event.id.feed).or_insert(said);
                *last = said.max(*last);
            }
        }
        !self.messages(known, channel).is_empty() || joined.values().any(|(_, joined)| *joined)
    }
}
