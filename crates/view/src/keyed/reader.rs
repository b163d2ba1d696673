//! Looking at the versions of keys.

use super::active::{Active, MAX_ROW};
use crate::ViewError;
use crate::packed::{self, Layers, Merged};
use crate::seen::Seen;
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, codec};
use kappadb_entry::rules::{self, Version};
use kappadb_query::Selector;
use std::collections::BTreeSet;

/// The first byte of rows of one version each: one that another made redundant.
pub(super) const REDUNDANT: u8 = 0;
/// One of many active ones.
pub(super) const ONE_OF_MANY: u8 = 1;

/// The versions of keys at one moment.
#[derive(Clone, Copy)]
pub struct KeyedReader<'a> {
    pub(super) active: &'a Layers,
    pub(super) each: &'a Layers,
    pub(super) seen: Option<&'a Seen>,
}

/// Keys in order, one of which is present, with their active versions.
pub struct ActiveRows<'a> {
    reader: KeyedReader<'a>,
    rows: Merged<'a>,
}

impl ActiveRows<'_> {
    /// Goes on to the next key. False at the end, and after an error.
    pub fn advance(&mut self) -> Result<bool, ViewError> {
        self.rows.advance()
    }

    /// The present key.
    pub fn key(&self) -> &[u8] {
        self.rows.key()
    }

    /// Its active versions.
    pub fn active(&self) -> Result<Active, ViewError> {
        self.reader.decode(self.rows.key(), &self.rows.value_bytes()?)
    }
}

impl<'a> KeyedReader<'a> {
    /// True if there is no key.
    pub fn is_empty(&self) -> Result<bool, ViewError> {
        self.active.is_empty()
    }

    /// The active versions of `key`, ascending by id: those that no other makes redundant.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        Ok(self.find(key)?.versions)
    }

    /// The same with the payloads that are kept beside them.
    pub fn find(&self, key: &[u8]) -> Result<Active, ViewError> {
        if self.seen.is_some_and(|seen| !seen.may_have(key)) {
            return Ok(Active::default());
        }
        match self.active.get(key)? {
            Some(row) => self.decode(key, &row),
            None => Ok(Active::default()),
        }
    }

    /// The same if it can be said without the disk: from what is in memory, and pages that were read lately. May be called on an async executor's
    /// thread.
    pub fn find_at_hand(&self, key: &[u8]) -> Result<Option<Active>, ViewError> {
        if self.seen.is_some_and(|seen| !seen.may_have(key)) {
            return Ok(Some(Active::default()));
        }
        match self.active.get_at_hand(key)? {
            Some(Some(row)) => Ok(Some(Active::decode(&row)?).filter(|few| !few.versions.is_empty())),
            Some(None) => Ok(Some(Active::default())),
            None => Ok(None),
        }
    }

    fn decode(&self, key: &[u8], row: &Bytes) -> Result<Active, ViewError> {
        let few = Active::decode(row)?;
        if few.versions.is_empty() { Ok(Active::from(self.each_of(ONE_OF_MANY, key)?)) } else { Ok(few) }
    }

    /// What [`KeyedReader::active`] would be if no entry of the feeds `without` were held.
    pub fn active_without(&self, key: &[u8], without: &BTreeSet<FeedKey>) -> Result<Vec<Version>, ViewError> {
        self.leave_out(key, self.active(key)?, |id| without.contains(&id.feed))
    }

    /// The active versions of `key` if those that are `out` were not held, made of all that are `active`. Whatever is redundant
    /// because of one that is out is so because of an active one (`design/model.md`): only then is anything looked up.
    pub fn leave_out(
        &self,
        key: &[u8],
        active: Vec<Version>,
        out: impl Fn(&EntryId) -> bool,
    ) -> Result<Vec<Version>, ViewError> {
        let (gone, mut left): (Vec<_>, Vec<_>) = active.into_iter().partition(|version| out(&version.id));
        if gone.iter().all(|version| version.context.is_empty()) {
            return Ok(left);
        }
        let back = self.redundant(key)?.into_iter();
        let back = back.filter(|v| !out(&v.id) && gone.iter().any(|f| rules::makes_redundant(f, v)));
        back.for_each(|version| drop(rules::insert(&mut left, version)));
        Ok(left)
    }

    /// The heads of `key`, ascending by id.
    pub fn heads(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let active = self.active(key)?;
        Ok(rules::heads(&active).into_iter().cloned().collect())
    }

    /// All versions of `key` that are held, ascending by id.
    pub fn versions(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let mut versions = self.active(key)?;
        versions.extend(self.redundant(key)?);
        versions.sort_unstable_by_key(|v| v.id);
        Ok(versions)
    }

    fn redundant(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.each_of(REDUNDANT, key)
    }

    fn each_of(&self, sort: u8, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        let (mut rows, mut versions) = (self.each.with_prefix(&each(sort, key))?, Vec::new());
        while rows.advance()? {
            versions.push(codec::decode::<Version, MAX_ROW>("version", rows.value()?)?);
        }
        Ok(versions)
    }

    /// The keys that start with `prefix` and come after `after`, ascending, with their active versions.
    pub fn scan(
        self,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<Version>), ViewError>> + use<'a> {
        let after = after.map(|key| [key, &[0]].concat());
        let from = after.as_deref().unwrap_or_default().max(prefix);
        let (mut rows, error) = match self.range(from, packed::after(prefix).as_deref(), false) {
            Ok(rows) => (Some(rows), None),
            Err(error) => (None, Some(Err(error))),
        };
        let mut next = move || {
            let Some(rows) = &mut rows else { return Ok(None) };
            if !rows.advance()? {
                return Ok(None);
            }
            Ok(Some((rows.key().to_vec(), rows.active()?.versions)))
        };
        std::iter::from_fn(move || next().transpose()).chain(error)
    }

    /// The keys from `from` on (included) to `to` (excluded) with their active versions, from either end.
    pub fn range(self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Result<ActiveRows<'a>, ViewError> {
        Ok(ActiveRows { reader: self, rows: self.active.range(from, to, backwards)? })
    }

    /// The active versions that must be sent to whoever asks `selector`: all of [`crate::Index::matches`], for a view that
    /// has no index of its own for the selector's kind. Looks at every key unless the selector names keys or a prefix.
    pub fn matches(
        &self,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        match selector {
            Selector::Keys(keys) => {
                for key in keys {
                    ids.extend(self.active_without(key, without)?.into_iter().map(|v| v.id));
                }
            }
            Selector::Versions(keys) => {
                for key in keys {
                    let versions = self.versions(key)?.into_iter();
                    ids.extend(versions.map(|v| v.id).filter(|id| !without.contains(&id.feed)));
                }
            }
            _ => {
                let prefix = if let Selector::Prefix(prefix) = selector { &prefix[..] } else { &[] };
                for row in self.scan(prefix, None) {
                    let (key, active) = row?;
                    let active = self.leave_out(&key, active, |id| without.contains(&id.feed))?;
                    let wanted = active.iter().filter(|v| selector.needs_version(Some(&key), v));
                    ids.extend(wanted.map(|v| v.id));
                }
            }
        }
        Ok(ids)
    }
}

/// The beginning of rows of one version each.
fn each(sort: u8, key: &[u8]) -> Vec<u8> {
    // Keys have at most MAX_KEY bytes; with the length before it, no key's rows lie among another's.
    let len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[sort], &len[..], key].concat()
}

/// The row of one version.
pub(super) fn one(sort: u8, key: &[u8], id: &EntryId) -> Vec<u8> {
    [&each(sort, key)[..], &id.feed.0, &id.seq.to_be_bytes()].concat()
}
