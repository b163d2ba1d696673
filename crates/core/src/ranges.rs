use crate::codec::refuse;
use crate::limits::MAX_RANGES;
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};
use std::ops::Range;

/// A set of numbers kept as sorted, disjoint, non-touching half-open ranges.
///
/// Encoded as a count and, for each range, the gap since the end of the one before and its length, so that a set has
/// one encoding. At most [`MAX_RANGES`] ranges are decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    runs: Vec<Range<u64>>,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// All numbers below `end`.
    pub fn below(end: u64) -> Self {
        let mut set = Self::new();
        set.push(0..end);
        set
    }

    /// True if there is no number in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|r| r.end - r.start).sum()
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.runs
    }

    /// Every number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.iter().cloned().flatten()
    }

    /// One more than the greatest number, or 0.
    pub fn end(&self) -> u64 {
        self.runs.last().map_or(0, |r| r.end)
    }

    /// True if `n` is in it.
    pub fn contains(&self, n: u64) -> bool {
        self.intersects(&(n..n.saturating_add(1)))
    }

    /// True if any number of `range` is in it.
    pub fn intersects(&self, range: &Range<u64>) -> bool {
        let at = self.runs.partition_point(|r| r.end <= range.start);
        range.start < range.end && self.runs.get(at).is_some_and(|r| r.start < range.end)
    }

    /// True if every number of `range` is in it.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        let at = self.runs.partition_point(|r| r.end <= range.start);
        range.start >= range.end
            || self.runs.get(at).is_some_and(|r| r.start <= range.start && range.end <= r.end)
    }

    /// Adds every number of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        // Ranges that overlap or touch are one range.
        let first = self.runs.partition_point(|r| r.end < range.start);
        let last = self.runs.partition_point(|r| r.start <= range.end);
        let touched = self.runs.get(first..last).unwrap_or_default();
        let start = touched.first().map_or(range.start, |r| r.start.min(range.start));
        let end = touched.last().map_or(range.end, |r| r.end.max(range.end));
        self.runs.splice(first..last.max(first), std::iter::once(start..end));
    }

    /// Adds every number of `other`.
    pub fn union_with(&mut self, other: &RangeSet) {
        if other.runs.len() < self.runs.len() / 8 {
            other.runs.iter().for_each(|r| self.insert(r.clone()));
        } else {
            let mut all = [std::mem::take(&mut self.runs), other.runs.clone()].concat();
            all.sort_unstable_by_key(|r| r.start);
            *self = all.into_iter().collect();
        }
    }

    /// The numbers of this set that are not in `other`.
    pub fn minus(&self, other: &RangeSet) -> RangeSet {
        let mut out = RangeSet::new();
        for run in &self.runs {
            let mut from = run.start;
            let skip = other.runs.partition_point(|r| r.end <= run.start);
            for hole in other.runs.iter().skip(skip).take_while(|r| r.start < run.end) {
                out.push(from..hole.start);
                from = hole.end;
            }
            out.push(from..run.end);
        }
        out
    }

    /// The numbers that are in both sets.
    pub fn intersection(&self, other: &RangeSet) -> RangeSet {
        let mut out = RangeSet::new();
        for run in &self.runs {
            let skip = other.runs.partition_point(|r| r.end <= run.start);
            for o in other.runs.iter().skip(skip).take_while(|r| r.start < run.end) {
                out.push(run.start.max(o.start)..run.end.min(o.end));
            }
        }
        out
    }

    /// Appends a range that starts at or after the end.
    fn push(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.runs.push(range),
        }
    }
}

/// Ranges in any order, overlapping or not. Ascending input is the fast path.
impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut out = RangeSet::new();
        for range in ranges {
            if range.start >= out.runs.last().map_or(0, |r| r.start) {
                out.push(range)
            } else {
                out.insert(range)
            }
        }
        out
    }
}

/// Single numbers in any order.
impl FromIterator<u64> for RangeSet {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        numbers.into_iter().map(|n| n..n.saturating_add(1)).collect()
    }
}

impl Encode for RangeSet {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.runs.len() as u64).encode(encoder)?;
        let mut end = 0;
        for run in &self.runs {
            (run.start - end).encode(encoder)?;
            (run.end - run.start).encode(encoder)?;
            end = run.end;
        }
        Ok(())
    }
}

impl<C> Decode<C> for RangeSet {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = u64::decode(decoder)?;
        if count > MAX_RANGES as u64 {
            return refuse("more ranges than MAX_RANGES");
        }
        let mut out = RangeSet::new();
        let mut end = 0u64;
        for i in 0..count {
            let (gap, len) = (u64::decode(decoder)?, u64::decode(decoder)?);
            let start = end.checked_add(gap);
            let stop = start.and_then(|s| s.checked_add(len));
            match (start, stop) {
                (Some(start), Some(stop)) if len > 0 && (gap > 0 || i == 0) => {
                    out.runs.push(start..stop);
                    end = stop;
                }
                _ => return refuse("ranges that are empty, touch or overflow"),
            }
        }
        Ok(out)
    }
}

impl<'de, C> BorrowDecode<'de, C> for RangeSet {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn sets() -> impl Strategy<Value = (RangeSet, BTreeSet<u64>)> {
        prop::collection::vec((0u64..80, 0u64..12), 0..20).prop_map(|runs| {
            let mut set = RangeSet::new();
            runs.iter().for_each(|&(s, n)| set.insert(s..s + n));
            (set, runs.iter().flat_map(|&(s, n)| s..s + n).collect())
        })
    }

    proptest! {
        #[test]
        fn behaves_like_a_set((a, ma) in sets(), (b, mb) in sets(), from in 0u64..90, len in 0u64..9) {
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), ma.clone());
            prop_assert_eq!(a.count(), ma.len() as u64);
            prop_assert!(a.ranges().windows(2).all(|w| w[0].end < w[1].start));
            prop_assert_eq!(a.minus(&b), ma.difference(&mb).copied().collect::<RangeSet>());
            prop_assert_eq!(a.intersection(&b), ma.intersection(&mb).copied().collect::<RangeSet>());
            let mut both = a.clone();
            both.union_with(&b);
            prop_assert_eq!(both, ma.union(&mb).copied().collect::<RangeSet>());
            let r = from..from + len;
            prop_assert_eq!(a.covers(&r), r.clone().all(|n| ma.contains(&n)));
            prop_assert_eq!(a.intersects(&r), r.clone().any(|n| ma.contains(&n)));
            prop_assert_eq!(a.contains(from), ma.contains(&from));
        }

        #[test]
        fn has_one_encoding((a, _) in sets()) {
            let bytes = codec::encode(&a);
            prop_assert_eq!(codec::decode::<RangeSet, 4096>("ranges", &bytes), Ok(a));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(set) = codec::decode::<RangeSet, 4096>("ranges", &bytes) {
                prop_assert_eq!(codec::encode(&set), bytes);
            }
        }
    }
}
