//! Segments written anew: records keep their order and numbers, readers and crashes find one file or the other.

use crate::common::{self, BIRTH, HEADER, contents, open, open_from, small};
use kappadb_core::{FeedKey, Form, StoredBlock};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{Disk, Journal, Located, Position, Record, Rewrite, RewriteError};
use proptest::prelude::*;

/// Definitions go, feed 1 goes, blocks of feed 2 are cut to a byte.
fn keep(located: Located) -> Option<Record> {
    let gone = FeedKey([1; 32]);
    match located.record {
        Record::Definition(_) => None,
        Record::Blocks { feed, blocks, .. } | Record::Fetched { feed, blocks, .. } if feed == gone => {
            Some(Record::Gone { feed, blocks: blocks.len() as u64 })
        }
        Record::Blocks { feed, first, blocks } if feed == FeedKey([2; 32]) => {
            let cut = |block: StoredBlock| StoredBlock {
                form: Form::Cleared,
                bytes: block.bytes.slice(..block.bytes.len().min(1)),
            };
            Some(Record::Blocks { feed, first, blocks: blocks.into_iter().map(cut).collect() })
        }
        record => Some(record),
    }
}

/// What is to be read after segments below `sealed` were rewritten: numbers and records.
fn expected(before: &[Located], sealed: u32) -> Vec<(u64, Record)> {
    let after = |located: &Located| match located.at.segment < sealed {
        true => Some((located.first_lseq, keep(located.clone())?)),
        false => Some((located.first_lseq, located.record.clone())),
    };
    before.iter().filter_map(after).collect()
}

fn read(journal: &Journal) -> Vec<(u64, Record)> {
    let (found, damage) = contents(journal);
    assert_eq!(damage, []);
    found.into_iter().map(|located| (located.first_lseq, located.record)).collect()
}

fn written(disk: &FaultDisk, records: &[Record], size: u64) -> Journal {
    let (mut journal, _) = open(disk, &small(size));
    for record in records {
        journal.append(record).unwrap();
    }
    journal.sync().unwrap();
    journal
}

fn rewrite(journal: &mut Journal, segment: u32) -> Rewrite {
    let rewrite = journal.reader().rewrite(&[segment], &mut keep).unwrap();
    journal.install(rewrite).unwrap()
}

proptest! {
    #[test]
    fn rewritten_segments_read_as_what_was_kept(
        records in prop::collection::vec(common::record(), 0..40),
        size in 100u64..2000,
        twice: bool,
    ) {
        let disk = FaultDisk::new();
        let mut journal = written(&disk, &records, size);
        journal.begin_segment().unwrap();
        let (before, next) = (contents(&journal).0, journal.next_lseq());
        let sealed = 0..journal.end().segment;
        prop_assert!(journal.sealed().iter().map(|(segment, _)| *segment).eq(sealed.clone()));
        for segment in sealed.clone().chain(sealed.clone().filter(|_| twice)) {
            let known = contents(&journal).0;
            let done = rewrite(&mut journal, segment);
            for located in known {
                // Every place that was known leads to the same numbers, or to nothing.
                if let Some(at) = done.moved(located.at) {
                    prop_assert_eq!(journal.reader().read(at).unwrap().first_lseq, located.first_lseq);
                } else {
                    prop_assert!(keep(located).is_none());
                }
            }
        }
        let expected = expected(&before, sealed.end);
        prop_assert_eq!(read(&journal), expected.clone());
        let files: u64 = (0..=journal.end().segment).map(|n| disk.content(&format!("{n:08x}.kj")).len() as u64).sum();
        prop_assert_eq!(journal.disk_bytes(), files);
        let layout: Vec<_> = sealed.clone().map(|segment| (segment, 1 + u8::from(twice))).collect();
        prop_assert_eq!(journal.layout(), layout.clone());

        // The same after opening, from the start, from the end, and writing goes on.
        for start in [None, Some(journal.end())] {
            let (mut again, recovery) = open_from(&disk.copy(), &small(size), start);
            prop_assert!(recovery.damage.is_empty() && recovery.cut.is_none());
            prop_assert_eq!(read(&again), expected.clone());
            prop_assert_eq!((again.next_lseq(), again.layout()), (next, layout.clone()));
            prop_assert_eq!(again.append(&common::blocks(9, &[7, 8])).unwrap().first_lseq, next);
        }
    }

    /// Whenever the power is cut, each segment is one file or the other.
    #[test]
    fn a_power_cut_leaves_the_old_or_the_new(
        records in prop::collection::vec(common::record(), 10..40),
        kept in prop::collection::vec(any::<bool>(), 40),
        room in prop::option::of(0u64..4000),
    ) {
        let disk = FaultDisk::new();
        let mut journal = written(&disk, &records, 600);
        journal.begin_segment().unwrap();
        let before = contents(&journal).0;
        disk.set_room(room);
        disk.set_syncs_fail(false);
        let mut done = 0;
        for (segment, _) in journal.sealed() {
            let Ok(rewrite) = journal.reader().rewrite(&[segment], &mut keep) else { break };
            if kept[segment as usize % kept.len()] {
                disk.set_syncs_fail(true);
                prop_assert!(journal.install(rewrite).is_err());
                break;
            }
            journal.install(rewrite).unwrap();
            done = segment + 1;
        }
        let mut kept = kept.iter().cycle();
        disk.power_cut(&mut |bytes| if *kept.next().unwrap() { bytes } else { 0 });
        let (again, recovery) = open(&disk, &small(600));
        prop_assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
        let found = read(&again);
        prop_assert!(found == expected(&before, done) || found == expected(&before, done + 1));
        let left_over = |n: u32| !disk.content(&format!("{n:08x}.kj.new")).is_empty();
        prop_assert!(!(0..=again.end().segment).any(left_over));
    }
}

#[test]
fn a_damaged_segment_stays_as_it_is() {
    let disk = FaultDisk::new();
    let mut journal = written(&disk, &[common::blocks(0, &[100]), common::blocks(1, &[100])], 10_000);
    journal.begin_segment().unwrap();
    let mut bytes = disk.content("00000000.kj");
    bytes[150] ^= 1;
    disk.put("00000000.kj", bytes.clone());
    let refused = journal.reader().rewrite(&[0], &mut keep).err();
    assert!(matches!(refused, Some(RewriteError::Damaged(Position { segment: 0, .. }))), "{refused:?}");
    assert_eq!(disk.content("00000000.kj"), bytes);
    assert!(disk.content("00000000.kj.new").is_empty());
}

#[test]
fn numbers_must_stay() {
    let mut journal = written(&FaultDisk::new(), &[common::blocks(0, &[100, 100])], 10_000);
    journal.begin_segment().unwrap();
    let refused = journal.reader().rewrite(&[0], &mut |_| None).err();
    assert!(matches!(refused, Some(RewriteError::Numbers(_))), "{refused:?}");
}

#[test]
fn who_reads_meanwhile_reads_on() {
    let disk = FaultDisk::new();
    let records: Vec<Record> = (0..50).map(|n| common::blocks(n, &[200])).collect();
    let mut journal = written(&disk, &records, 2_000);
    let reader = journal.reader();
    let mut scan = reader.scan(Position::START).filter_map(Result::ok).filter(|l| !common::is_own(&l.record));
    let first: Vec<_> = scan.by_ref().take(3).collect();
    // The scan is in the middle of the first segment, and has it open.
    rewrite(&mut journal, 0);
    let rest: Vec<_> = scan.collect();
    assert_eq!(first.len() + rest.len(), 50);
}

/// Small segments, as many runs of a program leave them: one for each record.
fn in_small_segments(disk: &FaultDisk, records: &[Record]) -> Journal {
    let mut journal = written(disk, &[], 10_000);
    for record in records {
        journal.append(record).unwrap();
        journal.begin_segment().unwrap();
    }
    journal
}

fn join(journal: &mut Journal) -> Result<Vec<Rewrite>, RewriteError> {
    let groups = journal.joinable();
    let install = |group: Vec<u32>| {
        let rewrite = journal.reader().rewrite(&group, &mut keep)?;
        journal.install(rewrite)
    };
    groups.into_iter().map(install).collect()
}

fn files(disk: &FaultDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().map(|(name, _)| name).collect()
}

proptest! {
    #[test]
    fn joined_segments_read_as_what_was_kept(
        records in prop::collection::vec(common::record(), 2..30),
        more in prop::collection::vec(common::record(), 0..8),
        size in 300u64..6000,
    ) {
        let disk = FaultDisk::new();
        let small_ones = in_small_segments(&disk, &records);
        drop(small_ones);
        let (mut journal, _) = open(&disk, &small(size));
        let (before, end) = (contents(&journal).0, journal.end());
        let joined = journal.joinable().concat();
        let done = join(&mut journal).unwrap();
        let moved = |at: Position| done.iter().try_fold(at, |at, done| done.moved(at));
        for located in &before {
            match moved(located.at) {
                Some(at) => prop_assert_eq!(journal.reader().read(at).unwrap().first_lseq, located.first_lseq),
                None => prop_assert!(keep(located.clone()).is_none()),
            }
        }
        let kept = before.iter().filter_map(|located| {
            let kept = if joined.contains(&located.at.segment) { keep(located.clone()) } else { Some(located.record.clone()) };
            Some((located.first_lseq, kept?))
        });
        let read_back: Vec<(u64, Record)> = kept.collect();
        prop_assert_eq!(read(&journal), read_back.clone());
        prop_assert_eq!((journal.end(), journal.files()), (end, files(&disk).len() as u64));
        let all: u64 = files(&disk).iter().map(|name| disk.content(name).len() as u64).sum();
        prop_assert_eq!(journal.disk_bytes(), all);
        if let [first, second, ..] = journal.sealed()[..] {
            prop_assert!(first.1 + second.1 > size || !done.is_empty());
        }

        // Others are joined to what was joined, after opening from anywhere.
        for start in [None, Some(journal.end()), Some(Position { segment: 0, offset: HEADER })] {
            let disk = disk.copy();
            let (mut again, recovery) = open_from(&disk, &small(1 << 20), start);
            prop_assert!(recovery.damage.is_empty() && recovery.cut.is_none(), "{:?}", recovery);
            prop_assert_eq!(read(&again), read_back.clone());
            prop_assert_eq!(again.layout(), journal.layout());
            let next = again.next_lseq();
            for record in &more {
                again.append(record).unwrap();
                again.begin_segment().unwrap();
            }
            join(&mut again).unwrap();
            prop_assert_eq!(again.files(), 2);
            let (whole, _) = open(&disk, &small(1 << 20));
            prop_assert_eq!(read(&whole), read(&again));
            prop_assert!(whole.next_lseq() == again.next_lseq() && next <= whole.next_lseq());
        }
    }

    /// Whenever the power is cut: the old files, or the new one, whatever else is still there.
    #[test]
    fn a_power_cut_leaves_small_segments_or_the_joined_one(
        records in prop::collection::vec(common::record(), 2..20),
        syncs in prop::option::of(0u64..6),
        room in prop::option::of(0u64..4000),
        back in prop::collection::vec(any::<bool>(), 20),
    ) {
        let disk = FaultDisk::new();
        let mut journal = in_small_segments(&disk, &records);
        let (before, copy, sealed) = (contents(&journal).0, disk.copy(), journal.end().segment);
        disk.set_room(room);
        syncs.iter().for_each(|count| disk.set_syncs_fail_after(*count));
        let joined = join(&mut journal).is_ok();
        let mut back = back.iter().cycle();
        disk.power_cut(&mut |bytes| if *back.next().unwrap() { bytes } else { 0 });
        // Files that were taken away and not for good.
        for name in files(&copy).iter().filter(|name| disk.content(name).is_empty() && *back.next().unwrap()) {
            disk.put(name, copy.content(name));
        }
        let (again, recovery) = open(&disk, &small(10_000));
        prop_assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
        let found = read(&again);
        let old = before.iter().map(|located| (located.first_lseq, located.record.clone())).collect::<Vec<_>>();
        let new = expected(&before, sealed);
        prop_assert!(found == new || (!joined && found == old));
        prop_assert_eq!(files(&disk).len() as u64, again.files(), "what was left over is gone");
    }
}

#[test]
fn segments_on_two_sides_of_damage_are_not_joined() {
    let records: Vec<Record> = (0..6).map(|n| common::blocks(n, &[100])).collect();
    let lose_a_record = |disk: &FaultDisk| {
        let bytes = disk.content("00000002.kj");
        disk.put("00000002.kj", bytes[..BIRTH as usize].to_vec());
    };
    let flip = |disk: &FaultDisk| {
        let mut bytes = disk.content("00000003.kj");
        bytes[150] ^= 1;
        disk.put("00000003.kj", bytes);
    };
    let lose = |disk: &FaultDisk| disk.lose("00000003.kj");
    for (hurt, place) in [(&lose_a_record as &dyn Fn(&FaultDisk), 3), (&flip, 3), (&lose, 3)] {
        let disk = FaultDisk::new();
        drop(in_small_segments(&disk, &records));
        hurt(&disk);
        let (mut journal, recovery) = open(&disk, &small(10_000));
        assert_eq!(recovery.damage.len(), 1);
        let refused = journal.reader().rewrite(&[0, 1, 2, 3, 4, 5], &mut keep).err();
        assert!(matches!(refused, Some(RewriteError::Damaged(at)) if at.segment == place), "{refused:?}");
        let before = contents(&journal);
        // A segment that is too short stays as long as it is, for that shows.
        let refused = journal.reader().rewrite(&[0, 1, 2], &mut keep).is_err();
        assert_eq!(refused, disk.content("00000002.kj").len() as u64 == BIRTH);
        for group in [if refused { &[0, 1][..] } else { &[0, 1, 2] }, &[4, 5]] {
            let rewrite = journal.reader().rewrite(group, &mut |located| Some(located.record)).unwrap();
            journal.install(rewrite).unwrap();
        }
        let after = contents(&journal);
        assert_eq!(after.1, before.1, "damage is told as before");
        assert_eq!(after.0.len(), before.0.len());
    }
}

#[test]
fn a_file_of_another_journal_stands_for_none_of_this_one() {
    let (disk, other) = (FaultDisk::new(), FaultDisk::new());
    let records: Vec<Record> = (0..3).map(|n| common::blocks(n, &[100])).collect();
    let journal = in_small_segments(&disk, &records);
    let held = contents(&journal).0.len();
    join(&mut in_small_segments(&other, &records)).unwrap();
    disk.put("00000002.kj", other.content("00000002.kj"));
    let (again, recovery) = open(&disk, &small(10_000));
    assert_eq!(contents(&again).0.len(), held - 1);
    assert!(!recovery.damage.is_empty());
}

#[test]
fn a_joined_segment_that_was_cut_between_two_records_is_damaged() {
    let disk = FaultDisk::new();
    let definition = |n: u8| Record::Drop(FeedKey([n; 32]));
    let mut journal = in_small_segments(&disk, &(0..6).map(definition).collect::<Vec<_>>());
    let done = join(&mut journal).unwrap();
    let place = done[0].moved(Position { segment: 5, offset: BIRTH }).unwrap();
    let bytes = disk.content("00000005.kj");
    disk.put("00000005.kj", bytes[..place.offset as usize].to_vec());
    let (journal, recovery) = open(&disk, &small(10_000));
    assert_eq!(recovery.damage.len(), 1, "no number of a block lacks, but a record does");
    assert!(matches!(journal.reader().rewrite(&[5], &mut keep), Err(RewriteError::Damaged(_))));
}
