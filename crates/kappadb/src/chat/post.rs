//! Writing: messages, and what is said of channels and of oneself.

use super::{Chat, ChatError};
use crate::database::Parts;
use crate::error::ReadError;
use crate::write::{self, Draft};
use kappadb_chat::{
    Channel, Content, Extras, Prepared, SayError, fold, likeness, order_time, prepare, prepare_with,
};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::Links;
use kappadb_entry::{Entry, Header, space};

impl Chat {
    /// Posts a text of 1 byte to 4 KiB. The channel is there from then on. Durable when it returns, as everything here.
    ///
    /// # Errors
    /// [`ChatError::Model`] if the channel's name or the text cannot be: nothing was written then.
    pub async fn post(&self, channel: &str, text: &str) -> Result<EntryId, ChatError> {
        self.say(channel, Content::Text(text.to_owned())).await
    }

    /// Posts an action, such as "waves".
    pub async fn emote(&self, channel: &str, text: &str) -> Result<EntryId, ChatError> {
        self.say(channel, Content::Emote(text.to_owned())).await
    }

    /// Says what a channel is about; an empty topic clears it.
    pub async fn set_topic(&self, channel: &str, text: &str) -> Result<EntryId, ChatError> {
        self.say(channel, Content::Topic(text.to_owned())).await
    }

    /// Joins a channel, which is there from then on.
    pub async fn join(&self, channel: &str) -> Result<EntryId, ChatError> {
        self.say(channel, Content::Join).await
    }

    /// Leaves a channel.
    ///
    /// # Errors
    /// [`ChatError::NoChannel`] if nobody posted to it or joined it, as far as is known here: there is nothing to leave.
    pub async fn leave(&self, channel: &str) -> Result<EntryId, ChatError> {
        let channel = Channel::new(channel)?;
        self.run_writing(move |parts| {
            parts.chat.ready()?;
            match parts.chat_is_live(&channel.folded)? {
                true => parts.chat_write(Content::Leave, Some(channel)),
                false => Err(ChatError::NoChannel(channel.shown)),
            }
        })
        .await?
    }

    /// Marks a channel as archived.
    pub async fn archive(&self, channel: &str, reason: &str) -> Result<EntryId, ChatError> {
        self.say(channel, Content::Archive { reason: reason.to_owned() }).await
    }

    /// Opens an archived channel again.
    pub async fn unarchive(&self, channel: &str, reason: &str) -> Result<EntryId, ChatError> {
        self.say(channel, Content::Unarchive { reason: reason.to_owned() }).await
    }

    /// Says something of this writer: `nick` is what it is called, of 1 to 32 characters without white space around them; other fields have
    /// up to 1 KiB, and an empty one clears it.
    ///
    /// # Errors
    /// [`ChatError::Model`] if a nickname has characters that nobody sees, or letters of one script among those of another that look alike;
    /// [`ChatError::Alike`] if it looks like that of a feed known here (the skeleton of UTS 39) without being the same. Two may have one name.
    pub async fn set_profile(&self, field: &str, value: &str) -> Result<EntryId, ChatError> {
        let value = if field == "nick" { value.trim() } else { value };
        let content = Content::Profile { field: field.to_owned(), value: value.to_owned() };
        let nick = (field == "nick").then(|| value.to_owned());
        self.run_writing(move |parts| {
            nick.iter().try_for_each(|nick| parts.refuse_alike(nick))?;
            parts.chat_write(content, None)
        })
        .await?
    }

    /// Deletes a message of this writer, or takes back a topic and the like: then the one before shows again.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if it is not held here, or deleted already; [`ChatError::NotYours`].
    pub async fn delete(&self, id: EntryId) -> Result<EntryId, ChatError> {
        self.run_writing(move |parts| parts.chat_delete(id)).await?
    }

    async fn say(&self, channel: &str, content: Content) -> Result<EntryId, ChatError> {
        let channel = Channel::new(channel)?;
        self.run_writing(move |parts| parts.chat_write(content, Some(channel))).await?
    }
}

impl Parts {
    pub(super) fn chat_write(
        &self,
        content: Content,
        channel: Option<Channel>,
    ) -> Result<EntryId, ChatError> {
        let _guard = self.writing();
        self.chat_write_locked(&content, &Extras::default(), channel.as_ref())
    }

    /// The same for who holds the writing lock.
    pub(super) fn chat_write_locked(
        &self,
        content: &Content,
        extras: &Extras,
        channel: Option<&Channel>,
    ) -> Result<EntryId, ChatError> {
        self.chat.ready()?;
        let order = self.chat_order(channel)?;
        // Checked before the first write makes a feed.
        prepare_with(&FeedKey([0; 32]), content, extras, channel, order)?;
        let feed = self.writer()?;
        let prepared = prepare_with(&feed, content, extras, channel, order)?;
        self.chat_append(feed, prepared)
    }

    /// Says something of a message of this writer, at its place. The caller holds the writing lock.
    pub(super) fn chat_edit_at(
        &self,
        content: Content,
        extras: &Extras,
        channel: &Channel,
        order: Timestamp,
    ) -> Result<EntryId, ChatError> {
        let feed = self.writer()?;
        self.chat_append_naming(feed, prepare_with(&feed, &content, extras, Some(channel), order)?)
    }

    /// Appends an entry that replaces nothing: it names what it is about. The caller holds the writing lock.
    pub(super) fn chat_append_naming(&self, feed: FeedKey, prepared: Prepared) -> Result<EntryId, ChatError> {
        let Prepared { kind, key, context, places, payload } = prepared;
        let draft = Draft { key, places, payload, ..Draft::new(kind) };
        let block = self.linked_block(draft, Links { context, ..Links::default() }, &feed)?;
        let ids = self.append(feed, vec![block])?;
        Ok(ids.first().copied().ok_or(ReadError::Closed)?)
    }

    /// An error if people would take a nickname for that of another feed.
    fn refuse_alike(&self, nick: &str) -> Result<(), ChatError> {
        self.chat.ready()?;
        let (folded, likeness) = (fold(nick), likeness(nick));
        let me = self.me();
        for info in self.feeds.list().into_iter().filter(|info| !me.contains(&info.feed)) {
            let other = self.chat_nick(&info.feed)?;
            let alike = |other: &String| fold(other) != folded && kappadb_chat::likeness(other) == likeness;
            if let Some(other) = other.filter(alike) {
                return Err(ChatError::Alike { nick: nick.to_owned(), other, feed: info.feed });
            }
        }
        Ok(())
    }

    fn chat_delete(&self, target: EntryId) -> Result<EntryId, ChatError> {
        let _guard = self.writing();
        self.chat.ready()?;
        let entry = self.entry(target)?.filter(|entry| entry.header.kind.space == space::CHAT);
        let Entry { header, .. } = entry.ok_or(ChatError::NotThere(target))?;
        let feed = self.writer()?;
        if feed != target.feed {
            return Err(ChatError::NotYours(target));
        }
        let mut edits = Vec::new();
        let there = match &header.key {
            Some(key) => {
                self.chat.read(|index| index.counting_versions(key))??.iter().any(|v| v.id == target)
            }
            None => match self.chat.read(|index| index.message(&header, target))?? {
                Some((channel, place)) => {
                    edits = self.chat.read(|index| index.edits(&channel, &place))??;
                    true
                }
                None => false,
            },
        };
        if !there {
            return Err(ChatError::NotThere(target));
        }
        // What was before shows again.
        let delete = self.chat_append_naming(feed, taking_back(&feed, target, &header)?)?;
        // What it said later is gone with it.
        let edits = edits.into_iter().map(|edit| edit.seq);
        self.feeds.erase(&feed, &edits.chain([target.seq]).collect())?;
        Ok(delete)
    }

    /// What takes back an entry of a feed, whatever it says.
    pub(super) fn chat_taking_back(&self, target: EntryId, by: &FeedKey) -> Result<Prepared, ChatError> {
        let entry = self.entry(target)?.ok_or(ChatError::NotThere(target))?;
        Ok(taking_back(by, target, &entry.header)?)
    }

    /// The order time of what is written to a channel now: after all that can be read there. What is not due yet does not count, or a
    /// clock that runs ahead would take everybody with it.
    fn chat_order(&self, channel: Option<&Channel>) -> Result<Timestamp, ReadError> {
        let now = self.clock.now();
        let Some(channel) = channel else { return Ok(now) };
        let latest = self.chat.read(|index| index.latest(&channel.folded, now))??;
        Ok(order_time(now, latest))
    }

    /// Appends an entry, in place of what its key says now. The caller holds the writing lock.
    pub(super) fn chat_append(&self, feed: FeedKey, prepared: Prepared) -> Result<EntryId, ChatError> {
        let Prepared { kind, key, places, payload, .. } = prepared;
        let active = match &key {
            Some(key) => write::active(&self.chat, key)?,
            None => Vec::new(),
        };
        let draft = Draft { key, places, payload, ..Draft::new(kind) };
        let block = self.block(draft, &active, &feed)?;
        let ids = self.append(feed, vec![block])?;
        Ok(ids.first().copied().ok_or(ReadError::Closed)?)
    }
}

/// A delete of the entry that has this header.
fn taking_back(by: &FeedKey, target: EntryId, header: &Header) -> Result<Prepared, SayError> {
    let moment = header.places.moments.first();
    let folded = moment.map(|m| String::from_utf8_lossy(&m.channel).into_owned()).unwrap_or_default();
    let order = Timestamp(moment.map_or(header.time.0, |m| m.from));
    let channel = Channel { shown: folded.clone(), folded };
    prepare(by, &Content::Delete { target, key: header.key.clone(), order }, Some(&channel), order)
}
