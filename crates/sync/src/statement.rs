//! When an answer is complete: the statements of all that took part, laid over each other.

use crate::command::Coverage;
use kappadb_core::{FeedKey, Seq};
use std::collections::BTreeMap;

/// How much of a feed is covered, as far as somebody can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered {
    /// Every matching entry below this seq is there.
    pub claimed: Seq,
    /// The greatest length that is known.
    pub length: u64,
}

impl Coverage {
    /// What it says of its feed.
    pub fn covered(&self) -> (FeedKey, Covered) {
        (self.definition.feed, Covered { claimed: self.claimed, length: self.length })
    }
}

/// What several who took part cover together: a claim of one is a claim of the union of all answers.
pub fn merge(said: impl IntoIterator<Item = (FeedKey, Covered)>) -> BTreeMap<FeedKey, Covered> {
    let mut merged: BTreeMap<FeedKey, Covered> = BTreeMap::new();
    for (feed, Covered { claimed, length }) in said {
        let all = merged.entry(feed).or_default();
        (all.claimed, all.length) = (all.claimed.max(claimed), all.length.max(length));
    }
    merged
}

/// The feeds of which what was said does not reach the greatest length that any who took part know, or, of a feed in `excluded`, the seq from which on
/// the asker leaves it out. If there are none, and of all that nobody spoke of those who know it have all, the answer is complete.
pub fn gaps<'a>(
    merged: &'a BTreeMap<FeedKey, Covered>,
    excluded: &'a BTreeMap<FeedKey, Seq>,
) -> impl Iterator<Item = FeedKey> + 'a {
    let is_gap = |(feed, all): &(&FeedKey, &Covered)| {
        let end = excluded.get(feed).copied().unwrap_or(Seq::MAX);
        all.claimed < all.length.min(end)
    };
    merged.iter().filter(is_gap).map(|(feed, _)| *feed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(n: u8) -> FeedKey {
        FeedKey([n; 32])
    }

    fn covered((n, claimed, length): (u8, Seq, u64)) -> (FeedKey, Covered) {
        (feed(n), Covered { claimed, length })
    }

    fn is_complete(said: &[(u8, Seq, u64)], fork: Option<Seq>) -> bool {
        let excluded = fork.map(|fork| (feed(1), fork)).into_iter().collect();
        gaps(&merge(said.iter().copied().map(covered)), &excluded).next().is_none()
    }

    #[test]
    fn one_who_knows_of_more_makes_it_incomplete() {
        assert!(is_complete(&[(1, 5, 5)], None));
        assert!(!is_complete(&[(1, 5, 5), (1, 0, 6)], None));
        assert!(is_complete(&[(1, 5, 5), (1, 0, 6), (1, 6, 6)], None));
        assert!(!is_complete(&[(1, 5, 5), (2, 0, 1)], None));
        assert!(is_complete(&[], None));
    }

    #[test]
    fn nothing_is_missing_beyond_a_fork_or_of_what_was_dropped() {
        assert!(!is_complete(&[(1, 5, 9)], Some(6)));
        assert!(is_complete(&[(1, 5, 9)], Some(5)));
        assert!(is_complete(&[(1, 0, 9)], Some(0)));
    }

    proptest! {
        #[test]
        fn equals_the_definition(all in prop::collection::vec((1u8..4, 0u64..5, 0u64..5), 0..9), fork in 0u64..5) {
            let expected = (1..4).all(|f| {
                let mine = || all.iter().filter(|said| said.0 == f);
                let known = mine().map(|said| said.2).max().unwrap_or(0);
                let up_to = if f == 1 { known.min(fork) } else { known };
                (0..up_to).all(|seq| mine().any(|said| seq < said.1))
            });
            prop_assert_eq!(is_complete(&all, Some(fork)), expected);
        }
    }
}
