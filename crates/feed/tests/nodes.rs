//! Proofs from what is kept of the tree, against those from the whole tree.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::{Replica, stored};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_merkle::{self as merkle, Known, Node, Peaks};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Every node of the tree of `length` of the blocks that replicas grow by.
fn tree(length: u64) -> BTreeMap<u64, Node> {
    let blocks: Vec<_> = (0..length).map(stored).collect();
    let (mut peaks, mut nodes) = (Peaks::new(), BTreeMap::new());
    let leaves = kappadb_entry::leaf_nodes(&blocks).unwrap();
    peaks
        .extend(&leaves, &mut |index, node| {
            nodes.insert(index, node);
        })
        .unwrap();
    nodes
}

fn set(numbers: &[u64], length: u64) -> RangeSet {
    numbers.iter().map(|number| number % length).collect()
}

/// What is held of `ranges` is proved with just the nodes that the whole tree gives.
fn check(replica: &Replica, feed: FeedKey, ranges: &RangeSet, known: &Known, tree: &BTreeMap<u64, Node>) {
    let ranges = ranges.intersection(&replica.feeds().held(&feed));
    if ranges.is_empty() {
        return;
    }
    let bundle = replica.feeds().prove(&feed, &ranges, known, usize::MAX).unwrap();
    let length = bundle.head.head.length;
    let plain = merkle::prove::<()>(&ranges, length, &bundle.known, &mut |index| Ok(tree[&index])).unwrap();
    assert_eq!((bundle.ranges, bundle.proof), (ranges, plain));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_proof_has_the_nodes_of_the_whole_tree_whatever_came_before(
        grown in prop::collection::vec(1..90u64, 1..12),
        fetched in prop::collection::vec(prop::collection::vec(0..1_000u64, 1..20), 1..8),
        run in (0..1_000u64, 0..60u64),
        asked in prop::collection::vec(0..1_000u64, 1..30),
        told in prop::collection::vec(0..1_000u64, 0..10),
        at_once in any::<bool>(),
    ) {
        let (mut writer, mut sparse) = (Replica::new(), Replica::new());
        let feed = writer.writer();
        grown.iter().for_each(|count| writer.grow(feed, *count));
        let length: u64 = grown.iter().sum();
        let tree = tree(length);
        let asked = set(&asked, length);
        let known = Known { length: length - length / 3, leaves: set(&told, length - length / 3) };
        sparse.feeds().define(&writer.feeds().definition(&feed).unwrap()).unwrap();
        for numbers in &fetched {
            let bundle = writer.feeds().prove(&feed, &set(numbers, length), &Known::default(), usize::MAX);
            sparse.feeds().put(bundle.unwrap()).unwrap();
            if !at_once {
                sparse.feeds().sync().unwrap();
            }
        }
        let first = run.0 % length;
        let run: RangeSet = std::iter::once(first..(first + run.1).min(length)).collect();
        sparse.fetch(&writer, feed, &run, 2_000).unwrap();
        let own = sparse.feeds().held(&feed);
        for again in 0..3 {
            check(&writer, feed, &asked, &Known::default(), &tree);
            check(&writer, feed, &asked, &known, &tree);
            check(&sparse, feed, &own, &Known::default(), &tree);
            check(&sparse, feed, &asked, &known, &tree);
            if again == 0 {
                writer.reopen();
 sparse.reopen();
            } else {
                writer.reopen_without_derived();
 sparse.reopen_without_derived();
            }
        }
        prop_assert_eq!(writer.problems(), [""; 0]);
        prop_assert_eq!(sparse.problems(), [""; 0]);
    }
}

/// Neighbours in one page come with blocks that are far apart in time: each batch reads what the one before wrote.
#[test]
fn blocks_that_came_one_by_one_are_proved_together() {
    let (writer, sparse) = (Replica::new(), Replica::new());
    let feed = writer.writer();
    writer.grow(feed, 300);
    sparse.feeds().define(&writer.feeds().definition(&feed).unwrap()).unwrap();
    for seq in (0..300u64).step_by(7).chain((0..300).step_by(11)) {
        sparse.put(writer.bundle(feed, &RangeSet::from_iter([seq]))).unwrap();
    }
    let held = sparse.feeds().held(&feed);
    check(&sparse, feed, &held, &Known::default(), &tree(300));
    let third = Replica::new();
    assert_eq!(third.fetch(&sparse, feed, &held, usize::MAX).unwrap(), held.count());
    assert_eq!((sparse.problems(), third.problems()), (vec![], vec![]));
}
