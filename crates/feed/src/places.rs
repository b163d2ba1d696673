//! Where blocks lie and in which form: rows that change after the blocks have come, when a payload goes, comes back, or moves.

use crate::ReadError;
use crate::index::Index;
use crate::replay::without_payload;
use crate::rows::{self, Location};
use kappadb_core::{FeedKey, RangeSet, Seq, StoredBlock, codec};
use kappadb_journal::Position;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};

impl Index {
    /// Payloads of blocks that are held were cleared, which made them `freed` bytes shorter. Nothing if that is known: then
    /// the journal has them cleared already.
    pub fn clear(&mut self, feed: &FeedKey, ranges: &RangeSet, freed: i64) {
        let Some(state) = self.change(feed) else { return };
        if !ranges.minus(&state.cleared).is_empty() {
            state.cleared.union_with(ranges);
            state.bytes = state.bytes.saturating_sub_signed(freed);
            self.write_cleared(feed);
        }
    }

    /// Payloads that had been cleared lie in the record at `at`.
    pub fn fill(
        &mut self,
        feed: &FeedKey,
        at: Position,
        ranges: &RangeSet,
        blocks: &[StoredBlock],
    ) -> Result<(), ReadError> {
        let Some(state) = self.change(feed) else { return Ok(()) };
        // Some of them were cleared once more, and the record was written anew without these.
        let whole = ranges.minus(&without_payload(ranges, blocks));
        let longer = ranges.iter().zip(blocks).filter(|(seq, _)| state.cleared.contains(*seq));
        let gained: i64 = longer.filter_map(|(_, block)| freed_by_clearing(block)).map(|freed| -freed).sum();
        state.bytes = state.bytes.saturating_sub_signed(gained);
        state.cleared = state.cleared.minus(&whole);
        let number = state.number;
        self.write_cleared(feed);
        self.displace(number, ranges)?;
        self.locate(number, at, ranges);
        Ok(())
    }

    pub(crate) fn write_cleared(&mut self, feed: &FeedKey) {
        self.reforms = true;
        let row = |state: &crate::state::FeedState| {
            let row = (!state.cleared.is_empty()).then(|| codec::encode(&state.cleared));
            (rows::cleared_key(state.number), row)
        };
        if let Some((key, row)) = self.with(feed, row) {
            self.replace(key, row);
        }
    }

    /// All blocks of the record at `at` are these.
    pub(crate) fn locate(&mut self, number: u32, at: Position, ranges: &RangeSet) {
        let mut skip = 0;
        for run in ranges.ranges() {
            let location = Location { at, skip, count: run.end - run.start };
            self.rows.insert(rows::location_key(number, run.start).to_vec(), codec::encode(&location));
            skip += location.count;
        }
    }

    /// No row says any more where these blocks lie.
    pub(crate) fn displace(&mut self, number: u32, ranges: &RangeSet) -> Result<(), ReadError> {
        self.reforms |= !ranges.is_empty();
        for range in ranges.ranges() {
            for (seqs, location) in self.locations(number, range)? {
                let row = |first: Seq, end: Seq| {
                    let (skip, count) = (location.skip + (first - seqs.start), end - first);
                    Some(codec::encode(&Location { skip, count, ..location }))
                };
                self.replace(rows::location_key(number, seqs.start), None);
                if seqs.start < range.start {
                    self.replace(rows::location_key(number, seqs.start), row(seqs.start, range.start));
                }
                if seqs.end > range.end {
                    self.replace(rows::location_key(number, range.end), row(range.end, seqs.end));
                }
            }
        }
        Ok(())
    }

    /// The runs that reach into `range`, as they will be.
    pub(crate) fn locations(
        &self,
        number: u32,
        range: &Range<Seq>,
    ) -> Result<Vec<(Range<Seq>, Location)>, ReadError> {
        let [zero, first, end] = [0, range.start, range.end].map(|seq| rows::location_key(number, seq));
        let tree = &self.blocks.tree;
        let mut found: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let kept = |key: &[u8]| !self.gone.contains(key);
        let mut before = tree.range(Bound::Included(&zero), Bound::Included(&first)).rev();
        while let Some((key, value)) = before.next().transpose()? {
            if kept(&key) {
                found.insert(key.to_vec(), value.to_vec());
                break;
            }
        }
        for row in tree.range(Bound::Excluded(&first), Bound::Excluded(&end)) {
            let (key, value) = row?;
            found.extend(kept(&key).then(|| (key.to_vec(), value.to_vec())));
        }
        let before = self.rows.range(zero.to_vec()..=first.to_vec()).next_back();
        let within = self.rows.range((Bound::Excluded(first.to_vec()), Bound::Excluded(end.to_vec())));
        found.extend(before.into_iter().chain(within).map(|(key, value)| (key.clone(), value.clone())));
        let mut runs = Vec::new();
        for (key, value) in found {
            let location: Location = rows::decode(&value)?;
            let start = rows::number_at_end(&key).unwrap_or_default();
            let seqs = start..start.saturating_add(location.count);
            if seqs.start < range.end && range.start < seqs.end {
                runs.push((seqs, location));
            }
        }
        Ok(runs)
    }
}

/// By how many bytes the block is shorter without its payload, or longer if that is negative. None if it has none.
pub(crate) fn freed_by_clearing(block: &StoredBlock) -> Option<i64> {
    let length = |block: &StoredBlock| i64::try_from(block.bytes.len()).unwrap_or_default();
    kappadb_entry::clear_block(block).map(|left| length(block) - length(&left))
}
