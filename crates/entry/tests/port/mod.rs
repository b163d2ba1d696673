//! Shared by the tests of the rules: a small random generator, and the model's plain numbers as the crate's types.
//! Places are 1-D intervals, feeds are small numbers.

use kappadb_core::{EntryId, FeedKey, GeoBox};
use kappadb_entry::Places;

/// SplitMix64: small, seeded, good enough for histories.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` to `to - 1`.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    /// Each item with a chance of `percent`.
    pub fn some<T: Clone>(&mut self, of: &[T], percent: u64) -> Vec<T> {
        of.iter().filter(|_| self.chance(percent)).cloned().collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, usize::try_from(self.range(0, i as u64 + 1)).unwrap());
        }
    }
}

pub type Span = Option<(i32, i32)>;

pub fn feed(f: u8) -> FeedKey {
    FeedKey([f; 32])
}

pub fn id(f: u8, seq: u64) -> EntryId {
    EntryId { feed: feed(f), seq }
}

pub fn places(span: Span) -> Places {
    let boxes = span.iter().map(|&(west, east)| GeoBox { west, east, south: 0, north: 0 });
    Places::new(boxes.collect(), Vec::new())
}
