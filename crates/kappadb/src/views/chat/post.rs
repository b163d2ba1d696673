//! Writing: messages, and what is said of channels and of oneself.

use super::ChatError;
use crate::engine::batch::Batch;
use crate::error::{ReadError, WriteError};
use crate::views::chat::ChatParts;
use crate::write::Draft;
use kappadb_chat::{
    Channel, Content, Extras, Prepared, SayError, fold, likeness, order_time, prepare, prepare_with,
};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::Links;
use kappadb_entry::{Entry, Header, encode_block, space};

impl ChatParts {
    /// Says something, after all that can be read where it is said.
    pub(super) fn chat_write(
        &self,
        batch: &mut Batch,
        content: &Content,
        extras: &Extras,
        channel: Option<&Channel>,
    ) -> Result<EntryId, ChatError> {
        batch.bring_up(&self.chat)?;
        let order = self.chat_order(batch, channel)?;
        // Checked before the first write makes a feed.
        prepare_with(&FeedKey([0; 32]), content, extras, channel, order)?;
        let prepared = prepare_with(&self.writer()?, content, extras, channel, order)?;
        let id = self.chat_put(batch, prepared)?;
        channel.iter().for_each(|channel| batch.said(&channel.folded, order));
        Ok(id)
    }

    /// Says something of a message of this writer, at its place.
    pub(super) fn chat_edit_at(
        &self,
        batch: &mut Batch,
        content: &Content,
        extras: &Extras,
        channel: &Channel,
        order: Timestamp,
    ) -> Result<EntryId, ChatError> {
        let prepared = prepare_with(&self.writer()?, content, extras, Some(channel), order)?;
        self.chat_put_naming(batch, prepared)
    }

    /// Takes an entry that replaces nothing: it names what it is about.
    pub(super) fn chat_put_naming(
        &self,
        batch: &mut Batch,
        prepared: Prepared,
    ) -> Result<EntryId, ChatError> {
        let (draft, links) = naming(prepared);
        Ok(batch.put_linked(self, draft, links)?)
    }

    /// An error if people would take a nickname for that of another feed.
    pub(super) fn refuse_alike(&self, nick: &str) -> Result<(), ChatError> {
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

    /// The caller has the turn.
    pub(super) fn chat_delete(&self, target: EntryId) -> Result<EntryId, ChatError> {
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
        // What was before shows again. Durable before anything is erased.
        let (draft, links) = naming(taking_back(&feed, target, &header)?);
        let (header, payload) = self.header(draft, links);
        let block = encode_block(&header, &payload).map_err(WriteError::from)?;
        let delete = self.append(feed, vec![block])?.pop().ok_or(ReadError::Closed)?;
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
    fn chat_order(&self, batch: &Batch, channel: Option<&Channel>) -> Result<Timestamp, ReadError> {
        let now = self.clock.now();
        let Some(channel) = channel else { return Ok(now) };
        let latest = self.chat.read(|index| index.latest(&channel.folded, now))??;
        let said = batch.latest(&channel.folded).map(|said| said.min(now));
        Ok(order_time(now, latest.max(said)))
    }

    /// Takes an entry, in place of what its key says now.
    pub(super) fn chat_put(&self, batch: &mut Batch, prepared: Prepared) -> Result<EntryId, ChatError> {
        let Prepared { kind, key, places, payload, .. } = prepared;
        let active = match &key {
            Some(key) => batch.active(&self.chat, kind.space, key)?,
            None => Vec::new(),
        };
        Ok(batch.put(self, Draft { key, places, payload, ..Draft::new(kind) }, &active)?)
    }
}

/// What names what it is about, and replaces nothing.
fn naming(prepared: Prepared) -> (Draft, Links) {
    let Prepared { kind, key, context, places, payload } = prepared;
    (Draft { key, places, payload, ..Draft::new(kind) }, Links { context, ..Links::default() })
}

/// A delete of the entry that has this header.
fn taking_back(by: &FeedKey, target: EntryId, header: &Header) -> Result<Prepared, SayError> {
    let moment = header.places.moments.first();
    let folded = moment.map(|m| String::from_utf8_lossy(&m.channel).into_owned()).unwrap_or_default();
    let order = Timestamp(moment.map_or(header.time.0, |m| m.from));
    let channel = Channel { shown: folded.clone(), folded };
    prepare(by, &Content::Delete { target, key: header.key.clone(), order }, Some(&channel), order)
}
