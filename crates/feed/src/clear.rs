//! Clearing payloads: they go, headers stay, and with them what every entry means.
//!
//! A cleared block is its header and the digest of its payload, from which its tree leaf is computed as before: it is proved,
//! passed on and indexed like the whole one. The journal is told first; its own bytes are given back by a compaction.

use crate::places::freed_by_clearing;
use crate::writer::Writer;
use crate::{ClearError, Cleared};
use kappadb_core::{FeedKey, RangeSet, Seq};
use kappadb_journal::Record;
use std::collections::BTreeMap;

/// Blocks looked at at a time.
const CHUNK: usize = 4096;

impl Writer {
    /// Clears what is held of `ranges`, was not cleared before, and is shorter without its payload or `must` go all the same.
    pub fn clear(&mut self, feed: &FeedKey, ranges: &RangeSet, must: bool) -> Result<Cleared, ClearError> {
        self.commit()?;
        let wanted = self
            .index
            .with(feed, |state| state.held.intersection(ranges).minus(&state.cleared))
            .ok_or(ClearError::Undefined(*feed))?;
        let mut cleared = Cleared::default();
        let mut seqs = wanted.iter().peekable();
        while seqs.peek().is_some() {
            let part: RangeSet = seqs.by_ref().take(CHUNK).collect();
            for (seqs, freed) in self.clearable(feed, &part, must)?.into_values() {
                let ranges: RangeSet = seqs.into_iter().collect();
                cleared.blocks += ranges.count();
                cleared.bytes += u64::try_from(freed).unwrap_or_default();
                self.write(&Record::Clear { feed: *feed, ranges: ranges.clone(), freed })?;
                self.index.clear(feed, &ranges, freed);
            }
        }
        self.commit()?;
        Ok(cleared)
    }

    /// Which of these blocks have a payload, and how many bytes shorter they are without, by the segment that they lie in: a
    /// segment is rewritten as a whole, so that what a record of the journal says is done is done or not.
    fn clearable(
        &self,
        feed: &FeedKey,
        part: &RangeSet,
        must: bool,
    ) -> Result<BTreeMap<u32, (Vec<Seq>, i64)>, ClearError> {
        let number = self.index.with(feed, |state| state.number).ok_or(ClearError::Undefined(*feed))?;
        let mut found: BTreeMap<u32, (Vec<Seq>, i64)> = BTreeMap::new();
        self.index.blocks.read_around(number, part, &mut |seq, block, around| {
            // A digest may be longer than what it would stand for.
            if let Some(shorter_by) = freed_by_clearing(block).filter(|shorter_by| must || *shorter_by > 0) {
                let (seqs, freed) = found.entry(around.at().segment).or_default();
                seqs.push(seq);
                *freed += shorter_by;
            }
            true
        })?;
        Ok(found)
    }
}
