//! When an answer is complete: the statements of all that took part, laid over each other.

use crate::command::Coverage;
use kappadb_core::{FeedKey, Seq};
use std::collections::BTreeMap;

/// What several statements say of one feed together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Every matching entry below this seq is in the union of the answers.
    pub claimed: Seq,
    /// The greatest length that anyone knows.
    pub length: u64,
}

/// Lays statements over each other: a claim of one is a claim of the union of all answers.
pub fn merge(statements: &[&[Coverage]]) -> BTreeMap<FeedKey, Merged> {
    let mut merged: BTreeMap<FeedKey, Merged> = BTreeMap::new();
    for coverage in statements.iter().copied().flatten() {
        let feed = merged.entry(coverage.definition.feed).or_default();
        feed.claimed = feed.claimed.max(coverage.claimed);
        feed.length = feed.length.max(coverage.length);
    }
    merged
}

/// True if the `statements` of all peers that took part, and the asker's own, cover the selector up to the greatest
/// length of each feed that any of them knows; of a feed in `excluded`, up to the seq from which on the asker leaves it out.
pub fn is_complete(statements: &[&[Coverage]], excluded: &BTreeMap<FeedKey, Seq>) -> bool {
    merge(statements).iter().all(|(feed, merged)| {
        let end = excluded.get(feed).copied().unwrap_or(Seq::MAX);
        merged.claimed >= merged.length.min(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::{DatabaseId, FeedDefinition, SecretKey, Timestamp};
    use proptest::prelude::*;

    fn coverage(feed: u8, claimed: Seq, length: u64) -> Coverage {
        let secret = SecretKey::from_seed(&[feed; 32]);
        let definition = FeedDefinition::sign(&DatabaseId([0; 32]), &secret, Timestamp(0), None);
        Coverage { definition, claimed, length, at: 0, root: [0; 8] }
    }

    #[test]
    fn one_who_knows_of_more_makes_it_incomplete() {
        let (a, b) = ([coverage(1, 5, 5)], [coverage(1, 0, 6)]);
        let nothing = BTreeMap::new();
        assert!(is_complete(&[&a], &nothing));
        assert!(!is_complete(&[&a, &b], &nothing));
        assert!(is_complete(&[&a, &b, &[coverage(1, 6, 6)]], &nothing));
        assert!(!is_complete(&[&a, &[coverage(2, 0, 1)]], &nothing));
        assert!(is_complete(&[], &nothing));
    }

    #[test]
    fn nothing_is_missing_beyond_a_fork_or_of_what_was_dropped() {
        let (a, key) = ([coverage(1, 5, 9)], coverage(1, 0, 0).definition.feed);
        assert!(!is_complete(&[&a], &BTreeMap::from([(key, 6)])));
        assert!(is_complete(&[&a], &BTreeMap::from([(key, 5)])));
        assert!(is_complete(&[&[coverage(1, 0, 9)]], &BTreeMap::from([(key, 0)])));
    }

    proptest! {
        #[test]
        fn equals_the_definition(all in prop::collection::vec((1u8..4, 0u64..5, 0u64..5), 0..9), fork in 0u64..5) {
            let all: Vec<[Coverage; 1]> = all.into_iter().map(|(f, c, l)| [coverage(f, c, l)]).collect();
            let views: Vec<&[Coverage]> = all.iter().map(|c| c.as_slice()).collect();
            let forked = coverage(1, 0, 0).definition.feed;
            let expected = (1..4).all(|f| {
                let of = coverage(f, 0, 0).definition.feed;
                let mine = || all.iter().flatten().filter(|c| c.definition.feed == of);
                let known = mine().map(|c| c.length).max().unwrap_or(0);
                let up_to = if of == forked { known.min(fork) } else { known };
                (0..up_to).all(|seq| mine().any(|c| seq < c.claimed))
            });
            prop_assert_eq!(is_complete(&views, &BTreeMap::from([(forked, fork)])), expected);
        }
    }
}
