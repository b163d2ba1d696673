//! What others have to know of chat.

use super::erase::{forget_deleted_words, honour_deletes};
use super::unread::chat_joined;
use super::{ChatParts, Said, follow};
use crate::error::{LogError, ReadError};
use crate::network::Follow;
use crate::network::ask::CHAT;
use crate::views::again::{Carry, NotRecovered, Refused};
use crate::views::part::Part;
use crate::views::says::Says;
use bytes::Bytes;
use kappadb_chat::Content as Posted;
use kappadb_chat::{Channel, Post, StateKey, code, deleted, edited, is_private, visible_name};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_entry::{Entry, Header};
use kappadb_view_chat::{PageQuery, channel_of};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages of a channel that are looked at, of those that are dated ahead.
const AHEAD: usize = 100;

impl Part for ChatParts {
    fn view(&self) -> &'static str {
        CHAT
    }

    fn history(&self, key: &[u8]) -> Result<Vec<Version>, ReadError> {
        Ok(self.chat.read(|index| index.counting_versions(key))??)
    }

    fn says(&self, id: EntryId, entry: &Entry) -> Result<Option<Says>, ReadError> {
        let header = &entry.header;
        if let Some((to, says)) = self.own_private(id, entry) {
            let (channel, kind) = (String::new(), "private".to_owned());
            return Ok(Some(Says::Chat { channel, kind, text: Some(says.text), to: Some(to) }));
        }
        let moment = header.places.moments.first();
        let channel = match (header.key.as_deref().and_then(channel_of), moment) {
            (Some(channel), _) => channel.to_owned(),
            (None, Some(moment)) => String::from_utf8_lossy(&moment.channel).into_owned(),
            (None, None) => String::new(),
        };
        let (kind, text) = words(kappadb_chat::decode(header, entry.payload.as_deref()).ok());
        Ok(Some(Says::Chat { channel, kind, text, to: None }))
    }

    fn edited(&self, header: &Header) -> Option<EntryId> {
        edited(header)
    }

    fn withdrawn(&self, header: &Header) -> Option<EntryId> {
        deleted(header)
    }

    fn speaks_for_itself(&self, id: EntryId, entry: &Entry) -> bool {
        let itself = |of: FeedKey| of == id.feed;
        if entry.header.kind.code == code::PRIVATE {
            return self.own_private(id, entry).is_none_or(|(to, _)| itself(to));
        }
        match entry.header.key.as_deref().and_then(StateKey::decode) {
            Some(StateKey::Member { feed, .. } | StateKey::Profile { feed, .. }) => itself(feed),
            Some(StateKey::Flags { by, .. }) => itself(by),
            Some(StateKey::Topic(_) | StateKey::Archive(_)) | None => false,
        }
    }

    fn say_again(
        &self,
        id: EntryId,
        entry: &Entry,
        header: &mut Header,
        carry: &mut Carry<'_>,
    ) -> Result<Option<Bytes>, Refused> {
        match header.kind.code {
            code::PRIVATE => return seal_again(self, id, entry, header, carry),
            code::DELETE if deleted(header).is_none_or(|target| target.feed == id.feed) => {
                return Err(Refused::Entry(NotRecovered::Withdrawal));
            }
            code::EDIT => {
                let target = edited(&entry.header).filter(|target| *target >= carry.fork);
                let target = target.filter(|target| target.feed == id.feed);
                let again = target.map(|target| (carry.again)(target.seq)).transpose()?.flatten();
                header.context.ids = vec![again.ok_or(Refused::Entry(NotRecovered::Withdrawal))?];
                if is_private(header) {
                    return seal_again(self, id, entry, header, carry);
                }
            }
            _ => speak_for_itself(header, carry),
        }
        Ok(None)
    }

    fn called(&self, feed: &FeedKey) -> Result<Option<String>, ReadError> {
        if !self.chat.runs() {
            return Ok(None);
        }
        self.chat.ready()?;
        Ok(self.chat_nick(feed)?.map(|nick| visible_name(&nick).to_string()))
    }

    fn dated_ahead(&self, by: i64) -> Result<BTreeMap<FeedKey, i64>, ReadError> {
        let (now, me) = (self.clock.now(), self.me());
        let mut writers = BTreeMap::new();
        if !self.chat.runs() {
            return Ok(writers);
        }
        for channel in chat_joined(self, &me)? {
            let all = PageQuery::latest(&channel, Timestamp(i64::MAX), AHEAD);
            let ahead = PageQuery { from: now.0.saturating_add(by), backwards: false, ..all };
            for place in self.chat.read(|index| index.page(&ahead))?? {
                // What its clock showed, not where the message stands: that follows others.
                let entry = self.entry(place.id)?.filter(|_| !me.contains(&place.id.feed));
                if let Some(entry) = entry {
                    let by = entry.header.time.0.saturating_sub(now.0);
                    let most = writers.entry(place.id.feed).or_insert(by);
                    *most = by.max(*most);
                }
            }
        }
        Ok(writers)
    }

    fn before_compaction(&self) -> Result<(), LogError> {
        honour_deletes(self, &self.chat)
    }

    fn after_compaction(&self) {
        if let Err(error) = forget_deleted_words(&self.chat) {
            tracing::warn!(%error, "words of deleted messages stay in the index until the next compaction");
        }
    }

    fn channel(&self, name: &str) -> Vec<Follow> {
        let channel = Channel::new(name).ok().as_ref().map(follow::channel);
        channel.into_iter().chain([follow::state()]).collect()
    }

    fn private(self: Arc<Self>) -> Vec<Follow> {
        follow::private(&self).to_vec()
    }
}

/// What is private, for the same reader.
fn seal_again(
    parts: &ChatParts,
    id: EntryId,
    entry: &Entry,
    header: &mut Header,
    carry: &Carry<'_>,
) -> Result<Option<Bytes>, Refused> {
    let again = parts.private_again(id, entry, &carry.to);
    let again = again.ok_or(Refused::Entry(NotRecovered::Sealed))?;
    header.places = again.places;
    Ok(Some(again.payload.into()))
}

/// What only a feed itself may say of itself is said of the feed that says it now.
fn speak_for_itself(header: &mut Header, carry: &Carry<'_>) {
    let itself = |of: FeedKey| if of == carry.fork.feed { carry.to } else { of };
    let again = match header.key.as_deref().and_then(StateKey::decode) {
        Some(StateKey::Member { channel, feed }) => StateKey::Member { channel, feed: itself(feed) },
        Some(StateKey::Profile { feed, field }) => StateKey::Profile { feed: itself(feed), field },
        Some(StateKey::Flags { scope, target, by }) => StateKey::Flags { scope, target, by: itself(by) },
        Some(StateKey::Topic(_) | StateKey::Archive(_)) | None => return,
    };
    header.key = Some(again.encode());
}

/// The sort and the text of something in chat.
fn words(post: Option<Post>) -> (String, Option<String>) {
    let (kind, text) = match post.map(|post| post.content) {
        Some(Posted::Text(text)) => ("text", Some(text)),
        Some(Posted::Edit { text, .. }) => ("edit", Some(text)),
        Some(Posted::Emote(text)) => ("emote", Some(text)),
        Some(Posted::Topic(text)) => ("topic", Some(text)),
        Some(Posted::Profile { field, value }) => return (field, Some(value)),
        Some(Posted::Join) => ("join", None),
        Some(Posted::Leave) => ("leave", None),
        Some(Posted::Archive { reason }) => ("archive", Some(reason)),
        Some(Posted::Unarchive { reason }) => ("unarchive", Some(reason)),
        Some(Posted::Delete { target, .. }) => ("delete", Some(target.to_string())),
        Some(Posted::Flags { target, flags, reason, .. }) => {
            let flags: Vec<String> = flags.iter().map(|flag| format!("{flag:?}").to_lowercase()).collect();
            ("flags", Some(format!("{} on {target}: {reason}", flags.join(","))))
        }
        Some(Posted::Private(_)) => (Said::Sealed.kind(), None),
        Some(Posted::Cleared { .. }) => (Said::NotHeld.kind(), None),
        Some(Posted::Unknown { .. }) => ("unknown", None),
        None => (Said::Unreadable.kind(), None),
    };
    (kind.to_owned(), text)
}
