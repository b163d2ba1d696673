//! What lies beyond a fork, and what became of each entry of it.

use super::Standing;
use super::heirs::Again;
use crate::error::{ReadError, RecoverError};
use crate::views::Parts;
use kappadb_core::{EntryId, FeedKey, Hash, RangeSet, Seq, StoredBlock};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Entry, decode_block, is_chunk, origin_of, words_of};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks looked at together; each may have a megabyte.
const LOOK: usize = 16;

type Key = (u32, Vec<u8>);

/// What a feed has beyond its fork.
pub(crate) struct Survey {
    /// The feed, and where it forked.
    pub fork: EntryId,
    /// Its entries from there on, without those that are parts of another's content.
    pub entries: RangeSet,
    /// What became of those of which anything did.
    standing: BTreeMap<Seq, Standing>,
    /// Of each lost entry, the entries of its key beyond the fork that it replaced, and that are said again: now, or before.
    pub replaces: BTreeMap<Seq, Vec<Seq>>,
}

impl Survey {
    fn new(fork: EntryId) -> Survey {
        Survey { fork, entries: RangeSet::new(), standing: BTreeMap::new(), replaces: BTreeMap::new() }
    }

    pub fn standing(&self, seq: Seq) -> Standing {
        self.standing.get(&seq).copied().unwrap_or(Standing::Lost)
    }

    /// The first entry from `seq` on.
    pub fn next(&self, seq: Seq) -> Option<Seq> {
        let next = self.entries.ranges().iter().find(|run| run.end > seq);
        next.map(|run| run.start.max(seq))
    }

    /// The entries that are to be appended again.
    pub fn lost(&self) -> RangeSet {
        self.entries.minus(&self.standing.keys().copied().collect())
    }

    /// As what the entry was appended again before.
    pub fn recovered(&self, seq: Seq) -> Option<EntryId> {
        match self.standing.get(&seq) {
            Some(Standing::Recovered(id)) => Some(*id),
            _ => None,
        }
    }

    /// Works out which of the versions of a key were replaced: by one that was written here since, or among themselves. What a head says
    /// already is not to be said beside it.
    fn sort_out(&mut self, versions: Vec<Version>, words: &BTreeMap<Seq, Hash>, stands: &Stands) {
        for version in &versions {
            if let Some(by) = stands.here.iter().find(|since| rules::replaces(since, version)) {
                self.standing.entry(version.id.seq).or_insert(Standing::Replaced(by.id));
            }
        }
        let (mut active, mut said) = (Vec::new(), Vec::new());
        for version in versions {
            let by = version.id;
            for gone in rules::insert(&mut active, version) {
                let by =
                    active.iter().find(|other| rules::makes_redundant(other, &gone)).map_or(by, |v| v.id);
                self.standing.entry(gone.id.seq).or_insert(Standing::Replaced(by));
                said.extend(Some(gone).filter(|gone| self.recovered(gone.id.seq).is_some()));
            }
        }
        for version in &active {
            if let Some(by) = words.get(&version.id.seq).and_then(|words| stands.heads.get(words)) {
                self.standing.entry(version.id.seq).or_insert(Standing::Recovered(*by));
            }
            let earlier = active.iter().chain(&said).filter(|other| rules::replaces(version, other));
            let earlier: Vec<Seq> = earlier.map(|other| other.id.seq).collect();
            if !earlier.is_empty() {
                self.replaces.insert(version.id.seq, earlier);
            }
        }
    }
}

/// A survey under way.
struct Surveyor<'a> {
    parts: &'a Parts,
    survey: Survey,
    again: Again,
    keys: BTreeMap<Key, Vec<Version>>,
    /// What each version says.
    words: BTreeMap<Seq, Hash>,
    /// Edits of messages, with what they are of.
    edits: Vec<(Seq, EntryId)>,
}

/// What counts of a key.
struct Stands {
    /// What was written here. What others wrote may name the other history's entry of the same number, and so does not show that they had seen
    /// this one.
    here: Vec<Version>,
    /// What the owner says in heads since the fork, here or elsewhere.
    heads: BTreeMap<Hash, EntryId>,
}

impl Surveyor<'_> {
    fn look(&mut self, id: EntryId, block: &StoredBlock) {
        let Survey { fork, entries, standing, .. } = &mut self.survey;
        let entry = decode_block(block).ok();
        if entry.as_ref().is_some_and(|entry| is_chunk(&entry.header)) {
            return;
        }
        entries.insert(id.seq..id.seq.saturating_add(1));
        let Some(entry) = entry else { return };
        let here = self.parts.speaks_for_itself(id, &entry);
        let origins = origin_of(&id, block).ok().into_iter().chain(entry.header.origin());
        if let Some(said) = origins.into_iter().find_map(|origin| self.again.find(&origin, here)) {
            standing.insert(id.seq, Standing::Recovered(said));
        }
        let header = entry.header;
        let view = self.parts.of_space(header.kind.space);
        match view.and_then(|view| view.withdrawn(&header)) {
            Some(target) if target.feed == fork.feed && target.seq >= fork.seq => {
                standing.entry(id.seq).or_insert(Standing::Withdrawn);
                standing.entry(target.seq).or_insert(Standing::Withdrawn);
            }
            Some(_) => {}
            None => {
                self.edits.extend(view.and_then(|view| view.edited(&header)).map(|target| (id.seq, target)));
                if let Some(key) = &header.key {
                    let versions = self.keys.entry((header.kind.space, key.clone())).or_default();
                    versions.push(Version::from_header(id, &header));
                    self.words.extend(words_of(block).ok().map(|words| (id.seq, words)));
                }
            }
        }
    }
}

impl Parts {
    pub(crate) fn survey(&self, feed: FeedKey) -> Result<Survey, RecoverError> {
        if !self.is_own(&feed) {
            return Err(match self.feeds.definition(&feed) {
                Some(_) => RecoverError::NotOurs(feed),
                None => RecoverError::Unknown(feed),
            });
        }
        for view in self.all() {
            self.views.ready(view.view()).map_err(ReadError::from)?;
        }
        let forks = self.feeds.exclusions();
        let seq = forks.into_iter().find(|(of, _)| *of == feed).map_or(Seq::MAX, |(_, seq)| seq);
        let held = self.feeds.held(&feed).minus(&RangeSet::below(seq));
        let heirs = if held.is_empty() { Vec::new() } else { self.heirs(&feed) };
        let again = self.said_again(&heirs)?;
        let survey = Survey::new(EntryId { feed, seq });
        let (keys, words) = (BTreeMap::new(), BTreeMap::new());
        let mut surveyor = Surveyor { parts: self, survey, again, keys, words, edits: Vec::new() };
        self.each_block(&feed, &held, &mut |id, block| {
            surveyor.look(id, block);
            Ok(())
        })?;
        let Surveyor { mut survey, keys, words, edits, .. } = surveyor;
        for (edit, of) in edits.into_iter().filter(|(_, of)| of.feed == feed) {
            // What it said later is gone with the message.
            if survey.standing.get(&of.seq) == Some(&Standing::Withdrawn) {
                survey.standing.entry(edit).or_insert(Standing::Withdrawn);
            }
        }
        let own = self.own_keys();
        for (key, mut versions) in keys {
            versions.retain(|version| survey.standing(version.id.seq) != Standing::Withdrawn);
            survey.sort_out(versions, &words, &self.stands(&key, &own, &heirs)?);
        }
        Ok(survey)
    }

    /// Calls `look` with each block that is held, ascending.
    pub(super) fn each_block(
        &self,
        feed: &FeedKey,
        seqs: &RangeSet,
        look: &mut dyn FnMut(EntryId, &StoredBlock) -> Result<(), RecoverError>,
    ) -> Result<(), RecoverError> {
        let mut seqs = seqs.iter();
        loop {
            let part: RangeSet = seqs.by_ref().take(LOOK).collect();
            if part.is_empty() {
                return Ok(());
            }
            for (seq, block) in self.feeds.blocks(feed, &part).map_err(ReadError::from)? {
                look(EntryId { feed: *feed, seq }, &block)?;
            }
        }
    }

    fn own_keys(&self) -> BTreeSet<FeedKey> {
        self.feeds.list().into_iter().map(|info| info.feed).filter(|feed| self.is_own(feed)).collect()
    }

    fn stands(
        &self,
        (space, key): &Key,
        own: &BTreeSet<FeedKey>,
        heirs: &[FeedKey],
    ) -> Result<Stands, ReadError> {
        let history = self.of_space(*space).map(|view| view.history(key));
        let versions = history.transpose()?.unwrap_or_default();
        let mut active = Vec::new();
        let mut stands = Stands { here: Vec::new(), heads: BTreeMap::new() };
        for version in versions {
            stands.here.extend(Some(&version).filter(|version| own.contains(&version.id.feed)).cloned());
            rules::insert(&mut active, version);
        }
        for head in rules::heads(&active).into_iter().filter(|head| heirs.contains(&head.id.feed)) {
            let words = self.feeds.block(&head.id)?.and_then(|block| words_of(&block).ok());
            stands.heads.extend(words.map(|words| (words, head.id)));
        }
        Ok(stands)
    }

    /// True if it says what no other feed can say for this one.
    fn speaks_for_itself(&self, id: EntryId, entry: &Entry) -> bool {
        self.of_space(entry.header.kind.space).is_some_and(|view| view.speaks_for_itself(id, entry))
    }
}
