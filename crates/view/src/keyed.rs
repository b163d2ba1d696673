//! What all views of keyed entries share: which versions of each key are held, and which of them count.
//!
//! Rows, under one leading byte that the view chooses:
//!
//! ```text
//! P 00 key                               bincode [Version], ascending by id: the active ones, none redundant; empty if they are many
//! P 01 len(key) u16 BE key feed seq BE   bincode Version: one that another made redundant
//! P 02 len(key) u16 BE key feed seq BE   bincode Version: an active one, of a key that has many
//! ```
//!
//! The active versions are all that answers and peers need. A key mostly has one, so they lie in one row; a key that somebody
//! floods has a row for each, so that one more writes one more. The redundant ones are kept so that they count again when what
//! made them redundant is withdrawn.

mod update;

pub use update::KeyUpdate;

use crate::seen::Seen;
use crate::{Arrived, ViewError};
use bytes::Bytes;
use kappadb_core::limits::MAX_HEADER;
use kappadb_core::{EntryId, FeedKey, codec};
use kappadb_entry::rules::{self, Version};
use kappadb_query::Selector;
use kappadb_store::{Overlay, StoreError, Tree, prefix_bounds, prefix_range};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Active versions of a key that share a row, at most.
const FEW: usize = 16;
/// Bytes of a row, at most: so many headers, of which rows hold parts.
const MAX_ROW: usize = FEW * MAX_HEADER;
/// The second byte of rows: the active versions of a key.
const ACTIVE: u8 = 0;
/// One that another made redundant.
const REDUNDANT: u8 = 1;
/// One of many active ones.
const ONE_OF_MANY: u8 = 2;

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

/// The versions of the keys of one space, in rows that start with one byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    layout: Layout,
    space: u32,
    /// All keys, if they are known.
    seen: Option<Seen>,
}

impl Keyed {
    /// Entries whose kind is of `space` (`kappadb_entry::space`), in rows that start with `prefix`, which is not 0.
    pub const fn new(prefix: u8, space: u32) -> Self {
        Keyed { layout: Layout(prefix), space, seen: None }
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
        match rows.value(&self.layout.active(key))? {
            Some(row) => self.layout.read_active(rows, key, &row),
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
        let (gone, mut left): (Vec<_>, Vec<_>) = active.into_iter().partition(|version| out(&version.id));
        if gone.iter().all(|version| version.context.is_empty()) {
            return Ok(left);
        }
        let back = self.redundant(rows, key)?.into_iter();
        let back = back.filter(|v| !out(&v.id) && gone.iter().any(|f| rules::makes_redundant(f, v)));
        back.for_each(|version| drop(rules::insert(&mut left, version)));
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
        self.layout.read_each(rows, REDUNDANT, key)
    }

    /// The keys that start with `prefix` and come after `after`, ascending, with their active versions.
    pub fn scan<'a>(
        &self,
        tree: &'a dyn Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let (from, to) = prefix_bounds(&self.layout.active(prefix));
        let after = after.map(|key| Bytes::from(self.layout.active(key)));
        let from = match (from, after) {
            (Bound::Included(from), Some(after)) if after >= from => Bound::Excluded(after),
            (from, _) => from,
        };
        self.layout.read_range(tree, from, to)
    }

    /// The keys between the bounds, ascending, with their active versions; from either end.
    pub fn range<'a>(
        &self,
        tree: &'a dyn Tree,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let (all, end) = prefix_bounds(&self.layout.active(&[]));
        let row = |bound: Bound<&[u8]>, open: Bound<Bytes>| match bound {
            Bound::Unbounded => open,
            bound => bound.map(|key| Bytes::from(self.layout.active(key))),
        };
        let (from, to) = (row(from, all), row(to, end));
        self.layout.read_range(tree, from, to)
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
}

/// Where the rows of a key lie: below one leading byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout(u8);

impl Layout {
    fn active(self, key: &[u8]) -> Vec<u8> {
        [&[self.0, ACTIVE], key].concat()
    }

    /// The beginning of rows of one version each.
    fn each(self, sort: u8, key: &[u8]) -> Vec<u8> {
        // Keys have at most MAX_KEY bytes; with the length before it, no key's rows lie among another's.
        let len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[self.0, sort], &len[..], key].concat()
    }

    fn one(self, sort: u8, key: &[u8], id: &EntryId) -> Vec<u8> {
        [&self.each(sort, key)[..], &id.feed.0, &id.seq.to_be_bytes()].concat()
    }

    fn read_each<R: Rows + ?Sized>(self, rows: &R, sort: u8, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let rows = rows.with_prefix(&self.each(sort, key))?.into_iter();
        let versions = rows.map(|(_, row)| codec::decode::<Version, MAX_ROW>("version", &row));
        Ok(versions.collect::<Result<_, _>>()?)
    }

    /// What the active row of a key says.
    fn read_active<R: Rows + ?Sized>(
        self,
        rows: &R,
        key: &[u8],
        row: &[u8],
    ) -> Result<Vec<Version>, ViewError> {
        let few = codec::decode::<Vec<Version>, MAX_ROW>("active versions", row)?;
        if few.is_empty() { self.read_each(rows, ONE_OF_MANY, key) } else { Ok(few) }
    }

    /// The keys whose active rows lie between the bounds, with what these say.
    fn read_range<'a>(
        self,
        tree: &'a dyn Tree,
        from: Bound<Bytes>,
        to: Bound<Bytes>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let rows = tree.range(from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..]));
        rows.map(move |row| {
            let (row, value) = row?;
            let key = row.get(2..).unwrap_or_default().to_vec();
            let active = self.read_active(tree, &key, &value)?;
            Ok((key, active))
        })
    }
}
