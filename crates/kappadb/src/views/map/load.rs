//! Features as people see them: what was found, read from the feeds.

use super::Hit;
use crate::error::{NotHeld, ReadError};
use crate::lines::fields;
use crate::views::map::MapParts;
use kappadb_core::{EntryId, StoredBlock, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Entry, Header, decode_block, payload_of};
use kappadb_geo::{CODE_BARE, CODE_DELETE, CODE_PUT, Feature, Filter};
use serde::Serialize;
use std::collections::HashSet;

/// A feature with all of its current versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The feature's id.
    #[serde(rename = "feature")]
    pub id: String,
    /// Those asked for: one, or several in conflict. The winner first, if it is among them. What several say in the same words is here once: people who
    /// import the same map do not contradict each other.
    pub versions: Vec<Edition>,
    /// How many other current versions are known here, those that say the same counted once.
    pub elsewhere: usize,
    /// True if the one that is shown by default, here or elsewhere, deletes it.
    pub deleted: bool,
    /// How many of all these are dated after this machine's clock: then a clock is wrong, and it may be this one. They lose
    /// against what is not.
    pub ahead: usize,
}

impl Found {
    /// True if people who had not seen each other's change made several current versions.
    pub fn is_conflict(&self) -> bool {
        self.versions.len() + self.elsewhere > 1
    }
}

/// One version of a feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edition {
    /// The entry that made it. Its feed is its author.
    #[serde(flatten, serialize_with = "fields::written")]
    pub entry: EntryId,
    /// When its author says it was made.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
    /// True if it deletes the feature.
    pub deleted: bool,
    /// What it says; none if it deletes the feature, or its content was cleared here or is not held here.
    #[serde(rename = "geojson")]
    pub feature: Option<Feature>,
    /// True for the current one that is shown by default: the greatest time that is due (of all, if
    /// none is), then feed key, then seq.
    pub winner: bool,
}

impl Edition {
    /// What it says; none if it deletes the feature.
    ///
    /// # Errors
    /// If that is not held here.
    pub fn held(&self) -> Result<Option<&Feature>, NotHeld> {
        match &self.feature {
            None if !self.deleted => Err(NotHeld(self.entry)),
            feature => Ok(feature.as_ref()),
        }
    }
}

/// Features loaded at a time: few at first, then as many as their blocks leave room for. What comes in the order of ids lies all over the log, which is in the
/// order of places, so each portion reads all of it.
const FIRST: usize = 1_024;
const MOST: usize = 128 << 10;
/// Bytes of blocks in memory, about.
const BYTES: usize = 32 << 20;

impl MapParts {
    pub(crate) fn load_feature(&self, hit: &Hit) -> Result<Found, ReadError> {
        self.found(hit, |id| self.entry(id))
    }

    /// Calls `visit` with what is found of each hit, in their order. Blocks that lie together in the journal are read together.
    pub(crate) fn load_features<E: From<ReadError>>(
        &self,
        hits: &[Hit],
        visit: &mut dyn FnMut(&Hit, Found) -> Result<(), E>,
    ) -> Result<(), E> {
        self.load_matching(hits, &Filter::default(), visit)
    }

    /// The same, but for hits of which a look shows that nothing that is held of them passes the filter. Others may not pass either.
    pub(crate) fn load_matching<E: From<ReadError>>(
        &self,
        hits: &[Hit],
        filter: &Filter,
        visit: &mut dyn FnMut(&Hit, Found) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut left, mut portion) = (hits, FIRST);
        while !left.is_empty() {
            let (hits, rest) = left.split_at(portion.min(left.len()));
            let ids = hits.iter().flat_map(|hit| hit.heads.iter().chain(&hit.elsewhere)).copied();
            let blocks = self.blocks(ids)?;
            let entry = |id| Ok(blocks.get(&id).and_then(|block| decode_block(block).ok()));
            let may_pass = |id| blocks.get(id).is_none_or(|block| may_pass(block, filter));
            let wanted = hits.iter().filter(|hit| hit.heads.iter().any(may_pass));
            wanted.into_iter().try_for_each(|hit| visit(hit, self.found(hit, entry)?))?;
            let bytes: usize = blocks.values().map(|block| block.bytes.len() + 1).sum();
            let fitting = (BYTES / bytes.max(1)).saturating_mul(portion);
            (left, portion) = (rest, fitting.clamp(1, (portion * 16).min(MOST)));
        }
        Ok(())
    }

    fn found(
        &self,
        hit: &Hit,
        entry: impl Fn(EntryId) -> Result<Option<Entry>, ReadError>,
    ) -> Result<Found, ReadError> {
        if let ([id], []) = (hit.heads.as_slice(), hit.elsewhere.as_slice()) {
            return self.found_alone(hit, *id, entry(*id)?);
        }
        let mut editions = Vec::with_capacity(hit.heads.len());
        let mut held = Vec::with_capacity(hit.heads.len());
        for &id in hit.heads.iter().chain(&hit.elsewhere) {
            let Some(entry) = entry(id)? else { continue };
            let edition = self.edition(&hit.id, id, &entry)?;
            held.push(Version::from_header(id, &entry.header));
            editions.push(edition);
        }
        let now = self.clock.now();
        let winner = rules::winner(&held.iter().collect::<Vec<_>>(), now).map(|version| version.id);
        let ahead = held.iter().filter(|version| version.time > now).count();
        editions.iter_mut().for_each(|edition| edition.winner = Some(edition.entry) == winner);
        let deleted = editions.iter().any(|edition| edition.winner && edition.deleted);
        let editions = distinct(editions);
        let (mut versions, others): (Vec<_>, Vec<_>) =
            editions.into_iter().partition(|edition| hit.heads.contains(&edition.entry));
        versions.sort_by_key(|edition| (!edition.winner, edition.entry));
        Ok(Found { id: hit.id.clone(), versions, elsewhere: others.len(), deleted, ahead })
    }

    /// Nearly all features have one current version: there is nothing to choose.
    fn found_alone(&self, hit: &Hit, id: EntryId, entry: Option<Entry>) -> Result<Found, ReadError> {
        let edition = entry.map(|entry| self.edition(&hit.id, id, &entry)).transpose()?;
        let edition = edition.map(|edition| Edition { winner: true, ..edition });
        let ahead = usize::from(edition.as_ref().is_some_and(|edition| edition.time > self.clock.now()));
        let deleted = edition.as_ref().is_some_and(|edition| edition.deleted);
        Ok(Found { id: hit.id.clone(), versions: Vec::from_iter(edition), elsewhere: 0, deleted, ahead })
    }

    /// One version, as far as it can be read; none if it is lost or no entry.
    pub(crate) fn load_edition(
        &self,
        key: &str,
        id: EntryId,
    ) -> Result<Option<(Header, Edition)>, ReadError> {
        let Some(entry) = self.entry(id)? else { return Ok(None) };
        let edition = self.edition(key, id, &entry)?;
        Ok(Some((entry.header, edition)))
    }

    /// What an entry says of a feature, as far as it is held.
    pub(crate) fn edition(&self, key: &str, id: EntryId, entry: &Entry) -> Result<Edition, ReadError> {
        let deleted = entry.header.kind.code == CODE_DELETE;
        let is_put = matches!(entry.header.kind.code, CODE_PUT | CODE_BARE);
        let payload = if is_put { self.load_payload(id, entry)? } else { None };
        let feature = payload.and_then(|payload| kappadb_geo::decode(key, &payload).ok());
        Ok(Edition { entry: id, time: entry.header.time, deleted, feature, winner: false })
    }
}

/// False if a look at the block shows that what it says of a feature does not pass. Most that is looked at does not, and shows it.
pub(super) fn may_pass(block: &StoredBlock, filter: &Filter) -> bool {
    *filter == Filter::default() || payload_of(block).is_none_or(|body| filter.may_match(body))
}

/// Of those that say the same one: the winner, if it is among them. What cannot be read may say anything.
fn distinct(mut editions: Vec<Edition>) -> Vec<Edition> {
    if editions.len() < 2 {
        return editions;
    }
    editions.sort_by_key(|edition| (!edition.winner, edition.entry));
    let mut said = HashSet::new();
    let says = |edition: &Edition| edition.feature.as_ref().map(|feature| kappadb_geo::encode(&feature.body));
    editions.retain(|edition| match says(edition) {
        None if !edition.deleted => true,
        content => said.insert(content),
    });
    editions
}
