//! Channels, who is in them, what they are called, and whose word counts.

use super::pins::known_as;
use super::{ChannelInfo, Chat, ChatError, FlagChange, FlagsSet, KnownAs, Member, Topic, ask};
use crate::folder::pins::Pin;
use crate::folder::trust::Trusted;
use crate::network::{Answer, Read};
use crate::write::Write;
use kappadb_chat::{Channel, Content, Extras, FlagsEntry, PROFILES, alike, check_nick, fold, likeness};
use kappadb_core::{EntryId, FeedKey};
use kappadb_query::Selector;
use kappadb_view_chat::Ask;
use std::collections::{BTreeMap, BTreeSet};

impl Chat {
    /// The channels that have a message, or somebody in them who joined, by name; not those in which all of them are blocked.
    pub fn channels(&self) -> Read<Answer<ChannelInfo>, ChatError> {
        let ask = ask::channels();
        self.question(ask, |parts| {
            let moderation = parts.moderation()?;
            let mut channels = Vec::new();
            for name in parts.chat_live()? {
                if !parts.is_blocked_channel(&name, &moderation)? {
                    channels.push(parts.chat_channel(&name, &moderation)?);
                }
            }
            Ok(Answer::of(channels))
        })
    }

    /// True if somebody posted to a channel or joined it, as far as is known here, whatever is left of that.
    pub fn exists(&self, channel: &str) -> Read<Answer<bool>, ChatError> {
        let name = channel.to_owned();
        self.question(ask::state(channel.to_owned()), move |parts| {
            Ok(Answer::of([parts.chat_exists(&Channel::new(&name)?.folded)?]))
        })
    }

    /// Who joined a channel, posted to it or set its topic, and has not left since; by feed.
    pub fn members(&self, channel: &str) -> Read<Answer<Member>, ChatError> {
        let name = channel.to_owned();
        self.question(ask::state(channel.to_owned()), move |parts| {
            let (channel, moderation) = (Channel::new(&name)?, parts.moderation()?);
            let mut members = parts.chat_members(&channel.folded)?;
            members.retain(|feed| !moderation.is_muted(Some(&channel.folded), feed));
            let member = |feed| Ok::<_, ChatError>(Member { feed, nick: parts.chat_nick(&feed)? });
            Ok(Answer::of(members.into_iter().map(member).collect::<Result<Vec<_>, _>>()?))
        })
    }

    /// What a channel is about; none if nothing is said of it, or that was cleared.
    pub fn topic(&self, channel: &str) -> Read<Answer<Topic>, ChatError> {
        let name = channel.to_owned();
        self.question(ask::state(channel.to_owned()), move |parts| {
            Ok(Answer::of(parts.chat_topic(&Channel::new(&name)?.folded, &parts.moderation()?)?))
        })
    }

    /// What a writer calls itself.
    pub fn nick(&self, feed: FeedKey) -> Read<Answer<String>, ChatError> {
        self.question(ask::one(Ask::Profile(feed).selector()), move |parts| {
            Ok(Answer::of(parts.chat_profile(feed)?.remove("nick")))
        })
    }

    /// What a writer says of itself, by field. Of whom is blocked everywhere it is nothing.
    pub fn profile(&self, feed: FeedKey) -> Read<Answer<(String, String)>, ChatError> {
        self.question(ask::one(Ask::Profile(feed).selector()), move |parts| {
            Ok(Answer::of(parts.chat_profile(feed)?))
        })
    }

    /// The feeds known here that call themselves by a name or once did, or by one that people would take for it (its skeleton by UTS 39, without
    /// case). Peers are asked for what all writers say of themselves.
    pub fn known_as(&self, name: &str) -> Read<Answer<KnownAs>, ChatError> {
        let wanted = likeness(name.trim());
        self.question(ask::one(Selector::Prefix(PROFILES.to_vec())), move |parts| {
            let known = parts.feeds.list().into_iter().map(|info| known_as(parts, &info.feed, &wanted));
            Ok(Answer::of(known.collect::<Result<Vec<_>, _>>()?.into_iter().flatten()))
        })
    }

    /// All names that stand for a feed here.
    pub fn pins(&self) -> Vec<Pin> {
        self.parts.state.pins.lock().values().cloned().collect()
    }

    /// The feed that a name stands for here, whatever its case.
    pub fn pinned(&self, name: &str) -> Option<FeedKey> {
        self.parts.state.pins.lock().get(&fold(name.trim())).map(|pin| pin.feed)
    }

    /// Writes down whom one means by a name, in place of whom it stood for. It is this replica's own: no peer learns of it. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`ChatError::Model`] if it cannot be a nickname.
    pub async fn pin(&self, name: &str, feed: FeedKey) -> Result<(), ChatError> {
        let name = name.trim().to_owned();
        check_nick(&name)?;
        let change = move |pins: &mut BTreeMap<_, _>| drop(pins.insert(fold(&name), Pin { name, feed }));
        self.run(move |parts| parts.state.pins.change(change).map_err(ChatError::State)).await?
    }

    /// From now on a name stands for nobody here.
    ///
    /// # Errors
    /// [`ChatError::NotPinned`] if it stood for nobody.
    pub async fn unpin(&self, name: &str) -> Result<(), ChatError> {
        let name = name.trim().to_owned();
        self.run(move |parts| {
            let folded = fold(&name);
            if !parts.state.pins.lock().contains_key(&folded) {
                return Err(ChatError::NotPinned(name));
            }
            parts.state.pins.change(|pins| drop(pins.remove(&folded))).map_err(ChatError::State)
        })
        .await?
    }

    /// Of some feeds with what they call themselves, those that people may take for another of them, for this writer, or for a feed that a name is
    /// pinned to: their names are to be shown with something of their fingerprint.
    pub async fn alike(&self, mut named: Vec<(FeedKey, String)>) -> Result<BTreeSet<FeedKey>, ChatError> {
        named.extend(self.pins().into_iter().map(|pin| (pin.feed, pin.name)));
        self.run(move |parts| {
            parts.chat.ready()?;
            let me = parts.feed_of(&parts.name);
            let nick = me.map(|me| parts.chat_nick(&me)).transpose()?.flatten();
            named.extend(me.zip(nick));
            Ok(alike(named.iter().map(|(feed, name)| (*feed, name.as_str()))))
        })
        .await?
    }

    /// Whose moderation is applied here, besides this replica's own.
    pub fn trusted(&self) -> Trusted {
        self.parts.trust.get()
    }

    /// Says whose moderation is to be applied here. What is shown changes at once; nothing is indexed or fetched anew. Tickets
    /// made from now on pass it on. Durable when it returns.
    pub async fn set_trusted(&self, trusted: Trusted) -> Result<(), ChatError> {
        self.run(move |parts| parts.trust.set(trusted).map_err(ChatError::State)).await??;
        // What was hidden so far was asked of nobody.
        self.parts.links.ask_anew();
        Ok(())
    }

    /// Changes the flags that this writer has set on another, in a channel or everywhere. They count for whoever trusts this
    /// writer.
    pub fn flag(
        &self,
        channel: Option<&str>,
        target: FeedKey,
        change: FlagChange,
        reason: &str,
    ) -> Write<EntryId, ChatError> {
        let (channel, reason) = (channel.map(str::to_owned), reason.to_owned());
        Write::apart(&self.parts, move |parts, batch| {
            let scope = channel.as_deref().map(Channel::new).transpose()?;
            let me = parts.writer()?;
            parts.chat.ready()?;
            let folded = scope.as_ref().map(|scope| scope.folded.clone());
            let mine = |set: &FlagsEntry| set.by == me && set.target == target && set.scope == folded;
            let now = parts.chat_flags()?.into_iter().find(mine);
            let mut flags = now.into_iter().flat_map(|set| set.flags).collect();
            change.apply(&mut flags);
            let content = Content::Flags { scope, target, flags: flags.into_iter().collect(), reason };
            parts.chat_write(batch, &content, &Extras::default(), None)
        })
    }

    /// All flags that are set, as far as is known here.
    pub fn flags(&self) -> Read<Answer<FlagsSet>, ChatError> {
        self.question(ask::one(Ask::Flags.selector()), |parts| {
            let moderation = parts.moderation()?;
            let set = |FlagsEntry { by, target, scope, flags, reason }| {
                let counts = moderation.counts(&by, scope.as_deref());
                FlagsSet { target, by, channel: scope, flags, reason, counts }
            };
            let all = parts.chat_flags()?.into_iter().filter(|entry| !entry.flags.is_empty());
            Ok(Answer::of(all.map(set)))
        })
    }
}
