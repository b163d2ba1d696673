//! Room for others: one writer must not own the newest page.
//!
//! Whose clock runs ahead, or who writes very much, would fill the newest page of a channel for as long as that goes on. So of one that
//! begins with the newest, at most four fifths are by one author, if there is anything by others: the newest of that takes the place
//! of what is over. The next page goes on before the first message that was left out, so paging skips nothing; what was brought
//! forward comes again where it stands.

use super::read::Shower;
use super::{ChatError, ChatPage, Message, ReadOptions};
use crate::chat::read::window;
use crate::database::Parts;
use kappadb_chat::Channel;
use kappadb_core::{FeedKey, Timestamp};
use kappadb_view_chat::{PageQuery, Place};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// An author of more than its share of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    pub author: FeedKey,
    /// Messages of the page before the first that is over.
    kept: usize,
    /// That one.
    pub over: Place,
    /// Messages wanted by others, at most.
    pub room: usize,
}

impl Crowd {
    /// Who crowds a full page, if anybody. Only of a page that begins with the newest.
    pub fn of(messages: &[Message], options: &ReadOptions) -> Option<Crowd> {
        let limit = options.limit.filter(|limit| *limit == messages.len())?;
        if options.oldest_first || options.after.is_some() || options.until.is_some() || limit < 2 {
            return None;
        }
        let share = limit - (limit / 5).max(1);
        let mut counts: BTreeMap<FeedKey, usize> = BTreeMap::new();
        let over = messages.iter().position(|message| {
            let count = counts.entry(message.author).or_default();
            *count += 1;
            *count > share
        });
        let (kept, message) = over.and_then(|kept| Some((kept, messages.get(kept)?)))?;
        let place = Place { order: message.time, id: message.id };
        Some(Crowd { author: message.author, kept, over: place, room: limit - kept })
    }
}

impl Parts {
    /// Makes room in a page for what others wrote before.
    pub(super) fn chat_make_room(
        &self,
        channel: &Channel,
        options: &ReadOptions,
        crowd: Crowd,
        page: ChatPage,
    ) -> Result<ChatPage, ChatError> {
        let mut others = self.chat_others(channel, options, crowd)?;
        if others.is_empty() {
            return Ok(page);
        }
        let mut messages = page.messages.clone();
        let mut left_out = messages.split_off(crowd.kept);
        let next = messages.last().map(Message::cursor);
        left_out.retain(|message| message.author == crowd.author);
        // Where there is not enough by others, nothing is gained by leaving more out.
        left_out.truncate(crowd.room - others.len());
        others.append(&mut left_out);
        others.sort_unstable_by_key(|message| Reverse(message.cursor()));
        messages.append(&mut others);
        if messages == page.messages {
            return Ok(page);
        }
        Ok(ChatPage { messages, next, crowded_by: Some(crowd.author), ..page })
    }

    /// The newest messages by others before the crowd's first that is over.
    pub(super) fn chat_others(
        &self,
        channel: &Channel,
        options: &ReadOptions,
        crowd: Crowd,
    ) -> Result<Vec<Message>, ChatError> {
        let Some((from, to)) = window(options, self.clock.now()) else { return Ok(Vec::new()) };
        let (mut shower, mut found) = (Shower::new(self)?, Vec::new());
        let except = BTreeSet::from([crowd.author]);
        let all = PageQuery::latest(&channel.folded, Timestamp(to), crowd.room);
        let mut query = PageQuery { from, after: Some(crowd.over), except: &except, ..all };
        while found.len() < crowd.room {
            let places = self.chat.read(|index| index.by_others(&query))??;
            query.after = places.last().copied();
            for place in &places {
                found.extend(shower.shown(&channel.folded, *place, options)?);
            }
            if places.len() < query.limit {
                break;
            }
        }
        found.truncate(crowd.room);
        Ok(found)
    }
}
