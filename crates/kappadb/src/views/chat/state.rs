//! What is known of channels and writers.

use super::{ChannelInfo, ChatError, Topic, recent};
use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, Content, Moderation, StateKey, code, members_of, profile_of};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use std::collections::{BTreeMap, BTreeSet};

impl ChatParts {
    /// The feeds that are "me" for this handle: the one that it writes, and those that this one continues. Other writers of this replica, such as the
    /// authors of an import, are others.
    pub(super) fn me(&self) -> BTreeSet<FeedKey> {
        self.lineage(self.feed_of(&self.name))
    }

    pub(super) fn chat_profile(&self, feed: FeedKey) -> Result<BTreeMap<String, String>, ChatError> {
        if self.moderation()?.is_blocked(None, &feed) {
            return Ok(BTreeMap::new());
        }
        let prefix = profile_of(&feed);
        let fields = self.chat.read(|index| index.winners(&prefix, self.clock.now()))??;
        let mut profile = BTreeMap::new();
        for (_, version) in fields {
            if let Some(Content::Profile { field, value }) = self.chat_post(version.id)?.map(|p| p.content) {
                profile.insert(field, value);
            }
        }
        profile.retain(|_, value| !value.is_empty());
        Ok(profile)
    }
}

impl ChatParts {
    /// All channels, as they are spelled.
    pub(super) fn chat_all(&self) -> Result<Vec<Channel>, ReadError> {
        let names = self.chat_live()?;
        let channel = |folded: String| Ok(Channel { shown: self.chat_spelling(&folded)?, folded });
        names.into_iter().map(channel).collect()
    }

    pub(super) fn chat_channel(
        &self,
        folded: &str,
        moderation: &Moderation,
    ) -> Result<ChannelInfo, ChatError> {
        let archive = self.chat_winner(StateKey::Archive(folded), folded, moderation)?;
        let archived = archive.is_some_and(|version| version.kind.code == code::ARCHIVE);
        let topic = self.chat_topic(folded, moderation)?.map(|topic| topic.text);
        Ok(ChannelInfo { name: self.chat_spelling(folded)?, topic, archived })
    }

    /// True if all who posted to a channel, joined it or left it are blocked there.
    pub(super) fn is_blocked_channel(
        &self,
        folded: &str,
        moderation: &Moderation,
    ) -> Result<bool, ReadError> {
        if !moderation.blocks_anybody() {
            return Ok(false);
        }
        let now = self.clock.now();
        let posted =
            self.chat.read(|index| index.posted(folded, now))??.into_iter().map(|place| place.id.feed);
        let members = self.chat.read(|index| index.winners(&members_of(folded), now))??;
        let members = members.into_iter().map(|(_, version)| version.id.feed);
        Ok(posted.chain(members).all(|feed| moderation.is_blocked(Some(folded), &feed)))
    }

    pub(super) fn chat_exists(&self, folded: &str) -> Result<bool, ReadError> {
        if self.chat.read(|index| index.last_posted(folded, Timestamp(i64::MAX)))??.is_some() {
            return Ok(true);
        }
        Ok(self.chat.read(|index| index.first_member(folded))??.is_some())
    }

    /// True if there is something in a channel.
    pub(super) fn chat_is_live(&self, folded: &str) -> Result<bool, ReadError> {
        self.chat.read(|index| index.is_live(folded))?.map_err(ReadError::from)
    }

    /// Folded names of the channels that are there.
    pub(super) fn chat_live(&self) -> Result<Vec<String>, ReadError> {
        let mut live = Vec::new();
        for name in self.chat.read(|index| index.channels())?? {
            if self.chat_is_live(&name)? {
                live.push(name);
            }
        }
        Ok(live)
    }

    /// The name of a channel as what was posted last spells it.
    pub(super) fn chat_spelling(&self, folded: &str) -> Result<String, ReadError> {
        let now = self.clock.now();
        let posted = self.chat.read(|index| index.last_posted(folded, now))??;
        let id = match posted {
            Some(place) => Some(place.id),
            None => self.chat.read(|index| index.first_joined(folded, now))??,
        };
        let post = id.map(|id| self.chat_post(id)).transpose()?.flatten();
        Ok(spelled(folded, post.map(|post| post.channel)))
    }

    /// What is said of a channel now, by those whose word on it counts.
    fn chat_winner(
        &self,
        key: StateKey<'_>,
        folded: &str,
        moderation: &Moderation,
    ) -> Result<Option<Version>, ReadError> {
        let (key, now) = (key.encode(), self.clock.now());
        let muted = |feed: &FeedKey| moderation.is_muted(Some(folded), feed);
        Ok(self.chat.read(|index| index.winner_without(&key, now, muted))??)
    }

    pub(super) fn chat_topic(
        &self,
        folded: &str,
        moderation: &Moderation,
    ) -> Result<Option<Topic>, ReadError> {
        let winner = self.chat_winner(StateKey::Topic(folded), folded, moderation)?;
        let Some(version) = winner else { return Ok(None) };
        match self.chat_post(version.id)?.map(|post| post.content) {
            Some(Content::Topic(text)) if !text.is_empty() => {
                Ok(Some(Topic { text, id: version.id, time: version.time }))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn chat_nick(&self, feed: &FeedKey) -> Result<Option<String>, ReadError> {
        recent::recent_nick(self, feed, || {
            let (now, key) = (self.clock.now(), StateKey::Profile { feed: *feed, field: "nick" }.encode());
            let versions = self.chat.read(|index| index.counting_versions(&key))??;
            let winner = rules::winner(&rules::heads(&versions), now).map(|version| version.id);
            let said = winner.map(|id| self.chat_said_nick(id)).transpose()?.flatten();
            Ok((said, versions.iter().all(|version| version.time <= now)))
        })
    }

    fn chat_said_nick(&self, id: EntryId) -> Result<Option<String>, ReadError> {
        Ok(self.chat_post(id)?.and_then(|post| match post.content {
            Content::Profile { value, .. } if !value.is_empty() => Some(value),
            _ => None,
        }))
    }

    pub(super) fn chat_members(&self, folded: &str) -> Result<BTreeSet<FeedKey>, ReadError> {
        let mut members: BTreeSet<FeedKey> = self.chat.read(|index| index.posters_of(folded))??;
        members.extend(self.topic_setters(folded)?);
        for (_, version) in self.chat.read(|index| index.winners(&members_of(folded), self.clock.now()))?? {
            let feed = version.id.feed;
            match version.kind.code {
                code::LEAVE if !self.spoke_since(folded, version.id)? => members.remove(&feed),
                code::JOIN => members.insert(feed),
                _ => false,
            };
        }
        Ok(members)
    }

    /// The same for one feed.
    pub(super) fn chat_is_member(&self, folded: &str, feed: &FeedKey) -> Result<bool, ReadError> {
        let key = StateKey::Member { channel: folded, feed: *feed }.encode();
        let said = self.chat.read(|index| index.winner(&key, self.clock.now()))??;
        match said {
            Some(version) if version.kind.code == code::LEAVE => self.spoke_since(folded, version.id),
            Some(_) => Ok(true),
            None if self.topic_setters(folded)?.contains(feed) => Ok(true),
            None => Ok(self.chat.read(|index| index.last_written(feed, folded))??.is_some()),
        }
    }

    /// True if the author of a leave posted to the channel or set its topic later: in the order of its feed, which no clock can turn around.
    fn spoke_since(&self, folded: &str, leave: EntryId) -> Result<bool, ReadError> {
        let EntryId { feed, seq } = leave;
        let topic = StateKey::Topic(folded).encode();
        let topics = self.chat.read(|index| index.counting_versions(&topic))??;
        let posted = self.chat.read(|index| index.last_written(&feed, folded))??;
        Ok(posted.is_some_and(|last| last.id.seq > seq)
            || topics.iter().any(|v| v.id.feed == feed && v.id.seq > seq))
    }

    fn topic_setters(&self, folded: &str) -> Result<BTreeSet<FeedKey>, ReadError> {
        let topic = StateKey::Topic(folded).encode();
        let versions = self.chat.read(|index| index.counting_versions(&topic))??;
        Ok(versions.into_iter().map(|version| version.id.feed).collect())
    }
}

/// A channel's name as an entry spells it, if that is the same name.
pub(super) fn spelled(folded: &str, shown: Option<String>) -> String {
    let channel =
        shown.and_then(|shown| Channel::new(&shown).ok()).filter(|channel| channel.folded == folded);
    channel.map_or_else(|| folded.to_owned(), |channel| channel.shown)
}
