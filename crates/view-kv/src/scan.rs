//! A range of keys, page by page, from either end.

use crate::entry::is_put;
use crate::{KeyRange, KeyState, KvReader};
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_query::{Bound, Selector};
use kappadb_view::ViewError;
use kappadb_view::keyed::ActiveRows;
use std::collections::BTreeSet;

/// Keys looked at in one page, at most.
const LOOK: usize = 4_096;

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
    /// What it says.
    pub state: KeyState,
}

/// A part of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys in the order asked for.
    pub rows: Vec<Row>,
    /// Where to go on: after this key. None at the end of the range. A page may be empty and yet go on, where it is all deleted keys.
    pub next: Option<Vec<u8>>,
}

impl<'a> KvReader<'a> {
    /// The keys of a range that have a value at the time `now`: whose winner is one. Some thousand keys at a time.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions, now: Timestamp) -> Result<Page, ViewError> {
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut page = Page::default();
        if limit == 0 {
            return Ok(page);
        }
        let rest = options.after.as_ref().map(|after| range.beyond(after, options.backwards));
        let mut rows = self.walk(rest.as_ref().unwrap_or(range), options.backwards)?;
        let mut looked = 0;
        while rows.advance()? {
            let state = KeyState::of(&rows.active()?, now);
            if state.shown().is_some() {
                page.rows.push(Row { key: rows.key().to_vec(), state });
            }
            looked += 1;
            if page.rows.len() >= limit || looked >= LOOK {
                page.next = Some(rows.key().to_vec());
                break;
            }
        }
        Ok(page)
    }

    /// The keys of a range with their active versions, in one of its two orders.
    pub(crate) fn walk(&self, range: &KeyRange, backwards: bool) -> Result<ActiveRows<'a>, ViewError> {
        self.0.range(&range.from, range.to.as_deref(), backwards)
    }

    /// The entries that a peer who asks this must be sent ([`kappadb_view::Index::matches`]).
    pub fn matches(
        &self,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        match (selector, range_of(selector)) {
            (Selector::Keys(_) | Selector::Versions(_), _) => self.0.matches(selector, without),
            (Selector::Scan { limit, backwards, .. }, Some(range)) => {
                Ok(self.first_matches(&range, *limit, *backwards, without)?.0)
            }
            (_, Some(range)) => self.range_matches(&range, without),
            (_, None) => Err(ViewError::Unsupported),
        }
    }

    /// Calls `each` with the keys of a range and their active versions, as if nothing of the feeds `without` were held, until it says so.
    fn walk_without(
        &self,
        range: &KeyRange,
        backwards: bool,
        without: &BTreeSet<FeedKey>,
        mut each: impl FnMut(&[u8], &[Version]) -> bool,
    ) -> Result<(), ViewError> {
        let mut rows = self.walk(range, backwards)?;
        while rows.advance()? {
            let active = rows.active()?.versions;
            let active = self.0.leave_out(rows.key(), active, |id| without.contains(&id.feed))?;
            if each(rows.key(), &active) {
                break;
            }
        }
        Ok(())
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
        let (mut ids, mut there, mut last) = (Vec::new(), 0, None);
        self.walk_without(range, backwards, without, |key, active| {
            ids.extend(active.iter().map(|version| version.id));
            there += u32::from(rules::heads(active).into_iter().any(is_put));
            if there >= limit {
                last = Some(Bound::Key(key.to_vec()));
            }
            last.is_some()
        })?;
        Ok((ids, last))
    }

    /// The active versions of all keys of a range.
    pub(crate) fn range_matches(
        &self,
        range: &KeyRange,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = Vec::new();
        self.walk_without(range, false, without, |_, active| {
            ids.extend(active.iter().map(|version| version.id));
            false
        })?;
        Ok(ids)
    }
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
