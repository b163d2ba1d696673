//! What all views of keyed entries share: which versions of each key are held, and which of them count.
//!
//! Rows, under one leading byte that the view chooses:
//!
//! ```text
//! P 00 key                               bincode [Version], ascending by id: the active ones, none redundant
//! P 01 len(key) u16 BE key feed seq BE   bincode Version: one that another made redundant
//! ```
//!
//! The active versions are all that answers and peers need, and lie in one row. The redundant ones are kept so that they
//! count again when what made them redundant is withdrawn.

use crate::seen::Seen;
use crate::{Arrived, Change, Notice, ViewError};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, codec};
use kappadb_entry::rules::{self, Version};
use kappadb_query::Selector;
use kappadb_store::{Overlay, StoreError, Tree, prefix_bounds, prefix_range};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Bytes of an active row, at most. A version has up to 16 KiB; only a flood of conflicts comes near.
const MAX_ROW: usize = 256 << 20;

/// Rows to read from: a tree, or one with pending writes.
pub trait Rows {
    /// The value of `key`.
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// The rows whose keys start with `prefix`.
    fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError>;
}

impl Rows for dyn Tree + '_ {
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.get(key)
    }

    fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        prefix_range(self, prefix).collect()
    }
}

impl Rows for Overlay<'_> {
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.get(key)
    }

    fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.range_prefix(prefix)
    }
}

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
        let gone: Vec<EntryId> = before.iter().filter(|id| !heads.contains(id)).copied().collect();
        (before != heads).then(|| Notice { key: self.key.clone(), heads, gone, changes: self.changes })
    }
}

/// The versions of the keys of one space, in rows that start with one byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    prefix: u8,
    space: u32,
    /// All keys, if they are known.
    seen: Option<Seen>,
}

impl Keyed {
    /// Entries whose kind is of `space` (`kappadb_entry::space`), in rows that start with `prefix`, which is not 0.
    pub const fn new(prefix: u8, space: u32) -> Self {
        Keyed { prefix, space, seen: None }
    }

    /// The same, over the rows of `tree`. If there are none yet it remembers which keys come, up to some 10 million: then nothing
    /// is read to find that a key is new, which makes filling an empty tree much faster. All changes must go through it.
    pub fn open(prefix: u8, space: u32, tree: &dyn Tree) -> Result<Self, StoreError> {
        let is_empty = prefix_range(tree, &[prefix]).next().transpose()?.is_none();
        Ok(Keyed { seen: is_empty.then(Seen::default), ..Keyed::new(prefix, space) })
    }

    fn is_new(&self, key: &[u8]) -> bool {
        self.seen.as_ref().is_some_and(|seen| !seen.may_have(key))
    }

    fn active_row(&self, key: &[u8]) -> Vec<u8> {
        [&[self.prefix, 0], key].concat()
    }

    fn redundant_rows(&self, key: &[u8]) -> Vec<u8> {
        // Keys have at most MAX_KEY bytes; with the length before it, no key's rows lie among another's.
        let len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[self.prefix, 1], &len[..], key].concat()
    }

    fn redundant_row(&self, key: &[u8], id: &EntryId) -> Vec<u8> {
        [&self.redundant_rows(key)[..], &id.feed.0, &id.seq.to_be_bytes()].concat()
    }

    /// The key of an entry, if it has one and is of this space.
    fn key<'a>(&self, arrived: &'a Arrived) -> Option<&'a [u8]> {
        let header = &arrived.entry.header;
        header.key.as_deref().filter(|_| header.kind.space == self.space)
    }

    /// The active versions of `key`, ascending by id: those that no other makes redundant.
    pub fn active<R: Rows + ?Sized>(&self, rows: &R, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        if self.is_new(key) {
            return Ok(Vec::new());
        }
        match rows.value(&self.active_row(key))? {
            Some(row) => Ok(decode_active(&row)?),
            None => Ok(Vec::new()),
        }
    }

    /// What [`Keyed::active`] would be if no entry of the feeds `without` were held.
    pub fn active_without<R: Rows + ?Sized>(
        &self,
        rows: &R,
        key: &[u8],
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<Version>, ViewError> {
        let active = self.active(rows, key)?;
        self.leave_out(rows, key, active, |id| without.contains(&id.feed))
    }

    /// The active versions of `key` if those that are `out` were not held, made of all that are `active`. Whatever is redundant
    /// because of one that is out is so because of an active one (`design/model.md`): only then is anything looked up.
    pub fn leave_out<R: Rows + ?Sized>(
        &self,
        rows: &R,
        key: &[u8],
        active: Vec<Version>,
        out: impl Fn(&EntryId) -> bool,
    ) -> Result<Vec<Version>, ViewError> {
        if !active.iter().any(|version| out(&version.id)) {
            return Ok(active);
        }
        let mut left = Vec::new();
        for version in active.into_iter().chain(self.redundant(rows, key)?).filter(|v| !out(&v.id)) {
            rules::insert(&mut left, version);
        }
        Ok(left)
    }

    /// The heads of `key`, ascending by id.
    pub fn heads<R: Rows + ?Sized>(&self, rows: &R, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let active = self.active(rows, key)?;
        Ok(rules::heads(&active).into_iter().cloned().collect())
    }

    /// All versions of `key` that are held, ascending by id.
    pub fn versions<R: Rows + ?Sized>(&self, rows: &R, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let mut versions = self.active(rows, key)?;
        versions.extend(self.redundant(rows, key)?);
        versions.sort_unstable_by_key(|v| v.id);
        Ok(versions)
    }

    fn redundant<R: Rows + ?Sized>(&self, rows: &R, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let rows = rows.with_prefix(&self.redundant_rows(key))?.into_iter();
        let versions = rows.map(|(_, row)| codec::decode::<Version, MAX_ROW>("redundant version", &row));
        Ok(versions.collect::<Result<_, _>>()?)
    }

    /// The keys that start with `prefix` and come after `after`, ascending, with their active versions.
    pub fn scan<'a>(
        &self,
        tree: &'a dyn Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let (from, to) = prefix_bounds(&self.active_row(prefix));
        let after = after.map(|key| Bytes::from(self.active_row(key)));
        let from = match (from, after) {
            (Bound::Included(from), Some(after)) if after >= from => Bound::Excluded(after),
            (from, _) => from,
        };
        tree.range(from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..])).map(|row| {
            let (row, value) = row?;
            Ok((row.get(2..).unwrap_or_default().to_vec(), decode_active(&value)?))
        })
    }

    /// The keys between the bounds, ascending, with their active versions; from either end.
    pub fn range<'a>(
        &self,
        tree: &'a dyn Tree,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let (all, end) = prefix_bounds(&self.active_row(&[]));
        let row = |bound: Bound<&[u8]>, open: Bound<Bytes>| match bound {
            Bound::Unbounded => open,
            bound => bound.map(|key| Bytes::from(self.active_row(key))),
        };
        let (from, to) = (row(from, all), row(to, end));
        tree.range(from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..])).map(|row| {
            let (row, value) = row?;
            Ok((row.get(2..).unwrap_or_default().to_vec(), decode_active(&value)?))
        })
    }

    /// The active versions that must be sent to whoever asks `selector`: all of [`crate::Index::matches`], for a view that
    /// has no index of its own for the selector's kind. Looks at every key unless the selector names keys or a prefix.
    pub fn matches(
        &self,
        tree: &dyn Tree,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        match selector {
            Selector::Keys(keys) => {
                for key in keys {
                    ids.extend(self.active_without(tree, key, without)?.into_iter().map(|v| v.id));
                }
            }
            Selector::Versions(keys) => {
                for key in keys {
                    let versions = self.versions(tree, key)?.into_iter();
                    ids.extend(versions.map(|v| v.id).filter(|id| !without.contains(&id.feed)));
                }
            }
            _ => {
                let prefix = if let Selector::Prefix(prefix) = selector { &prefix[..] } else { &[] };
                for row in self.scan(tree, prefix, None) {
                    let (key, active) = row?;
                    let active = self.leave_out(tree, &key, active, |id| without.contains(&id.feed))?;
                    let wanted = active.iter().filter(|v| selector.needs_version(Some(&key), v));
                    ids.extend(wanted.map(|v| v.id));
                }
            }
        }
        Ok(ids)
    }

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
            updates.extend(self.apply_group(rows, group)?);
            group.first().into_iter().for_each(|(key, _)| self.remember(key));
        }
        Ok(updates)
    }

    fn remember(&mut self, key: &[u8]) {
        if self.seen.as_mut().is_some_and(|seen| !seen.may_have(key) && !seen.add(key)) {
            self.seen = None;
        }
    }

    /// Takes in changes of one key.
    fn apply_group(
        &self,
        rows: &mut Overlay<'_>,
        group: &[(&[u8], &Change<'_>)],
    ) -> Result<Option<KeyUpdate>, ViewError> {
        let mut update: Option<KeyUpdate> = None;
        for (key, change) in group {
            let active =
                update.as_ref().map_or_else(|| self.active(rows, key), |so_far| Ok(so_far.after.clone()));
            let (before, after) = match change {
                Change::Hold(arrived) => self.hold(rows, key, active?, arrived)?,
                Change::Withdraw(arrived) => self.withdraw(rows, key, active?, &arrived.id)?,
            };
            let changed = u32::from(before != after);
            match &mut update {
                Some(update) => {
                    update.after = after;
                    update.changes += changed;
                }
                None => update = Some(KeyUpdate { key: key.to_vec(), before, after, changes: changed }),
            }
        }
        Ok(update.filter(|update| update.before != update.after))
    }

    fn hold(
        &self,
        rows: &mut Overlay<'_>,
        key: &[u8],
        before: Vec<Version>,
        arrived: &Arrived,
    ) -> Result<(Vec<Version>, Vec<Version>), ViewError> {
        let mut after = before.clone();
        let version = Version::from_header(arrived.id, &arrived.entry.header);
        for redundant in rules::insert(&mut after, version) {
            rows.put(self.redundant_row(key, &redundant.id), codec::encode(&redundant));
        }
        if before != after {
            rows.put(self.active_row(key), codec::encode(&after));
        }
        Ok((before, after))
    }

    /// Starts over from what is left: as if the version had never come.
    fn withdraw(
        &self,
        rows: &mut Overlay<'_>,
        key: &[u8],
        before: Vec<Version>,
        id: &EntryId,
    ) -> Result<(Vec<Version>, Vec<Version>), ViewError> {
        let (mut after, mut redundant) = (Vec::new(), Vec::new());
        let versions = before.iter().cloned().chain(self.redundant(rows, key)?);
        for version in versions.filter(|v| v.id != *id) {
            redundant.extend(rules::insert(&mut after, version));
        }
        rows.delete(self.redundant_row(key, id));
        after.iter().for_each(|v| rows.delete(self.redundant_row(key, &v.id)));
        redundant.iter().for_each(|v| rows.put(self.redundant_row(key, &v.id), codec::encode(v)));
        match after.is_empty() {
            true => rows.delete(self.active_row(key)),
            false => rows.put(self.active_row(key), codec::encode(&after)),
        }
        Ok((before, after))
    }
}

fn decode_active(row: &[u8]) -> Result<Vec<Version>, codec::DecodeError> {
    codec::decode::<Vec<Version>, MAX_ROW>("active versions", row)
}
