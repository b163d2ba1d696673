//! Replies, attachments, and messages that say something else now.

use super::read::said;
use super::{ChatError, Said};
use crate::engine::batch::Batch;
use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, Content, Extras, Lane, Post, decode};
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::space;
use kappadb_view_chat::Place;
use serde::Serialize;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatEdition {
    /// The entry that says so: the message itself, or an edit of it.
    pub id: EntryId,
    /// When, by its author's clock.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub said: Said,
    /// The blobs that belong to it.
    pub attachments: Vec<EntryId>,
}

/// The channel and place of a message.
pub(super) fn chat_found(parts: &ChatParts, id: EntryId) -> Result<(String, Place), ChatError> {
    let entry = parts.entry(id)?.filter(|entry| entry.header.kind.space == space::CHAT);
    let entry = entry.ok_or(ChatError::NotThere(id))?;
    parts.chat.read(|index| index.message(&entry.header, id))??.ok_or(ChatError::NotThere(id))
}

/// The caller has the turn.
pub(super) fn chat_edit(
    parts: &ChatParts,
    batch: &mut Batch,
    id: EntryId,
    text: String,
    attachments: Option<Vec<EntryId>>,
) -> Result<EntryId, ChatError> {
    parts.chat.ready()?;
    let (folded, place) = chat_found(parts, id)?;
    if folded.starts_with(Lane::MARK) {
        return match attachments {
            Some(blobs) if !blobs.is_empty() => Err(ChatError::PrivateBlobs),
            _ => parts.edit_private(batch, id, place, &text),
        };
    }
    let before = parts.chat_spoken(&folded, &place)?;
    // Of a text or an action, held or not; nothing else has words that could be others.
    if !matches!(before.said, Said::Text(_) | Said::Emote(_) | Said::NotHeld) {
        return Err(ChatError::NotThere(id));
    }
    if parts.writer()? != id.feed {
        return Err(ChatError::NotYours(id));
    }
    let blobs = attachments.unwrap_or(before.extras.blobs);
    check_blobs(parts, &blobs)?;
    let extras = Extras { reply_to: None, blobs };
    let channel = Channel { shown: folded.clone(), folded };
    parts.chat_edit_at(batch, &Content::Edit { target: id, text }, &extras, &channel, place.order)
}

/// Refuses what is held and is no blob. What is not held may be one.
pub(super) fn check_blobs(parts: &ChatParts, blobs: &[EntryId]) -> Result<(), ChatError> {
    for id in blobs {
        if parts.entry(*id)?.is_some_and(|entry| !crate::views::blobs::is_blob(&entry)) {
            return Err(ChatError::NoBlob(*id));
        }
    }
    Ok(())
}

pub(super) fn chat_edition(parts: &ChatParts, id: EntryId) -> Result<ChatEdition, ReadError> {
    let unreadable = |time| ChatEdition { id, time, said: Said::Unreadable, attachments: Vec::new() };
    let Some(entry) = parts.entry(id)? else { return Ok(unreadable(Timestamp(0))) };
    let time = entry.header.time;
    Ok(match decode(&entry.header, entry.payload.as_deref()) {
        Ok(Post { content, extras, .. }) => {
            let said = match content {
                Content::Edit { text, .. } => Said::Text(text),
                Content::Private(_) => match parts.readable_private(id, &entry) {
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
