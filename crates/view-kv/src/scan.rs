//! A range of keys, page by page, from either end.

use crate::entry::is_put;
use crate::{KeyRange, KvIndex};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_query::{Bound, Selector};
use kappadb_view::ViewError;
use std::collections::BTreeSet;

/// Keys looked at in one page, at most: nothing is applied to the index meanwhile.
const LOOK: usize = 4_096;

/// A key with its active versions.
type Active = (Vec<u8>, Vec<Version>);

/// How to read a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Keys wanted, at most. Default: all.
    pub limit: Option<usize>,
    /// The last key first. Default: the first key first.
    pub backwards: bool,
    /// Go on after this key, in the direction of the scan. It need not be there. Default: from the beginning.
    pub after: Option<Vec<u8>>,
}

/// A key that has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Vec<u8>,
    /// Its heads, ascending by id; several are a conflict.
    pub heads: Vec<Version>,
    /// The head that is shown by default.
    pub winner: EntryId,
}

/// A part of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys in the order asked for.
    pub rows: Vec<Row>,
    /// Where to go on: after this key. None at the end of the range. A page may be empty and yet go on, where it is all deleted keys.
    pub next: Option<Vec<u8>>,
}

impl KvIndex {
    /// The keys of a range that have a value at the time `now`: whose winner is one. Some thousand keys at a time.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions, now: Timestamp) -> Result<Page, ViewError> {
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut page = Page::default();
        if limit == 0 {
            return Ok(page);
        }
        let rest = options.after.as_ref().map(|after| range.beyond(after, options.backwards));
        for (row, looked) in self.walk(rest.as_ref().unwrap_or(range), options.backwards).zip(1..) {
            let (key, active) = row?;
            page.rows.extend(shown(&key, &active, now));
            if page.rows.len() >= limit || looked >= LOOK {
                page.next = Some(key);
                break;
            }
        }
        Ok(page)
    }

    /// The keys of a range with their active versions, in one of its two orders.
    pub(crate) fn walk<'a>(
        &'a self,
        range: &KeyRange,
        backwards: bool,
    ) -> impl Iterator<Item = Result<Active, ViewError>> + use<'a> {
        self.keyed().range(self.tree(), &range.from, range.to.as_deref(), backwards)
    }

    /// The same as if nothing of the feeds `without` were held.
    fn walk_without<'a>(
        &'a self,
        range: &KeyRange,
        backwards: bool,
        without: &'a BTreeSet<FeedKey>,
    ) -> impl Iterator<Item = Result<Active, ViewError>> + 'a {
        self.walk(range, backwards).map(|row| {
            let (key, active) = row?;
            let out = |id: &EntryId| without.contains(&id.feed);
            let active = self.keyed().leave_out(self.tree(), &key, active, out)?;
            Ok((key, active))
        })
    }

    /// The active versions of as many keys that are there as are asked for, and of those between them that are not; and the
    /// last key looked at, if the range goes on beyond it. A key is there if a head gives it a value, whatever the time: the
    /// asker, who knows the time, goes on if that was not enough.
    pub(crate) fn first_matches(
        &self,
        range: &KeyRange,
        limit: u32,
        backwards: bool,
        without: &BTreeSet<FeedKey>,
    ) -> Result<(Vec<EntryId>, Option<Bound>), ViewError> {
        let (mut ids, mut there) = (Vec::new(), 0);
        for row in self.walk_without(range, backwards, without) {
            let (key, active) = row?;
            ids.extend(active.iter().map(|version| version.id));
            there += u32::from(rules::heads(&active).into_iter().any(is_put));
            if there >= limit {
                return Ok((ids, Some(Bound::Key(key))));
            }
        }
        Ok((ids, None))
    }

    /// The active versions of all keys of a range.
    pub(crate) fn range_matches(
        &self,
        range: &KeyRange,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        for row in self.walk_without(range, false, without) {
            ids.extend(row?.1.into_iter().map(|version| version.id));
        }
        Ok(ids)
    }
}

/// A key as a scan shows it; none if it has no value then.
fn shown(key: &[u8], active: &[Version], now: Timestamp) -> Option<Row> {
    let heads = rules::heads(active);
    let winner = rules::winner(&heads, now).filter(|winner| is_put(winner))?.id;
    Some(Row { key: key.to_vec(), heads: heads.into_iter().cloned().collect(), winner })
}

/// The range and direction of a selector that speaks of keys in order.
pub(crate) fn range_of(selector: &Selector) -> Option<KeyRange> {
    match selector {
        Selector::Range { from, to } | Selector::Scan { from, to, .. } => {
            Some(KeyRange { from: from.clone(), to: to.clone() })
        }
        Selector::Prefix(prefix) => Some(KeyRange::prefix(prefix)),
        Selector::Everything => Some(KeyRange::ALL),
        _ => None,
    }
}
