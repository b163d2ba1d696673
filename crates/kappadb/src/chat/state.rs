//! What is known of channels and writers, and what came since a channel was read.

use super::read::Shower;
use super::{ChannelInfo, Chat, ChatError, Member, ReadOptions, Topic, Unread};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_chat::{Channel, Content, Moderation, StateKey, code, members_of, mentions, profile_of};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{Version, standing};
use kappadb_view_chat::{PageQuery, Place};
use std::collections::{BTreeMap, BTreeSet};

impl Chat {
    /// The channels that somebody posted to or joined, by name; not those in which all of them are blocked.
    pub async fn channels(&self) -> Result<Vec<ChannelInfo>, ChatError> {
        self.run(|parts| {
            parts.chat.ready()?;
            let names = parts.chat.read(|index| index.channels())??;
            let moderation = parts.moderation()?;
            let mut channels = Vec::new();
            for name in names {
                if !parts.is_blocked_channel(&name, &moderation)? {
                    channels.push(parts.chat_channel(&name, &moderation)?);
                }
            }
            Ok(channels)
        })
        .await?
    }

    /// True if somebody posted to a channel or joined it, as far as is known here.
    pub async fn exists(&self, channel: &str) -> Result<bool, ChatError> {
        let channel = Channel::new(channel)?;
        self.run(move |parts| {
            parts.chat.ready()?;
            Ok(parts.chat_exists(&channel.folded)?)
        })
        .await?
    }

    /// Who joined a channel, posted to it or set its topic, and has not left since; by feed.
    pub async fn members(&self, channel: &str) -> Result<Vec<Member>, ChatError> {
        let channel = Channel::new(channel)?;
        self.run(move |parts| {
            parts.chat.ready()?;
            let moderation = parts.moderation()?;
            let heard = |feed: &FeedKey| !moderation.is_muted(Some(&channel.folded), feed);
            let member = |feed| Ok(Member { feed, nick: parts.chat_nick(&feed)? });
            parts.chat_members(&channel.folded)?.into_iter().filter(heard).map(member).collect()
        })
        .await?
    }

    /// What a channel is about; none if nothing is said of it, or that was cleared.
    pub async fn topic(&self, channel: &str) -> Result<Option<Topic>, ChatError> {
        let channel = Channel::new(channel)?;
        self.run(move |parts| {
            parts.chat.ready()?;
            Ok(parts.chat_topic(&channel.folded, &parts.moderation()?)?)
        })
        .await?
    }

    /// What a writer calls itself.
    pub async fn nick(&self, feed: FeedKey) -> Result<Option<String>, ChatError> {
        Ok(self.profile(feed).await?.remove("nick"))
    }

    /// What a writer says of itself, by field. Of whom is blocked everywhere it is nothing.
    pub async fn profile(&self, feed: FeedKey) -> Result<BTreeMap<String, String>, ChatError> {
        self.run(move |parts| {
            parts.chat.ready()?;
            if parts.moderation()?.is_blocked(None, &feed) {
                return Ok(BTreeMap::new());
            }
            let prefix = profile_of(&feed);
            let fields = parts.chat.read(|index| index.winners(&prefix, parts.clock.now()))??;
            let mut profile = BTreeMap::new();
            for (_, version) in fields {
                if let Some(Content::Profile { field, value }) =
                    parts.chat_post(version.id)?.map(|p| p.content)
                {
                    profile.insert(field, value);
                }
            }
            profile.retain(|_, value| !value.is_empty());
            Ok(profile)
        })
        .await?
    }

    /// For each channel how many messages by others came since it was marked as read, and how many of them mention this
    /// writer's nickname. Channels without any are left out.
    pub async fn unread(&self) -> Result<Vec<Unread>, ChatError> {
        self.run(|parts| {
            parts.chat.ready()?;
            let names = parts.chat.read(|index| index.channels())??;
            let unread = names.iter().map(|name| parts.chat_unread(name)).collect::<Result<Vec<_>, _>>()?;
            Ok(unread.into_iter().filter(|unread| unread.messages > 0).collect())
        })
        .await?
    }

    /// Marks a channel as read up to a message, by default the latest. A marker never goes back. It is this replica's own.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if there is no such message in the channel.
    pub async fn mark_read(&self, channel: &str, up_to: Option<EntryId>) -> Result<(), ChatError> {
        let channel = Channel::new(channel)?;
        self.run(move |parts| {
            parts.chat.ready()?;
            let place = match up_to {
                None => {
                    let latest =
                        parts.chat_read(&channel, &ReadOptions { hidden: true, ..ReadOptions::latest(1) })?;
                    latest.messages.first().map(|message| Place { order: message.time, id: message.id })
                }
                Some(id) => {
                    let entry = parts.entry(id)?.ok_or(ChatError::NotThere(id))?;
                    let row = parts.chat.read(|index| index.message(&entry.header, id))??;
                    let row = row.filter(|(folded, _)| *folded == channel.folded);
                    Some(row.map(|(_, place)| place).ok_or(ChatError::NotThere(id))?)
                }
            };
            let Some(place) = place else { return Ok(()) };
            parts.markers.set(&channel.folded, place).map_err(ChatError::State)
        })
        .await?
    }
}

impl Parts {
    fn chat_channel(&self, folded: &str, moderation: &Moderation) -> Result<ChannelInfo, ChatError> {
        let archive = self.chat_winner(StateKey::Archive(folded), folded, moderation)?;
        let archived = archive.is_some_and(|version| version.kind.code == code::ARCHIVE);
        let topic = self.chat_topic(folded, moderation)?.map(|topic| topic.text);
        Ok(ChannelInfo { name: self.chat_spelling(folded)?, topic, archived })
    }

    /// True if all who posted to a channel, joined it or left it are blocked there.
    fn is_blocked_channel(&self, folded: &str, moderation: &Moderation) -> Result<bool, ReadError> {
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

    /// The name of a channel as what was posted last spells it.
    fn chat_spelling(&self, folded: &str) -> Result<String, ReadError> {
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

    fn chat_topic(&self, folded: &str, moderation: &Moderation) -> Result<Option<Topic>, ReadError> {
        let winner = self.chat_winner(StateKey::Topic(folded), folded, moderation)?;
        let Some(version) = winner else { return Ok(None) };
        match self.chat_post(version.id)?.map(|post| post.content) {
            Some(Content::Topic(text)) if !text.is_empty() => {
                Ok(Some(Topic { text, id: version.id, time: version.time }))
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn chat_nick(&self, feed: &FeedKey) -> Result<Option<String>, ReadError> {
        let now = self.clock.now();
        let key = StateKey::Profile { feed: *feed, field: "nick" }.encode();
        let winner = self.chat.read(|index| index.winner(&key, now))??;
        let post = winner.map(|version| self.chat_post(version.id)).transpose()?.flatten();
        Ok(post.and_then(|post| match post.content {
            Content::Profile { value, .. } if !value.is_empty() => Some(value),
            _ => None,
        }))
    }

    pub(super) fn chat_members(&self, folded: &str) -> Result<BTreeSet<FeedKey>, ReadError> {
        let now = self.clock.now();
        // What each says last of being there: that it posted or set the topic, or that it joined or left.
        let mut last = BTreeMap::new();
        for place in self.chat.read(|index| index.posted(folded, now))?? {
            last.insert(place.id.feed, standing(place.order, now));
        }
        let topic = StateKey::Topic(folded).encode();
        for version in self.chat.read(|index| index.counting_versions(&topic))?? {
            let said = standing(version.time, now);
            let last = last.entry(version.id.feed).or_insert(said);
            *last = said.max(*last);
        }
        let mut members: BTreeSet<FeedKey> = last.keys().copied().collect();
        for (_, version) in self.chat.read(|index| index.winners(&members_of(folded), now))?? {
            let feed = version.id.feed;
            let since = last.get(&feed).is_some_and(|last| *last > standing(version.time, now));
            match version.kind.code {
                code::LEAVE if !since => members.remove(&feed),
                code::JOIN => members.insert(feed),
                _ => false,
            };
        }
        Ok(members)
    }

    fn chat_unread(&self, folded: &str) -> Result<Unread, ChatError> {
        let own = self.me();
        let nicks = own.iter().filter_map(|feed| self.chat_nick(feed).transpose());
        let nicks = nicks.collect::<Result<Vec<_>, _>>()?;
        let after = self.markers.get(folded);
        let from = after.map_or(i64::MIN, |after| after.order.0);
        let all = PageQuery::latest(folded, self.clock.now(), usize::MAX);
        let query = PageQuery { from, backwards: false, after, ..all };
        let mut shower = Shower::new(self)?;
        let mut unread = Unread { channel: self.chat_spelling(folded)?, messages: 0, mentions: 0 };
        for place in self.chat.read(|index| index.page(&query))?? {
            if own.contains(&place.id.feed) {
                continue;
            }
            let message = shower.message(folded, place)?;
            if message.hidden.is_none() {
                unread.messages += 1;
                let text = message.said.text().unwrap_or_default();
                unread.mentions += u64::from(nicks.iter().any(|nick| mentions(text, nick)));
            }
        }
        Ok(unread)
    }
}

/// A channel's name as an entry spells it, if that is the same name.
pub(super) fn spelled(folded: &str, shown: Option<String>) -> String {
    let channel =
        shown.and_then(|shown| Channel::new(&shown).ok()).filter(|channel| channel.folded == folded);
    channel.map_or_else(|| folded.to_owned(), |channel| channel.shown)
}
