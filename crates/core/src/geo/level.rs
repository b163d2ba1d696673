//! How early a box is shown when many are: a level for drawing and asking from far away.

use super::GeoBox;
use xxhash_rust::xxh3::xxh3_64;

/// Below this level nothing is thinned out: a point stands for something a few metres wide.
const THINNING_FROM: u8 = 8;

impl GeoBox {
    /// The level of something with this key in this box, 0 to 40: the greater, the earlier it is shown.
    ///
    /// It is the number of bits of the box's longer side in 1e-7 degrees, so each step is a factor of two in size. So that
    /// things without a size, which all would be on level 0, do not come all at once, a quarter of all keys are lifted to 9
    /// at least, a sixteenth to 10, and so on, each step as many fewer as the map shows more area: by a hash, so
    /// the same ones everywhere.
    ///
    /// Monotone: for one key, a box that contains another has no lower level. So whoever asks for what touches a box from a
    /// level on is also told of what replaces it, whose past contains it (`design/model.md`).
    pub fn level(&self, key: &[u8]) -> u8 {
        let width = i64::from(self.east) - i64::from(self.west);
        let height = i64::from(self.north) - i64::from(self.south);
        let bits = u64::BITS - width.max(height).unsigned_abs().leading_zeros();
        let lifted = match xxh3_64(key).trailing_zeros() / 2 {
            0 => 0,
            steps => u32::from(THINNING_FROM) + steps,
        };
        u8::try_from(bits.max(lifted)).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: i32) -> GeoBox {
        GeoBox { west: 0, south: 0, east: side, north: side }
    }

    #[test]
    fn a_step_is_a_factor_of_two_in_size() {
        let unlifted =
            (0u32..).map(u32::to_be_bytes).find(|key| square(0).level(key) == 0).unwrap_or_default();
        assert_eq!(square(1).level(&unlifted), 1);
        assert_eq!(square(1023).level(&unlifted), 10);
        assert_eq!(square(1024).level(&unlifted), 11);
        assert_eq!(GeoBox::WORLD.level(&unlifted), 32);
    }

    #[test]
    fn each_level_has_a_quarter_of_the_points_below_it() {
        let at_least = |l: u8| (0u32..4096).filter(|n| square(0).level(&n.to_be_bytes()) >= l).count();
        assert!((900..1150).contains(&at_least(1)), "{}", at_least(1));
        assert_eq!(at_least(1), at_least(9));
        assert!((200..320).contains(&at_least(10)), "{}", at_least(10));
    }

    #[test]
    fn a_larger_box_has_no_lower_level() {
        for n in 0u32..1000 {
            let key = n.to_be_bytes();
            let levels: Vec<u8> = (0..31).map(|bits| square(1 << bits).level(&key)).collect();
            assert!(levels.is_sorted(), "{levels:?}");
        }
    }
}
