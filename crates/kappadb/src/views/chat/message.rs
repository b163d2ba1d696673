//! What reading gives.

use super::{ChatFlag, moderate};
use crate::lines::fields;
use crate::network::{Asked, Completeness, Told};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::fmt;
use std::str::FromStr;

/// A message as it is shown. As JSON its text is `text`, null if there is none to show; `channel` is null for a private message, and `to` says for whom
/// that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The entry.
    pub id: EntryId,
    /// Who wrote it: the entry's feed.
    pub author: FeedKey,
    /// What its author calls itself now, as far as is known here.
    pub nick: Option<String>,
    /// The channel, as this message spells it; empty for a private message.
    #[serde(serialize_with = "channel")]
    pub channel: String,
    /// Its order time: where it stands in its channel. Not before its author's clock, nor before what the author had read.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
    /// What it says now.
    #[serde(flatten)]
    pub said: Said,
    /// The message that it answers. That may be one that is not held here, or no message at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<EntryId>,
    /// The blobs that belong to it, by their ids: [`crate::Blobs`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<EntryId>,
    /// Set if its author said something else before: [`crate::Chat::history`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    /// Set if moderation hides it; such messages come only with [`ReadOptions::hidden`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

impl Message {
    /// True if it is to be shown to who wants to see, or not, what moderation hides. What is blocked is never shown.
    pub(super) fn is_for(&self, hidden: bool) -> bool {
        self.hidden.as_ref().is_none_or(|by| hidden && by.flag != ChatFlag::Block)
    }
}

fn channel<S: Serializer>(channel: &str, serializer: S) -> Result<S::Ok, S::Error> {
    Some(channel).filter(|channel| !channel.is_empty()).serialize(serializer)
}

/// The last edit of a message. As JSON it is its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edited {
    /// The entry.
    pub id: EntryId,
    /// When, by its author's clock.
    pub time: Timestamp,
}

impl Serialize for Edited {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.time.serialize(serializer)
    }
}

/// What a message says, or said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said {
    /// A text.
    Text(String),
    /// An action: "anna waves".
    Emote(String),
    /// A private text: only its author and this feed can read it. From [`crate::Chat::private`] alone.
    Private {
        /// Whom it is for.
        to: FeedKey,
        /// The text.
        text: String,
    },
    /// A private message that was not opened: others' mostly.
    Sealed,
    /// A text that is not held here: it was cleared.
    NotHeld,
    /// Its entry breaks a limit, or is not what its kind should be.
    #[default]
    Unreadable,
    /// Something that this release does not know.
    Unknown {
        /// The code of its kind.
        code: u8,
    },
}

/// `kind`, `text`, and `to` if it is private.
impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind())?;
        map.serialize_entry("text", &self.text())?;
        if let Said::Private { to, .. } = self {
            map.serialize_entry("to", to)?;
        }
        map.end()
    }
}

impl Said {
    /// Its name in the program's output.
    pub fn kind(&self) -> &'static str {
        match self {
            Said::Text(_) => "text",
            Said::Emote(_) => "emote",
            Said::Private { .. } | Said::Sealed => "private",
            Said::NotHeld => "not held",
            Said::Unreadable => "unreadable",
            Said::Unknown { .. } => "unknown",
        }
    }

    /// The text, if there is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Said::Text(text) | Said::Emote(text) | Said::Private { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Why a message is hidden here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hidden {
    /// By which flag: hide, mute or block.
    #[serde(serialize_with = "moderate::flag")]
    pub flag: ChatFlag,
    /// Who of those that are trusted here said so.
    pub by: FeedKey,
    /// Why; may be empty.
    pub reason: String,
}

/// What to read of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// From this time on. Default: from the beginning.
    pub since: Option<Timestamp>,
    /// Before this time. Default: up to now.
    pub until: Option<Timestamp>,
    /// At most this many. Default: all.
    pub limit: Option<usize>,
    /// Begin with the oldest. Default: the latest first.
    pub oldest_first: bool,
    /// Go on after this. Default: begin.
    pub after: Option<ChatCursor>,
    /// Give what moderation hides, too, marked, but for what is blocked. Default: leave it out, outside the limit.
    pub hidden: bool,
}

impl ReadOptions {
    /// The latest `limit`, the latest first.
    pub fn latest(limit: usize) -> ReadOptions {
        ReadOptions { limit: Some(limit), ..ReadOptions::default() }
    }
}

/// A part of a channel: an [`Answer`](crate::Answer) that knows of messages that are not due.
#[derive(Debug, Serialize)]
#[must_use = "it says how complete it is"]
pub struct ChatPage {
    /// In the order asked for.
    pub messages: Vec<Message>,
    /// What to set [`ReadOptions::after`] to for the next page; none if there is no more.
    pub next: Option<ChatCursor>,
    /// Messages of what was asked for that are dated after this machine's clock, so that they are not shown yet; counted up to
    /// [`MAX_AHEAD`]. More than a few mean that a clock is wrong, and it may be this one.
    pub ahead: usize,
    /// How much of what there is it has.
    #[serde(flatten)]
    pub completeness: Completeness,
    /// What asking took, and who did not answer. Nothing if nobody was asked.
    pub asked: Asked,
}

impl Default for ChatPage {
    fn default() -> ChatPage {
        let (completeness, asked) = (Completeness::default(), Asked::default());
        ChatPage { messages: Vec::new(), next: None, ahead: 0, completeness, asked }
    }
}

impl ChatPage {
    /// True if nothing is lacking.
    pub fn is_complete(&self) -> bool {
        self.completeness.is_complete()
    }
}

impl Told for ChatPage {
    fn tell(&mut self, asked: Asked) {
        self.completeness = asked.completeness();
        self.asked = asked;
    }
}

/// How far [`ChatPage::ahead`] counts, and how many of these messages are asked for.
pub const MAX_AHEAD: usize = 100;

/// A place in the reading order, after which a page begins: order time, then feed, then seq. As text
/// `<order time>@<feed>/<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChatCursor {
    /// Order time.
    pub time: Timestamp,
    /// The message.
    pub id: EntryId,
}

/// A text that is no [`ChatCursor`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cursor of a page of messages")]
pub struct ChatCursorError(String);

impl fmt::Display for ChatCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.time.0, self.id)
    }
}

impl Serialize for ChatCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for ChatCursor {
    type Err = ChatCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (time, id) = text.split_once('@')?;
            Some(ChatCursor { time: Timestamp(time.parse().ok()?), id: id.parse().ok()? })
        };
        parse().ok_or_else(|| ChatCursorError(text.to_owned()))
    }
}

/// A channel that somebody posted to or joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelInfo {
    /// Its name.
    #[serde(rename = "channel")]
    pub name: String,
    /// What it is about, if anything is said of that.
    pub topic: Option<String>,
    /// True if it is archived.
    pub archived: bool,
}

/// What a channel is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// The topic.
    #[serde(rename = "topic")]
    pub text: String,
    /// The entry that says so; its feed is who set it.
    #[serde(flatten, serialize_with = "fields::written")]
    pub id: EntryId,
    /// When, as its author says.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
}

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its feed.
    pub feed: FeedKey,
    /// What it calls itself.
    pub nick: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_are_read_as_they_are_written(time in any::<i64>(), feed: [u8; 32], seq in any::<u64>()) {
            let cursor = ChatCursor { time: Timestamp(time), id: EntryId { feed: FeedKey(feed), seq } };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn noise_is_no_cursor(text in "[0-9a-f@/ -]{0,90}") {
            if let Ok(cursor) = text.parse::<ChatCursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
    }
}
