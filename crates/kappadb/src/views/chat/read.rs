//! Reading messages: a page is taken from the index, read from the feeds, and passed through moderation.

use super::state::spelled;
use super::{
    ChatCursor, ChatError, ChatFlag, ChatPage, Edited, Hidden, MAX_AHEAD, Message, ReadOptions, Said, recent,
};
use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, Content, Extras, Moderation, Post, Ruling, code, decode};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_view_chat::{PageQuery, Place};
use std::collections::HashMap;

/// Messages looked up at a time.
const CHUNK: usize = 64;

/// A window that ends where `now` does; none if nothing of it is due.
pub(super) fn window(options: &ReadOptions, now: Timestamp) -> Option<(i64, i64)> {
    let (from, to) = wished(options)?;
    let to = to.min(now.0);
    (from <= to).then_some((from, to))
}

/// What of a window is after `now`, if anything.
pub(super) fn window_ahead(options: &ReadOptions, now: Timestamp) -> Option<(i64, i64)> {
    let (from, to) = wished(options)?;
    let from = from.max(now.0.checked_add(1)?);
    (from <= to).then_some((from, to))
}

/// What is asked for, whatever the time.
pub(super) fn wished(options: &ReadOptions) -> Option<(i64, i64)> {
    let from = options.since.map_or(i64::MIN, |since| since.0);
    let to = options.until.map_or(Some(i64::MAX), |until| until.0.checked_sub(1))?;
    Some((from, to))
}

/// How many messages after `now` belong to a question.
pub(super) fn wanted_ahead(options: &ReadOptions, now: Timestamp) -> u32 {
    let all = u32::try_from(MAX_AHEAD).unwrap_or(u32::MAX);
    window_ahead(options, now).map_or(0, |_| all)
}

impl ChatParts {
    /// Messages of a window that are not due, up to [`MAX_AHEAD`].
    fn chat_ahead(&self, channel: &Channel, options: &ReadOptions) -> Result<usize, ReadError> {
        let Some((from, to)) = window_ahead(options, self.clock.now()) else { return Ok(0) };
        let all = PageQuery::latest(&channel.folded, Timestamp(to), MAX_AHEAD);
        let query = PageQuery { from, backwards: false, ..all };
        Ok(self.chat.read(|index| index.page(&query))??.len())
    }

    /// A page, and how many messages are not due.
    pub(super) fn chat_page(&self, channel: &Channel, options: &ReadOptions) -> Result<ChatPage, ChatError> {
        let page = self.chat_read(channel, options)?;
        Ok(ChatPage { ahead: self.chat_ahead(channel, options)?, ..page })
    }

    /// A page of what is indexed.
    pub(super) fn chat_read(&self, channel: &Channel, options: &ReadOptions) -> Result<ChatPage, ChatError> {
        let Some((from, to)) = window(options, self.clock.now()) else { return Ok(ChatPage::default()) };
        let (most, backwards) = (options.limit.unwrap_or(usize::MAX), !options.oldest_first);
        let after = options.after.map(|ChatCursor { time, id }| Place { order: time, id });
        let all = PageQuery::latest(&channel.folded, Timestamp(to), CHUNK);
        let mut query = PageQuery { from, backwards, after, ..all };
        let (mut shower, mut page) = (Shower::new(self)?, ChatPage::default());
        loop {
            let places = self.chat.read(|index| index.page_as_edited(&query))??;
            query.after = places.last().map(|(place, _)| *place);
            for (place, edit) in &places {
                let hidden = shower.hidden(&channel.folded, &place.id.feed);
                if hidden.as_ref().is_some_and(|by| !options.hidden || by.flag == ChatFlag::Block) {
                    continue;
                }
                let spoken = self.chat_spoken_as(place, *edit)?;
                let message = shower.spoken(&channel.folded, *place, spoken, hidden)?;
                if page.messages.len() == most {
                    page.next = page.messages.last().map(Message::cursor);
                    return Ok(page);
                }
                page.messages.push(message);
            }
            if places.len() < query.limit {
                return Ok(page);
            }
        }
    }
}

impl Message {
    /// Its place in the reading order: a page can go on after it.
    pub fn cursor(&self) -> ChatCursor {
        ChatCursor { time: self.time, id: self.id }
    }
}

/// Makes messages of rows: reads them, names their authors, and applies moderation.
pub(super) struct Shower<'a> {
    parts: &'a ChatParts,
    moderation: Moderation,
    nicks: HashMap<FeedKey, Option<String>>,
}

impl<'a> Shower<'a> {
    pub fn new(parts: &'a ChatParts) -> Result<Self, ReadError> {
        Ok(Shower { parts, moderation: parts.moderation()?, nicks: HashMap::new() })
    }

    pub fn message(&mut self, channel: &str, place: Place) -> Result<Message, ReadError> {
        let hidden = self.hidden(channel, &place.id.feed);
        self.spoken(channel, place, self.parts.chat_spoken(channel, &place)?, hidden)
    }

    /// A message that says this.
    pub fn spoken(
        &mut self,
        channel: &str,
        place: Place,
        spoken: Spoken,
        hidden: Option<Hidden>,
    ) -> Result<Message, ReadError> {
        let Spoken { shown, said, extras, edited } = spoken;
        let message = self.dressed(channel, place, shown, said, hidden)?;
        Ok(Message { reply_to: extras.reply_to, attachments: extras.blobs, edited, ..message })
    }

    /// The same with what its author calls itself.
    fn dressed(
        &mut self,
        channel: &str,
        place: Place,
        shown: String,
        said: Said,
        hidden: Option<Hidden>,
    ) -> Result<Message, ReadError> {
        let Place { order: time, id } = place;
        let author = id.feed;
        if !self.nicks.contains_key(&author) {
            let blocked = self.moderation.is_blocked(None, &author);
            let nick = if blocked { None } else { self.parts.chat_nick(&author)? };
            self.nicks.insert(author, nick);
        }
        let nick = self.nicks.get(&author).cloned().flatten();
        let channel = spelled(channel, Some(shown));
        let (reply_to, attachments, edited) = (None, Vec::new(), None);
        Ok(Message { id, author, nick, channel, time, said, reply_to, attachments, edited, hidden })
    }

    /// Who hides what a feed wrote in a channel, if anybody.
    pub fn hidden(&self, channel: &str, author: &FeedKey) -> Option<Hidden> {
        let channel = Some(channel).filter(|channel| !channel.is_empty());
        let Ruling { flag, by, reason } = self.moderation.ruling(channel, author)?;
        Some(Hidden { flag, by, reason })
    }
}

impl ChatParts {
    /// What an entry says, if its payload is held and is what it should be.
    pub(super) fn chat_post(&self, id: EntryId) -> Result<Option<Post>, ReadError> {
        recent::recent_post(self, id, || {
            let Some(entry) = self.entry(id)? else { return Ok(None) };
            Ok(decode(&entry.header, entry.payload.as_deref()).ok())
        })
    }

    /// What a message says now.
    pub(super) fn chat_spoken(&self, channel: &str, place: &Place) -> Result<Spoken, ReadError> {
        let edits = self.chat.read(|index| index.edits(channel, place))??;
        self.chat_spoken_as(place, edits.last().copied())
    }

    /// The same of one whose last edit is known.
    fn chat_spoken_as(&self, place: &Place, edit: Option<EntryId>) -> Result<Spoken, ReadError> {
        let Some(Post { channel: shown, content, extras, .. }) = self.chat_post(place.id)? else {
            return Ok(Spoken { said: Said::Unreadable, ..Spoken::default() });
        };
        let emote = matches!(content, Content::Emote(_) | Content::Cleared { code: code::EMOTE });
        let text = matches!(content, Content::Text(_) | Content::Cleared { code: code::TEXT });
        let spoken = Spoken { shown, said: said(content), extras, edited: None };
        match edit {
            Some(edit) if emote || text => self.chat_edited(spoken, edit, emote),
            _ => Ok(spoken),
        }
    }

    fn chat_edited(&self, before: Spoken, edit: EntryId, emote: bool) -> Result<Spoken, ReadError> {
        let Some(entry) = self.entry(edit)? else { return Ok(before) };
        let edited = Some(Edited { id: edit, time: entry.header.time });
        let (now, extras) = match decode(&entry.header, entry.payload.as_deref()) {
            Ok(Post { content: Content::Edit { text, .. }, extras, .. }) if emote => {
                (Said::Emote(text), extras)
            }
            Ok(Post { content: Content::Edit { text, .. }, extras, .. }) => (Said::Text(text), extras),
            Ok(Post { content: Content::Cleared { .. }, extras, .. }) => (Said::NotHeld, extras),
            _ => (Said::Unreadable, Extras::default()),
        };
        // What it answers is said once, with the message.
        let extras = Extras { reply_to: before.extras.reply_to, ..extras };
        Ok(Spoken { said: now, extras, edited, ..before })
    }
}

/// What a message says, with the channel as it spells it.
#[derive(Default)]
pub(super) struct Spoken {
    pub shown: String,
    pub said: Said,
    pub extras: Extras,
    pub edited: Option<Edited>,
}

pub(super) fn said(content: Content) -> Said {
    match content {
        Content::Text(text) => Said::Text(text),
        Content::Emote(text) => Said::Emote(text),
        Content::Private(_) => Said::Sealed,
        Content::Unknown { code } => Said::Unknown { code },
        Content::Cleared { .. } => Said::NotHeld,
        _ => Said::Unreadable,
    }
}
