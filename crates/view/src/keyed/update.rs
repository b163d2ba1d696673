//! How the versions of keys change.

use super::Keyed;
use super::active::{Active, FEW};
use super::reader::{ONE_OF_MANY, REDUNDANT, one};
use crate::{Change, Notice, ViewError};
use kappadb_core::{EntryId, codec};
use kappadb_entry::rules::{self, Version};
use kappadb_store::Overlay;
use std::collections::BTreeSet;

/// How the active versions of a key changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUpdate {
    /// The key.
    pub key: Vec<u8>,
    /// The active versions before, ascending by id.
    pub before: Vec<Version>,
    /// And after.
    pub after: Vec<Version>,
    /// How often they changed on the way.
    pub changes: u32,
}

impl KeyUpdate {
    /// What watchers are told; nothing if the heads are the same.
    pub fn notice(&self) -> Option<Notice> {
        let ids = |active: &[Version]| rules::heads(active).iter().map(|v| v.id).collect::<Vec<_>>();
        let (before, heads) = (ids(&self.before), ids(&self.after));
        let gone = before.iter().filter(|id| heads.binary_search(id).is_err()).copied().collect();
        (before != heads).then(|| Notice { key: self.key.clone(), heads, gone, changes: self.changes })
    }
}

impl Keyed {
    /// Takes in one change. `None` if it is not of this space, has no key, or leaves the active versions as they were.
    pub fn apply(
        &mut self,
        rows: &mut Overlay<'_>,
        change: &Change<'_>,
    ) -> Result<Option<KeyUpdate>, ViewError> {
        Ok(self.apply_all(rows, std::slice::from_ref(change))?.pop())
    }

    /// Takes in a batch. At most one update a key, from before the batch to after it; ascending by key.
    pub fn apply_all(
        &mut self,
        rows: &mut Overlay<'_>,
        changes: &[Change<'_>],
    ) -> Result<Vec<KeyUpdate>, ViewError> {
        let key_of = |change| Some((self.key(Change::arrived(change))?, change));
        let mut by_key: Vec<(&[u8], &Change<'_>)> = changes.iter().filter_map(key_of).collect();
        // Stable: the changes of a key stay in order. Rows are read and written in theirs, which is quicker.
        by_key.sort_by_key(|(key, _)| *key);
        let mut updates = Vec::with_capacity(by_key.len());
        for group in by_key.chunk_by(|a, b| a.0 == b.0) {
            let Some((key, _)) = group.first() else { continue };
            updates.extend(self.apply_group(key, group)?);
            self.remember(key);
        }
        self.active.log(rows)?;
        self.each.log(rows)?;
        Ok(updates)
    }

    fn remember(&mut self, key: &[u8]) {
        if self.seen.as_mut().is_some_and(|seen| !seen.may_have(key) && !seen.add(key)) {
            self.seen = None;
        }
    }

    /// Takes in changes of one key: its versions are read once and written once, however many changes there are.
    fn apply_group(
        &mut self,
        key: &[u8],
        group: &[(&[u8], &Change<'_>)],
    ) -> Result<Option<KeyUpdate>, ViewError> {
        let before = self.read().find(key)?;
        let (mut after, mut changes) = (before.versions.clone(), 0);
        for run in group.chunk_by(|(_, a), (_, b)| is_hold(a) == is_hold(b)) {
            if run.first().is_some_and(|(_, change)| is_hold(change)) {
                changes += run.iter().map(|(_, change)| self.hold(key, &mut after, change)).sum::<u32>();
            } else {
                let ids = run.iter().map(|(_, change)| change.arrived().id).collect();
                changes += self.withdraw(key, &mut after, &ids)?;
            }
        }
        if before.versions == after {
            return Ok(None);
        }
        let after = self.with_payloads(after, &before, group);
        self.write_active(key, &before.versions, &after);
        let (before, after) = (before.versions, after.versions);
        Ok(Some(KeyUpdate { key: key.to_vec(), before, after, changes }))
    }

    /// How often the active versions changed: once, unless the version is redundant or known.
    fn hold(&mut self, key: &[u8], active: &mut Vec<Version>, change: &Change<'_>) -> u32 {
        let (id, entry) = (change.arrived().id, &change.arrived().entry);
        let is_in = |active: &[Version]| active.binary_search_by_key(&id, |v| v.id).is_ok();
        let was_in = is_in(active);
        for gone in rules::insert(active, Version::from_header(id, &entry.header)) {
            self.each.put(&one(REDUNDANT, key, &gone.id), Some(&codec::encode(&gone)));
        }
        u32::from(is_in(active) != was_in)
    }

    /// Makes it as if the versions had never come, and says how many of them were active.
    fn withdraw(
        &mut self,
        key: &[u8],
        active: &mut Vec<Version>,
        ids: &BTreeSet<EntryId>,
    ) -> Result<u32, ViewError> {
        ids.iter().for_each(|id| self.each.put(&one(REDUNDANT, key, id), None));
        let left = self.read().leave_out(key, active.clone(), |id| ids.contains(id))?;
        for back in missing(&left, active) {
            self.each.put(&one(REDUNDANT, key, &back.id), None);
        }
        let gone = missing(active, &left).count();
        *active = left;
        Ok(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    /// Versions with what is kept of them: as the entries that came say, or as it was. Of many nothing is kept.
    fn with_payloads(
        &self,
        versions: Vec<Version>,
        before: &Active,
        group: &[(&[u8], &Change<'_>)],
    ) -> Active {
        if versions.len() > FEW {
            return Active::from(versions);
        }
        let payload = |version: &Version| {
            let came = group.iter().map(|(_, change)| change.arrived()).find(|came| came.id == version.id);
            let kept = came.and_then(|came| (self.keeps)(&came.entry));
            kept.or_else(|| before.payload(&version.id)).cloned()
        };
        let payloads = versions.iter().map(payload).collect();
        Active { versions, payloads }
    }

    /// Writes what changed of the active versions of a key, and no others, where there are many.
    fn write_active(&mut self, key: &[u8], before: &[Version], after: &Active) {
        let many = |versions: &[Version]| versions.len() > FEW;
        match &after.versions[..] {
            [] => self.active.put(key, None),
            few if !many(few) => self.active.put(key, Some(&after.encode())),
            _ if !many(before) => self.active.put(key, Some(&Active::default().encode())),
            _ => {}
        }
        let each = |versions| if many(versions) { versions } else { &[] };
        let (before, after) = (each(before), each(&after.versions));
        for gone in missing(before, after) {
            self.each.put(&one(ONE_OF_MANY, key, &gone.id), None);
        }
        for new in missing(after, before) {
            self.each.put(&one(ONE_OF_MANY, key, &new.id), Some(&codec::encode(new)));
        }
    }
}

fn is_hold(change: &Change<'_>) -> bool {
    matches!(change, Change::Hold(_))
}

/// Those of `some` that are not in `others`. Both ascend by id.
fn missing<'a>(some: &'a [Version], others: &'a [Version]) -> impl Iterator<Item = &'a Version> {
    some.iter().filter(|v| others.binary_search_by_key(&v.id, |other| other.id).is_err())
}
