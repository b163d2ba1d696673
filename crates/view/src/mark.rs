//! How far a view has come: its cursor and the exclusions applied, in rows of its own tree.
//!
//! ```text
//! 00 01   bincode (next lseq, entries skipped, the last arrival before it: Option<(lseq, feed 32, seq)>, feeds forgotten)
//! 00 02   bincode [(feed 32, first seq excluded)]
//! ```

use crate::ViewError;
use kappadb_core::{EntryId, FeedKey, Lseq, Seq, codec};
use kappadb_store::{Overlay, Tree};
use std::collections::BTreeMap;

/// For each feed that forked, the first block that counts no more.
pub type Exclusions = BTreeMap<FeedKey, Seq>;

const CURSOR: &[u8] = &[0, 1];
const EXCLUDED: &[u8] = &[0, 2];
/// Bytes of the exclusions row, at most.
const MAX_EXCLUDED: usize = 16 << 20;

type CursorRow = (u64, u64, Option<(Lseq, EntryId)>, u64);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The first arrival not yet applied.
    pub next: Lseq,
    /// The last arrival applied: shows that the numbers are of this log.
    pub last: Option<(Lseq, EntryId)>,
    /// Arrivals that are no entries this release understands.
    pub skipped: u64,
    /// Up to which event it is known that of no feed forgotten anything is in the rows.
    pub forgotten: u64,
    /// What was taken out, and stays out.
    pub excluded: Exclusions,
}

impl Mark {
    /// The mark in `tree`, or the start if there is none.
    pub fn read(tree: &dyn Tree) -> Result<Mark, ViewError> {
        let Some(row) = tree.get(CURSOR)? else { return Ok(Mark::default()) };
        let (next, skipped, last, forgotten) = codec::decode::<CursorRow, 128>("view cursor", &row)?;
        let excluded = match tree.get(EXCLUDED)? {
            Some(row) => codec::decode::<Vec<(FeedKey, Seq)>, MAX_EXCLUDED>("view exclusions", &row)?,
            None => Vec::new(),
        };
        Ok(Mark { next, last, skipped, forgotten, excluded: excluded.into_iter().collect() })
    }

    /// The mark with these feeds forgotten; none if something of them may be in the rows, and cannot be read again to be taken
    /// out.
    pub fn survives(&self, forgotten: &BTreeMap<FeedKey, u64>) -> Option<Mark> {
        let clean = |(feed, count): (&FeedKey, &u64)| {
            *count <= self.forgotten || self.next == 0 || is_excluded(&self.excluded, feed, 0)
        };
        let latest = forgotten.values().copied().max().unwrap_or_default();
        forgotten.iter().all(clean).then(|| Mark { forgotten: self.forgotten.max(latest), ..self.clone() })
    }

    /// Puts the mark into `rows`; `before` is the one that lies there.
    pub fn write(&self, before: &Mark, rows: &mut Overlay<'_>) {
        let cursor: CursorRow = (self.next, self.skipped, self.last, self.forgotten);
        rows.put(CURSOR, codec::encode(&cursor));
        if self.excluded != before.excluded {
            let excluded: Vec<(FeedKey, Seq)> =
                self.excluded.iter().map(|(feed, seq)| (*feed, *seq)).collect();
            rows.put(EXCLUDED, codec::encode(&excluded));
        }
    }
}

/// True if block `seq` of `feed` does not count.
pub(crate) fn is_excluded(exclusions: &Exclusions, feed: &FeedKey, seq: Seq) -> bool {
    exclusions.get(feed).is_some_and(|&first| seq >= first)
}

/// True if whatever `narrow` excludes, `wide` excludes.
pub(crate) fn excludes_all(wide: &Exclusions, narrow: &Exclusions) -> bool {
    narrow.iter().all(|(feed, seq)| is_excluded(wide, feed, *seq))
}
