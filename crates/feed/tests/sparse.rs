//! Sparse replicas: whatever came, in whatever order, under whatever heads, through whatever restarts.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::{Replica, answers, run, runs, stored};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_merkle::Known;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// The writer appends.
    Grow(u64),
    /// Replica `to` fetches ranges from `from` (0 is the writer), in frames of some size.
    Fetch {
        to: usize,
        from: usize,
        ranges: Vec<(u64, u64)>,
        max: usize,
    },
    Reopen(usize),
    Forget(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ranges = prop::collection::vec((0u64..150, 1u64..20), 1..5);
    let step = prop_oneof![
        2 => (1u64..40).prop_map(Step::Grow),
        5 => (1usize..4, 0usize..4, ranges, prop_oneof![Just(1usize), Just(700), Just(100_000)])
            .prop_map(|(to, from, ranges, max)| Step::Fetch { to, from, ranges, max }),
        1 => (0usize..4).prop_map(Step::Reopen),
        1 => (0usize..4).prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 1..14)
}

/// Every block held can be read, proved, and believed by somebody who knows nothing.
fn check(replica: &Replica, feed: FeedKey) {
    let held = replica.feeds().held(&feed);
    for (seq, block) in replica.feeds().blocks(&feed, &held).unwrap() {
        assert_eq!(block, stored(seq));
    }
    let fresh = Replica::new();
    if !held.is_empty() {
        assert_eq!(fresh.fetch(replica, feed, &held, 2000).unwrap(), held.count());
        assert_eq!(fresh.feeds().held(&feed), held);
        assert_eq!(fresh.problems(), [""; 0]);
    }
    assert_eq!(replica.problems(), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_leaves_proved_blocks_and_the_same_answers_after_a_rebuild(steps in steps()) {
        let mut replicas = [Replica::new(), Replica::new(), Replica::new(), Replica::new()];
        let feed = replicas[0].writer();
        replicas[0].grow(feed, 3);
        for step in steps {
            match step {
                Step::Grow(count) => replicas[0].grow(feed, count),
                Step::Fetch { to, from, ranges, max } if to != from && replicas[from].feeds().definition(&feed).is_some() => {
                    let wanted: RangeSet = ranges.into_iter().map(|(s, n)| s..s + n).collect();
                    let had = replicas[to].feeds().held(&feed);
                    let there = wanted.intersection(&replicas[from].feeds().held(&feed));
                    let stored = replicas[to].fetch(&replicas[from], feed, &wanted, max).unwrap();
                    prop_assert_eq!(stored, there.minus(&had).count());
                    prop_assert!(there.minus(&replicas[to].feeds().held(&feed)).is_empty());
                }
                Step::Fetch { .. } => {}
                Step::Reopen(at) => {
                    let before = answers(&replicas[at], &feed);
                    prop_assert!(replicas[at].reopen().rebuilt.is_none());
                    prop_assert_eq!(answers(&replicas[at], &feed), before);
                }
                Step::Forget(at) => {
                    let (before, arrivals) = (answers(&replicas[at], &feed), replicas[at].arrivals());
                    replicas[at].reopen_without_derived();
                    prop_assert_eq!(answers(&replicas[at], &feed), before);
                    prop_assert_eq!(replicas[at].arrivals(), arrivals);
                }
            }
        }
        replicas.iter().for_each(|replica| check(replica, feed));
    }
}

#[test]
fn an_older_head_is_kept_marked_and_linked_when_the_path_comes() {
    let (writer, relay, asker) = (Replica::new(), Replica::new(), Replica::new());
    let feed = writer.writer();
    writer.grow(feed, 50);
    relay.fetch(&writer, feed, &run(20..23), 1000).unwrap();
    writer.grow(feed, 51);
    asker.fetch(&writer, feed, &run(90..91), 1000).unwrap();
    // The relay knows only the older head.
    asker.fetch(&relay, feed, &run(20..23), 1000).unwrap();
    assert_eq!(asker.feeds().head(&feed).unwrap().head.length, 101);
    assert_eq!(asker.feeds().held(&feed), runs(&[20..23, 90..91]));
    // Tree 50 has roots over 0..32, 32..48, 48..50. Of these the first lies beside the path of 90.. in tree 101, or above it.
    let linked = asker.feeds().known(&feed, &RangeSet::below(200));
    assert_eq!(linked, Known { length: 101, leaves: run(90..91) });
    assert_eq!(asker.problems(), [""; 0]);
    let part = asker.bundle(feed, &RangeSet::below(200));
    assert_eq!((part.head.head.length, part.ranges), (50, run(20..23)));
    check(&asker, feed);
    // A block beside them under the newer head brings the path.
    asker.fetch(&writer, feed, &run(31..32), 1000).unwrap();
    let linked = asker.feeds().known(&feed, &RangeSet::below(200));
    assert_eq!(linked, Known { length: 101, leaves: runs(&[20..23, 31..32, 90..91]) });
    check(&asker, feed);
}

#[test]
fn a_relay_that_cannot_link_the_askers_head_says_that_nothing_was_taken_as_known() {
    let (writer, relay, asker) = (Replica::new(), Replica::new(), Replica::new());
    let feed = writer.writer();
    writer.grow(feed, 50);
    asker.fetch(&writer, feed, &run(40..41), 1000).unwrap();
    writer.grow(feed, 51);
    relay.fetch(&writer, feed, &run(99..100), 1000).unwrap();
    let known = asker.feeds().known(&feed, &RangeSet::below(50));
    assert_eq!(known, Known { length: 50, leaves: run(40..41) });
    let bundle = relay.feeds().prove(&feed, &run(99..100), &known, 1000).unwrap();
    assert!(bundle.known.is_empty());
    asker.put(bundle).unwrap();
    assert_eq!(asker.feeds().head(&feed).unwrap().head.length, 101);
    check(&asker, feed);
    // The writer can.
    let known = asker.feeds().known(&feed, &RangeSet::below(200));
    asker.put(writer.feeds().prove(&feed, &run(41..42), &known, 1000).unwrap()).unwrap();
    assert_eq!(asker.feeds().known(&feed, &RangeSet::below(200)).leaves, runs(&[40..42, 99..100]));
    check(&asker, feed);
}

#[test]
fn later_bundles_build_on_earlier_ones_before_any_sync() {
    let (writer, asker) = (Replica::new(), Replica::new());
    let feed = writer.writer();
    writer.grow(feed, 200);
    asker.feeds().define(&writer.feeds().definition(&feed).unwrap()).unwrap();
    let mut known = Known::default();
    for start in (0..200).step_by(7) {
        let bundle = writer.feeds().prove(&feed, &run(start..start + 7), &known, usize::MAX).unwrap();
        known.length = 200;
        known.leaves.union_with(&bundle.ranges);
        asker.feeds().put(bundle).unwrap();
        assert!(
            asker.feeds().held(&feed).is_empty() && asker.feeds().end() == 0,
            "nothing shows before it is durable"
        );
    }
    asker.feeds().sync().unwrap();
    assert_eq!(asker.feeds().held(&feed), RangeSet::below(200));
    assert_eq!(asker.feeds().end(), 200);
    check(&asker, feed);
}
