//! Whose word counts.

use kappadb_core::FeedKey;
use std::collections::{BTreeMap, BTreeSet};

/// What a moderator says of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// What it wrote is hidden.
    Hide = 0,
    /// It is not heard.
    Mute = 1,
    /// Nothing of it is taken.
    Block = 2,
    /// It may hide, mute and block.
    Mod = 3,
    /// It may also name admins and mods.
    Admin = 4,
}

impl Flag {
    /// Its name.
    pub fn name(self) -> &'static str {
        ["hide", "mute", "block", "mod", "admin"].get(self as usize).copied().unwrap_or_default()
    }

    pub(crate) const ALL: [Flag; 5] = [Flag::Hide, Flag::Mute, Flag::Block, Flag::Mod, Flag::Admin];

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Whom a replica trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Its own writers.
    pub me: BTreeSet<FeedKey>,
    /// They may hide, mute and block, and name admins and mods.
    pub admins: BTreeSet<FeedKey>,
    /// They may hide, mute and block.
    pub mods: BTreeSet<FeedKey>,
}

/// Flags that are set.
#[derive(Debug, Clone)]
pub struct FlagsEntry {
    /// Who set them.
    pub by: FeedKey,
    /// On whom.
    pub target: FeedKey,
    /// Folded; none is everywhere.
    pub scope: Option<String>,
    /// Which.
    pub flags: Vec<Flag>,
    /// Why; may be empty.
    pub reason: String,
}

/// What is said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Shown,
    /// It is to be hidden.
    Hidden {
        /// Who says so.
        by: FeedKey,
        /// Why; may be empty.
        reason: String,
    },
}

/// Flags, and who may set them.
#[derive(Debug, Clone, Default)]
pub struct Moderation {
    trust: Trust,
    entries: Vec<FlagsEntry>,
    /// Who is admin and who is mod, and where.
    admins: BTreeMap<Option<String>, BTreeSet<FeedKey>>,
    mods: BTreeMap<Option<String>, BTreeSet<FeedKey>>,
}

impl Moderation {
    /// Works out who counts.
    pub fn new(trust: Trust, entries: Vec<FlagsEntry>) -> Moderation {
        let mut made = Moderation { trust, entries, ..Moderation::default() };
        made.admins.insert(None, made.trust.me.union(&made.trust.admins).copied().collect());
        made.mods.insert(None, made.trust.mods.clone());
        loop {
            let mut grown = false;
            for entry in &made.entries {
                if !made.is_admin(&entry.by, entry.scope.as_deref()) {
                    continue;
                }
                for (flag, roles) in [(Flag::Admin, &mut made.admins), (Flag::Mod, &mut made.mods)] {
                    if entry.flags.contains(&flag) {
                        grown |= roles.entry(entry.scope.clone()).or_default().insert(entry.target);
                    }
                }
            }
            if !grown {
                return made;
            }
        }
    }

    fn has(roles: &BTreeMap<Option<String>, BTreeSet<FeedKey>>, feed: &FeedKey, scope: Option<&str>) -> bool {
        let within = |scope: Option<String>| roles.get(&scope).is_some_and(|feeds| feeds.contains(feed));
        within(None) || scope.is_some_and(|scope| within(Some(scope.to_owned())))
    }

    fn is_admin(&self, feed: &FeedKey, scope: Option<&str>) -> bool {
        Self::has(&self.admins, feed, scope)
    }

    /// True if what this feed says in this scope counts.
    pub fn counts(&self, feed: &FeedKey, scope: Option<&str>) -> bool {
        self.is_admin(feed, scope) || Self::has(&self.mods, feed, scope)
    }

    /// What is to be done with what `author` wrote in a channel.
    pub fn verdict(&self, channel: &str, author: &FeedKey) -> Verdict {
        let hides = |entry: &&FlagsEntry| {
            entry.target == *author
                && entry.scope.as_deref().is_none_or(|scope| scope == channel)
                && entry.flags.iter().any(|f| *f <= Flag::Block)
                && self.counts(&entry.by, entry.scope.as_deref())
                && !self.trust.me.contains(author)
        };
        match self
            .entries
            .iter()
            .filter(hides)
            .min_by_key(|entry| (!self.trust.me.contains(&entry.by), entry.by))
        {
            Some(entry) => Verdict::Hidden { by: entry.by, reason: entry.reason.clone() },
            None => Verdict::Shown,
        }
    }
}
