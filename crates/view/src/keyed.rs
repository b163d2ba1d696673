//! What all views of keyed entries share: which versions of each key are held, and which of them count.
//!
//! Rows, under one leading byte that the view chooses:
//!
//! ```text
//! P 01, P 03                             a packed table: key → bincode [Version], ascending by id: the active ones, none redundant; empty if they are many
//! P 04 len(key) u16 BE key feed seq BE   bincode Version: one that another made redundant
//! P 05 len(key) u16 BE key feed seq BE   bincode Version: an active one, of a key that has many
//! ```
//!
//! The active versions are all that answers and peers need. A key mostly has one, so they lie in one row; a key that somebody
//! floods has a row for each, so that one more writes one more. The redundant ones are kept so that they count again when what
//! made them redundant is withdrawn.

mod update;

pub use update::KeyUpdate;

use crate::packed::{self, Area, Table};
use crate::seen::Seen;
use crate::{Arrived, Upkeep, ViewError};
use bytes::Bytes;
use kappadb_core::limits::MAX_HEADER;
use kappadb_core::{EntryId, FeedKey, codec};
use kappadb_entry::rules::{self, Version};
use kappadb_query::Selector;
use kappadb_store::{Overlay, StoreError, Tree, prefix_range};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Active versions of a key that share a row, at most.
const FEW: usize = 16;
/// Bytes of a row, at most: so many headers, of which rows hold parts.
const MAX_ROW: usize = FEW * MAX_HEADER;
/// Keys whose active versions are in memory, at most.
const IN_MEMORY: usize = 16_384;
/// The second byte of rows: a version that another made redundant.
const REDUNDANT: u8 = 4;
/// One of many active ones.
const ONE_OF_MANY: u8 = 5;

/// Rows to read from: a tree, or one with pending writes.
pub trait Rows {
    /// The rows whose keys start with `prefix`.
    fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError>;
}

impl Rows for dyn Tree + '_ {
    fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        prefix_range(self, prefix).collect()
    }
}

impl Rows for Overlay<'_> {
    fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.range_prefix(prefix)
    }
}

/// The versions of the keys of one space, in rows that start with one byte.
pub struct Keyed {
    layout: Layout,
    space: u32,
    active: Table,
    /// All keys, if they are known.
    seen: Option<Seen>,
}

impl Keyed {
    /// Entries whose kind is of `space` (`kappadb_entry::space`), over the rows of `tree` that start with `prefix`, which is not 0. All changes must go
    /// through it, and [`Keyed::upkeep`] must be asked now and then.
    ///
    /// If there are no rows yet it remembers which keys come, up to some 10 million: then nothing is read to find that a key is new, which makes filling
    /// an empty tree much faster.
    pub fn open(prefix: u8, space: u32, tree: &Arc<dyn Tree>) -> Result<Self, ViewError> {
        Keyed::with_memory(prefix, space, tree, IN_MEMORY)
    }

    /// The same with the active versions of so many keys in memory, before they are packed. Default: 16,384.
    pub fn with_memory(prefix: u8, space: u32, tree: &Arc<dyn Tree>, keys: usize) -> Result<Self, ViewError> {
        let active = Table::load(tree.clone(), Area { prefix, sort: 0 }, keys)?;
        let seen = active.is_empty()?.then(Seen::default);
        Ok(Keyed { layout: Layout(prefix), space, active, seen })
    }

    /// True if there is no key.
    pub fn is_empty(&self) -> Result<bool, ViewError> {
        self.active.is_empty()
    }

    /// A sentence for each part of its rows that has another number of them than it should.
    pub fn audit(&self) -> Result<Vec<String>, ViewError> {
        self.active.audit()
    }

    /// What an index whose part this is, found by `keyed`, has [to do in the background](crate::Index::upkeep) for it, if anything.
    pub fn upkeep<I: 'static>(
        &mut self,
        idle: bool,
        keyed: fn(&mut I) -> &mut Keyed,
    ) -> Option<Box<dyn Upkeep<I>>> {
        self.active.upkeep(idle, move |index| &mut keyed(index).active)
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
        match self.active.get(key)? {
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
        &'a self,
        tree: &'a dyn Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let after = after.map(|key| [key, &[0]].concat());
        let from = after.as_deref().unwrap_or_default().max(prefix);
        self.range(tree, from, packed::after(prefix).as_deref(), false)
    }

    /// The keys from `from` on (included) to `to` (excluded) with their active versions, from either end.
    pub fn range<'a>(
        &'a self,
        tree: &'a dyn Tree,
        from: &[u8],
        to: Option<&[u8]>,
        backwards: bool,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let (mut rows, error) = match self.active.range(from, to, backwards) {
            Ok(rows) => (Some(rows), None),
            Err(error) => (None, Some(Err(error))),
        };
        let mut next = move || {
            let Some(rows) = &mut rows else { return Ok(None) };
            if !rows.advance()? {
                return Ok(None);
            }
            let active = self.layout.read_active(tree, rows.key(), rows.value()?)?;
            Ok(Some((rows.key().to_vec(), active)))
        };
        std::iter::from_fn(move || next().transpose()).chain(error)
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
}
