//! What is written is read again: over reopening, segments, starting positions, real files.

use crate::common;
use crate::common::{BIRTH, blocks, contents, fresh, lseqs, open, open_from, small};
use kappadb_core::StoredBlock;
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{AppendError, Cause, Journal, OpenError, Options, Position, ReadError, Record};
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    Append(Record),
    Sync,
    Close,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => common::record().prop_map(Step::Append),
        2 => Just(Step::Sync),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    /// Any history, over any number of segments, closes and crashes of the process, reads back record by record, each at
    /// its place and with its lseq; from every starting position too.
    #[test]
    fn reads_back_what_was_written(steps in prop::collection::vec(step(), 0..60), size in 100u64..3000) {
        let (disk, options) = (FaultDisk::new(), small(size));
        let (mut journal, recovery) = open(&disk, &options);
        let incarnation = recovery.incarnation;
        let (mut expected, mut next) = (Vec::new(), 0);
        for step in steps {
            let closed = matches!(step, Step::Close);
            match step {
                Step::Append(record) => {
                    let placed = journal.append(&record).unwrap();
                    prop_assert_eq!(placed.first_lseq, next);
                    next += record.block_count();
                    prop_assert_eq!(&journal.reader().read(placed.at).unwrap().record, &record);
                    expected.push((placed, record));
                }
                Step::Sync => journal.sync().unwrap(),
                Step::Close | Step::Crash => {
                    if closed { journal.close().unwrap() } else { drop(journal) }
                    let (reopened, recovery) = open(&disk, &options);
                    prop_assert!(recovery.cut.is_none() && recovery.damage.is_empty());
                    prop_assert_eq!(recovery.incarnation, incarnation);
                    prop_assert!(recovery.clean || !closed);
                    journal = reopened;
                }
            }
            prop_assert_eq!(journal.next_lseq(), next);
        }
        journal.sync().unwrap();
        prop_assert_eq!(journal.durable(), journal.end());
        let files: u64 = (0..=journal.end().segment).map(|n| disk.content(&format!("{n:08x}.kj")).len() as u64).sum();
        prop_assert_eq!(journal.disk_bytes(), files);

        let (found, damage) = contents(&journal);
        prop_assert_eq!(damage, vec![]);
        let read: Vec<_> = found.iter().map(|l| (l.at, l.next, l.first_lseq, &l.record)).collect();
        let written: Vec<_> = expected.iter().map(|(p, r)| (p.at, p.next, p.first_lseq, r)).collect();
        prop_assert_eq!(read, written);

        for (i, (placed, _)) in expected.iter().enumerate() {
            let rest: Vec<_> = journal.reader().scan(placed.next).flatten().filter(|l| !common::is_own(&l.record)).collect();
            prop_assert_eq!(&rest[..], &found[i + 1..]);
            for start in [placed.at, placed.next] {
                let (again, recovery) = open_from(&disk.copy(), &options, Some(start));
                prop_assert_eq!(again.next_lseq(), next);
                prop_assert_eq!(again.end(), journal.end());
                prop_assert_eq!(recovery.incarnation, incarnation);
                prop_assert_eq!(recovery.scanned_from.segment, start.segment);
                prop_assert!(recovery.cut.is_none() && recovery.damage.is_empty());
            }
        }
    }

    /// A start that fits no boundary is of no use, and does no harm.
    #[test]
    fn any_start_opens(sizes in prop::collection::vec(0usize..60, 1..20), segment in 0u32..4, offset in 0u64..700) {
        let (disk, options) = (FaultDisk::new(), small(500));
        let (mut journal, _) = open(&disk, &options);
        for (i, &size) in sizes.iter().enumerate() {
            journal.append(&common::blocks(i as u64, &[size])).unwrap();
        }
        journal.sync().unwrap();
        let (start, end, all) = (Position { segment, offset }, journal.end(), contents(&journal).0);
        let (again, recovery) = open_from(&disk, &options, Some(start));
        prop_assert_eq!(contents(&again).0, all);
        if start <= end {
            prop_assert_eq!(again.next_lseq(), sizes.len() as u64);
            prop_assert!(recovery.damage.is_empty());
        } else {
            prop_assert_eq!(&recovery.damage[0].cause, &Cause::Absent);
            prop_assert!(again.next_lseq() > sizes.len() as u64);
        }
    }
}

#[test]
fn an_empty_folder_gets_a_segment_with_an_incarnation() {
    let disk = FaultDisk::new();
    let (journal, recovery) = open(&disk, &Options::default());
    assert_eq!(journal.end(), Position { segment: 0, offset: BIRTH });
    assert_eq!((journal.next_lseq(), journal.disk_bytes()), (0, BIRTH));
    assert_eq!((recovery.clean, recovery.cut, recovery.damage.len()), (false, None, 0));
    let first = journal.reader().scan(Position::START).next().unwrap().unwrap();
    assert_eq!(first.record, Record::Incarnation(recovery.incarnation));
    drop(journal);
    disk.power_cut(&mut |_| 0);
    assert_eq!(open(&disk, &Options::default()).1.incarnation, recovery.incarnation);
}

#[test]
fn after_a_clean_close_only_the_tail_is_read() {
    let (disk, options) = (FaultDisk::new(), small(100_000));
    let (mut journal, _) = open(&disk, &options);
    let last = (0..3000).map(|n| journal.append(&common::blocks(n, &[300])).unwrap()).last().unwrap();
    journal.close().unwrap();
    let scanned = Cell::new(0);
    let mut progress = |_, total| scanned.set(total);
    let (journal, recovery) =
        Journal::open_on(Arc::new(disk.clone()), &options, Some(last.at), &mut fresh, &mut progress).unwrap();
    assert!(recovery.clean);
    assert_eq!(recovery.scanned_from, last.at);
    assert!(scanned.get() < 500, "{} bytes scanned", scanned.get());
    assert_eq!(journal.next_lseq(), 3000);

    // Opened and closed without a write, nothing is written.
    let before = journal.disk_bytes();
    journal.close().unwrap();
    assert_eq!(open(&disk, &options).0.disk_bytes(), before);
}

#[test]
fn progress_counts_up_to_the_total() {
    let (disk, options) = (FaultDisk::new(), small(1 << 20));
    let (mut journal, _) = open(&disk, &options);
    (0..50).for_each(|n| assert!(journal.append(&common::blocks(n, &[100_000])).is_ok()));
    journal.sync().unwrap();
    let mut calls = Vec::new();
    let total = journal.disk_bytes();
    let mut progress = |done, total| calls.push((done, total));
    Journal::open_on(Arc::new(disk), &options, None, &mut fresh, &mut progress).unwrap();
    assert!(calls.len() > 3 && calls.is_sorted());
    assert_eq!(calls.last(), Some(&(total, total)));
}

#[test]
fn a_thousand_segments_need_few_open_files() {
    let (disk, options) = (FaultDisk::new(), small(200));
    let (mut journal, _) = open(&disk, &options);
    for n in 0..1000 {
        journal.append(&common::blocks(n, &[100])).unwrap();
    }
    journal.sync().unwrap();
    assert!(journal.end().segment >= 999);
    let (records, _) = contents(&journal);
    assert_eq!(records.len(), 1000);
    let reader = journal.reader();
    for n in 0..1000 {
        let at = &records[(n * 389) % 1000];
        assert_eq!(reader.read(at.at).unwrap(), *at);
    }
    let (again, _) = open(&disk.copy(), &options);
    assert_eq!(contents(&again).0, records);
    assert!(disk.open_files().1 <= options.open_files + 2, "{} files open", disk.open_files().1);
}

#[test]
fn scans_show_only_what_is_durable() {
    let (mut journal, _) = open(&FaultDisk::new(), &Options::default());
    let placed = journal.append(&common::blocks(0, &[5, 6])).unwrap();
    assert_eq!(contents(&journal).0.len(), 0);
    assert_eq!(lseqs(&journal.reader().read(placed.at).unwrap()), 0..2);
    journal.sync().unwrap();
    assert_eq!(contents(&journal).0.len(), 1);
    assert_eq!(journal.reader().durable(), placed.next);
}

#[test]
fn what_the_journal_writes_for_itself_cannot_be_appended() {
    let (mut journal, _) = open(&FaultDisk::new(), &Options::default());
    for record in [Record::Closed, Record::Incarnation([0; 16])] {
        assert!(matches!(journal.append(&record), Err(AppendError::Reserved)));
    }
    assert_eq!(journal.end().offset, BIRTH);
}

#[test]
fn a_record_longer_than_a_segment_has_one_of_its_own() {
    let (disk, options) = (FaultDisk::new(), small(1000));
    let (mut journal, _) = open(&disk, &options);
    let at = [10, 5000, 10].map(|size| journal.append(&common::blocks(0, &[size])).unwrap().at.segment);
    assert_eq!(at, [0, 1, 2]);
}

#[test]
fn real_files_are_kept_and_foreign_ones_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, options) = (dir.path().join("journal"), small(1000));
    let open = || Journal::open(&path, &options, None, &mut fresh, &mut |_, _| ());
    let (mut journal, _) = open().unwrap();
    let places: Vec<_> =
        (0..30).map(|n| journal.append(&common::blocks(n, &[n as usize * 7])).unwrap().at).collect();
    journal.close().unwrap();
    std::fs::write(path.join("notes.txt"), "hello").unwrap();
    std::fs::write(path.join("00000001.kj~"), "hello").unwrap();

    let (journal, recovery) = open().unwrap();
    assert!(recovery.clean);
    assert_eq!(recovery.ignored, ["00000001.kj~", "notes.txt"]);
    let (records, damage) = contents(&journal);
    assert_eq!((records.iter().map(|l| l.at).collect::<Vec<_>>(), damage), (places.clone(), vec![]));
    let bytes = std::fs::metadata(path.join("00000000.kj")).unwrap().len();
    assert!(bytes <= 1000 && journal.disk_bytes() > 3 * bytes);
    assert_eq!(std::fs::read(path.join("notes.txt")).unwrap(), b"hello");

    let beyond = Position { segment: 99, offset: 0 };
    let error = journal.reader().read(beyond).unwrap_err();
    assert!(matches!(&error, ReadError::Io { file, .. } if file.ends_with("00000063.kj")), "{error}");
    let inside = Position { offset: places[1].offset + 1, ..places[1] };
    assert!(matches!(journal.reader().read(inside), Err(ReadError::Bad { cause: Cause::Record, .. })));

    // A folder that cannot be made is named.
    let nowhere = dir.path().join("no/such/folder");
    let error = Journal::open(&nowhere, &options, None, &mut fresh, &mut |_, _| ()).err().unwrap();
    assert!(matches!(&error, OpenError::Read { file, .. } if *file == nowhere));
}

/// Records are kept in memory by whoever reads them: a small one must not keep what was read ahead with it.
#[test]
fn a_record_that_is_read_alone_keeps_no_more_memory_than_it_has() {
    let (disk, options) = (FaultDisk::new(), small(1 << 20));
    let (mut journal, _) = open(&disk, &options);
    let placed: Vec<Position> = (0..50).map(|n| journal.append(&blocks(n, &[100])).unwrap().at).collect();
    journal.sync().unwrap();
    for at in placed {
        let Record::Blocks { blocks, .. } = journal.reader().read(at).unwrap().record else { unreachable!() };
        let [block] = <[StoredBlock; 1]>::try_from(blocks).unwrap();
        assert!(block.bytes.try_into_mut().unwrap().capacity() < 500, "{at:?}");
    }
}
