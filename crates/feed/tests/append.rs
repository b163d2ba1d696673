//! Own feeds: appending, reading back, reopening, who may append and when it counts.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::{Replica, block, config, id, run, runs, stored};
use kappadb_core::{FeedKey, RangeSet, Timestamp};
use kappadb_feed::{Append, AppendError, Feeds, Locking, OpenError, Rebuilt};
use kappadb_store::MemoryStore;
use std::sync::Arc;

#[test]
fn what_was_appended_is_there_after_reopening() {
    let mut replica = Replica::new();
    let (a, b) = (replica.writer(), replica.writer());
    assert_ne!(a, b);
    for step in 1..40 {
        replica.grow(a, step);
        replica.grow(b, 1);
    }
    for round in 0..3 {
        let length = (1..40).sum();
        assert_eq!(replica.feeds().head(&a).unwrap().head.length, length);
        assert_eq!(replica.feeds().held(&a), RangeSet::below(length));
        assert_eq!(replica.feeds().block(&id(a, 300)).unwrap(), Some(stored(300)));
        assert_eq!(replica.feeds().block(&id(a, length)).unwrap(), None);
        let some = replica.feeds().blocks(&a, &runs(&[3..9, 700..705, 9000..9001])).unwrap();
        assert_eq!(some, (3..9).chain(700..705).map(|seq| (seq, stored(seq))).collect::<Vec<_>>());
        let arrivals = replica.arrivals();
        assert_eq!(arrivals.len() as u64, length + 39 + round);
        assert!(arrivals.windows(2).all(|w| w[0].lseq < w[1].lseq));
        assert!(arrivals.iter().all(|arrival| arrival.block == stored(arrival.id.seq)));
        assert_eq!(replica.problems(), [""; 0]);
        let report = if round == 0 { replica.reopen() } else { replica.reopen_without_derived() };
        assert_eq!(report.rebuilt.is_some(), round > 0);
        replica.grow(b, 1);
    }
}

#[test]
fn an_append_is_all_or_nothing() {
    let replica = Replica::new();
    let feed = replica.writer();
    let good = Append { feed, blocks: vec![block(0)] };
    let try_with = |bad| replica.feeds().append(vec![good.clone(), bad]).unwrap_err();
    let nobody = FeedKey([1; 32]);
    assert!(
        matches!(try_with(Append { feed: nobody, blocks: vec![block(0)] }), AppendError::Undefined(f) if f == nobody)
    );
    let cut_short = Append { feed, blocks: vec![block(0), vec![200, 1, 2].into()] };
    assert!(matches!(try_with(cut_short), AppendError::Block { index: 1, .. }));
    let too_long = Append { feed, blocks: vec![vec![0; (1 << 20) + 1].into()] };
    assert!(matches!(try_with(too_long), AppendError::Block { index: 0, .. }));
    assert_eq!(replica.feeds().end(), 0);
    let twice = vec![good.clone(), Append { feed, blocks: vec![block(1), block(2)] }];
    assert_eq!(replica.feeds().append(twice).unwrap(), [0..1, 1..3]);
    assert_eq!(replica.feeds().append(vec![]).unwrap(), []);
}

#[test]
fn the_largest_block_fits() {
    let replica = Replica::new();
    let feed = replica.writer();
    let block = bytes::Bytes::from([vec![0], vec![5; (1 << 20) - 1]].concat());
    replica.append(feed, vec![block.clone(); 3]);
    assert_eq!(replica.feeds().block(&id(feed, 2)).unwrap().unwrap().bytes, block);
}

#[test]
fn only_the_writer_appends_and_only_if_it_has_all() {
    let (mut one, two) = (Replica::new(), Replica::new());
    let feed = one.writer();
    one.grow(feed, 10);
    two.fetch(&one, feed, &RangeSet::below(10), usize::MAX).unwrap();
    let append = |r: &Replica| r.feeds().append(vec![Append { feed, blocks: vec![block(10)] }]);
    assert!(matches!(append(&two), Err(AppendError::NotOurs(_))));
    // A backup of the writer, restored when it had gone on.
    let backup = tempfile::tempdir().unwrap();
    one.close();
    copy(one.dir.path(), backup.path());
    one.reopen();
    one.grow(feed, 5);
    let (restored, _) =
        Feeds::open(config(backup.path(), Arc::new(MemoryStore::new())), &mut |_, _| {}).unwrap();
    assert!(restored.list()[0].writable);
    restored.put(one.bundle(feed, &run(12..13))).unwrap();
    restored.sync().unwrap();
    assert!(!restored.list()[0].writable);
    let refused = restored.append(vec![Append { feed, blocks: vec![block(10)] }]);
    assert!(matches!(refused, Err(AppendError::Behind(_))));
    let next = restored.create(Timestamp(2), Some(feed)).unwrap();
    assert_eq!(restored.definition(&next).unwrap().heir_of(), Some(feed));
    // The rest comes back from the peer. But who else may have written meanwhile it does not know, so it is over.
    restored.put(one.bundle(feed, &RangeSet::below(15))).unwrap();
    restored.sync().unwrap();
    assert_eq!(restored.held(&feed), RangeSet::below(15));
    let refused = restored.append(vec![Append { feed, blocks: vec![block(15)] }]);
    assert!(matches!(refused, Err(AppendError::Behind(_))));
    assert_eq!(restored.verify(&mut |_, _| {}).unwrap(), []);
    drop(restored);
    let (restored, _) =
        Feeds::open(config(backup.path(), Arc::new(MemoryStore::new())), &mut |_, _| {}).unwrap();
    let behind: Vec<bool> =
        restored.list().iter().filter(|info| info.feed == feed).map(|info| info.behind).collect();
    assert_eq!(behind, [true], "also after derived state was made anew");
    assert!(one.feeds().list()[0].writable && !one.feeds().list()[0].behind);
}

#[test]
fn a_second_process_is_kept_out() {
    let mut replica = Replica::new();
    let again = || Feeds::open(config(replica.dir.path(), Arc::new(MemoryStore::new())), &mut |_, _| {});
    assert!(matches!(again(), Err(OpenError::Lock(_))));
    replica.close();
    let lock = kappadb_feed::lock(replica.dir.path(), &Locking::default()).unwrap();
    assert!(matches!(kappadb_feed::lock(replica.dir.path(), &Locking::default()), Err(OpenError::Lock(_))));
    let config = config(replica.dir.path(), Arc::new(MemoryStore::new())).with_lock(Arc::new(lock));
    Feeds::open(config, &mut |_, _| {}).unwrap();
}

#[test]
fn derived_state_of_another_journal_or_database_is_made_anew() {
    let mut one = Replica::new();
    let feed = one.writer();
    one.grow(feed, 50);
    let mut two = Replica::new();
    let other = two.writer();
    two.grow(other, 50);
    one.close();
    two.store = one.store.clone();
    assert_eq!(two.reopen().rebuilt, Some(Rebuilt::Stale));
    assert_eq!(two.feeds().held(&other).count(), 50);
    assert_eq!(two.problems(), [""; 0]);
    assert!(two.feeds().definition(&feed).is_none());
    // A cursor that nobody can read.
    two.close();
    let mut batch = kappadb_store::Batch::new();
    batch.put(vec![0], b"\x09another format".to_vec());
    two.store.tree("feeds").unwrap().apply(&batch).unwrap();
    assert_eq!(two.reopen().rebuilt, Some(Rebuilt::Unreadable));
    assert_eq!(two.problems(), [""; 0]);
}

#[test]
fn rebuilding_in_place_changes_no_answer() {
    let replica = Replica::new();
    let feed = replica.writer();
    replica.grow(feed, 500);
    let before = common::answers(&replica, &feed);
    replica.feeds().rebuild(&mut |_, _| {}).unwrap();
    assert_eq!(common::answers(&replica, &feed), before);
    replica.grow(feed, 7);
    assert_eq!(replica.problems(), [""; 0]);
}

#[test]
fn verify_finds_wrong_and_missing_rows() {
    let replica = Replica::new();
    let feed = replica.writer();
    (0..6).for_each(|_| replica.grow(feed, 90));
    let tree = replica.store.tree("feeds").unwrap();
    let rows: Vec<_> =
        tree.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).map(Result::unwrap).collect();
    assert!(rows.len() > 10);
    for (key, value) in rows.into_iter().filter(|(key, _)| key[0] != 0) {
        let apply = |value: Option<&[u8]>| {
            let mut batch = kappadb_store::Batch::new();
            match value {
                Some(value) => batch.put(key.clone(), value.to_vec()),
                None => batch.delete(key.clone()),
            }
            tree.apply(&batch).unwrap();
        };
        apply(None);
        assert_eq!(replica.problems().len(), 1, "{key:?} missing");
        apply(Some(&[&value[..value.len() - 1], &[value[value.len() - 1] ^ 1]].concat()));
        assert_eq!(replica.problems().len(), 1, "{key:?} wrong");
        apply(Some(&value));
    }
    assert_eq!(replica.problems(), [""; 0]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        match item.path().is_dir() {
            true => copy(&item.path(), &target),
            false => drop(std::fs::copy(item.path(), target).unwrap()),
        }
    }
}
