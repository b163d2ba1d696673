//! A writer that signed two histories, seen by replicas that hold parts of both, in any order.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::{DATABASE, Replica, salted};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_feed::{PutError, PutOutcome};
use proptest::prelude::*;

/// Two replicas with the same secret key that went apart after `common` blocks, at these lengths.
fn copies(common: u64, lengths: [u64; 2]) -> ([Replica; 2], FeedKey) {
    let (one, mut two) = (Replica::new(), Replica::new());
    let feed = one.writer();
    two.close();
    let name = format!("keys/{feed}");
    std::fs::copy(one.dir.path().join(&name), two.dir.path().join(&name)).unwrap();
    two.reopen();
    two.feeds().define(&one.feeds().definition(&feed).unwrap()).unwrap();
    for ((replica, salt), length) in [(&one, 1), (&two, 2)].into_iter().zip(lengths) {
        let blocks = (0..length).map(|seq| salted(seq, if seq < common { 0 } else { salt }));
        replica.append(feed, blocks.collect());
    }
    ([one, two], feed)
}

fn set(seqs: impl IntoIterator<Item = u64>) -> RangeSet {
    seqs.into_iter().collect()
}

/// Fetches in frames that each build on nothing, as sessions do once they know that a feed forked.
fn fetch(asker: &Replica, peer: &Replica, feed: FeedKey, ranges: &RangeSet) -> Result<PutOutcome, PutError> {
    asker.feeds().define(&peer.feeds().definition(&feed).unwrap()).unwrap();
    let mut all = PutOutcome::default();
    let mut left = ranges.intersection(&peer.feeds().held(&feed)).minus(&asker.feeds().held(&feed));
    while !left.is_empty() {
        let bundle = peer.feeds().prove(&feed, &left, &Default::default(), 300).unwrap();
        left = left.minus(&bundle.ranges);
        let outcome = asker.put(bundle)?;
        all.stored += outcome.stored;
        all.contradicted += outcome.contradicted;
        all.fork = all.fork.into_iter().chain(outcome.fork).min();
    }
    Ok(all)
}

/// As a session would after a question: asks for what links heads that are not linked yet.
fn link(asker: &Replica, peer: &Replica) {
    for (feed, ranges) in asker.feeds().loose_ends() {
        fetch(asker, peer, feed, &ranges).unwrap();
    }
}

/// All of it is right, and is there again after a restart and after a rebuild.
fn check(asker: &mut Replica, feed: FeedKey) {
    let facts = |asker: &Replica| (asker.feeds().held(&feed), asker.feeds().exclusions());
    let before = facts(asker);
    assert_eq!(asker.problems(), [""; 0]);
    asker.reopen();
    assert_eq!(facts(asker), before);
    asker.reopen_without_derived();
    assert_eq!(facts(asker), before);
    assert_eq!(asker.problems(), [""; 0]);
    // Somebody who knows nothing believes every block of it, under one head or another.
    let fresh = Replica::new();
    fetch(&fresh, asker, feed, &before.0).unwrap();
}

#[test]
fn what_lies_below_a_fork_is_kept_from_both_sides() {
    let ([one, two], feed) = copies(10, [20, 20]);
    let mut asker = Replica::new();
    fetch(&asker, &one, feed, &set([12])).unwrap();
    let outcome = fetch(&asker, &two, feed, &set([2, 5, 12, 15])).unwrap();
    assert_eq!((outcome.stored, outcome.contradicted), (2, 0), "2 and 5 are in both histories");
    assert_eq!(asker.feeds().exclusions().len(), 1);
    check(&mut asker, feed);
}

#[test]
fn blocks_before_a_fork_that_is_known_are_stored() {
    let ([one, two], feed) = copies(10, [20, 33]);
    let mut asker = Replica::new();
    fetch(&asker, &one, feed, &set([9, 10, 11])).unwrap();
    let outcome = fetch(&asker, &two, feed, &set([3, 8, 10, 11, 30])).unwrap();
    assert_eq!(outcome.fork, Some(10), "evidence that is not needed would be for an earlier one");
    assert_eq!((outcome.stored, outcome.contradicted), (2, 0));
    assert_eq!(asker.feeds().held(&feed), set([3, 8, 9, 10, 11]));
    let outcome = fetch(&asker, &two, feed, &set([0, 1, 7])).unwrap();
    assert_eq!((outcome.stored, outcome.contradicted), (3, 0));
    check(&mut asker, feed);
}

#[test]
fn a_fork_at_the_first_block_leaves_nothing() {
    let ([one, two], feed) = copies(0, [1, 1]);
    let mut asker = Replica::new();
    fetch(&asker, &one, feed, &set([0])).unwrap();
    assert_eq!(asker.put(two.bundle(feed, &set([0]))).unwrap().fork, Some(0));
    assert_eq!(asker.feeds().exclusions(), [(feed, 0)]);
    check(&mut asker, feed);
}

#[test]
fn lower_evidence_counts_in_any_order() {
    let ([one, two], feed) = copies(4, [20, 20]);
    let evidence = |of: &[u64]| {
        let asker = Replica::new();
        fetch(&asker, &one, feed, &set(of.to_vec())).unwrap();
        asker.put(two.bundle(feed, &set(of.to_vec()))).unwrap();
        asker.feeds().fork(&feed).unwrap()
    };
    let (high, low) = (evidence(&[17]), evidence(&[4]));
    let seqs = [&high, &low].map(|evidence| evidence.verify(&DATABASE).unwrap());
    assert!(seqs[1] <= 4, "{seqs:?}");
    for order in [[&high, &low], [&low, &high]] {
        let asker = Replica::new();
        asker.feeds().define(&one.feeds().definition(&feed).unwrap()).unwrap();
        for evidence in order {
            asker.feeds().record_fork(evidence.clone()).unwrap();
            asker.feeds().sync().unwrap();
        }
        assert_eq!(asker.feeds().exclusions(), [(feed, seqs[0].min(seqs[1]))]);
    }
}

#[test]
fn heads_with_nothing_in_common_are_linked_or_contradicted_by_the_block_after_the_shorter() {
    // The last has a second history that only goes on where the first ends: no fork.
    for (common, lengths, forked) in
        [(5, [6, 8], true), (5, [8, 6], true), (5, [13, 40], true), (6, [6, 8], false)]
    {
        let ([one, two], feed) = copies(common, lengths);
        let mut asker = Replica::new();
        // Blocks in different parts of the tree: no node of one path lies on the other.
        fetch(&asker, &one, feed, &set([0])).unwrap();
        fetch(&asker, &two, feed, &set([lengths[1] - 1])).unwrap();
        for _ in 0..3 {
            link(&asker, &one);
            link(&asker, &two);
        }
        assert_eq!(!asker.feeds().exclusions().is_empty(), forked, "{lengths:?}");
        assert!(asker.feeds().loose_ends().is_empty(), "{lengths:?}");
        check(&mut asker, feed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_can_ask_both_copies_finds_the_fork(
        common in 0u64..40,
        more in prop::array::uniform2(1u64..30),
        asked in prop::collection::vec((any::<bool>(), prop::collection::vec(0u64..70, 1..5)), 2..6),
    ) {
        let lengths = more.map(|more| common + more);
        let (replicas, feed) = copies(common, lengths);
        let mut asker = Replica::new();
        for (which, seqs) in asked {
            let peer = &replicas[usize::from(which)];
            fetch(&asker, peer, feed, &set(seqs)).unwrap();
            link(&asker, peer);
        }
        // Once more each, so that both have had the chance to link what the other left.
        for _ in 0..2 {
            replicas.iter().for_each(|peer| link(&asker, peer));
        }
        let exclusions = asker.feeds().exclusions();
        for (_, fork) in &exclusions {
            prop_assert!(*fork <= common, "{} is after {common}", fork);
            // Nothing that counts differs from what both have.
            for (seq, block) in asker.feeds().blocks(&feed, &RangeSet::below(*fork)).unwrap() {
                prop_assert_eq!(block, common::stored(seq));
            }
        }
        prop_assert!(asker.feeds().loose_ends().is_empty());
        if exclusions.is_empty() {
            // Then one history explains all that is held: it is that of the newest head, and of one copy.
            let held = asker.feeds().held(&feed);
            let all_of = |peer: &Replica| peer.feeds().blocks(&feed, &held).unwrap();
            let mine = all_of(&asker);
            prop_assert!(replicas.iter().any(|peer| all_of(peer) == mine));
        }
        check(&mut asker, feed);
    }
}
