//! Whom a name stands for here: `DIR/pins`, this replica's own. Nicknames are anybody's; what people wrote down of whom they mean by one is not.

use super::ask;
use super::{Chat, ChatError};
use crate::folder::pins::Pin;
use crate::network::Answer;
use crate::network::Read;
use crate::views::chat::ChatParts;
use kappadb_chat::PROFILES;
use kappadb_chat::{Content, StateKey, alike, check_nick, fold, likeness};
use kappadb_core::FeedKey;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet};

/// A feed that calls itself, or once called itself, by a name or one that looks like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAs {
    /// The feed.
    pub feed: FeedKey,
    /// The name, as the feed wrote it.
    pub nick: String,
    /// False if it calls itself otherwise now.
    pub now: bool,
}

impl Chat {
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

    /// The feeds known here that call themselves by a name or once did, or by one that people would take for it (its skeleton by UTS 39, without
    /// case). Peers are asked for what all writers say of themselves.
    pub fn known_as(&self, name: &str) -> Read<Answer<KnownAs>, ChatError> {
        let wanted = likeness(name.trim());
        self.question(ask::one(Selector::Prefix(PROFILES.to_vec())), move |parts| {
            let known = parts.feeds.list().into_iter().map(|info| parts.known_as(&info.feed, &wanted));
            Ok(Answer::of(known.collect::<Result<Vec<_>, _>>()?.into_iter().flatten()))
        })
    }
}

impl Chat {
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
}

impl ChatParts {
    /// The latest name of a feed, of all that it ever had, that is like another.
    fn known_as(&self, feed: &FeedKey, wanted: &str) -> Result<Option<KnownAs>, ChatError> {
        let key = StateKey::Profile { feed: *feed, field: "nick" }.encode();
        let mut versions = self.chat.read(|index| index.versions(&key))??;
        versions.sort_by_key(|version| version.id.seq);
        let current = self.chat_nick(feed)?;
        for version in versions.iter().rev() {
            let Some(Content::Profile { value: nick, .. }) =
                self.chat_post(version.id)?.map(|post| post.content)
            else {
                continue;
            };
            if likeness(&nick) == wanted {
                let now = current.is_some_and(|current| likeness(&current) == wanted);
                return Ok(Some(KnownAs { feed: *feed, nick, now }));
            }
        }
        Ok(None)
    }
}
