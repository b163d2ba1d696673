//! Payloads that go, feeds that are not wanted, the disk given back: in random histories, with restarts and rebuilds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod common;

use common::{Replica, block, config, run};
use kappadb_core::{FeedKey, Form, RangeSet, StoredBlock};
use kappadb_entry::clear_block;
use kappadb_feed::{DefineError, DropError, Feeds, PutError};
use kappadb_journal::Options;
use kappadb_journal::fault::FaultDisk;
use kappadb_merkle::Known;
use kappadb_sim::{Random, enough, seeds};
use kappadb_store::{Call, Fault, FaultPlan, FaultStore, MemoryStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// True if the block of this number is shorter without its payload.
fn gets_shorter(seq: u64) -> bool {
    let whole = StoredBlock::whole(block(seq));
    clear_block(&whole).is_some_and(|left| left.bytes.len() < whole.bytes.len())
}

/// A replica with small segments, an own feed, and three that it fetches parts of.
struct World {
    replica: Option<Feeds>,
    dir: tempfile::TempDir,
    disk: FaultDisk,
    store: Arc<FaultStore>,
    faults: FaultPlan,
    peer: Replica,
    own: FeedKey,
    foreign: Vec<FeedKey>,
    /// What must be held of each feed, in which form.
    expected: BTreeMap<FeedKey, BTreeMap<u64, Form>>,
    dropped: BTreeSet<FeedKey>,
    /// How many payloads came back.
    filled: u64,
    /// How many compactions failed.
    failed: u64,
    /// How many files became part of another.
    joined: u64,
}

impl World {
    fn new() -> World {
        let peer = Replica::new();
        let foreign: Vec<FeedKey> = (0..3).map(|_| peer.writer()).collect();
        foreign.iter().for_each(|feed| peer.grow(*feed, 120));
        let faults = FaultPlan::none();
        let mut world = World {
            replica: None,
            dir: tempfile::tempdir().unwrap(),
            disk: FaultDisk::new(),
            store: Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), faults.clone())),
            faults,
            peer,
            own: FeedKey([0; 32]),
            foreign,
            expected: BTreeMap::new(),
            dropped: BTreeSet::new(),
            filled: 0,
            failed: 0,
            joined: 0,
        };
        world.open();
        world.own = world.feeds().create(kappadb_core::Timestamp(1), None).unwrap();
        world
    }

    fn open(&mut self) {
        self.replica = None;
        let options = Options { segment_bytes: 3000, ..Options::default() };
        let config = config(self.dir.path(), self.store.clone());
        let config = config.with_journal(options).with_disk(Arc::new(self.disk.clone()));
        let (feeds, report) = Feeds::open(config, &mut |_, _| {}).unwrap();
        assert_eq!((report.damage, report.problems), (vec![], vec![]));
        self.replica = Some(feeds);
    }

    fn open_without_derived(&mut self) {
        self.store = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), self.faults.clone()));
        self.open();
    }

    /// Something fails in the middle of a compaction, and the power goes: whatever was done of it, nothing else changed.
    fn fail(&mut self, random: &mut Random) {
        self.clear(random);
        match random.below(4) {
            0 => self.disk.set_room(Some(random.below(6000))),
            1 => self.disk.set_syncs_fail_after(random.below(12)),
            n => {
                let fault = if n == 2 { Fault::Refuse } else { Fault::Unheard };
                self.faults.fail(Call::Apply, random.below(8), fault);
            }
        }
        let done = self.feeds().compact(&mut |_, _| {});
        self.failed += u64::from(!done.is_ok_and(|done| done.lacking == 0));
        self.faults.heal();
        self.disk.power_cut(&mut |bytes| random.below(bytes + 1));
        match random.below(3) {
            0 => self.open_without_derived(),
            _ => self.open(),
        }
    }

    fn feeds(&self) -> &Feeds {
        self.replica.as_ref().unwrap()
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(24) {
            0..=4 => self.append(1 + random.below(9)),
            5..=9 => self.fetch(random),
            10..=12 => self.clear(random),
            13 => self.drop_feed(random),
            14 => self.allow(random),
            15..=16 => {
                let done = self.feeds().compact(&mut |_, _| {}).unwrap();
                self.joined += done.files_before.saturating_sub(done.files_after);
                assert_eq!(done.lacking, 0);
            }
            17 => self.open(),
            18 => self.open_without_derived(),
            19..=22 => self.fail(random),
            _ => self.feeds().rebuild(&mut |_, _| {}).unwrap(),
        }
    }

    fn append(&mut self, count: u64) {
        let from = self.feeds().head(&self.own).map_or(0, |head| head.head.length);
        let blocks = (from..from + count).map(block).collect();
        let append = kappadb_feed::Append { feed: self.own, blocks };
        self.feeds().append(vec![append]).unwrap();
        self.expected.entry(self.own).or_default().extend((from..from + count).map(|seq| (seq, Form::Whole)));
    }

    fn fetch(&mut self, random: &mut Random) {
        let feed = *random.pick(&self.foreign);
        let wanted: RangeSet = (0..120).filter(|_| random.chance(15)).collect();
        let cleared = self.feeds().held(&feed).minus(&self.feeds().whole(&feed));
        // Payloads that were cleared come back if they are asked for.
        let wanted = if random.chance(40) { cleared } else { wanted };
        let definition = self.peer.feeds().definition(&feed).unwrap();
        if self.dropped.contains(&feed) {
            let refused = self.feeds().define(&definition);
            let known = self.feeds().list().iter().any(|info| info.feed == feed);
            assert!(known || matches!(refused, Err(DefineError::Dropped(_))), "{refused:?}");
            let refused = self.feeds().put(self.peer.bundle(feed, &wanted));
            assert!(matches!(refused, Err(PutError::Dropped(_))), "{refused:?}");
            return;
        }
        self.feeds().define(&definition).unwrap();
        let missing = wanted.minus(&self.feeds().whole(&feed));
        let filled = missing.intersection(&self.feeds().held(&feed)).count();
        if !missing.is_empty() {
            let known = self.feeds().known(&feed, &self.feeds().held(&feed));
            let bundle = self.peer.feeds().prove(&feed, &missing, &known, usize::MAX).unwrap();
            let outcome = self.feeds().put(bundle).unwrap();
            assert_eq!(outcome.filled, filled);
            self.filled += filled;
            self.feeds().sync().unwrap();
            self.expected.entry(feed).or_default().extend(missing.iter().map(|seq| (seq, Form::Whole)));
        }
    }

    fn clear(&mut self, random: &mut Random) {
        let feed = *random.pick(&[&self.foreign[..], &[self.own]].concat());
        let from = random.below(100);
        let ranges = run(from..from + random.below(40));
        let shown = self.expected.get(&feed).filter(|_| !self.dropped.contains(&feed));
        let mut expected = BTreeSet::new();
        for (seq, form) in shown.into_iter().flatten() {
            let clearable = gets_shorter(*seq);
            if ranges.contains(*seq) && *form == Form::Whole && clearable {
                expected.insert(*seq);
            }
        }
        let Ok(cleared) = self.feeds().clear(&feed, &ranges) else { return };
        if !self.dropped.contains(&feed) {
            assert_eq!(cleared.blocks, expected.len() as u64);
        }
        // Of a dropped feed too: it may be allowed again.
        for (seq, form) in self.expected.get_mut(&feed).into_iter().flatten() {
            if ranges.contains(*seq) && gets_shorter(*seq) {
                *form = Form::Cleared;
            }
        }
    }

    fn drop_feed(&mut self, random: &mut Random) {
        assert!(matches!(self.feeds().drop_feed(&self.own), Err(DropError::Own(_))));
        let feed = *random.pick(&self.foreign);
        self.feeds().drop_feed(&feed).unwrap();
        self.dropped.insert(feed);
    }

    fn allow(&mut self, random: &mut Random) {
        let feed = *random.pick(&self.foreign);
        self.feeds().allow_feed(&feed).unwrap();
        self.dropped.remove(&feed);
    }

    /// Compacted away is what was dropped.
    fn note_compaction(&mut self) {
        self.dropped.iter().for_each(|feed| drop(self.expected.remove(feed)));
    }

    fn check(&self) {
        for feed in self.foreign.iter().chain([&self.own]) {
            let mut found = BTreeMap::new();
            for (seq, stored) in self.feeds().blocks(feed, &RangeSet::below(1000)).unwrap() {
                let whole = StoredBlock::whole(block(seq));
                let expected = match stored.form {
                    Form::Whole => whole,
                    Form::Cleared => clear_block(&whole).unwrap(),
                };
                assert_eq!(stored, expected);
                found.insert(seq, stored.form);
            }
            let expected = match self.dropped.contains(feed) {
                true => BTreeMap::new(),
                false => self.expected.get(feed).cloned().unwrap_or_default(),
            };
            assert_eq!(found, expected);
            let cleared = expected.iter().filter(|(_, form)| **form == Form::Cleared).map(|(seq, _)| *seq);
            let whole = self.feeds().held(feed).minus(&cleared.collect());
            assert_eq!(self.feeds().whole(feed), whole);
        }
        assert_eq!(self.feeds().dropped(), self.dropped.iter().copied().collect::<Vec<_>>());
        let excluded: BTreeSet<FeedKey> =
            self.feeds().exclusions().into_iter().map(|(feed, _)| feed).collect();
        assert!(excluded.is_subset(&self.dropped));
        self.check_arrivals();
    }

    /// What is held, cleared or not, is proved to whoever knows nothing.
    fn check_proofs(&self) {
        let held = |feed: &&FeedKey| !self.feeds().held(feed).is_empty();
        self.foreign.iter().chain([&self.own]).filter(held).for_each(|feed| self.check_proof(feed));
    }

    fn check_proof(&self, feed: &FeedKey) {
        let held = self.feeds().held(feed);
        let bundle = self.feeds().prove(feed, &held, &Known::default(), usize::MAX).unwrap();
        let asker = Replica::new();
        asker.feeds().define(&self.feeds().definition(feed).unwrap()).unwrap();
        let blocks = bundle.blocks.clone();
        let ranges = bundle.ranges.clone();
        asker.put(bundle).unwrap();
        let got: Vec<StoredBlock> =
            asker.feeds().blocks(feed, &ranges).unwrap().into_iter().map(|(_, block)| block).collect();
        assert_eq!(got, blocks);
    }

    fn check_arrivals(&self) {
        let (mut from, mut seen) = (0, BTreeMap::new());
        loop {
            let next = self.feeds().arrivals(from, 7).unwrap();
            let Some(last) = next.last() else { break };
            assert!(next.is_sorted_by(|a, b| a.lseq < b.lseq) && next[0].lseq >= from);
            from = last.lseq + 1;
            for arrival in next {
                let twice = seen.insert((arrival.id.feed, arrival.id.seq), arrival.block.form);
                assert_eq!(twice, None, "{}", arrival.id);
            }
        }
        for (feed, blocks) in self.expected.iter().filter(|(feed, _)| !self.dropped.contains(*feed)) {
            for (seq, form) in blocks {
                assert_eq!(seen.get(&(*feed, *seq)), Some(form));
            }
        }
    }
}

#[test]
fn clearing_dropping_and_compacting_change_nothing_else() {
    let (mut cleared, mut dropped, mut shrunk, mut filled, mut failed, mut joined) = (0, 0, 0, 0, 0, 0);
    for seed in seeds(0..24) {
        let (mut world, mut random) = (World::new(), Random::new(seed));
        for _ in 0..40 {
            let before = world.feeds().disk().unwrap().journal;
            world.step(&mut random);
            // What was compacted shows: nothing of it is held.
            if world.feeds().list().iter().any(|info| info.dropped && info.held == 0) {
                let gone: Vec<FeedKey> = world
                    .feeds()
                    .list()
                    .iter()
                    .filter(|i| i.dropped && i.held == 0)
                    .map(|i| i.feed)
                    .collect();
                gone.iter().for_each(|feed| drop(world.expected.remove(feed)));
            }
            shrunk += u64::from(world.feeds().disk().unwrap().journal < before);
            world.check();
            if random.chance(10) {
                world.check_proofs();
            }
        }
        cleared += world.feeds().list().iter().map(|info| info.cleared).sum::<u64>();
        dropped += world.dropped.len() as u64;
        filled += world.filled;
        failed += world.failed;
        joined += world.joined;
        let problems: Vec<String> =
            world.feeds().verify(&mut |_, _| {}).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new(), "seed {seed}");
        world.feeds().compact(&mut |_, _| {}).unwrap();
        world.note_compaction();
        world.check();
        assert_eq!(world.feeds().verify(&mut |_, _| {}).unwrap(), [], "seed {seed}");
        let kept = world.feeds().list();
        world.open_without_derived();
        assert_eq!(world.feeds().list(), kept, "seed {seed}");
        world.check();
    }
    let counts = [cleared, dropped, shrunk, filled, failed, joined];
    let least = [50, 4, 10, 20, 20, 5];
    assert!(enough(counts.iter().zip(least).all(|(count, least)| *count > least)), "{counts:?}");
}

#[test]
fn a_compaction_that_finds_no_room_changes_nothing() {
    let (mut world, mut random) = (World::new(), Random::new(3));
    for _ in 0..20 {
        world.append(10);
        world.fetch(&mut random);
    }
    world.clear(&mut random);
    world.disk.set_room(Some(1000));
    assert!(world.feeds().compact(&mut |_, _| {}).is_err());
    world.disk.set_room(None);
    world.append(10);
    world.check();
    world.feeds().compact(&mut |_, _| {}).unwrap();
    world.check();
    assert_eq!(world.feeds().verify(&mut |_, _| {}).unwrap(), []);
}

#[test]
fn a_compaction_with_room_for_some_files_does_these_and_counts_the_others() {
    let (mut world, mut random) = (World::new(), Random::new(3));
    for _ in 0..20 {
        world.append(10);
        world.fetch(&mut random);
    }
    world.clear(&mut random);
    world.clear(&mut random);
    world.disk.set_room(Some(6000));
    let some = world.feeds().compact(&mut |_, _| {}).unwrap();
    assert!(some.after < some.before && some.lacking > 0, "{some:?}");
    assert_eq!(some.after, world.feeds().disk().unwrap().journal);
    world.check();
    world.disk.set_room(None);
    let rest = world.feeds().compact(&mut |_, _| {}).unwrap();
    assert!(rest.after < rest.before && rest.lacking == 0, "{rest:?}");
    world.check();
    world.open_without_derived();
    world.check();
    assert_eq!(world.feeds().verify(&mut |_, _| {}).unwrap(), []);
}

#[test]
fn the_disk_is_given_back() {
    let (one, two) = (Replica::new(), Replica::new());
    let feed = two.writer();
    let large = |seq: u64| [&[3, 0, 1, 2][..], &vec![seq.to_le_bytes()[0]; 50_000]].concat().into();
    two.append(feed, (0..200).map(large).collect());
    let own = one.writer();
    one.grow(own, 50);
    one.fetch(&two, feed, &RangeSet::below(200), usize::MAX).unwrap();
    let full = one.feeds().disk().unwrap().journal;
    let cleared = one.feeds().clear(&feed, &RangeSet::below(150)).unwrap();
    assert_eq!(cleared.blocks, 150);
    let compacted = one.feeds().compact(&mut |_, _| {}).unwrap();
    assert!(compacted.before >= full && compacted.after < full / 3, "{compacted:?}, {full}");
    assert_eq!(compacted.after, one.feeds().disk().unwrap().journal);
    assert_eq!(one.feeds().list().iter().find(|info| info.feed == feed).unwrap().cleared, 150);
    one.feeds().drop_feed(&feed).unwrap();
    let compacted = one.feeds().compact(&mut |_, _| {}).unwrap();
    assert!(compacted.after < 20_000, "{compacted:?}");
    assert_eq!(one.feeds().held(&own).count(), 50);
    assert_eq!(one.problems(), Vec::<String>::new());
}

#[test]
fn reading_goes_on_while_the_journal_is_compacted() {
    let one = Replica::new();
    let feed = one.writer();
    for _ in 0..40 {
        one.grow(feed, 50);
    }
    one.feeds().clear(&feed, &RangeSet::below(1000)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|n| {
                let (feeds, stop) = (one.feeds().clone(), &stop);
                scope.spawn(move || {
                    let (mut random, mut read) = (Random::new(n), 0u64);
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let from = random.below(1990);
                        let found = feeds.blocks(&feed, &run(from..from + 10)).unwrap();
                        assert_eq!(found.len(), 10);
                        feeds.prove(&feed, &run(from..from + 3), &Known::default(), usize::MAX).unwrap();
                        assert!(!feeds.arrivals(from, 5).unwrap().is_empty());
                        read += 1;
                    }
                    read
                })
            })
            .collect();
        for _ in 0..5 {
            one.feeds().compact(&mut |_, _| {}).unwrap();
            one.grow(feed, 20);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() > 0));
    });
    assert_eq!(one.problems(), Vec::<String>::new());
}
