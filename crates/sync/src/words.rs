//! On whose word a statement rests, and so an answer: `design/protocol.md`, "Whose word".

use bincode::{Decode, Encode};
use kappadb_core::FeedKey;
use kappadb_core::limits::MAX_WORDS;
use std::cmp::Reverse;

/// A peer on whose word something rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Word {
    /// Its identity.
    pub peer: FeedKey,
    /// Through how many others its word went before it was told here: 0 if it told it itself.
    pub hands: u8,
}

/// On whose word something rests, beside that of whoever says it: nobody's by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Words {
    /// Ascending by peer, none twice, at most [`MAX_WORDS`].
    list: Vec<Word>,
    /// There are others, for which there was no room: through how many hands their words went at most. The list is full then.
    more: Option<u8>,
}

impl Words {
    /// What a peer says itself.
    pub fn of(peer: FeedKey) -> Words {
        Words { list: vec![Word { peer, hands: 0 }], more: None }
    }

    /// These, as they are told by `peer` to `me`: through one hand more. What others heard of `me` they had from those who are named beside it.
    #[must_use]
    pub fn told_by(&self, peer: FeedKey, me: &FeedKey) -> Words {
        let further = |hands: u8| hands.saturating_add(1);
        let others = self.list.iter().filter(|word| word.peer != *me);
        let list = others.map(|word| Word { hands: further(word.hands), ..*word }).collect();
        Words { list, more: self.more.map(further) }.and(&Words::of(peer))
    }

    /// Both together. Of who is named in both the fewest hands count; if there are too many, those with the most are kept.
    #[must_use]
    pub fn and(&self, others: &Words) -> Words {
        let mut list = [&self.list[..], &others.list[..]].concat();
        list.sort_unstable();
        list.dedup_by_key(|word| word.peer);
        list.sort_by_key(|word| Reverse(word.hands));
        let dropped = list.get(MAX_WORDS).map(|word| word.hands);
        list.truncate(MAX_WORDS);
        list.sort_unstable();
        Words { list, more: self.more.max(others.more).max(dropped) }
    }

    /// Those who are named, ascending by their keys.
    pub fn list(&self) -> &[Word] {
        &self.list
    }

    /// True if it rests on others, too, who are not named.
    pub fn has_more(&self) -> bool {
        self.more.is_some()
    }

    /// True if it rests on nobody's word.
    pub fn is_nobodys(&self) -> bool {
        self.list.is_empty() && self.more.is_none()
    }

    /// Those of them who did not tell it themselves.
    pub fn indirect(&self) -> impl Iterator<Item = &Word> {
        self.list.iter().filter(|word| word.hands > 0)
    }

    /// True if it rests on nobody's word who did not tell it himself.
    pub fn is_direct(&self) -> bool {
        self.hands() == 0
    }

    /// Through how many hands it went at most.
    pub fn hands(&self) -> u8 {
        self.list.iter().map(|word| word.hands).chain(self.more).max().unwrap_or(0)
    }

    /// True if it may rest on this peer's word.
    pub fn rests_on(&self, peer: &FeedKey) -> bool {
        self.more.is_some() || self.list.iter().any(|word| word.peer == *peer)
    }

    /// True if these are words as they may come from a peer.
    pub(crate) fn are_well_formed(&self) -> bool {
        let is_ascending = self.list.windows(2).all(|pair| matches!(pair, [a, b] if a.peer < b.peer));
        let fits = self.list.len() <= MAX_WORDS && (self.more.is_none() || self.list.len() == MAX_WORDS);
        !self.list.is_empty() && is_ascending && fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn peer(n: u8) -> FeedKey {
        FeedKey([n; 32])
    }

    fn words(of: &[(u8, u8)]) -> Words {
        let one = |&(n, hands): &(u8, u8)| Words { list: vec![Word { peer: peer(n), hands }], more: None };
        of.iter().map(one).fold(Words::default(), |all, one| all.and(&one))
    }

    #[test]
    fn a_word_goes_through_one_hand_more_with_each_who_tells_it() {
        let me = peer(9);
        let first = Words::default().told_by(peer(1), &me);
        assert!(first.is_direct() && first == Words::of(peer(1)));
        let second = first.told_by(peer(2), &me);
        assert_eq!(second, words(&[(1, 1), (2, 0)]));
        assert!(!second.is_direct() && second.rests_on(&peer(1)) && !second.rests_on(&peer(3)));
        assert_eq!(second.told_by(peer(3), &me), words(&[(1, 2), (2, 1), (3, 0)]));
        assert_eq!(second.told_by(peer(3), &peer(1)), words(&[(2, 1), (3, 0)]), "oneself is not named");
    }

    #[test]
    fn who_tells_it_himself_is_not_believed_through_others() {
        let relayed = words(&[(1, 1), (2, 0)]);
        assert!(relayed.and(&Words::of(peer(1))).is_direct());
        assert!(!relayed.and(&Words::of(peer(3))).is_direct());
    }

    #[test]
    fn of_too_many_those_farthest_away_are_named_and_all_may_be_meant() {
        let many: Vec<(u8, u8)> = (0..20).map(|n| (n, n / 2)).collect();
        let all = words(&many);
        assert_eq!((all.list().len(), all.hands()), (MAX_WORDS, 9));
        assert!(all.are_well_formed() && all.has_more() && all.rests_on(&peer(77)) && !all.is_direct());
        let asked: Vec<(u8, u8)> = (0..20).map(|n| (n, 0)).collect();
        assert!(words(&asked).is_direct(), "all of them were asked");
    }

    proptest! {
        #[test]
        fn together_they_are_the_fewest_hands_of_each_in_any_order(one in prop::collection::vec((0u8..6, 0u8..4), 0..6), two in prop::collection::vec((0u8..6, 0u8..4), 0..6)) {
            let mut fewest = BTreeMap::new();
            for (n, hands) in one.iter().chain(&two) {
                let best = fewest.entry(*n).or_insert(*hands);
                *best = (*best).min(*hands);
            }
            let expected: Vec<Word> = fewest.into_iter().map(|(n, hands)| Word { peer: peer(n), hands }).collect();
            let (one, two) = (words(&one), words(&two));
            let both = one.and(&two);
            prop_assert_eq!(both.list(), &expected[..]);
            prop_assert_eq!(both, two.and(&one));
        }

        #[test]
        fn whoever_it_rests_on_is_never_denied(all in prop::collection::vec((0u8..30, 0u8..4), 1..40)) {
            let words = words(&all);
            prop_assert!(words.are_well_formed());
            prop_assert!(all.iter().all(|(n, _)| words.rests_on(&peer(*n))));
            let mut fewest = BTreeMap::new();
            for (n, hands) in all {
                let best = fewest.entry(n).or_insert(hands);
                *best = hands.min(*best);
            }
            // Who is not named any more may be named again with more hands: never the other way round.
            if words.is_direct() {
                prop_assert!(fewest.values().all(|hands| *hands == 0));
            }
        }
    }
}
