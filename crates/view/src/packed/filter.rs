//! Which keys a file may have: so that most that it lacks cost no page.
//!
//! Words of 64 bits, one for six keys; a key sets four bits of one of them. Two or three of a hundred keys that are not there seem to be.

use xxhash_rust::xxh3::xxh3_64;

/// Keys of a word, about.
const KEYS: usize = 6;
/// Bits of a word that a key sets.
const BITS: u32 = 4;
const WORD: usize = size_of::<u64>();

/// What is remembered of a key until the filter is made.
pub type Mark = u64;

pub fn mark(key: &[u8]) -> Mark {
    xxh3_64(key)
}

/// So many bits of a word, as the lower half of a hash says; two may be the same.
pub fn bits(hash: u64, count: u32) -> u64 {
    (0..count).fold(0, |bits, n| bits | 1 << (hash >> (6 * n) & 63))
}

/// Where the word of a key lies among so many.
fn place(mark: Mark, words: usize) -> usize {
    // The upper half, of which the bits are not made; spread over all words.
    usize::try_from((u128::from(mark >> 32) * words as u128) >> 32).unwrap_or(0)
}

/// The filter of keys as it lies in a file.
pub fn build(marks: &[Mark]) -> Vec<u8> {
    let mut words = vec![0_u64; marks.len().div_ceil(KEYS)];
    let count = words.len();
    for mark in marks {
        words.get_mut(place(*mark, count)).into_iter().for_each(|word| *word |= bits(*mark, BITS));
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// False if the key is not among those that the filter was made of.
pub fn may_have(filter: &[u8], key: &[u8]) -> bool {
    let mark = mark(key);
    let at = place(mark, filter.len() / WORD) * WORD;
    let word = filter.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u64::from_le_bytes(*word));
    let bits = bits(mark, BITS);
    word.is_some_and(|word| word & bits == bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_may_be_there_and_little_else() {
        for count in [1_u32, 7, 1_000, 100_000] {
            let marks: Vec<Mark> = (0..count).map(|n| mark(&n.to_be_bytes())).collect();
            let filter = build(&marks);
            assert!((0..count).all(|n| may_have(&filter, &n.to_be_bytes())));
            let wrong = (count..count + 100_000).filter(|n| may_have(&filter, &n.to_be_bytes())).count();
            assert!(count < 1_000 || wrong < 5_000, "{wrong} of 100,000 with {count}");
            assert!(filter.len() <= 2 * count as usize + 8);
        }
        assert!(!may_have(&[], b"nothing has nothing"));
    }
}
