//! Ranges of keys, page by page.

use super::load::State;
use super::{Kv, Value};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_entry::rules::Version;
use kappadb_view_kv::{KeyRange, Row, ScanOptions};

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvItem {
    /// The key.
    pub key: Vec<u8>,
    /// The value that is shown by default.
    pub value: Value,
}

/// A part of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvPage {
    /// The keys in the order asked for.
    pub items: Vec<KvItem>,
    /// What to set [`ScanOptions::after`] to for the next page; none if there is no more.
    pub next: Option<Vec<u8>>,
}

impl Kv {
    /// The keys of a range that have a value, with their values, from what is held here. Deleted keys are left out, outside the
    /// limit. Paging with `after` neither skips nor repeats a key that stays, whatever is written meanwhile.
    ///
    /// Without a limit everything is read into memory: ask for pages of what may be large.
    pub async fn scan(&self, range: &KeyRange, options: &ScanOptions) -> Result<KvPage, ReadError> {
        let (range, options) = (range.clone(), options.clone());
        self.run(move |parts| {
            parts.kv.ready()?;
            parts.kv_scan(&range, &options)
        })
        .await?
    }
}

impl Parts {
    /// A page of what is indexed.
    pub(super) fn kv_scan(&self, range: &KeyRange, options: &ScanOptions) -> Result<KvPage, ReadError> {
        let (rows, next) = self.kv_rows(range, options)?;
        let now = self.clock.now();
        let winner = |row: &Row| row.heads.iter().find(|head| head.id == row.winner).cloned();
        let winners: Vec<Version> = rows.iter().filter_map(winner).collect();
        let contents = self.kv_contents(&winners.iter().collect::<Vec<_>>())?;
        let mut items = Vec::with_capacity(rows.len());
        for ((row, winner), content) in rows.into_iter().zip(&winners).zip(contents) {
            let state = State::new(row.heads, now);
            items.push(KvItem { key: row.key, value: state.value(winner, content) });
        }
        Ok(KvPage { items, next })
    }

    /// The keys of a page without their values. The index is let go of every now and then, so that others get at it.
    pub(super) fn kv_rows(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> Result<(Vec<Row>, Option<Vec<u8>>), ReadError> {
        let (now, mut rows, mut after) = (self.clock.now(), Vec::new(), options.after.clone());
        loop {
            let limit = options.limit.map(|limit| limit - rows.len());
            let part = ScanOptions { limit, after: after.take(), ..*options };
            let page = self.kv.read(|index| index.scan(range, &part, now))??;
            rows.extend(page.rows);
            if page.next.is_none() || options.limit.is_some_and(|limit| rows.len() >= limit) {
                return Ok((rows, page.next));
            }
            after = page.next;
        }
    }
}
