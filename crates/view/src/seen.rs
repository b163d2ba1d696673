//! Keys that may have rows, in four or five bytes each: a Bloom filter that grows. To find out from the store that a
//! row is not there takes a microsecond.

use crate::packed::bits;
use xxhash_rust::xxh3::xxh3_64;

/// Keys that the first layer is made for; each further one has twice as many.
const FIRST: usize = 1 << 12;
/// Keys after which there is no use in it any more: it would take too much memory.
const MOST: usize = 1 << 24;
/// Bits of a word that a key sets.
const BITS: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    layers: Vec<Layer>,
}

/// One word of five bits for each key, in a table of four bytes a key: one of a hundred others seems to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    words: Vec<u64>,
    left: usize,
}

impl Layer {
    fn new(keys: usize) -> Layer {
        Layer { words: vec![0; keys / 2], left: keys }
    }

    fn at(&self, hash: u64) -> usize {
        // A power of two.
        usize::try_from(hash >> 32).unwrap_or(usize::MAX) & (self.words.len() - 1)
    }
}

impl Seen {
    /// False if the key was never added.
    pub fn may_have(&self, key: &[u8]) -> bool {
        let hash = xxh3_64(key);
        let bits = bits(hash, BITS);
        self.layers
            .iter()
            .any(|layer| layer.words.get(layer.at(hash)).is_some_and(|word| word & bits == bits))
    }

    /// Adds a key. False if there are too many.
    #[must_use]
    pub fn add(&mut self, key: &[u8]) -> bool {
        if self.layers.last().is_none_or(|layer| layer.left == 0) {
            let keys = FIRST << self.layers.len();
            if keys > MOST {
                return false;
            }
            self.layers.push(Layer::new(keys));
        }
        let hash = xxh3_64(key);
        if let Some(layer) = self.layers.last_mut() {
            let at = layer.at(hash);
            layer.left -= 1;
            layer.words.get_mut(at).into_iter().for_each(|word| *word |= bits(hash, BITS));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_may_be_there_and_little_else() {
        let mut seen = Seen::default();
        let count = 300_000u32;
        for n in 0..count {
            assert!(seen.add(&n.to_be_bytes()));
        }
        assert!((0..count).all(|n| seen.may_have(&n.to_be_bytes())));
        let wrong = (count..2 * count).filter(|n| seen.may_have(&n.to_be_bytes())).count();
        assert!(wrong < 6_000, "{wrong} of {count} were never added");
        let bytes: usize = seen.layers.iter().map(|layer| 8 * layer.words.len()).sum();
        assert!(bytes < 9 * 300_000, "{bytes} bytes");
    }

    #[test]
    fn it_says_when_it_is_full() {
        let full = Layer { words: Vec::new(), left: 0 };
        let mut seen = Seen { layers: vec![full; 13] };
        assert!(!seen.add(b"one too many"));
    }
}
