//! Whom a name stands for here: `DIR/pins`, this replica's own. Nicknames are anybody's; what people wrote down of whom they mean by one is not.

use super::ask;
use super::{Chat, ChatError};
use crate::database::Parts;
use crate::error::OpenError;
use crate::folder::files::{read_file, write_file};
use crate::network::answer::Answer;
use crate::network::read::Read;
use kappadb_chat::PROFILES;
use kappadb_chat::{Content, StateKey, alike, check_nick, fold, likeness};
use kappadb_core::FeedKey;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A name, and the feed that is meant by it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// As it was written.
    pub name: String,
    /// Whom it stands for.
    pub feed: FeedKey,
}

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

/// The pins, by folded name.
pub(crate) struct Pins {
    path: PathBuf,
    pins: Mutex<BTreeMap<String, Pin>>,
}

impl Pins {
    pub fn load(dir: &Path) -> Result<Pins, OpenError> {
        let path = dir.join("pins");
        let text = read_file(&path)?.unwrap_or_default();
        let line = |line: &str| {
            let (feed, name) = line.split_once(' ')?;
            check_nick(name).ok()?;
            Some((fold(name), Pin { name: name.to_owned(), feed: feed.parse().ok()? }))
        };
        let pins = text.lines().map(line).collect::<Option<_>>();
        let damaged = || OpenError::Damaged { path: path.clone(), wanted: "`<feed> <name>` a line" };
        Ok(Pins { pins: Mutex::new(pins.ok_or_else(damaged)?), path })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Pin>> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Durable when it returns.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Pin>)) -> io::Result<()> {
        let mut pins = self.lock();
        let mut new = pins.clone();
        change(&mut new);
        let line = |Pin { name, feed }: &Pin| format!("{feed} {name}\n");
        write_file(&self.path, &new.values().map(line).collect::<String>())?;
        *pins = new;
        Ok(())
    }
}

impl Chat {
    /// All names that stand for a feed here.
    pub fn pins(&self) -> Vec<Pin> {
        self.parts.pins.lock().values().cloned().collect()
    }

    /// The feed that a name stands for here, whatever its case.
    pub fn pinned(&self, name: &str) -> Option<FeedKey> {
        self.parts.pins.lock().get(&fold(name.trim())).map(|pin| pin.feed)
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
        self.run(move |parts| parts.pins.change(change).map_err(ChatError::State)).await?
    }

    /// From now on a name stands for nobody here.
    ///
    /// # Errors
    /// [`ChatError::NotPinned`] if it stood for nobody.
    pub async fn unpin(&self, name: &str) -> Result<(), ChatError> {
        let name = name.trim().to_owned();
        self.run(move |parts| {
            let folded = fold(&name);
            if !parts.pins.lock().contains_key(&folded) {
                return Err(ChatError::NotPinned(name));
            }
            parts.pins.change(|pins| drop(pins.remove(&folded))).map_err(ChatError::State)
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

impl Parts {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn pins_come_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let pins = Pins::load(dir.path()).unwrap();
        for (name, seed) in [("Anna Lee", 1), ("größe", 2), ("ANNA LEE", 3)] {
            let pin = Pin { name: name.to_owned(), feed: FeedKey([seed; 32]) };
            pins.change(|pins| drop(pins.insert(fold(name), pin))).unwrap();
        }
        let again = Pins::load(dir.path()).unwrap();
        assert_eq!(*again.lock(), *pins.lock());
        assert_eq!(again.lock()["anna lee"].feed, FeedKey([3; 32]));
        for damage in ["anna", "x anna", &format!("{} ", FeedKey([1; 32]))] {
            fs::write(dir.path().join("pins"), damage).unwrap();
            assert!(matches!(Pins::load(dir.path()), Err(OpenError::Damaged { .. })), "{damage:?}");
        }
    }
}
