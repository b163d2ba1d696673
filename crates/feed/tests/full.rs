//! A disk that takes nothing for a while, under feeds that stay open: what was acknowledged is there, what failed never comes to
//! count, and writing goes on by itself.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use bytes::Bytes;
use common::{Replica, block, config, salted, stored};
use kappadb_core::{FeedKey, RangeSet, Timestamp};
use kappadb_feed::{Append, AppendError, CommitError, DefineError, Feeds};
use kappadb_journal::fault::FaultDisk;
use kappadb_store::MemoryStore;
use proptest::prelude::*;
use std::sync::Arc;

/// Feeds on a disk that fails on demand.
struct Faulty {
    dir: tempfile::TempDir,
    disk: FaultDisk,
    feeds: Feeds,
}

impl Faulty {
    fn new() -> Faulty {
        let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
        let feeds = open(&dir, &disk);
        Faulty { dir, disk, feeds }
    }

    /// What whoever opens it after a power cut finds, with nothing derived.
    fn after_a_power_cut(self) -> Faulty {
        let Faulty { dir, disk, feeds } = self;
        disk.power_cut(&mut |_| 0);
        drop(feeds);
        let feeds = open(&dir, &disk);
        Faulty { dir, disk, feeds }
    }

    fn writer(&self) -> FeedKey {
        self.feeds.create(Timestamp(1), None).unwrap()
    }

    fn append(&self, feed: FeedKey, blocks: Vec<Bytes>) -> Result<u64, AppendError> {
        self.feeds.append(vec![Append { feed, blocks }]).map(|mut places| places.remove(0).start)
    }

    fn contents(&self, feed: &FeedKey) -> Vec<Bytes> {
        let held = self.feeds.held(feed);
        assert_eq!(held, RangeSet::below(held.count()), "no gaps");
        self.feeds.blocks(feed, &held).unwrap().into_iter().map(|(_, block)| block.bytes).collect()
    }

    fn check(&self) {
        let problems = self.feeds.verify(&mut |_, _| {}).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    }
}

fn open(dir: &tempfile::TempDir, disk: &FaultDisk) -> Feeds {
    let config = config(dir.path(), Arc::new(MemoryStore::new())).with_disk(Arc::new(disk.clone()));
    Feeds::open(config, &mut |_, _| ()).unwrap().0
}

#[test]
fn a_running_process_writes_again_once_there_is_room() {
    for room in (0..700).step_by(7) {
        let at = Faulty::new();
        let feed = at.writer();
        at.append(feed, vec![block(0), block(1)]).unwrap();
        at.disk.set_room(Some(room));
        for salt in 1..4 {
            let blocks = (2..9).map(|seq| salted(seq, salt)).collect();
            let Err(error) = at.append(feed, blocks) else { panic!("that is more than {room} bytes") };
            assert!(error.to_string().contains("full"), "{error}");
            assert_eq!(at.contents(&feed), [block(0), block(1)], "reads go on");
            assert!(at.feeds.sync().is_ok(), "nothing waits for it");
        }
        at.disk.set_room(None);
        assert_eq!(at.append(feed, vec![block(2)]).unwrap(), 2, "room {room}");
        at.check();
        let at = at.after_a_power_cut();
        assert_eq!(at.contents(&feed), [block(0), block(1), block(2)]);
        at.check();
    }
}

#[test]
fn an_append_larger_than_the_room_leaves_nothing_of_itself() {
    let at = Faulty::new();
    let feed = at.writer();
    let large = || (0..40).map(|n| Bytes::from([vec![3, 0, n, 0], vec![n; 10_000]].concat())).collect();
    let before = at.feeds.disk().unwrap().journal;
    at.disk.set_room(Some(200_000));
    // The first records are in the journal before it is full.
    assert!(matches!(at.append(feed, large()), Err(AppendError::Commit(CommitError::Journal(_)))));
    assert_eq!(at.feeds.disk().unwrap().journal, before);
    assert_eq!(at.disk.content("00000000.kj").len() as u64, before, "and the room is there again");
    at.disk.set_room(None);
    assert_eq!(at.append(feed, large()).unwrap(), 0);
    at.check();
    let all: Vec<Bytes> = large();
    assert_eq!(at.after_a_power_cut().contents(&feed), all);
}

#[test]
fn a_sync_that_fails_costs_only_what_it_was_for() {
    let at = Faulty::new();
    let (feed, other) = (at.writer(), at.writer());
    at.append(feed, vec![block(0)]).unwrap();
    at.disk.set_syncs_fail(true);
    for _ in 0..2 {
        let lost = at.feeds.append(vec![
            Append { feed, blocks: vec![salted(1, 7)] },
            Append { feed: other, blocks: vec![salted(0, 7)] },
        ]);
        assert!(matches!(lost, Err(AppendError::Commit(CommitError::Journal(_)))), "{lost:?}");
        assert_eq!((at.feeds.end(), at.contents(&other).len()), (1, 0));
    }
    at.disk.set_syncs_fail(false);
    assert_eq!(at.append(other, vec![block(0)]).unwrap(), 0);
    assert_eq!(at.append(feed, vec![block(1)]).unwrap(), 1);
    let at = at.after_a_power_cut();
    assert_eq!((at.contents(&feed), at.contents(&other)), (vec![block(0), block(1)], vec![block(0)]));
    at.check();
}

#[test]
fn who_put_something_that_a_full_disk_took_away_can_tell() {
    let peer = Replica::new();
    let theirs = peer.writer();
    peer.grow(theirs, 20);
    let at = Faulty::new();
    let own = at.writer();
    // It is stored with the first block, so a setback takes it too.
    let define = || at.feeds.define(&peer.feeds().definition(&theirs).unwrap());
    define().unwrap();
    let before = at.feeds.setbacks();
    assert_eq!(at.feeds.put(peer.bundle(theirs, &RangeSet::below(10))).unwrap().stored, 10);
    at.disk.set_room(Some(0));
    at.append(own, vec![block(0)]).unwrap_err();
    at.feeds.sync().unwrap();
    assert!(at.feeds.setbacks() > before, "the put was not durable yet");
    assert!(at.feeds.held(&theirs).is_empty());
    assert!(matches!(define(), Err(DefineError::Commit(_))), "the disk is full");
    at.disk.set_room(None);
    define().unwrap();
    let before = at.feeds.setbacks();
    assert_eq!(at.feeds.put(peer.bundle(theirs, &RangeSet::below(20))).unwrap().stored, 20);
    at.feeds.sync().unwrap();
    assert_eq!(at.feeds.setbacks(), before);
    let at = at.after_a_power_cut();
    assert_eq!(at.feeds.held(&theirs), RangeSet::below(20));
    assert_eq!(at.feeds.block(&common::id(theirs, 7)).unwrap(), Some(stored(7)));
    at.check();
}

#[test]
fn threads_that_share_a_commit_share_its_failure() {
    let at = Faulty::new();
    let feed = at.writer();
    at.append(feed, vec![block(0)]).unwrap();
    at.disk.set_room(Some(3000));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let work = |t: u8| {
            let at = &at;
            scope.spawn(move || {
                let blocks = |n: u8| vec![salted(u64::from(n), t)];
                (0..20).map(|n| (blocks(n), at.append(feed, blocks(n)))).collect::<Vec<_>>()
            })
        };
        let handles: Vec<_> = (1..9).map(work).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    at.disk.set_room(None);
    at.append(feed, vec![block(1)]).unwrap();
    let at = at.after_a_power_cut();
    let found = at.contents(&feed);
    let taken = outcomes.iter().filter_map(|(blocks, outcome)| Some((blocks, outcome.as_ref().ok()?)));
    let taken: Vec<_> = taken.collect();
    assert!(taken.len() < outcomes.len(), "not all of it fits");
    for (blocks, at) in &taken {
        assert_eq!(found[usize::try_from(**at).unwrap()], blocks[0]);
    }
    assert_eq!(found.len(), taken.len() + 2, "nothing that failed came to count");
    at.check();
}

#[derive(Debug, Clone)]
enum Step {
    /// Append so many blocks to one of two feeds.
    Append(bool, u64),
    /// Fetch so many blocks of a third and sync.
    Fetch(u64),
    /// So many bytes of room, or no limit.
    Room(Option<u64>),
    /// So many syncs more, or no limit.
    Syncs(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 1u64..8).prop_map(|(feed, count)| Step::Append(feed, count)),
        2 => (1u64..40).prop_map(Step::Fetch),
        2 => prop::option::of(0u64..2500).prop_map(Step::Room),
        1 => prop::option::of(0u64..4).prop_map(Step::Syncs),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the disk refuses and when: what was acknowledged is there after a power cut, and nothing else.
    #[test]
    fn what_was_acknowledged_is_all_that_there_is(steps in prop::collection::vec(step(), 1..40)) {
        let peer = Replica::new();
        let theirs = peer.writer();
        peer.grow(theirs, 40);
        let at = Faulty::new();
        let own = [at.writer(), at.writer()];
        at.feeds.define(&peer.feeds().definition(&theirs).unwrap()).unwrap();
        let (mut model, mut fetched, mut salt) = ([Vec::new(), Vec::new()], 0, 0);
        for step in steps {
            match step {
                Step::Room(room) => at.disk.set_room(room),
                Step::Syncs(None) => at.disk.set_syncs_fail(false),
                Step::Syncs(Some(more)) => at.disk.set_syncs_fail_after(more),
                Step::Append(feed, count) => {
                    salt += 1;
                    let (feed, known) = (own[usize::from(feed)], &mut model[usize::from(feed)]);
                    let blocks: Vec<Bytes> = (0..count).map(|seq| salted(seq, salt)).collect();
                    if let Ok(start) = at.append(feed, blocks.clone()) {
                        prop_assert_eq!(start, known.len() as u64);
                        known.extend(blocks);
                    }
                    prop_assert_eq!(&at.contents(&feed), &*known);
                }
                Step::Fetch(count) => {
                    drop(at.feeds.define(&peer.feeds().definition(&theirs).unwrap()));
                    let before = at.feeds.setbacks();
                    let put = at.feeds.put(peer.bundle(theirs, &RangeSet::below(count)));
                    if put.is_ok() && at.feeds.sync().is_ok() && at.feeds.setbacks() == before {
                        fetched = fetched.max(count);
                    }
                    prop_assert_eq!(at.feeds.held(&theirs), RangeSet::below(fetched));
                }
            }
        }
        // Once more when all is well, for until then the last tail may be owed.
        at.disk.set_room(None);
        at.disk.set_syncs_fail(false);
        for (feed, known) in own.iter().zip(&mut model) {
            prop_assert_eq!(at.append(*feed, vec![block(0)]).unwrap(), known.len() as u64);
            known.push(block(0));
        }
        at.check();
        let at = at.after_a_power_cut();
        for (feed, known) in own.iter().zip(&model) {
            prop_assert_eq!(&at.contents(feed), known);
        }
        prop_assert_eq!(at.feeds.held(&theirs), RangeSet::below(fetched));
        at.check();
    }
}
