//! Seeded chance for tests and benches: a history is a number, and the same on every machine.

use std::ops::Range;

/// Names the environment variable that draws other histories. `PROPTEST_RNG_SEED` does the same for property tests.
pub const SEED: &str = "KAPPADB_SEED";

/// The seeds of a test's histories: those of `usual`, which people and continuous integration run, or as many others if
/// [`SEED`] is set to a number. A history that failed comes again with the same number.
///
/// # Panics
/// If the variable is set to anything but a number: a test that drew the usual histories then would look like one that drew new ones.
#[expect(clippy::panic, reason = "a test may fail loudly")]
pub fn seeds(usual: Range<u64>) -> impl Iterator<Item = u64> + Clone {
    let drawn = std::env::var(SEED).ok().map(|text| match text.parse() {
        Ok(number) => number,
        Err(_) => panic!("{SEED} is {text:?}, which is no number"),
    });
    usual.map(move |seed| shifted(seed, drawn))
}

/// True if a test has seen enough of something to show what it shows: `seen`, of its usual seeds. How much others bring is chance, and no fault.
pub fn enough(seen: bool) -> bool {
    seen || std::env::var_os(SEED).is_some()
}

/// Small seeds of one draw and of another never meet.
fn shifted(seed: u64, drawn: Option<u32>) -> u64 {
    seed.wrapping_add(drawn.map_or(0, |drawn| (u64::from(drawn) + 1) << 24))
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The choices of this seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n.max(1)
    }

    /// A number from `from` to `to - 1`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from))
    }

    /// A place in something of `len` parts; 0 if it has none.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// True with this chance in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Each item with this chance in a hundred.
    pub fn some<T: Clone>(&mut self, items: &[T], percent: u64) -> Vec<T> {
        items.iter().filter(|_| self.chance(percent)).cloned().collect()
    }

    /// One of `items`, which is not empty.
    #[expect(clippy::indexing_slicing, reason = "an index into what is not empty; a test may fail loudly")]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }

    /// Fills `bytes` with random ones. Fit for tests only.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.draw().to_le_bytes();
            chunk.copy_from_slice(word.get(..chunk.len()).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_published_sequence() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.draw(), 6_457_827_717_110_365_317);
        assert_eq!(random.draw(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn other_draws_have_other_seeds() {
        assert_eq!(shifted(7, None), 7);
        assert_eq!(shifted(7, Some(0)), 7 + (1 << 24));
        assert!(shifted(u64::from(u16::MAX), Some(1)) < shifted(0, Some(2)));
    }
}
