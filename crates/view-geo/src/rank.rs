//! The one order of everything in the spatial index: what is shown early first, and then what is near each other together.

use kappadb_core::GeoBox;

/// Where a box stands: by descending level ([`GeoBox::level`]), then by the place of its centre on a Hilbert curve over the
/// map. Ascending, so the least rank comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// 255 less the level.
    depth: u8,
    hilbert: u64,
}

/// Bytes of an encoded rank.
pub const RANK_BYTES: usize = 9;

impl Rank {
    /// The rank of a feature's box.
    pub fn of(bbox: &GeoBox, key: &[u8]) -> Rank {
        let center = bbox.center();
        let from = |zero: i32, value: i32| value.wrapping_sub(zero).cast_unsigned();
        let (x, y) = (from(GeoBox::WORLD.west, center.lon), from(GeoBox::WORLD.south, center.lat));
        Rank::new(bbox.level(key), fast_hilbert::xy2h(x, y, 32))
    }

    pub fn new(level: u8, hilbert: u64) -> Rank {
        Rank { depth: u8::MAX - level, hilbert }
    }

    pub fn level(self) -> u8 {
        u8::MAX - self.depth
    }

    pub fn hilbert(self) -> u64 {
        self.hilbert
    }

    /// `255 - level u8 | hilbert u64`, big-endian: encodings compare as ranks do.
    pub fn encode(self) -> [u8; RANK_BYTES] {
        let [a, b, c, d, e, f, g, h] = self.hilbert.to_be_bytes();
        [self.depth, a, b, c, d, e, f, g, h]
    }

    pub fn decode([depth, a, b, c, d, e, f, g, h]: [u8; RANK_BYTES]) -> Rank {
        Rank { depth, hilbert: u64::from_be_bytes([a, b, c, d, e, f, g, h]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encodings_compare_as_ranks_do(a in any::<(u8, u64)>(), b in any::<(u8, u64)>()) {
            let [a, b] = [a, b].map(|(level, hilbert)| Rank::new(level, hilbert));
            prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
            prop_assert_eq!(Rank::decode(a.encode()), a);
            prop_assert_eq!(a.level() > b.level(), a.depth < b.depth);
        }

        /// Rows may have been damaged.
        #[test]
        fn any_numbers_have_a_rank([west, south, east, north] in any::<[i32; 4]>(), key in any::<Vec<u8>>()) {
            let bbox = GeoBox { west, south, east, north };
            prop_assert_eq!(Rank::of(&bbox, &key).level(), bbox.level(&key));
        }
    }
}
