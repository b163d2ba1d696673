//! The view `blobs`: which blobs there are, the latest first. What peers are asked for who want to know that.
//!
//! ```text
//! 01 | time i64 BE, so that the latest comes first | feed 32 | seq u64 BE  →  nothing
//! ```

use super::BLOB;
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::kind_of;
use kappadb_feed::Arrival;
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree, prefix_bounds};
use kappadb_view::{Arrived, Change, Index, Notice, View, ViewError};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

const BLOBS: u8 = 1;
const BAD: ViewError = ViewError::Inconsistent("a row of blobs names none");

pub(crate) struct BlobView;

pub(crate) struct BlobIndex {
    tree: Arc<dyn Tree>,
}

impl View for BlobView {
    type Index = BlobIndex;

    fn name(&self) -> &str {
        crate::network::ask::BLOBS
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, arrival: &Arrival, _: Option<&Arrival>) -> bool {
        kind_of(&arrival.block).is_none_or(|kind| kind == BLOB)
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<BlobIndex, ViewError> {
        Ok(BlobIndex { tree: rows })
    }
}

impl Index for BlobIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        for change in changes {
            let Arrived { id, entry, .. } = change.arrived();
            match change {
                Change::Hold(_) => rows.put(row(*id, entry.header.time), Vec::new()),
                Change::Withdraw(_) => rows.delete(row(*id, entry.header.time)),
            }
        }
        Ok(Vec::new())
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        match selector {
            Selector::Everything => {
                self.from(None).filter(|id| !id.as_ref().is_ok_and(|id| without.contains(&id.feed))).collect()
            }
            _ => Err(ViewError::Unsupported),
        }
    }
}

impl BlobIndex {
    /// Blobs after the one of which this is the id and the time, or all; the latest first.
    pub fn from(
        &self,
        after: Option<(EntryId, Timestamp)>,
    ) -> impl Iterator<Item = Result<EntryId, ViewError>> + '_ {
        let (all, end) = prefix_bounds(&[BLOBS]);
        let from = after.map_or(all, |(id, time)| Bound::Excluded(row(id, time).into()));
        let rows = self.tree.range(from.as_ref().map(|key| &key[..]), end.as_ref().map(|key| &key[..]));
        rows.map(|row| named(&row?.0))
    }
}

fn row(id: EntryId, time: Timestamp) -> Vec<u8> {
    // The sign's bit would put the past after the future; the rest is turned around.
    let latest_first = !(time.0.cast_unsigned() ^ (1 << 63));
    [&[BLOBS], &latest_first.to_be_bytes()[..], &id.feed.0, &id.seq.to_be_bytes()].concat()
}

fn named(row: &[u8]) -> Result<EntryId, ViewError> {
    let (feed, seq) = row.get(9..).and_then(|rest| rest.split_first_chunk()).ok_or(BAD)?;
    Ok(EntryId { feed: FeedKey(*feed), seq: u64::from_be_bytes(seq.try_into().map_err(|_| BAD)?) })
}
