//! Appends that are on the disk when they return, and appends that are not yet: what is there after the process was killed, after a power cut,
//! on a disk that is full for a while, and after a sync that failed.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use bytes::Bytes;
use common::{config, salted};
use kappadb_core::{FeedKey, RangeSet, Timestamp};
use kappadb_feed::{Append, AppendError, CommitError, Feeds};
use kappadb_journal::fault::FaultDisk;
use kappadb_store::MemoryStore;
use proptest::prelude::*;
use std::sync::Arc;

/// What ends a process.
#[derive(Debug, Clone, Copy)]
enum End {
    /// `kill -9`: what the system was given is there.
    Kill,
    /// Of what was not synced so many bytes of a hundred are there.
    PowerCut(u64),
}

struct Faulty {
    dir: tempfile::TempDir,
    disk: FaultDisk,
    store: Arc<MemoryStore>,
    feeds: Feeds,
    feed: FeedKey,
    /// All that was acknowledged.
    told: Vec<Bytes>,
    /// How many of these are durable.
    durable: usize,
}

fn open(dir: &tempfile::TempDir, disk: &FaultDisk, store: &Arc<MemoryStore>) -> Feeds {
    let config = config(dir.path(), store.clone()).with_disk(Arc::new(disk.clone()));
    let (feeds, report) = Feeds::open(config, &mut |_, _| ()).unwrap();
    assert_eq!(report.damage, [], "what was never durable is torn, and not damaged");
    feeds
}

impl Faulty {
    fn new() -> Faulty {
        let (dir, disk, store) = (tempfile::tempdir().unwrap(), FaultDisk::new(), Arc::default());
        let feeds = open(&dir, &disk, &store);
        let feed = feeds.create(Timestamp(1), None).unwrap();
        Faulty { dir, disk, store, feeds, feed, told: Vec::new(), durable: 0 }
    }

    fn append(&mut self, count: u64, salt: u8, durable: bool) -> Result<(), AppendError> {
        let from = self.told.len() as u64;
        let blocks: Vec<Bytes> = (from..from + count).map(|seq| salted(seq, salt)).collect();
        let append = Append { feed: self.feed, blocks: blocks.clone() };
        let range = self.feeds.append_each(vec![append], durable).remove(0)?;
        assert_eq!(range, from..from + count);
        self.told.extend(blocks);
        self.durable = if durable { self.told.len() } else { self.durable };
        Ok(())
    }

    fn settle(&mut self) -> Result<(), CommitError> {
        self.feeds.settle()?;
        self.durable = self.told.len();
        Ok(())
    }

    fn held(&self) -> Vec<Bytes> {
        let held = self.feeds.held(&self.feed);
        assert_eq!(held, RangeSet::below(held.count()), "no gaps");
        self.feeds.blocks(&self.feed, &held).unwrap().into_iter().map(|(_, block)| block.bytes).collect()
    }

    /// What whoever opens it after that finds, with what was derived before or with nothing.
    fn end(mut self, end: End, derived: bool) -> Faulty {
        let disk = self.disk.copy();
        let keep = match end {
            End::Kill => 0,
            End::PowerCut(percent) => percent,
        };
        self.disk.power_cut(&mut |bytes| bytes * keep / 100);
        // It finds its disk dead, and closes nothing.
        drop(self.feeds);
        self.disk = if matches!(end, End::Kill) { disk } else { self.disk };
        self.store = if derived { self.store } else { Arc::default() };
        self.feeds = open(&self.dir, &self.disk, &self.store);
        let held = self.held();
        assert!(held.len() >= self.durable, "{end:?}: {} of {} durable ones", held.len(), self.durable);
        assert!(
            self.told.starts_with(&held),
            "{end:?}: what is there is the beginning of what was acknowledged"
        );
        if matches!(end, End::Kill) {
            assert_eq!(held.len(), self.told.len(), "all that was acknowledged outlives the process");
        }
        (self.durable, self.told) = (held.len(), held);
        self
    }

    fn check(&self) {
        let problems = self.feeds.verify(&mut |_, _| {}).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn what_is_not_synced_is_visible_outlives_the_process_and_is_durable_after_the_next_sync() {
    for end in [End::Kill, End::PowerCut(0), End::PowerCut(50), End::PowerCut(100)] {
        for derived in [true, false] {
            let mut at = Faulty::new();
            let before = at.disk.syncs();
            at.append(3, 1, false).unwrap();
            at.append(3, 1, false).unwrap();
            assert_eq!(at.disk.syncs(), before, "no sync was waited for");
            assert_eq!(at.held(), at.told);
            at.settle().unwrap();
            let synced = at.disk.syncs();
            at.settle().unwrap();
            assert_eq!(at.disk.syncs(), synced, "there is nothing to settle");
            at.append(2, 1, false).unwrap();
            let mut at = at.end(end, derived);
            at.check();
            at.append(1, 2, true).unwrap();
            let at = at.end(End::PowerCut(0), derived);
            at.check();
        }
    }
}

#[test]
fn a_full_disk_fails_whom_it_has_no_room_for_and_takes_nothing_from_those_before() {
    let mut at = Faulty::new();
    at.append(3, 1, false).unwrap();
    at.disk.set_room(Some(20));
    for durable in [false, true, false] {
        at.append(5, 2, durable).unwrap_err();
        assert_eq!(at.held(), at.told);
    }
    at.disk.set_room(None);
    at.append(2, 3, false).unwrap();
    let at = at.end(End::Kill, true);
    assert_eq!(at.told.len(), 5);
    at.check();
}

#[test]
fn after_a_sync_that_failed_nothing_is_built_on_what_may_be_gone() {
    let mut at = Faulty::new();
    at.append(3, 1, true).unwrap();
    at.append(3, 1, false).unwrap();
    at.disk.set_syncs_fail(true);
    at.settle().unwrap_err();
    at.disk.set_syncs_fail(false);
    for durable in [false, true] {
        let refused = at.append(1, 2, durable);
        assert!(matches!(refused, Err(AppendError::Commit(CommitError::Poisoned))), "{refused:?}");
    }
    at.feeds.sync().unwrap_err();
    assert_eq!(at.held(), at.told, "reads go on");
    let mut at = at.end(End::PowerCut(0), true);
    assert_eq!(at.told.len(), 3);
    at.append(1, 3, true).unwrap();
    at.check();
}

#[derive(Debug, Clone)]
enum Step {
    Append { count: u64, durable: bool },
    Settle,
    Room(Option<u64>),
    End(End, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![Just(End::Kill), (0..=100u64).prop_map(End::PowerCut)];
    prop_oneof![
        8 => (1..400u64, prop::bool::weighted(0.2)).prop_map(|(count, durable)| Step::Append { count, durable }),
        1 => Just(Step::Settle),
        1 => prop::option::of(0..5_000u64).prop_map(Step::Room),
        2 => (end, any::<bool>()).prop_map(|(end, derived)| Step::End(end, derived)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is appended how, and whatever ends the process: what was durable is there, what is there is the beginning of what was
    /// acknowledged, and writing goes on.
    #[test]
    fn what_is_there_is_the_beginning_of_what_was_acknowledged(steps in prop::collection::vec(step(), 1..40)) {
        let mut at = Faulty::new();
        for (salt, step) in (10..).zip(steps) {
            match step {
                Step::Append { count, durable } => drop(at.append(count, salt, durable)),
                Step::Settle => drop(at.settle()),
                Step::Room(room) => at.disk.set_room(room),
                Step::End(end, derived) => {
                    at.disk.set_room(None);
                    at = at.end(end, derived);
                }
            }
            prop_assert_eq!(at.held(), at.told.clone());
        }
        at.disk.set_room(None);
        at.check();
    }
}
