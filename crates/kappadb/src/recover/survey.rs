//! What lies beyond a fork, and what became of each entry of it.

use super::Standing;
use crate::database::Parts;
use crate::error::{ReadError, RecoverError};
use kappadb_core::{EntryId, FeedKey, Hash, RangeSet, Seq, StoredBlock};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Header, decode_block, is_chunk, origin_of, space};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks looked at together; each may have a megabyte.
const LOOK: usize = 16;

type Key = (u32, Vec<u8>);

/// What a feed has beyond its fork.
pub(super) struct Survey {
    /// The feed, and where it forked.
    pub fork: EntryId,
    /// Its entries from there on, without those that are parts of another's content.
    pub entries: RangeSet,
    /// What became of those of which anything did.
    standing: BTreeMap<Seq, Standing>,
    /// Of each lost entry, the lost entries of its key that it replaced and does not make redundant.
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

    /// Works out which of the versions of a key were replaced: by one that was written here since, or among themselves.
    fn sort_out(&mut self, versions: Vec<Version>, since: &[Version]) {
        for version in &versions {
            if let Some(by) = since.iter().find(|since| rules::replaces(since, version)) {
                self.standing.entry(version.id.seq).or_insert(Standing::Replaced(by.id));
            }
        }
        let mut active = Vec::new();
        for version in versions {
            let by = version.id;
            for gone in rules::insert(&mut active, version) {
                let by =
                    active.iter().find(|other| rules::makes_redundant(other, &gone)).map_or(by, |v| v.id);
                self.standing.entry(gone.id.seq).or_insert(Standing::Replaced(by));
            }
        }
        for version in &active {
            let earlier = active.iter().filter(|other| rules::replaces(version, other));
            let earlier: Vec<Seq> = earlier.map(|other| other.id.seq).collect();
            if !earlier.is_empty() {
                self.replaces.insert(version.id.seq, earlier);
            }
        }
    }
}

/// What was appended again: by the name of what it says, the entries that say it, and the names of those that count no more themselves.
#[derive(Default)]
struct Again(BTreeMap<Hash, Vec<(EntryId, Option<Hash>)>>);

impl Again {
    fn find(&self, origin: &Hash) -> Option<EntryId> {
        // No block can have the hash of what says it again in itself: this ends.
        self.0
            .get(origin)?
            .iter()
            .find_map(|(id, name)| name.as_ref().map_or(Some(*id), |name| self.find(name)))
    }
}

/// A survey under way.
struct Surveyor {
    survey: Survey,
    again: Again,
    keys: BTreeMap<Key, Vec<Version>>,
}

impl Surveyor {
    fn look(&mut self, id: EntryId, block: &StoredBlock) {
        let Survey { fork, entries, standing, .. } = &mut self.survey;
        let header = decode_block(block).ok().map(|entry| entry.header);
        if header.as_ref().is_some_and(is_chunk) {
            return;
        }
        entries.insert(id.seq..id.seq.saturating_add(1));
        let origins = origin_of(&id, block).ok().into_iter().chain(header.as_ref().and_then(Header::origin));
        if let Some(said) = origins.into_iter().find_map(|origin| self.again.find(&origin)) {
            standing.insert(id.seq, Standing::Recovered(said));
        }
        let Some(header) = header else { return };
        match withdrawn(&header) {
            Some(target) if target.feed == fork.feed && target.seq >= fork.seq => {
                standing.entry(id.seq).or_insert(Standing::Withdrawn);
                standing.entry(target.seq).or_insert(Standing::Withdrawn);
            }
            Some(_) => {}
            None => {
                if let Some(key) = &header.key {
                    let versions = self.keys.entry((header.kind.space, key.clone())).or_default();
                    versions.push(Version::from_header(id, &header));
                }
            }
        }
    }
}

impl Parts {
    pub(super) fn survey(&self, feed: FeedKey) -> Result<Survey, RecoverError> {
        if !self.is_own(&feed) {
            return Err(match self.feeds.definition(&feed) {
                Some(_) => RecoverError::NotOurs(feed),
                None => RecoverError::Unknown(feed),
            });
        }
        self.views.ready().map_err(ReadError::from)?;
        let forks = self.feeds.exclusions();
        let seq = forks.into_iter().find(|(of, _)| *of == feed).map_or(Seq::MAX, |(_, seq)| seq);
        let held = self.feeds.held(&feed).minus(&RangeSet::below(seq));
        let again = if held.is_empty() { Again::default() } else { self.said_again(&feed)? };
        let survey = Survey::new(EntryId { feed, seq });
        let mut surveyor = Surveyor { survey, again, keys: BTreeMap::new() };
        self.each_block(&feed, &held, &mut |id, block| {
            surveyor.look(id, block);
            Ok(())
        })?;
        let Surveyor { mut survey, keys, .. } = surveyor;
        let own = self.own_keys();
        for (key, mut versions) in keys {
            versions.retain(|version| survey.standing(version.id.seq) != Standing::Withdrawn);
            survey.sort_out(versions, &self.written_here(&key, &own)?);
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

    /// What the feeds that were begun here and go on for this one say again.
    fn said_again(&self, feed: &FeedKey) -> Result<Again, RecoverError> {
        let mut again = Again::default();
        let forks: BTreeMap<FeedKey, Seq> = self.feeds.exclusions().into_iter().collect();
        let goes_on = |own: &FeedKey| own != feed && self.lineage(Some(*own)).contains(feed);
        for own in self.own_keys().into_iter().filter(goes_on) {
            let counts_below = forks.get(&own).copied().unwrap_or(Seq::MAX);
            self.each_block(&own, &self.feeds.held(&own), &mut |id, block| {
                let origin = decode_block(block).ok().and_then(|entry| entry.header.origin());
                if let Some(origin) = origin {
                    let name = if id.seq < counts_below { None } else { origin_of(&id, block).ok() };
                    again.0.entry(origin).or_default().push((id, name));
                }
                Ok(())
            })?;
        }
        Ok(again)
    }

    fn own_keys(&self) -> BTreeSet<FeedKey> {
        self.feeds.list().into_iter().map(|info| info.feed).filter(|feed| self.is_own(feed)).collect()
    }

    /// The versions of a key that count and were written here. What others wrote may name the other history's entry of the same number, and so
    /// does not show that they had seen this one.
    fn written_here(&self, (space, key): &Key, own: &BTreeSet<FeedKey>) -> Result<Vec<Version>, ReadError> {
        let mut versions = match *space {
            space::KV => self.kv.read(|index| index.history(key))??,
            space::MAP => self.map.read(|index| index.history(key))??,
            space::CHAT => self.chat.read(|index| index.counting_versions(key))??,
            _ => Vec::new(),
        };
        versions.retain(|version| own.contains(&version.id.feed));
        Ok(versions)
    }
}

/// The entry that this one takes back.
fn withdrawn(header: &Header) -> Option<EntryId> {
    (header.kind.space == space::CHAT).then(|| kappadb_chat::deleted(header)).flatten()
}
