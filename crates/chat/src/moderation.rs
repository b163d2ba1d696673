//! Whose word counts.

use kappadb_core::FeedKey;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// What one writer says of another. `design/chat.md` has a table of what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// Its messages are left out, and can be looked at.
    Hide = 0,
    /// What it says of channels does not count either.
    Mute = 1,
    /// Nothing of it is shown, asked for, or counts.
    Block = 2,
    /// It may hide, mute and block.
    Mod = 3,
    /// It may also name admins and mods.
    Admin = 4,
    /// Nobody's hide, mute or block of it counts for who sets this.
    Allow = 5,
}

impl Flag {
    /// Its name.
    pub fn name(self) -> &'static str {
        ["hide", "mute", "block", "mod", "admin", "allow"].get(self as usize).copied().unwrap_or_default()
    }

    /// All of them.
    pub const ALL: [Flag; 6] = [Flag::Hide, Flag::Mute, Flag::Block, Flag::Mod, Flag::Admin, Flag::Allow];

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A text that is no name of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no flag has this name")]
pub struct NoFlag;

impl FromStr for Flag {
    type Err = NoFlag;

    fn from_str(text: &str) -> Result<Flag, NoFlag> {
        Flag::ALL.into_iter().find(|flag| flag.name() == text).ok_or(NoFlag)
    }
}

/// Whom a replica trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Who reads.
    pub me: BTreeSet<FeedKey>,
    /// They may hide, mute and block, and name admins and mods.
    pub admins: BTreeSet<FeedKey>,
    /// They may hide, mute and block.
    pub mods: BTreeSet<FeedKey>,
    /// What they say counts nowhere, whoever named them.
    pub distrusted: BTreeSet<FeedKey>,
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

impl FlagsEntry {
    /// The strongest of hide, mute and block, or that none of them counts.
    fn ruling(&self) -> Option<Flag> {
        self.flags.iter().copied().filter(|flag| !matches!(flag, Flag::Mod | Flag::Admin)).max()
    }
}

/// What is thought of a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// Hide, mute or block.
    pub flag: Flag,
    /// Who says so.
    pub by: FeedKey,
    /// Why; may be empty.
    pub reason: String,
}

/// Roles by scope: folded, none is everywhere.
type Roles = BTreeMap<Option<String>, BTreeSet<FeedKey>>;

/// Flags, and who may set them.
#[derive(Debug, Clone, Default)]
pub struct Moderation {
    me: BTreeSet<FeedKey>,
    /// By target.
    entries: BTreeMap<FeedKey, Vec<FlagsEntry>>,
    /// Who is admin and who is mod, and where.
    admins: Roles,
    mods: Roles,
    /// Whose flags count nowhere, or not there.
    shunned: Roles,
}

impl Moderation {
    /// Works out who counts.
    pub fn new(trust: Trust, entries: Vec<FlagsEntry>) -> Moderation {
        let Trust { me, admins, mods, distrusted } = trust;
        let mut made = Moderation { me, ..Moderation::default() };
        made.shunned.insert(None, distrusted);
        for entry in entries.iter().filter(|entry| made.me.contains(&entry.by)) {
            if entry.ruling() == Some(Flag::Block) {
                made.shunned.entry(entry.scope.clone()).or_default().insert(entry.target);
            }
        }
        made.admins.insert(None, made.me.union(&admins).copied().collect());
        made.mods.insert(None, mods);
        while made.name_more(&entries) {}
        for entry in entries {
            made.entries.entry(entry.target).or_default().push(entry);
        }
        made
    }

    /// Takes those for admins and mods whom admins name. False if there were no more.
    fn name_more(&mut self, entries: &[FlagsEntry]) -> bool {
        let mut grown = false;
        for entry in entries {
            if !self.is_admin(&entry.by, entry.scope.as_deref()) {
                continue;
            }
            for (flag, roles) in [(Flag::Admin, &mut self.admins), (Flag::Mod, &mut self.mods)] {
                if entry.flags.contains(&flag) {
                    grown |= roles.entry(entry.scope.clone()).or_default().insert(entry.target);
                }
            }
        }
        grown
    }

    fn has(roles: &Roles, feed: &FeedKey, scope: Option<&str>) -> bool {
        let within = |scope: Option<String>| roles.get(&scope).is_some_and(|feeds| feeds.contains(feed));
        within(None) || scope.is_some_and(|scope| within(Some(scope.to_owned())))
    }

    /// True if nothing that this feed says in this scope counts. It is never so of who reads.
    fn is_shunned(&self, feed: &FeedKey, scope: Option<&str>) -> bool {
        Self::has(&self.shunned, feed, scope) && !self.me.contains(feed)
    }

    fn is_admin(&self, feed: &FeedKey, scope: Option<&str>) -> bool {
        Self::has(&self.admins, feed, scope) && !self.is_shunned(feed, scope)
    }

    /// True if what this feed says in this scope counts.
    pub fn counts(&self, feed: &FeedKey, scope: Option<&str>) -> bool {
        let is_mod = Self::has(&self.mods, feed, scope) && !self.is_shunned(feed, scope);
        is_mod || self.is_admin(feed, scope)
    }

    /// What is thought of `author` in a channel, or everywhere. Who reads decides, there before everywhere; where he says nothing, the strongest of what
    /// those say who count. Nobody thinks so of himself.
    pub fn ruling(&self, channel: Option<&str>, author: &FeedKey) -> Option<Ruling> {
        if self.me.contains(author) {
            return None;
        }
        let said = self.entries.get(author)?.iter().filter_map(|entry| Some((entry, entry.ruling()?)));
        let here = |(entry, _): &(&FlagsEntry, Flag)| match &entry.scope {
            None => true,
            Some(scope) => channel == Some(scope),
        };
        let (mine, others): (Vec<_>, Vec<_>) =
            said.filter(here).partition(|(entry, _)| self.me.contains(&entry.by));
        let mine =
            mine.into_iter().max_by_key(|(entry, flag)| (entry.scope.is_some(), *flag, Reverse(entry.by)));
        let others = || {
            let counts = |(entry, flag): &(&FlagsEntry, Flag)| {
                *flag != Flag::Allow && self.counts(&entry.by, entry.scope.as_deref())
            };
            others.into_iter().filter(counts).max_by_key(|(entry, flag)| (*flag, Reverse(entry.by)))
        };
        let (entry, flag) = mine.or_else(others)?;
        let FlagsEntry { by, reason, .. } = entry.clone();
        (flag != Flag::Allow).then_some(Ruling { flag, by, reason })
    }

    /// True if what a writer says of a channel does not count.
    pub fn is_muted(&self, channel: Option<&str>, author: &FeedKey) -> bool {
        self.ruling(channel, author).is_some_and(|ruling| ruling.flag >= Flag::Mute)
    }

    /// True if nothing of a writer is to be shown.
    pub fn is_blocked(&self, channel: Option<&str>, author: &FeedKey) -> bool {
        self.ruling(channel, author).is_some_and(|ruling| ruling.flag == Flag::Block)
    }

    /// False if nobody is blocked anywhere.
    pub fn blocks_anybody(&self) -> bool {
        self.entries.values().flatten().any(|entry| entry.ruling() == Some(Flag::Block))
    }

    /// Those of whom nothing is wanted, wherever it is.
    pub fn blocked(&self) -> BTreeSet<FeedKey> {
        self.entries.keys().filter(|target| self.is_blocked(None, target)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: FeedKey = FeedKey([1; 32]);
    const ADMIN: FeedKey = FeedKey([2; 32]);
    const MOD: FeedKey = FeedKey([3; 32]);
    const ANNA: FeedKey = FeedKey([4; 32]);
    const NOBODY: FeedKey = FeedKey([5; 32]);

    fn set(by: FeedKey, target: FeedKey, scope: Option<&str>, flags: &[Flag]) -> FlagsEntry {
        FlagsEntry {
            by,
            target,
            scope: scope.map(str::to_owned),
            flags: flags.to_vec(),
            reason: String::new(),
        }
    }

    fn made(entries: Vec<FlagsEntry>) -> Moderation {
        let (me, admins) = (BTreeSet::from([ME]), BTreeSet::from([ADMIN]));
        Moderation::new(Trust { me, admins, ..Trust::default() }, entries)
    }

    fn thought(entries: Vec<FlagsEntry>) -> [Option<Flag>; 2] {
        let made = made(entries);
        [None, Some("tea")].map(|channel| made.ruling(channel, &ANNA).map(|ruling| ruling.flag))
    }

    #[test]
    fn the_strongest_of_those_who_count_is_thought_where_it_is_said() {
        use Flag::{Admin, Block, Hide, Mod, Mute};
        let named = || set(ADMIN, MOD, None, &[Mod]);
        assert_eq!(thought(vec![set(NOBODY, ANNA, None, &[Block])]), [None, None]);
        assert_eq!(thought(vec![set(MOD, ANNA, None, &[Hide])]), [None, None]);
        assert_eq!(thought(vec![named(), set(MOD, ANNA, None, &[Hide])]), [Some(Hide); 2]);
        let both =
            vec![named(), set(MOD, ANNA, Some("tea"), &[Mute]), set(ADMIN, ANNA, None, &[Hide, Admin])];
        assert_eq!(thought(both), [Some(Hide), Some(Mute)]);
        // Mods name nobody; admins of a channel count there.
        let chain = vec![named(), set(MOD, NOBODY, None, &[Admin]), set(NOBODY, ANNA, None, &[Hide])];
        assert_eq!(thought(chain), [None, None]);
        let there = vec![set(ADMIN, NOBODY, Some("tea"), &[Mod]), set(NOBODY, ANNA, Some("tea"), &[Block])];
        assert_eq!(thought(there), [None, Some(Block)]);
    }

    #[test]
    fn who_reads_overrules_his_moderators_there_or_everywhere() {
        use Flag::{Allow, Block, Hide};
        let blocked = || set(ADMIN, ANNA, None, &[Block]);
        assert_eq!(thought(vec![blocked(), set(ME, ANNA, None, &[Allow])]), [None, None]);
        assert_eq!(thought(vec![blocked(), set(ME, ANNA, Some("tea"), &[Allow])]), [Some(Block), None]);
        assert_eq!(thought(vec![blocked(), set(ME, ANNA, None, &[Hide])]), [Some(Hide); 2]);
        assert_eq!(thought(vec![blocked(), set(ME, ANNA, None, &[])]), [Some(Block); 2], "that says nothing");
        let mine = vec![set(ME, ANNA, None, &[Block]), set(ME, ANNA, Some("tea"), &[Allow])];
        assert_eq!(thought(mine), [Some(Block), None]);
        assert_eq!(
            thought(vec![set(ADMIN, ANNA, None, &[Allow]), set(ME, ANNA, None, &[Hide])]),
            [Some(Hide); 2]
        );
    }

    #[test]
    fn whom_i_block_or_distrust_does_not_moderate_for_me_nor_does_whom_he_named() {
        use Flag::{Admin, Block, Hide, Mod};
        let said = || {
            vec![
                set(ADMIN, MOD, None, &[Mod]),
                set(MOD, ANNA, Some("tea"), &[Hide]),
                set(ADMIN, ANNA, None, &[Block]),
                set(ADMIN, ME, None, &[Block]),
            ]
        };
        assert_eq!(thought(said()), [Some(Block); 2]);
        let shun = |scope, flags: &[Flag]| [said(), vec![set(ME, ADMIN, scope, flags)]].concat();
        assert_eq!(thought(shun(None, &[Block])), [None, None]);
        assert_eq!(thought(shun(None, &[Hide])), [Some(Block); 2], "who is hidden moderates on");
        let trust = Trust {
            me: BTreeSet::from([ME]),
            admins: BTreeSet::from([ADMIN]),
            mods: BTreeSet::new(),
            distrusted: BTreeSet::from([MOD]),
        };
        let made =
            Moderation::new(trust, vec![set(ADMIN, MOD, None, &[Admin]), set(MOD, ANNA, None, &[Hide])]);
        assert!(made.ruling(None, &ANNA).is_none() && !made.counts(&MOD, None) && made.counts(&ADMIN, None));
    }

    #[test]
    fn nobody_is_hidden_from_himself() {
        let made = made(vec![set(ADMIN, ME, None, &[Flag::Block]), set(ME, ME, None, &[Flag::Block])]);
        assert_eq!(made.ruling(None, &ME), None);
        assert!(made.counts(&ME, None) && made.blocked().is_empty());
    }
}
