//! How the versions of keys change.

use super::{FEW, Keyed, ONE_OF_MANY, REDUNDANT};
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
            updates.extend(self.apply_group(rows, key, group)?);
            self.remember(key);
        }
        self.active.log(rows)?;
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
        rows: &mut Overlay<'_>,
        key: &[u8],
        group: &[(&[u8], &Change<'_>)],
    ) -> Result<Option<KeyUpdate>, ViewError> {
        let before = self.active(rows, key)?;
        let (mut after, mut changes) = (before.clone(), 0);
        for run in group.chunk_by(|(_, a), (_, b)| is_hold(a) == is_hold(b)) {
            if run.first().is_some_and(|(_, change)| is_hold(change)) {
                changes +=
                    run.iter().map(|(_, change)| self.hold(rows, key, &mut after, change)).sum::<u32>();
            } else {
                let ids = run.iter().map(|(_, change)| change.arrived().id).collect();
                changes += self.withdraw(rows, key, &mut after, &ids)?;
            }
        }
        self.write_active(rows, key, &before, &after);
        let update = KeyUpdate { key: key.to_vec(), before, after, changes };
        Ok((update.before != update.after).then_some(update))
    }

    /// How often the active versions changed: once, unless the version is redundant or known.
    fn hold(
        &self,
        rows: &mut Overlay<'_>,
        key: &[u8],
        active: &mut Vec<Version>,
        change: &Change<'_>,
    ) -> u32 {
        let (id, entry) = (change.arrived().id, &change.arrived().entry);
        let is_in = |active: &[Version]| active.binary_search_by_key(&id, |v| v.id).is_ok();
        let was_in = is_in(active);
        for gone in rules::insert(active, Version::from_header(id, &entry.header)) {
            rows.put(self.layout.one(REDUNDANT, key, &gone.id), codec::encode(&gone));
        }
        u32::from(is_in(active) != was_in)
    }

    /// Makes it as if the versions had never come, and says how many of them were active.
    fn withdraw(
        &self,
        rows: &mut Overlay<'_>,
        key: &[u8],
        active: &mut Vec<Version>,
        ids: &BTreeSet<EntryId>,
    ) -> Result<u32, ViewError> {
        ids.iter().for_each(|id| rows.delete(self.layout.one(REDUNDANT, key, id)));
        let left = self.leave_out(rows, key, active.clone(), |id| ids.contains(id))?;
        for back in missing(&left, active) {
            rows.delete(self.layout.one(REDUNDANT, key, &back.id));
        }
        let gone = missing(active, &left).count();
        *active = left;
        Ok(u32::try_from(gone).unwrap_or(u32::MAX))
    }
}

impl Keyed {
    /// Writes what changed of the active versions of a key, and no others, where there are many.
    fn write_active(&mut self, rows: &mut Overlay<'_>, key: &[u8], before: &[Version], after: &[Version]) {
        let many = |versions: &[Version]| versions.len() > FEW;
        match after {
            _ if before == after => {}
            [] => self.active.put(key, None),
            _ if !many(after) => self.active.put(key, Some(&codec::encode(&after))),
            _ if !many(before) => self.active.put(key, Some(&codec::encode(&Vec::<Version>::new()))),
            _ => {}
        }
        let each = |versions| if many(versions) { versions } else { &[] };
        let (before, after) = (each(before), each(after));
        for gone in missing(before, after) {
            rows.delete(self.layout.one(ONE_OF_MANY, key, &gone.id));
        }
        for new in missing(after, before) {
            rows.put(self.layout.one(ONE_OF_MANY, key, &new.id), codec::encode(new));
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
