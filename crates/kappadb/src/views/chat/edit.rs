//! Replies, attachments, and messages that say something else now.

use super::ask;
use super::read::said;
use super::{Chat, ChatError, Said};
use crate::engine::batch::Batch;
use crate::error::ReadError;
use crate::network::Answer;
use crate::network::Read;
use crate::views::chat::ChatParts;
use crate::write::Write;
use kappadb_chat::{Channel, Content, Extras, Lane, Post, decode};
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::space;
use kappadb_view_chat::Place;

/// What to post beside the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostOptions {
    /// As an action, such as "waves". Default: a text.
    pub emote: bool,
    /// The message of the same channel that it answers. Default: none.
    pub reply_to: Option<EntryId>,
    /// Blobs that belong to it, at most 16. Default: none.
    pub attachments: Vec<EntryId>,
}

/// What a message said or says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatEdition {
    /// The entry that says so: the message itself, or an edit of it.
    pub id: EntryId,
    /// When, by its author's clock.
    pub time: Timestamp,
    /// What.
    pub said: Said,
    /// The blobs that belong to it.
    pub attachments: Vec<EntryId>,
}

impl Chat {
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
                parts.chat_place(&channel.folded, id)?;
            }
            parts.check_blobs(&extras.blobs)?;
            parts.chat_write(batch, &content, &extras, Some(&channel))
        })
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
        Write::apart(&self.parts, move |parts, batch| parts.chat_edit(batch, id, text, attachments))
    }

    /// All that a message said, from the first on, as far as it is held here.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if it is no message that is held here, or was deleted.
    pub fn history(&self, id: EntryId) -> Read<Answer<ChatEdition>, ChatError> {
        self.question(ask::message(id), move |parts| {
            let (channel, place) = parts.chat_found(id)?;
            let edits = parts.chat.read(|index| index.edits(&channel, &place))??;
            let editions = std::iter::once(id).chain(edits).map(|id| parts.chat_edition(id));
            Ok(Answer::of(editions.collect::<Result<Vec<_>, _>>()?))
        })
    }
}

impl ChatParts {
    /// The channel and place of a message.
    pub(super) fn chat_found(&self, id: EntryId) -> Result<(String, Place), ChatError> {
        let entry = self.entry(id)?.filter(|entry| entry.header.kind.space == space::CHAT);
        let entry = entry.ok_or(ChatError::NotThere(id))?;
        self.chat.read(|index| index.message(&entry.header, id))??.ok_or(ChatError::NotThere(id))
    }

    /// The caller has the turn.
    fn chat_edit(
        &self,
        batch: &mut Batch,
        id: EntryId,
        text: String,
        attachments: Option<Vec<EntryId>>,
    ) -> Result<EntryId, ChatError> {
        self.chat.ready()?;
        let (folded, place) = self.chat_found(id)?;
        if folded.starts_with(Lane::MARK) {
            return match attachments {
                Some(blobs) if !blobs.is_empty() => Err(ChatError::PrivateBlobs),
                _ => self.edit_private(batch, id, place, &text),
            };
        }
        let before = self.chat_spoken(&folded, &place)?;
        // Of a text or an action, held or not; nothing else has words that could be others.
        if !matches!(before.said, Said::Text(_) | Said::Emote(_) | Said::NotHeld) {
            return Err(ChatError::NotThere(id));
        }
        if self.writer()? != id.feed {
            return Err(ChatError::NotYours(id));
        }
        let blobs = attachments.unwrap_or(before.extras.blobs);
        self.check_blobs(&blobs)?;
        let extras = Extras { reply_to: None, blobs };
        let channel = Channel { shown: folded.clone(), folded };
        self.chat_edit_at(batch, &Content::Edit { target: id, text }, &extras, &channel, place.order)
    }

    /// Refuses what is held and is no blob. What is not held may be one.
    fn check_blobs(&self, blobs: &[EntryId]) -> Result<(), ChatError> {
        for id in blobs {
            if self.entry(*id)?.is_some_and(|entry| !crate::views::blobs::is_blob(&entry)) {
                return Err(ChatError::NoBlob(*id));
            }
        }
        Ok(())
    }

    fn chat_edition(&self, id: EntryId) -> Result<ChatEdition, ReadError> {
        let unreadable = |time| ChatEdition { id, time, said: Said::Unreadable, attachments: Vec::new() };
        let Some(entry) = self.entry(id)? else { return Ok(unreadable(Timestamp(0))) };
        let time = entry.header.time;
        Ok(match decode(&entry.header, entry.payload.as_deref()) {
            Ok(Post { content, extras, .. }) => {
                let said = match content {
                    Content::Edit { text, .. } => Said::Text(text),
                    Content::Private(_) => match self.readable_private(id, &entry) {
                        Some((to, says)) => Said::Private { to, text: says.text },
                        None => Said::Sealed,
                    },
                    content => said(content),
                };
                ChatEdition { id, time, said, attachments: extras.blobs }
            }
            Err(_) => unreadable(time),
        })
    }
}
