//! All of chat as lines that [`Chat::import`] takes. `design/chat.md`, "Export and import".

use super::ChatError;
use super::state::spelled;
use crate::engine;
use crate::error::ReadError;
use crate::network::{Asked, Completeness, Told};
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, Content, Flag, Post, PrivateText, StateKey, code, decode, deleted, edited};
use kappadb_core::{EntryId, FeedKey, RangeSet, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Entry, Header, decode_block};
use kappadb_query::Selector;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Blocks looked at, and lines made, at a time.
const CHUNK: usize = 1_024;

/// A line of an export. The first one says of which database it is; each other one is an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChatLine {
    /// `export` in the first line; else `text`, `emote`, `edit`, `topic`, `profile`, `join`, `leave`, `archive`, `unarchive`, `flags`, `private` or `delete`.
    pub kind: &'static str,
    /// The database's id, in the first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The feed that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What that calls itself now, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// The channel, as the entry spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Where a message stands in its channel; of all else, when it was written. Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// When it was written by its author's clock, if that is another time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<i64>,
    /// Text, topic, value, or reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Which field of a profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Whom a private message, or an edit of one, is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// On whom flags are set, which entry is taken back, or which message says something else now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<&'static str>>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The blobs that belong to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// The entries in whose place it stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// What an export could not have, by how many entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatLeftOut {
    /// Private messages between others.
    pub sealed: u64,
    /// Entries whose text is not held here: it was cleared.
    pub not_held: u64,
    /// Entries that are not what their kind should be, and those of kinds that this release does not know.
    pub unknown: u64,
}

/// The lines of [`Chat::export`](crate::Chat::export), in the order in which they are to be imported.
#[must_use = "it says how complete it is"]
#[derive(Debug)]
pub struct ChatExport {
    /// How much of what there is it has.
    pub completeness: Completeness,
    /// What asking took, and who did not answer. Nothing if nobody was asked.
    pub asked: Asked,
    parts: Arc<ChatParts>,
    ids: Arc<Vec<EntryId>>,
    at: usize,
    begun: bool,
    left_out: ChatLeftOut,
}

impl Told for ChatExport {
    fn tell(&mut self, asked: Asked) {
        self.completeness = asked.completeness();
        self.asked = asked;
    }
}

impl ChatExport {
    pub(super) fn new(parts: Arc<ChatParts>) -> Result<ChatExport, ChatError> {
        let ids = Arc::new(exported(&parts)?);
        let (completeness, asked) = (Completeness::default(), Asked::default());
        let left_out = ChatLeftOut::default();
        Ok(ChatExport { completeness, asked, parts, ids, at: 0, begun: false, left_out })
    }

    /// Some more lines; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<ChatLine>>, ChatError> {
        if !std::mem::replace(&mut self.begun, true) {
            let database = Some(self.parts.id.to_string());
            return Ok(Some(vec![ChatLine { kind: "export", database, ..ChatLine::default() }]));
        }
        if self.at >= self.ids.len() {
            return Ok(None);
        }
        let (ids, from) = (self.ids.clone(), self.at);
        self.at = (from + CHUNK).min(ids.len());
        let (to, mut left_out) = (self.at, self.left_out);
        let made = engine::run(&self.parts, move |parts| {
            let mut writing = Exporting::new(parts);
            let mut lines = Vec::new();
            for id in ids.get(from..to).unwrap_or_default() {
                lines.extend(writing.line(*id, &mut left_out)?);
            }
            Ok::<_, ChatError>((lines, left_out))
        });
        let lines;
        (lines, self.left_out) = made.await??;
        Ok(Some(lines))
    }

    /// What was left out so far.
    pub fn left_out(&self) -> ChatLeftOut {
        self.left_out
    }
}

/// Where an entry comes in an export.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Message(Timestamp, EntryId),
    /// By how much it stands on.
    Said(u32, Timestamp, EntryId),
    Delete(EntryId),
}

impl Turn {
    fn of(id: EntryId, header: &Header) -> Turn {
        match (&header.key, header.places.moments.first()) {
            _ if header.kind.code == code::DELETE => Turn::Delete(id),
            (None, Some(moment)) => Turn::Message(Timestamp(moment.from), id),
            _ => Turn::Said(header.depth, header.time, id),
        }
    }

    fn id(&self) -> EntryId {
        match self {
            Turn::Message(_, id) | Turn::Said(_, _, id) | Turn::Delete(id) => *id,
        }
    }
}

/// The entries of chat in the order of an export.
fn exported(parts: &ChatParts) -> Result<Vec<EntryId>, ChatError> {
    let mut of_feeds: BTreeMap<FeedKey, RangeSet> = BTreeMap::new();
    for id in parts.chat.matches(&Selector::Everything)? {
        of_feeds.entry(id.feed).or_default().insert(id.seq..id.seq + 1);
    }
    let mut turns = Vec::new();
    for (feed, seqs) in &of_feeds {
        let mut seqs = seqs.iter();
        loop {
            let part: RangeSet = seqs.by_ref().take(CHUNK).collect();
            if part.is_empty() {
                break;
            }
            for (seq, block) in parts.feeds.blocks(feed, &part).map_err(ReadError::from)? {
                let id = EntryId { feed: *feed, seq };
                turns.extend(decode_block(&block).ok().map(|entry| Turn::of(id, &entry.header)));
            }
        }
    }
    turns.sort_unstable();
    Ok(turns.iter().map(Turn::id).collect())
}

struct Exporting<'a> {
    parts: &'a ChatParts,
    nicks: HashMap<FeedKey, Option<String>>,
}

impl<'a> Exporting<'a> {
    fn new(parts: &'a ChatParts) -> Self {
        Exporting { parts, nicks: HashMap::new() }
    }

    /// An entry as a line; none if it was taken back, or cannot be told.
    fn line(&mut self, id: EntryId, left_out: &mut ChatLeftOut) -> Result<Option<ChatLine>, ChatError> {
        let Some(entry) = self.parts.entry(id)? else { return Ok(None) };
        let Some(replaces) = self.replaced(id, &entry.header)? else { return Ok(None) };
        let Ok(post) = decode(&entry.header, entry.payload.as_deref()) else {
            left_out.unknown += 1;
            return Ok(None);
        };
        let (order, extras) = (post.order.0, post.extras.clone());
        let channel = channel_of(&entry.header, &post);
        let Some(mut line) = self.says(id, &entry, post, left_out) else { return Ok(None) };
        line.id = Some(id.to_string());
        line.author = Some(id.feed.to_string());
        line.nick = self.nick(&id.feed)?;
        line.channel = channel.filter(|_| !matches!(line.kind, "private" | "delete"));
        line.timestamp = Some(order);
        line.written = Some(entry.header.time.0).filter(|written| *written != order);
        line.reply_to = line.reply_to.or_else(|| extras.reply_to.map(|id| id.to_string()));
        line.attachments = extras.blobs.iter().map(EntryId::to_string).collect();
        line.replaces = replaces;
        Ok(Some(line))
    }

    /// The entries that it replaces; none if it was taken back itself.
    fn replaced(&self, id: EntryId, header: &Header) -> Result<Option<Vec<String>>, ChatError> {
        let chat = &self.parts.chat;
        match &header.key {
            // One that names nothing came with an import, and is about what never was here.
            _ if header.kind.code == code::DELETE => Ok(deleted(header).map(|_| Vec::new())),
            _ if header.kind.code == code::EDIT => {
                // With a message that was taken back, what it said later is, too.
                let target =
                    edited(header).map(|id| Ok::<_, ReadError>((id, self.parts.entry(id)?))).transpose()?;
                let Some((target, Some(entry))) = target else { return Ok(Some(Vec::new())) };
                let there = chat.read(|index| index.message(&entry.header, target))??;
                Ok(there.map(|_| Vec::new()))
            }
            Some(key) => {
                let versions = chat.read(|index| index.standing_versions(key))??;
                let own = versions.iter().find(|version| version.id == id);
                let replaced = |own: &Version| {
                    let below = versions.iter().filter(|version| rules::replaces(own, version));
                    below.map(|version| version.id.to_string()).collect()
                };
                Ok(own.map(replaced))
            }
            None => {
                let there = chat.read(|index| index.message(header, id))??;
                Ok(there.map(|_| Vec::new()))
            }
        }
    }

    fn says(&self, id: EntryId, entry: &Entry, post: Post, left_out: &mut ChatLeftOut) -> Option<ChatLine> {
        let line = |kind, text: String| ChatLine { kind, text: Some(text), ..ChatLine::default() };
        Some(match post.content {
            Content::Text(text) => line("text", text),
            Content::Emote(text) => line("emote", text),
            Content::Topic(text) => line("topic", text),
            Content::Profile { field, value } => ChatLine { field: Some(field), ..line("profile", value) },
            Content::Join => ChatLine { kind: "join", ..ChatLine::default() },
            Content::Leave => ChatLine { kind: "leave", ..ChatLine::default() },
            Content::Archive { reason } => line("archive", reason),
            Content::Unarchive { reason } => line("unarchive", reason),
            Content::Delete { target, .. } => {
                ChatLine { kind: "delete", target: Some(target.to_string()), ..ChatLine::default() }
            }
            Content::Flags { target, flags, reason, .. } => {
                let flags = flags.into_iter().map(Flag::name).collect();
                ChatLine { target: Some(target.to_string()), flags: Some(flags), ..line("flags", reason) }
            }
            Content::Private(_) => match self.parts.readable_private(id, entry) {
                Some((to, PrivateText { text, reply_to })) => {
                    let target = edited(&entry.header).map(|target| target.to_string());
                    let kind = if target.is_some() { "edit" } else { "private" };
                    let reply_to = reply_to.map(|id| id.to_string());
                    ChatLine { to: Some(to.to_string()), target, reply_to, ..line(kind, text) }
                }
                None => {
                    left_out.sealed += 1;
                    return None;
                }
            },
            Content::Cleared { .. } => {
                left_out.not_held += 1;
                return None;
            }
            Content::Edit { target, text } => {
                ChatLine { target: Some(target.to_string()), ..line("edit", text) }
            }
            Content::Unknown { .. } => {
                left_out.unknown += 1;
                return None;
            }
        })
    }

    fn nick(&mut self, feed: &FeedKey) -> Result<Option<String>, ReadError> {
        if !self.nicks.contains_key(feed) {
            self.nicks.insert(*feed, self.parts.chat_nick(feed)?);
        }
        Ok(self.nicks.get(feed).cloned().flatten())
    }
}

/// The channel that an entry is about, as it spells it.
fn channel_of(header: &Header, post: &Post) -> Option<String> {
    let folded = match header.key.as_deref().and_then(StateKey::decode) {
        Some(StateKey::Topic(channel) | StateKey::Archive(channel) | StateKey::Member { channel, .. }) => {
            channel.to_owned()
        }
        Some(StateKey::Flags { scope, .. }) => scope.to_owned(),
        Some(StateKey::Profile { .. }) => return None,
        None => String::from_utf8_lossy(&header.places.moments.first()?.channel).into_owned(),
    };
    Channel::is_folded(&folded).then(|| spelled(&folded, Some(post.channel.clone())))
}
