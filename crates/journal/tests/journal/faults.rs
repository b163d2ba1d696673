//! Full disks, failed syncs, power cuts.

use crate::common;
use crate::common::{blocks, contents, fresh, open, small};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{AppendError, Journal, OpenError, Options, Position, Record};
use proptest::prelude::*;
use std::sync::Arc;

#[test]
fn a_full_disk_costs_only_the_append_that_hit_it() {
    let record = blocks(1, &[50, 50]);
    for room in 0..140 {
        let disk = FaultDisk::new();
        let (mut journal, _) = open(&disk, &Options::default());
        let first = journal.append(&blocks(0, &[10])).unwrap();
        disk.set_room(Some(room));
        let error = journal.append(&record).unwrap_err();
        assert!(matches!(&error, AppendError::DiskFull { folder } if folder.ends_with("fault")));
        assert!(error.to_string().contains("the disk is full") && error.to_string().contains("/fault"));
        assert_eq!((journal.end(), journal.next_lseq()), (first.next, 1));
        assert_eq!(disk.content("00000000.kj").len() as u64, journal.disk_bytes());
        journal.sync().unwrap();

        disk.set_room(None);
        assert_eq!(journal.append(&record).unwrap().at, first.next);
        journal.close().unwrap();
        let (journal, recovery) = open(&disk, &Options::default());
        assert!(recovery.clean);
        assert_eq!(contents(&journal).0.len(), 2);
    }
}

#[test]
fn a_disk_that_is_full_when_a_segment_is_begun_costs_nothing() {
    for room in 0..200 {
        let disk = FaultDisk::new();
        let (mut journal, _) = open(&disk, &small(400));
        journal.append(&blocks(0, &[300])).unwrap();
        disk.set_room(Some(room));
        assert!(matches!(journal.append(&blocks(1, &[300])), Err(AppendError::DiskFull { .. })), "{room}");
        let crashed = disk.copy();
        let (after, recovery) = open(&crashed, &small(400));
        assert_eq!((contents(&after).0.len(), recovery.damage), (1, vec![]));

        disk.set_room(None);
        assert_eq!(journal.append(&blocks(1, &[300])).unwrap().first_lseq, 1);
        journal.close().unwrap();
        let (journal, recovery) = open(&disk, &small(400));
        assert!(recovery.clean && recovery.damage.is_empty());
        assert_eq!(contents(&journal).0.len(), 2);
    }
}

#[test]
fn a_torn_journal_on_a_full_disk_is_read_and_goes_on_when_there_is_room() {
    for room in [0, 20, 60] {
        let disk = FaultDisk::new();
        let (mut journal, _) = open(&disk, &Options::default());
        journal.append(&blocks(0, &[10])).unwrap();
        journal.sync().unwrap();
        let end = journal.end();
        drop(journal);
        disk.put("00000000.kj", [disk.content("00000000.kj"), vec![0x4b, 0x52, 0xd1, 0x0a, 9]].concat());
        disk.set_room(Some(room));
        let (mut journal, recovery) = open(&disk, &Options::default());
        assert_eq!((recovery.damage, recovery.cut.map(|cut| cut.from)), (vec![], Some(end.offset)));
        assert_eq!(contents(&journal).0.len(), 1);
        for _ in 0..2 {
            assert!(matches!(journal.append(&blocks(1, &[10])), Err(AppendError::DiskFull { .. })));
            assert!(journal.begin_segment().is_err());
        }
        disk.set_room(None);
        assert_eq!(journal.append(&blocks(1, &[10])).unwrap().first_lseq, 1);
        journal.sync().unwrap();
        assert_eq!(
            journal.disk_bytes(),
            ["00000000.kj", "00000001.kj"].map(|name| disk.content(name).len() as u64).iter().sum()
        );
        journal.close().unwrap();
        let (journal, recovery) = open(&disk, &Options::default());
        assert!(recovery.clean && recovery.cut.is_none() && recovery.damage.is_empty());
        assert_eq!(contents(&journal).0.len(), 2);
    }
}

#[test]
fn who_only_reads_on_a_full_disk_ends_well() {
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &Options::default());
    journal.append(&blocks(0, &[10])).unwrap();
    journal.sync().unwrap();
    drop(journal);
    disk.set_room(Some(0));
    let (journal, _) = open(&disk, &Options::default());
    assert_eq!(contents(&journal).0.len(), 1);
    journal.close().unwrap();
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_reopened() {
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &Options::default());
    journal.append(&blocks(0, &[10])).unwrap();
    journal.sync().unwrap();
    let durable = journal.durable();
    journal.append(&blocks(1, &[10])).unwrap();
    disk.set_syncs_fail(true);
    assert!(matches!(journal.sync(), Err(AppendError::Sync { .. })));
    disk.set_syncs_fail(false);
    assert!(matches!(journal.sync(), Err(AppendError::Poisoned)));
    assert!(matches!(journal.append(&blocks(2, &[10])), Err(AppendError::Poisoned)));
    assert_eq!(journal.durable(), durable);
    assert_eq!(contents(&journal).0.len(), 1);
    assert!(matches!(journal.close(), Err(AppendError::Poisoned)));
    let (mut journal, _) = open(&disk, &Options::default());
    journal.append(&blocks(2, &[10])).unwrap();
    journal.close().unwrap();
}

#[test]
fn a_sync_that_fails_when_a_segment_is_begun_is_made_good_by_the_next_append() {
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &small(400));
    journal.append(&blocks(0, &[300])).unwrap();
    journal.sync().unwrap();
    disk.set_syncs_fail(true);
    assert!(matches!(journal.append(&blocks(1, &[300])), Err(AppendError::Sync { .. })));
    // It would fit into the old segment; but of the new one, which says where that ended, something may be on the disk.
    assert!(matches!(journal.append(&blocks(1, &[10])), Err(AppendError::Sync { .. })));
    disk.set_syncs_fail(false);
    assert_eq!(journal.append(&blocks(1, &[10])).unwrap().at.segment, 1);
    journal.close().unwrap();
    let (journal, recovery) = open(&disk, &small(400));
    assert!(recovery.clean && recovery.damage.is_empty());
    assert_eq!(contents(&journal).0.len(), 2);
}

#[test]
fn a_retreat_gives_up_what_was_not_durable_and_the_journal_goes_on() {
    // Whether the tail can be cut off at once, or only when something is appended.
    for at_once in [true, false] {
        let disk = FaultDisk::new();
        let (mut journal, _) = open(&disk, &Options::default());
        let kept = journal.append(&blocks(0, &[10])).unwrap();
        journal.sync().unwrap();
        journal.append(&blocks(1, &[10, 20])).unwrap();
        disk.set_syncs_fail(true);
        assert!(matches!(journal.sync(), Err(AppendError::Sync { .. })));
        disk.set_syncs_fail(!at_once);
        journal.retreat();
        assert_eq!((journal.end(), journal.next_lseq()), (kept.next, 1));
        if !at_once {
            assert!(matches!(journal.append(&blocks(1, &[5])), Err(AppendError::Sync { .. })));
            assert!(matches!(journal.begin_segment(), Err(AppendError::Sync { .. })));
        }
        disk.set_syncs_fail(false);
        let again = journal.append(&blocks(1, &[5])).unwrap();
        assert_eq!((again.at, again.first_lseq), (kept.next, 1), "in its place, under its number");
        journal.sync().unwrap();
        disk.power_cut(&mut |_| u64::MAX);
        let (journal, recovery) = open(&disk, &Options::default());
        assert_eq!((recovery.cut, recovery.damage), (None, vec![]));
        let found: Vec<Record> = contents(&journal).0.into_iter().map(|located| located.record).collect();
        assert_eq!(found, [blocks(0, &[10]), blocks(1, &[5])]);
    }
}

#[test]
fn a_journal_that_cannot_be_made_durable_does_not_open() {
    let disk = FaultDisk::new();
    disk.set_syncs_fail(true);
    let opened = Journal::open_on(Arc::new(disk), &Options::default(), None, &mut fresh, &mut |_, _| ());
    assert!(matches!(opened.err(), Some(OpenError::Write(AppendError::Sync { .. }))));
}

#[test]
fn a_sync_of_nothing_new_does_not_touch_the_disk() {
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &Options::default());
    journal.append(&blocks(0, &[10])).unwrap();
    let before = disk.syncs();
    (0..5).for_each(|_| journal.sync().unwrap());
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_when_opened() {
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &Options::default());
    journal.append(&blocks(0, &[10])).unwrap();
    drop(journal);
    let (journal, _) = open(&disk, &Options::default());
    assert_eq!(contents(&journal).0.len(), 1, "shown, so it must last");
    disk.power_cut(&mut |_| 0);
    assert_eq!(contents(&open(&disk, &Options::default()).0).0.len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Append(Record),
    Sync,
    /// Cut the power; keep so many bytes of what was not synced.
    Cut(u64),
    /// Append with room for so many bytes, then go back to what is durable, with the disk as it is, and have room again.
    Full(Record, u64),
    /// The same with a sync that fails, and so many more after it.
    Failing(Record, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => common::record().prop_map(Step::Append),
        3 => Just(Step::Sync),
        2 => (0u64..900).prop_map(Step::Cut),
        2 => (common::record(), 0u64..300).prop_map(|(record, room)| Step::Full(record, room)),
        2 => (common::record(), 0u64..3).prop_map(|(record, syncs)| Step::Failing(record, syncs)),
    ]
}

/// How many records it says are durable.
fn durable(journal: &Journal) -> usize {
    contents(journal).0.len()
}

proptest! {
    /// Everything acknowledged by a sync survives any power cut; what is there beyond it is what was written; no lseq
    /// that was durable is given twice; and none of it is called damage.
    #[test]
    fn what_was_synced_survives_power_cuts(steps in prop::collection::vec(step(), 0..60), size in 150u64..2000) {
        let (disk, options) = (FaultDisk::new(), small(size));
        let (mut journal, _) = open(&disk, &options);
        let (mut written, mut synced): (Vec<Record>, usize) = (Vec::new(), 0);
        for step in steps.into_iter().chain([Step::Sync, Step::Cut(0)]) {
            match step {
                Step::Append(record) => {
                    journal.append(&record).unwrap();
                    written.push(record);
                }
                Step::Sync => {
                    journal.sync().unwrap();
                    synced = written.len();
                }
                Step::Full(record, room) => {
                    disk.set_room(Some(room));
                    if journal.append(&record).is_ok() {
                        written.push(record);
                    } else {
                        journal.retreat();
                        written.truncate(durable(&journal));
                        synced = written.len();
                    }
                    disk.set_room(None);
                }
                Step::Failing(record, syncs) => {
                    disk.set_syncs_fail_after(syncs);
                    let done = journal.append(&record).and_then(|_| journal.sync());
                    written.push(record);
                    if done.is_err() {
                        journal.retreat();
                        written.truncate(durable(&journal));
                    }
                    disk.set_syncs_fail(false);
                    // Until something is appended it may be that the tail could not be cut off.
                    let record = blocks(9, &[1]);
                    journal.append(&record).unwrap();
                    journal.sync().unwrap();
                    written.push(record);
                    synced = written.len();
                }
                Step::Cut(keep) => {
                    disk.power_cut(&mut |_| keep);
                    let (reopened, recovery) = open(&disk, &options);
                    journal = reopened;
                    prop_assert_eq!(recovery.damage, vec![]);
                    let (found, damage) = contents(&journal);
                    prop_assert_eq!(damage, vec![]);
                    prop_assert!(found.len() >= synced, "{} of {synced} synced records", found.len());
                    let mut lseq = 0;
                    for (located, record) in found.iter().zip(&written) {
                        prop_assert_eq!(&located.record, record);
                        prop_assert_eq!(located.first_lseq, lseq);
                        lseq += record.block_count();
                    }
                    prop_assert_eq!(journal.next_lseq(), lseq);
                    // What a recovery found, it made durable.
                    written.truncate(found.len());
                    synced = found.len();
                }
            }
        }
        prop_assert_eq!(journal.reader().scan(Position::START).filter(|item| item.is_err()).count(), 0);
    }
}
