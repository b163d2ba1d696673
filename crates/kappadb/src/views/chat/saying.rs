//! What is said in chat.

use super::edit::{chat_edit, check_blobs};
use super::lines::BadLine;
use super::{Chat, ChatError, ChatImportReport, PostOptions, import, unread};
use crate::folder::writers::DEFAULT;
use crate::network::Handle;
use crate::views::chat::ChatParts;
use crate::write::Write;
use kappadb_chat::{Channel, Content, Extras, PrivateText};
use kappadb_core::{EntryId, FeedKey};
use std::io::BufRead;

impl Chat {
    /// Posts a text of 1 byte to 4 KiB. The channel is there from then on. Durable when it returns, as everything here.
    ///
    /// # Errors
    /// [`ChatError::Model`] if the channel's name or the text cannot be: nothing was written then.
    pub fn post(&self, channel: &str, text: &str) -> Write<EntryId, ChatError> {
        self.say(channel, Content::Text(text.to_owned()))
    }

    /// As [`Chat::post`], as a reply, with attachments, or as an action.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if what it is to answer is no message of this channel that is held here; [`ChatError::NoBlob`] if what it is to
    /// have attached is held here and is no blob.
    pub fn post_with(&self, channel: &str, text: &str, options: &PostOptions) -> Write<EntryId, ChatError> {
        let channel = channel.to_owned();
        let content = if options.emote { Content::Emote } else { Content::Text }(text.to_owned());
        let extras = Extras { reply_to: options.reply_to, blobs: options.attachments.clone() };
        Write::shared(&self.parts, move |parts, batch| {
            let channel = Channel::new(&channel)?;
            batch.bring_up(&parts.chat)?;
            if let Some(id) = extras.reply_to {
                unread::chat_place(parts, &channel.folded, id)?;
            }
            check_blobs(parts, &extras.blobs)?;
            parts.chat_write(batch, &content, &extras, Some(&channel))
        })
    }

    /// Posts an action, such as "waves".
    pub fn emote(&self, channel: &str, text: &str) -> Write<EntryId, ChatError> {
        self.say(channel, Content::Emote(text.to_owned()))
    }

    /// Says something else in a message of this writer, where it stands. What it said before stays in the log and is shown by
    /// [`Chat::history`]. `attachments` replace those that it has; none leaves them as they are.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if it is no message that is held here, or was deleted; [`ChatError::NotYours`]; what posting can fail with.
    pub fn edit(
        &self,
        id: EntryId,
        text: &str,
        attachments: Option<Vec<EntryId>>,
    ) -> Write<EntryId, ChatError> {
        let text = text.to_owned();
        Write::apart(&self.parts, move |parts, batch| chat_edit(parts, batch, id, text, attachments))
    }

    /// Deletes a message of this writer, or takes back a topic and the like: then the one before shows again.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if it is not held here, or deleted already; [`ChatError::NotYours`].
    pub fn delete(&self, id: EntryId) -> Write<EntryId, ChatError> {
        Write::apart(&self.parts, move |parts, _| parts.chat_delete(id))
    }

    /// Posts a text of 1 byte to 4 KiB that only its recipient and this writer can read. Others see that this writer wrote to
    /// somebody, when, and how long the text is within a factor of two. Durable when it returns.
    ///
    /// # Errors
    /// [`ChatError::Private`] if the recipient's key is none, or the text is empty or too long: nothing was written then.
    pub fn send_private(&self, to: FeedKey, text: &str) -> Write<EntryId, ChatError> {
        let says = PrivateText::from(text);
        Write::apart(&self.parts, move |parts, batch| parts.send_private(batch, &to, &says))
    }

    /// The same as an answer to a private message between the two.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if that is none that is held here; those of [`Chat::send_private`].
    pub fn reply_private(&self, to: FeedKey, text: &str, reply_to: EntryId) -> Write<EntryId, ChatError> {
        let says = PrivateText { reply_to: Some(reply_to), ..PrivateText::from(text) };
        Write::apart(&self.parts, move |parts, batch| parts.send_private(batch, &to, &says))
    }

    /// Says what a channel is about; an empty topic clears it.
    pub fn set_topic(&self, channel: &str, text: &str) -> Write<EntryId, ChatError> {
        self.say(channel, Content::Topic(text.to_owned()))
    }

    /// Joins a channel, which is there from then on.
    pub fn join(&self, channel: &str) -> Write<EntryId, ChatError> {
        self.say(channel, Content::Join)
    }

    /// Leaves a channel.
    ///
    /// # Errors
    /// [`ChatError::NoChannel`] if nobody posted to it or joined it, as far as is known here: there is nothing to leave.
    pub fn leave(&self, channel: &str) -> Write<EntryId, ChatError> {
        let channel = channel.to_owned();
        Write::apart(&self.parts, move |parts, batch| {
            let channel = Channel::new(&channel)?;
            parts.chat.ready()?;
            match parts.chat_is_live(&channel.folded)? {
                true => parts.chat_write(batch, &Content::Leave, &Extras::default(), Some(&channel)),
                false => Err(ChatError::NoChannel(channel.shown)),
            }
        })
    }

    /// Marks a channel as archived.
    pub fn archive(&self, channel: &str, reason: &str) -> Write<EntryId, ChatError> {
        self.say(channel, Content::Archive { reason: reason.to_owned() })
    }

    /// Opens an archived channel again.
    pub fn unarchive(&self, channel: &str, reason: &str) -> Write<EntryId, ChatError> {
        self.say(channel, Content::Unarchive { reason: reason.to_owned() })
    }

    /// Says something of this writer: `nick` is what it is called, of 1 to 32 characters without white space around them; other fields have
    /// up to 1 KiB, and an empty one clears it.
    ///
    /// # Errors
    /// [`ChatError::Model`] if a nickname has characters that nobody sees, or letters of one script among those of another that look alike;
    /// [`ChatError::Alike`] if it looks like that of a feed known here (the skeleton of UTS 39) without being the same. Two may have one name.
    pub fn set_profile(&self, field: &str, value: &str) -> Write<EntryId, ChatError> {
        let value = if field == "nick" { value.trim() } else { value };
        let content = Content::Profile { field: field.to_owned(), value: value.to_owned() };
        let nick = (field == "nick").then(|| value.to_owned());
        Write::apart(&self.parts, move |parts, batch| {
            nick.iter().try_for_each(|nick| parts.refuse_alike(nick))?;
            parts.chat_write(batch, &content, &Extras::default(), None)
        })
    }

    fn say(&self, channel: &str, content: Content) -> Write<EntryId, ChatError> {
        let channel = channel.to_owned();
        Write::shared(&self.parts, move |parts, batch| {
            let channel = Channel::new(&channel)?;
            parts.chat_write(batch, &content, &Extras::default(), Some(&channel))
        })
    }

    /// Imports lines that [`Chat::export`] gave, or lines `{"author","channel","timestamp","text"}`, the timestamp in ms. Each author gets a feed of
    /// its own, which this replica writes and nobody else; never does an author become one of this replica's own writers, whatever it is called.
    /// An author with a name has it as nickname; messages keep their time, as order time too. Damaged lines are told and left out: `damaged` is told
    /// their number, from 1, and why. Batches are durable one after the other, after a second at the latest if `input` says
    /// [`io::ErrorKind::TimedOut`](std::io::ErrorKind::TimedOut) rather than let one wait: it is asked again then. After a crash, importing again goes on, for what was imported once
    /// is not imported again, be it deleted since: of equal lines as many are here as the input has that has most of them.
    ///
    /// # Errors
    /// [`ChatError::BrokenOff`], which says how far it came: because of a [`ChatError::Import`] if `input` cannot be read on, or of what
    /// appending can fail with.
    pub async fn import(
        &self,
        input: impl BufRead + Send + 'static,
        damaged: impl FnMut(u64, &BadLine) + Send + 'static,
    ) -> Result<ChatImportReport, ChatError> {
        // Not as one writer or the other: the authors have feeds of their own.
        let handle = Handle { name: DEFAULT.into(), ..self.parts.handle.clone() };
        let parts = ChatParts { handle, ..ChatParts::clone(&self.parts) };
        self.run_writing(move |_| import::import(&parts, input, damaged)).await?
    }
}
