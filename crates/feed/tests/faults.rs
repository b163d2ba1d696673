//! Crashes, damage, stores that fail, peers that lie.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::{Replica, answers, block, config, runs, salted, stored};
use kappadb_core::{DatabaseId, RangeSet, Timestamp};
use kappadb_feed::{Append, AppendError, CommitError, Feeds, Problem, PutError};
use kappadb_journal::fault::FaultDisk;
use kappadb_store::{Batch, Call, Fault, FaultPlan, FaultStore, MemoryStore};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Barrier};

/// The bytes of the journal's last segment, as a crash (without the closing record) would leave them.
fn snapshot(replica: &Replica) -> Vec<u8> {
    std::fs::read(replica.segment()).unwrap()
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_the_last_append() {
    let mut replica = Replica::new();
    let feed = replica.writer();
    replica.grow(feed, 5);
    let before = snapshot(&replica).len();
    replica.grow(feed, 3);
    let full = snapshot(&replica);
    let segment = replica.segment();
    for cut in before..=full.len() {
        replica.close();
        std::fs::remove_dir_all(replica.journal()).unwrap();
        std::fs::create_dir(replica.journal()).unwrap();
        std::fs::write(&segment, &full[..cut]).unwrap();
        let report = replica.reopen_without_derived();
        let length = if cut == full.len() { 8 } else { 5 };
        assert_eq!(replica.feeds().head(&feed).unwrap().head.length, length, "cut at {cut}");
        assert_eq!(report.damage, []);
        assert_eq!(replica.problems(), [""; 0], "cut at {cut}");
        // And it goes on.
        if cut % 16 != 0 {
            continue;
        }
        replica.append(feed, vec![salted(9, 1), salted(10, 1)]);
        let before = answers(&replica, &feed);
        replica.reopen_without_derived();
        assert_eq!(answers(&replica, &feed), before);
        assert_eq!(replica.feeds().held(&feed), RangeSet::below(length + 2));
        assert_eq!(replica.problems(), [""; 0]);
    }
}

#[test]
fn a_flipped_bit_is_reported_and_the_rest_is_readable() {
    let mut replica = Replica::new();
    let feed = replica.writer();
    for _ in 0..30 {
        replica.grow(feed, 3);
    }
    let other = replica.writer();
    replica.grow(other, 20);
    let sound = replica.feeds().held(&feed).count();
    replica.close();
    let (segment, bytes) = (replica.segment(), std::fs::read(replica.segment()).unwrap());
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 3] ^= 4;
    std::fs::write(&segment, flipped).unwrap();
    // With derived state at hand the damage is found when everything is checked.
    replica.reopen();
    assert!(replica.problems().iter().any(|problem| problem.starts_with("journal:")));
    // Without, at once.
    let report = replica.reopen_without_derived();
    assert_eq!(report.damage.len(), 1);
    let held = replica.feeds().held(&feed);
    assert!(held.count() >= sound - 3 && held.count() < sound + 1);
    for (seq, block) in replica.feeds().blocks(&feed, &held).unwrap() {
        assert_eq!(block, stored(seq));
    }
    assert_eq!(replica.feeds().held(&other).count(), 20);
    let refused = replica.feeds().append(vec![Append { feed: other, blocks: vec![block(20)] }]);
    assert!(matches!(refused, Err(AppendError::Damaged(_))), "{refused:?}");
    assert!(replica.feeds().verify(&mut |_, _| {}).unwrap().iter().any(|p| matches!(p, Problem::Damage(_))));
    // It is not forgotten by opening once more.
    assert_eq!(replica.reopen().damage.len(), 1);
}

#[test]
fn what_was_lost_to_damage_can_be_fetched_again() {
    let (mut writer, keeper) = (Replica::new(), Replica::new());
    let feed = writer.writer();
    for _ in 0..30 {
        writer.grow(feed, 3);
    }
    keeper.fetch(&writer, feed, &RangeSet::below(90), usize::MAX).unwrap();
    writer.close();
    let mut bytes = std::fs::read(writer.segment()).unwrap();
    let third = bytes.len() / 3;
    bytes[third] ^= 4;
    std::fs::write(writer.segment(), bytes).unwrap();
    writer.reopen_without_derived();
    writer.put(keeper.bundle(feed, &RangeSet::below(90))).unwrap();
    assert_eq!(writer.feeds().held(&feed), RangeSet::below(90));
    assert_eq!(writer.feeds().head(&feed).unwrap().head.length, 90);
    let fresh = Replica::new();
    assert_eq!(fresh.fetch(&writer, feed, &RangeSet::below(90), 500).unwrap(), 90);
}

#[test]
fn a_store_that_fails_leads_to_a_rebuild_and_loses_nothing() {
    for fault in [Fault::Refuse, Fault::Unheard, Fault::Tear] {
        for n in 0..6 {
            let plan = FaultPlan::none();
            let mut replica =
                Replica::with(Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan.clone())));
            let feed = replica.writer();
            replica.grow(feed, 10);
            plan.fail(Call::Apply, n, fault);
            let mut durable = 10;
            for _ in 0..8 {
                let blocks = (durable..durable + 5).map(block).collect();
                match replica.feeds().append(vec![Append { feed, blocks }]) {
                    Ok(_) => durable += 5,
                    Err(AppendError::Commit(CommitError::Derived(_))) => {
                        // It says that it is durable.
                        durable += 5;
                        let next = replica.feeds().append(vec![Append { feed, blocks: vec![block(0)] }]);
                        assert!(matches!(next, Err(AppendError::Commit(CommitError::Poisoned))));
                        plan.heal();
                        replica.reopen();
                    }
                    Err(error) => panic!("{error} {fault:?} {n}"),
                }
            }
            replica.reopen();
            assert_eq!(replica.feeds().held(&feed), RangeSet::below(durable), "{fault:?} {n}");
            if fault != Fault::Tear {
                assert_eq!(replica.problems(), [""; 0], "{fault:?} {n}");
            }
        }
    }
}

#[test]
fn a_store_that_cannot_be_read_is_filled_anew() {
    let plan = FaultPlan::none();
    let mut replica = Replica::with(Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan.clone())));
    let feed = replica.writer();
    replica.grow(feed, 100);
    let before = answers(&replica, &feed);
    for n in 0..4 {
        plan.fail(Call::Range, n, Fault::Refuse);
        replica.reopen();
        plan.heal();
        assert_eq!(answers(&replica, &feed), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A cursor that says that more of the journal was durable than there ever was makes no damage of that.
    #[test]
    fn a_changed_cursor_is_not_believed(at: prop::sample::Index, to: u8) {
        let mut replica = Replica::new();
        let feed = replica.writer();
        replica.grow(feed, 10);
        replica.close();
        let tree = replica.store.tree("feeds").unwrap();
        let (key, value) = tree.range(Bound::Unbounded, Bound::Unbounded).next().unwrap().unwrap();
        let mut value = value.to_vec();
        let at = at.index(value.len());
        value[at] = to;
        let mut batch = Batch::new();
        batch.put(key, value);
        tree.apply(&batch).unwrap();
        replica.reopen();
        prop_assert_eq!(replica.problems(), [""; 0]);
        prop_assert!(replica.feeds().damage().is_empty());
    }

    #[test]
    fn changed_rows_make_errors_or_a_rebuild_and_never_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (writer, mut replica) = (Replica::new(), Replica::new());
        let feed = writer.writer();
        writer.grow(feed, 100);
        let all = RangeSet::below(100);
        replica.fetch(&writer, feed, &runs(&[3..5, 20..40, 77..78]), 500).unwrap();
        replica.close();
        let tree = replica.store.tree("feeds").unwrap();
        let rows: Vec<_> = tree.range(Bound::Unbounded, Bound::Unbounded).map(Result::unwrap).collect();
        for (row, at, to) in changes {
            let (key, value) = &rows[row.index(rows.len())];
            let mut value = value.to_vec();
            let at = at.index(value.len());
            value[at] = to;
            let mut batch = Batch::new();
            batch.put(key.clone(), value);
            tree.apply(&batch).unwrap();
        }
        replica.reopen();
        let feeds = replica.feeds();
        // Whatever these say, they say it in bounded time; what is given to others proves itself.
        drop(feeds.blocks(&feed, &all));
        drop(feeds.arrivals(0, 1000));
        if let Ok(bundle) = feeds.prove(&feed, &all, &feeds.known(&feed, &all), 9000) {
            drop(Replica::new().put(bundle));
        }
        drop(feeds.put(writer.bundle(feed, &all)));
        feeds.verify(&mut |_, _| {}).unwrap();
        replica.reopen_without_derived();
        prop_assert!(replica.feeds().held(&feed).covers(&(20..40)));
        prop_assert_eq!(replica.problems(), [""; 0]);
    }
}

#[test]
fn changed_bundles_are_refused_and_nothing_is_kept() {
    let (writer, asker) = (Replica::new(), Replica::new());
    let feed = writer.writer();
    writer.grow(feed, 60);
    let good = writer.bundle(feed, &runs(&[3..5, 17..18, 40..45]));
    assert!(matches!(asker.feeds().put(good.clone()), Err(PutError::Undefined(_))));
    let mut definition = writer.feeds().definition(&feed).unwrap();
    definition.created = Timestamp(99);
    assert!(asker.feeds().define(&definition).is_err());
    assert!(asker.feeds().define(&writer.feeds().definition(&feed).unwrap()).unwrap());
    let mut bad = Vec::new();
    let mut change = |change: &dyn Fn(&mut kappadb_entry::Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        bad.push(bundle);
    };
    change(&|b| b.blocks[2] = stored(9));
    change(&|b| drop(b.blocks.pop()));
    change(&|b| b.blocks.swap(0, 1));
    change(&|b| b.ranges = runs(&[4..6, 17..18, 40..45]));
    change(&|b| b.ranges = runs(&[3..5, 17..18, 40..45, 60..61]));
    change(&|b| b.proof.truncate(b.proof.len() - 1));
    change(&|b| b.proof.push(b.proof[0]));
    change(&|b| b.proof[1].hash.0[3] ^= 1);
    change(&|b| b.proof[1].size += 1);
    change(&|b| b.proof.swap(0, 1));
    change(&|b| {
        b.proof[0].size += 1;
        b.proof[1].size -= 1;
    });
    change(&|b| b.head.head.length = 61);
    change(&|b| b.head.head.byte_length += 1);
    change(&|b| b.head.head.root_hash.0[0] ^= 1);
    change(&|b| b.head.signature.0[0] ^= 1);
    change(&|b| b.known.length = 30);
    for bundle in bad {
        assert!(asker.feeds().put(bundle.clone()).is_err(), "{bundle:?}");
        asker.feeds().sync().unwrap();
        assert!(asker.feeds().held(&feed).is_empty() && asker.feeds().head(&feed).is_none());
        assert_eq!(asker.feeds().end(), 0);
    }
    assert_eq!(asker.put(good.clone()).unwrap().stored, 8);
    assert_eq!(asker.put(good).unwrap().stored, 0);
    assert_eq!(asker.problems(), [""; 0]);
    let other = Feeds::open(
        kappadb_feed::Config {
            database: DatabaseId([8; 32]),
            ..config(tempfile::tempdir().unwrap().path(), Arc::new(MemoryStore::new()))
        },
        &mut |_, _| {},
    );
    assert!(
        other.unwrap().0.define(&writer.feeds().definition(&feed).unwrap()).is_err(),
        "another database's feed"
    );
}

/// Two replicas with the same secret key that went apart after `common` blocks.
fn forked(common: u64, a: u64, b: u64) -> (Replica, Replica, kappadb_core::FeedKey) {
    let (one, mut two) = (Replica::new(), Replica::new());
    let feed = one.writer();
    two.close();
    let name = format!("keys/{feed}");
    std::fs::copy(one.dir.path().join(&name), two.dir.path().join(&name)).unwrap();
    two.reopen();
    two.feeds().define(&one.feeds().definition(&feed).unwrap()).unwrap();
    let blocks = |n: u64, salt| {
        (0..n).map(move |seq| salted(seq, if seq < common { 0 } else { salt })).collect::<Vec<_>>()
    };
    one.append(feed, blocks(a, 1));
    two.append(feed, blocks(b, 2));
    (one, two, feed)
}

#[test]
fn a_fork_is_proved_recorded_and_passed_on() {
    for (common, a, b) in [(10, 20, 20), (10, 20, 33), (0, 1, 1), (7, 40, 9), (16, 17, 40)] {
        let (one, two, feed) = forked(common, a, b);
        let mut asker = Replica::new();
        asker.fetch(&one, feed, &RangeSet::below(a), usize::MAX).unwrap();
        let before = asker.feeds().held(&feed);
        let outcome = asker.fetch(&two, feed, &RangeSet::below(b), usize::MAX);
        assert_eq!(outcome.unwrap(), 0);
        let seq = asker.feeds().exclusions()[0].1;
        assert_eq!(asker.feeds().exclusions(), [(feed, seq)]);
        assert_eq!(seq, common, "the first differing block was at hand");
        assert_eq!(asker.feeds().held(&feed), before, "nothing of the other history is stored");
        let evidence = asker.feeds().fork(&feed).unwrap();
        assert_eq!(evidence.verify(&common::DATABASE), Ok(seq));
        assert!(asker.feeds().list()[0].fork == Some(seq) && !asker.feeds().list()[0].writable);
        asker.reopen();
        assert_eq!(asker.feeds().exclusions(), [(feed, seq)]);
        asker.reopen_without_derived();
        assert_eq!(asker.feeds().exclusions(), [(feed, seq)]);
        assert_eq!(asker.problems(), [""; 0]);
        // The writer itself learns of it and stops.
        assert_eq!(one.feeds().record_fork(evidence.clone()).unwrap(), seq);
        one.feeds().sync().unwrap();
        let append = one.feeds().append(vec![Append { feed, blocks: vec![block(0)] }]);
        assert!(matches!(append, Err(AppendError::Forked { .. })));
        let mut nothing = evidence;
        nothing.b = nothing.a.clone();
        assert!(matches!(one.feeds().record_fork(nothing), Err(PutError::Fork(_))));
    }
}

#[test]
fn threads_that_append_together_share_heads_and_syncs() {
    let mut replica = Replica::new();
    let feed = replica.writer();
    replica.grow(feed, 1);
    let threads = 16;
    let places = std::thread::scope(|scope| {
        let mut handles = Vec::new();
        // Checking everything keeps the writer busy while the others queue up.
        let mut busy = |_, _| {
            if handles.is_empty() {
                handles
                    .extend((0..threads).map(|_| scope.spawn(|| replica.append(feed, vec![block(1)]).start)));
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
        };
        replica.feeds().verify(&mut busy).unwrap();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert!(places.into_iter().eq(1..threads + 1), "each block has its own place");
    assert_eq!(replica.feeds().end(), threads + 1);
    assert_eq!(replica.problems(), [""; 0]);
    replica.close();
    // A commit is one head and one sync.
    let options = kappadb_journal::Options::default();
    let (journal, _) =
        kappadb_journal::Journal::open(&replica.journal(), &options, None, &mut || [0; 16], &mut |_, _| {})
            .unwrap();
    let records = journal.reader().scan(kappadb_journal::Position::START).map(Result::unwrap);
    let heads =
        records.filter(|located| matches!(located.record, kappadb_journal::Record::Head { .. })).count();
    assert!(heads <= 4, "{heads} heads for {threads} appends at once");
}

#[test]
fn many_threads_append_to_many_feeds() {
    let mut replica = Replica::new();
    let feeds: Vec<_> = (0..3).map(|_| replica.writer()).collect();
    let (threads, each) = (8, 15);
    let barrier = Barrier::new(threads);
    let places: Vec<_> = std::thread::scope(|scope| {
        let work = |t: usize| {
            let (feed, replica, barrier) = (feeds[t % 3], &replica, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let one = |_| Append { feed, blocks: vec![block(1), block(2)] };
                let append = |n| replica.feeds().append(vec![one(n)]).unwrap().remove(0).start;
                (0..each).map(|n| (feed, append(n))).collect::<Vec<_>>()
            })
        };
        let handles: Vec<_> = (0..threads).map(work).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), threads * each);
    replica.feeds().sync().unwrap();
    assert_eq!(replica.feeds().end(), 2 * (threads * each) as u64);
    for round in 0..2 {
        assert_eq!(replica.problems(), [""; 0]);
        assert_eq!(replica.arrivals().len(), 2 * threads * each);
        if round == 0 {
            replica.reopen_without_derived()
        } else {
            replica.reopen()
        };
    }
}

#[test]
fn a_thousand_feeds_need_few_files() {
    let mut replica = Replica::new();
    let feeds: Vec<_> = (0..1000).map(|_| replica.writer()).collect();
    let appends =
        |n: u64| feeds.iter().map(|&feed| Append { feed, blocks: vec![block(n)] }).collect::<Vec<_>>();
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = open();
    for n in 0..5 {
        replica.feeds().append(appends(n)).unwrap();
    }
    assert!(open() < before + 40);
    replica.reopen();
    assert_eq!(replica.feeds().list().len(), 1000);
    assert!(replica.feeds().list().iter().all(|info| info.length == 5 && info.held == 5 && info.writable));
    replica.reopen_without_derived();
    assert_eq!(replica.arrivals().len(), 5000);
    assert!(open() < before + 40);
}

#[test]
fn who_waits_for_arrivals_is_woken() {
    let replica = Replica::new();
    let feed = replica.writer();
    let woken = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = woken.clone();
    replica.feeds().on_arrival(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let woken = || woken.load(std::sync::atomic::Ordering::SeqCst);
    replica.grow(feed, 3);
    assert_eq!(woken(), 1);
    let writer = Replica::new();
    let other = writer.writer();
    writer.grow(other, 2);
    replica.feeds().define(&writer.feeds().definition(&other).unwrap()).unwrap();
    replica.feeds().put(writer.bundle(other, &RangeSet::below(2))).unwrap();
    assert_eq!(woken(), 1, "not before it is durable");
    replica.feeds().sync().unwrap();
    assert_eq!(woken(), 2);
    replica.feeds().sync().unwrap();
    assert_eq!(woken(), 2, "nothing new");
}

#[test]
fn storing_again_what_is_held_neither_writes_nor_waits_for_the_disk() {
    let writer = Replica::new();
    let feed = writer.writer();
    writer.grow(feed, 20);
    let disk = FaultDisk::new();
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), Arc::new(MemoryStore::new())).with_disk(Arc::new(disk.clone()));
    let (reader, _) = Feeds::open(config, &mut |_, _| ()).unwrap();
    let fetch = || {
        reader.define(&writer.feeds().definition(&feed).unwrap()).unwrap();
        let known = reader.known(&feed, &reader.held(&feed));
        let bundle = writer.feeds().prove(&feed, &RangeSet::below(20), &known, 1 << 20).unwrap();
        let stored = reader.put(bundle).unwrap().stored;
        reader.sync().unwrap();
        stored
    };
    assert_eq!(fetch(), 20);
    let (length, syncs) = (reader.disk().unwrap().journal, disk.syncs());
    assert_eq!(fetch(), 0);
    assert_eq!((reader.disk().unwrap().journal, disk.syncs()), (length, syncs));
}
