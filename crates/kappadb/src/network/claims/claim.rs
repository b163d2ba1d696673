//! What is claimed of feeds, and on whose word.

use kappadb_core::{FeedKey, Seq, Timestamp};
use kappadb_sync::Words;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// What is claimed of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Up to this seq all is held here that a selector matches.
    pub length: Seq,
    /// On whose word.
    pub words: Arc<Words>,
}

/// What is claimed of feeds.
pub(crate) type Claims = BTreeMap<FeedKey, Claim>;

/// The same as it is kept: on whose word, and up to which seq of which feeds, ascending by both.
pub(super) type Lengths = Vec<(Arc<Words>, Vec<(FeedKey, Seq)>)>;

/// When an answer was complete, and on whose word.
pub(crate) type AsOf = (Timestamp, Words);

/// Each claim by itself.
pub(super) fn each(lengths: &Lengths) -> impl Iterator<Item = (FeedKey, Claim)> {
    let one = |words: &Arc<Words>, (feed, length): &(FeedKey, Seq)| {
        (*feed, Claim { length: *length, words: words.clone() })
    };
    lengths.iter().flat_map(move |(words, of)| of.iter().map(move |length| one(words, length)))
}

/// Claims as they are kept.
pub(super) fn by_word(claims: &Claims) -> Lengths {
    let mut lengths: BTreeMap<&Arc<Words>, Vec<(FeedKey, Seq)>> = BTreeMap::new();
    for (feed, Claim { length, words }) in claims {
        lengths.entry(words).or_default().push((*feed, *length));
    }
    lengths.into_iter().map(|(words, of)| (words.clone(), of)).collect()
}

/// Takes a claim if it goes further than what is claimed of the feed so far, or as far and through fewer hands.
pub(super) fn keep_better(claims: &mut Claims, feed: FeedKey, claim: Claim) {
    let rank = |claim: &Claim| (claim.length, Reverse(claim.words.hands()));
    match claims.entry(feed) {
        Entry::Vacant(nothing) => drop(nothing.insert(claim)),
        Entry::Occupied(mut best) if rank(&claim) > rank(best.get()) => drop(best.insert(claim)),
        Entry::Occupied(_) => {}
    }
}

/// Bytes that these take, about.
pub(super) fn weight(lengths: &Lengths) -> usize {
    let of = |(words, feeds): &(Arc<Words>, Vec<(FeedKey, Seq)>)| {
        size_of::<Words>() + size_of_val(words.list()) + size_of_val(&feeds[..])
    };
    lengths.iter().map(of).sum()
}
