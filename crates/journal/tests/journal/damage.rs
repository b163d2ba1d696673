//! Torn tails are cut off; everything else that cannot be read is reported, and the rest stays readable.

use crate::common;
use crate::common::{BIRTH, HEAD, HEADER, contents, fresh, lseqs, open, open_from, small};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{Cause, Cut, Damage, Journal, Located, OpenError, Options, Position, Record};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

fn name(segment: u32) -> String {
    format!("{segment:08x}.kj")
}

fn change(disk: &FaultDisk, segment: u32, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.content(&name(segment));
    change(&mut bytes);
    disk.put(&name(segment), bytes);
}

fn flip(disk: &FaultDisk, at: Position, bit: u64) {
    let byte = at.offset + bit / 8;
    change(disk, at.segment, |bytes| bytes[byte as usize] ^= 1 << (bit % 8));
}

/// A synced, not closed journal with one record for each list of block sizes.
fn written(records: &[&[usize]], options: &Options) -> (FaultDisk, Vec<Located>, [u8; 16]) {
    let disk = FaultDisk::new();
    let (mut journal, recovery) = open(&disk, options);
    let mut seq = 0;
    for sizes in records {
        journal.append(&common::blocks(seq, sizes)).unwrap();
        seq += sizes.len() as u64;
    }
    journal.sync().unwrap();
    let all = contents(&journal).0;
    (disk, all, recovery.incarnation)
}

/// Reopens after a tear and checks that all of `kept` is there, that writing goes on and survives.
fn goes_on(disk: &FaultDisk, kept: &[Located], next_lseq: u64) -> kappadb_journal::Recovery {
    let (mut journal, recovery) = open(disk, &Options::default());
    assert_eq!(contents(&journal), (kept.to_vec(), recovery.damage.clone()));
    assert_eq!(journal.next_lseq(), next_lseq);
    let placed = journal.append(&common::blocks(77, &[9])).unwrap();
    assert_eq!(placed.first_lseq, next_lseq);
    journal.close().unwrap();
    let (journal, again) = open(disk, &Options::default());
    assert!(again.clean && again.cut.is_none());
    assert_eq!(again.incarnation, recovery.incarnation);
    assert_eq!(contents(&journal).0.len(), kept.len() + 1);
    assert_eq!(journal.reader().read(placed.at).unwrap().record, common::blocks(77, &[9]));
    recovery
}

#[test]
fn journal_tail_torn_at_every_byte_of_the_last_record() {
    let (disk, all, incarnation) = written(&[&[10], &[], &[5, 0, 30]], &Options::default());
    let (last, kept) = all.split_last().unwrap();
    for len in last.at.offset..last.next.offset {
        let torn = disk.copy();
        change(&torn, 0, |bytes| bytes.truncate(len as usize));
        let recovery = goes_on(&torn, kept, 1);
        let cut = Cut { segment: 0, from: last.at.offset, to: len };
        assert_eq!(recovery.cut, Some(cut).filter(|cut| cut.from < cut.to));
        assert_eq!(recovery.incarnation == incarnation, len == last.at.offset);
        assert_eq!(recovery.damage, []);
    }
}

#[test]
fn a_tail_that_the_file_system_left_as_zeros_or_noise_is_torn_too() {
    for filler in [0, 0xff, 0x4b] {
        let (disk, all, _) = written(&[&[10], &[2000]], &Options::default());
        let last = all[1].at.offset as usize;
        change(&disk, 0, |bytes| bytes[last + 20..].fill(filler));
        let recovery = goes_on(&disk, &all[..1], 1);
        assert_eq!(recovery.cut.map(|cut| cut.from), Some(last as u64));
    }
}

#[test]
fn a_new_segment_torn_at_every_byte_is_made_again() {
    let (disk, all, _) = written(&[&[300], &[300]], &small(400));
    assert_eq!(all[1].at, Position { segment: 1, offset: BIRTH });
    for len in 0..BIRTH {
        let torn = disk.copy();
        change(&torn, 1, |bytes| bytes.truncate(len as usize));
        let recovery = goes_on(&torn, &all[..1], 1);
        assert_eq!(recovery.damage, [], "{len}");
        assert!(open(&torn, &Options::default()).0.end().segment == 1);
        let zeros = disk.copy();
        zeros.put(&name(1), vec![0; len as usize]);
        assert_eq!(goes_on(&zeros, &all[..1], 1).damage, []);
    }
}

#[test]
fn the_very_first_segment_torn_at_every_byte_is_made_again() {
    let (disk, ..) = written(&[], &Options::default());
    for len in 0..BIRTH {
        let torn = disk.copy();
        change(&torn, 0, |bytes| bytes.truncate(len as usize));
        assert_eq!(goes_on(&torn, &[], 0).damage, [], "{len}");
    }
}

#[test]
fn a_flip_in_the_last_record_is_torn_unless_a_later_mark_covers_it() {
    let (disk, all, _) = written(&[&[10], &[20, 20]], &Options::default());
    let last = &all[1];
    for bit in (0..(last.next.offset - last.at.offset) * 8).step_by(7) {
        let torn = disk.copy();
        flip(&torn, last.at, bit);
        assert!(goes_on(&torn, &all[..1], 1).cut.is_some());

        // The caller knows that it was durable.
        let known = disk.copy();
        flip(&known, last.at, bit);
        let (journal, recovery) = open_from(&known, &Options::default(), Some(last.next));
        assert_eq!(recovery.cut, None);
        let (from, to) = (last.at.offset, last.next.offset);
        let bytes = to - from;
        let damage = Damage { segment: 0, from, to, lseqs: 1..1 + bytes, cause: Cause::Record };
        assert_eq!(recovery.damage, [damage]);
        assert!(journal.next_lseq() >= 3, "an lseq that was durable must not come again");
        assert_eq!(contents(&journal).0, all[..1]);
    }

    // The journal itself knows.
    let (journal, _) = open(&disk, &Options::default());
    journal.close().unwrap();
    flip(&disk, last.at, 300);
    let recovery = goes_on(&disk, &all[..1], 3);
    assert_eq!(recovery.cut, None);
    assert_eq!((recovery.damage[0].from, recovery.damage[0].lseqs.clone()), (last.at.offset, 1..3));
}

#[test]
fn a_journal_shorter_than_the_caller_knows_is_damage_and_numbers_are_not_reused() {
    let (disk, all, incarnation) = written(&[&[10], &[20, 20], &[30]], &small(200));
    let end = all[2].next;
    assert!(end.segment > all[0].at.segment);
    for lost in 1..=end.segment {
        let short = disk.copy();
        (lost..=end.segment).for_each(|segment| short.lose(&name(segment)));
        let (journal, recovery) = open_from(&short, &small(200), Some(end));
        assert_eq!((recovery.cut, recovery.clean), (None, false));
        assert_eq!(recovery.damage.len(), 1);
        assert_eq!(recovery.damage[0].cause, Cause::Absent);
        assert!(journal.next_lseq() >= 4);
        assert_ne!(recovery.incarnation, incarnation);
    }
    let empty = FaultDisk::new();
    let (mut journal, recovery) = open_from(&empty, &small(200), Some(end));
    assert_eq!(recovery.damage.len(), 1);
    assert!(journal.next_lseq() >= 4);

    // The numbers that were passed over stay reported, also by a scan without that knowledge.
    let placed = journal.append(&common::blocks(9, &[1])).unwrap();
    journal.close().unwrap();
    let (_, recovery) = open(&empty, &small(200));
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(recovery.damage[0].lseqs, 0..placed.first_lseq);
}

#[test]
fn a_segment_from_an_older_copy_does_not_bring_numbers_back() {
    let (disk, ..) = written(&[&[10]], &small(400));
    let older = disk.copy();
    let append = |disk: &FaultDisk, records: &[&[usize]]| {
        let (mut journal, _) = open(disk, &small(400));
        records.iter().for_each(|sizes| assert!(journal.append(&common::blocks(5, sizes)).is_ok()));
        journal.sync().unwrap();
        contents(&journal).0
    };
    append(&older, &[&[100], &[250]]);
    let all = append(&disk, &[&[1; 60], &[250]]);
    assert!(older.content(&name(1)).len() > 300 && disk.content(&name(1)).len() > 300);
    disk.put(&name(1), older.content(&name(1)));
    let (journal, recovery) = open(&disk, &small(400));
    assert!(recovery.damage.iter().any(|damage| damage.segment == 1 && damage.cause == Cause::Order));
    assert_eq!(contents(&journal).0, all[..2]);
    assert!(journal.next_lseq() >= 62);
}

#[test]
fn a_start_in_a_segment_that_says_nothing_is_of_no_use() {
    let (disk, all, _) = written(&[&[300], &[300], &[300]], &small(400));
    change(&disk, 1, |bytes| bytes.fill(0));
    disk.lose(&name(2));
    let (journal, recovery) = open_from(&disk, &small(400), Some(Position { segment: 1, offset: HEADER }));
    assert_eq!(recovery.scanned_from, Position::START);
    assert!(journal.next_lseq() >= 2, "numbers of the blanked segment must not come again");
    assert_eq!(contents(&journal).0, all[..1]);
}

#[test]
fn the_next_record_is_found_wherever_the_search_reads() {
    // The search reads 64 KiB at a time: let the next record begin at each place around the end of that.
    for len in (65_536 - 90)..(65_536 - 50) {
        let (disk, all, _) = written(&[&[len], &[1, 1]], &Options::default());
        flip(&disk, all[0].at, 8 * HEAD + 400);
        let (journal, recovery) = open(&disk, &Options::default());
        assert_eq!((recovery.damage.len(), recovery.damage[0].to), (1, all[1].at.offset));
        assert_eq!(contents(&journal).0, all[1..]);
    }
}

#[test]
fn records_say_how_far_the_journal_was_durable() {
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &Options::default());
    let mut marks = Vec::new();
    for n in 0..6 {
        let durable = journal.durable();
        marks.push((journal.append(&common::blocks(n, &[5])).unwrap().at.offset as usize, durable.offset));
        if n % 2 == 1 {
            journal.sync().unwrap();
        }
    }
    let bytes = disk.content(&name(0));
    let read = |at: usize| u64::from_le_bytes(bytes[at + 20..at + 28].try_into().unwrap());
    assert!(marks.iter().all(|&(at, mark)| read(at) == mark));
    assert_eq!(read(HEADER as usize), 0);
    assert!(marks[5].1 > marks[2].1 && marks[2].1 > marks[0].1);
}

#[test]
fn a_missing_segment_is_reported_once_with_its_numbers() {
    let (disk, all, _) = written(&[&[300], &[300, 1, 1], &[300], &[300]], &small(400));
    disk.lose(&name(1));
    disk.lose(&name(2));
    let (journal, recovery) = open(&disk, &small(400));
    assert_eq!(recovery.damage, [Damage { segment: 1, from: 0, to: 0, lseqs: 1..5, cause: Cause::Absent }]);
    assert_eq!(contents(&journal), (vec![all[0].clone(), all[3].clone()], recovery.damage));
    assert_eq!(journal.next_lseq(), 6);
    drop(journal);
    // A starting position does not hide it.
    let (_, recovery) = open_from(&disk, &small(400), Some(all[3].at));
    assert_eq!((recovery.damage.len(), recovery.scanned_from), (1, Position::START));
}

#[test]
fn a_stray_segment_far_off_is_one_report() {
    let (disk, all, _) = written(&[&[300]], &Options::default());
    disk.put(&name(0x00ff_ffff), vec![0; 500]);
    let (journal, recovery) = open_from(&disk, &Options::default(), None);
    assert_eq!(recovery.damage.iter().filter(|d| d.cause == Cause::Absent).count(), 1);
    assert_eq!(contents(&journal).0, all);
}

#[test]
fn a_segment_cut_short_at_a_record_boundary_is_noticed() {
    let (disk, all, _) = written(&[&[100], &[100], &[]], &small(520));
    let (mut journal, _) = open(&disk, &small(520));
    journal.append(&common::blocks(2, &[300])).unwrap();
    journal.sync().unwrap();
    let later = contents(&journal).0;
    drop(journal);
    for (cut, lost) in [(&all[1], 1..2), (&all[2], 2..2)] {
        let short = disk.copy();
        change(&short, 0, |bytes| bytes.truncate(cut.at.offset as usize));
        let (from, to) = (cut.at.offset, all[2].next.offset);
        let damage = Damage { segment: 0, from, to, lseqs: lost, cause: Cause::Absent };
        let (journal, recovery) = open(&short, &small(520));
        assert_eq!(recovery.damage, [damage]);
        assert_eq!(contents(&journal).0.last(), later.last());
    }
}

#[test]
fn a_later_format_is_refused_and_named() {
    let (disk, ..) = written(&[&[1]], &Options::default());
    change(&disk, 0, |bytes| bytes[6..48].fill(2));
    let opened = Journal::open_on(Arc::new(disk), &Options::default(), None, &mut fresh, &mut |_, _| ());
    let error = opened.err().unwrap();
    assert!(
        matches!(&error, OpenError::Version { version: 2, file } if file.ends_with("00000000.kj")),
        "{error}"
    );
}

#[test]
fn a_lost_header_costs_no_records_while_another_segment_has_the_nonce() {
    let (disk, all, incarnation) = written(&[&[300], &[300], &[300]], &small(400));
    for segment in 0..3 {
        let hurt = disk.copy();
        change(&hurt, segment, |bytes| bytes[..48].fill(0));
        let (journal, recovery) = open(&hurt, &small(400));
        let damage = &recovery.damage[0];
        assert_eq!(
            (damage.segment, damage.from, damage.to, &damage.cause),
            (segment, 0, HEADER, &Cause::Header)
        );
        assert!(damage.lseqs.is_empty() && recovery.damage.len() == 1);
        assert_eq!(contents(&journal).0, all);
        assert_eq!(recovery.incarnation, incarnation);
    }
}

#[test]
fn a_segment_of_another_journal_is_damage() {
    let (disk, all, _) = written(&[&[300], &[300], &[300]], &small(400));
    let (other, ..) = written(&[&[300], &[300], &[300]], &small(400));
    disk.put(&name(1), other.content(&name(1)));
    let (journal, recovery) = open(&disk, &small(400));
    assert_eq!(contents(&journal).0, [all[0].clone(), all[2].clone()]);
    assert_eq!((recovery.damage[0].segment, recovery.damage[0].lseqs.clone()), (1, 1..2));
}

#[test]
fn content_that_imitates_records_neither_passes_for_one_nor_takes_for_ever() {
    let started = Instant::now();
    // Each looks like the head of a record of 2 MiB.
    let fake: Vec<u8> =
        [0x4b, 0x52, 0xd1, 0x0a, 0, 0, 32, 0].into_iter().chain([0; 20]).chain([9; 8]).collect();
    let record = |first| Record::Blocks {
        feed: kappadb_core::FeedKey([1; 32]),
        first,
        blocks: vec![kappadb_core::StoredBlock::whole(fake.repeat(29_000)); 4],
    };
    let disk = FaultDisk::new();
    let (mut journal, _) = open(&disk, &Options::default());
    let places = [0, 1, 2].map(|n| journal.append(&record(n)).unwrap());
    journal.close().unwrap();
    flip(&disk, places[1].at, 8 * (HEAD + 5));
    let (journal, recovery) = open(&disk, &Options::default());
    let expected = Damage {
        segment: 0,
        from: places[1].at.offset,
        to: places[1].next.offset,
        lseqs: 4..8,
        cause: Cause::Record,
    };
    assert_eq!(recovery.damage, [expected]);
    assert_eq!(contents(&journal).0.iter().map(lseqs).collect::<Vec<_>>(), [0..4, 8..12]);
    assert!(started.elapsed().as_secs() < 20);
}

/// Where the record that holds `at` begins and ends, with its lseqs; or nothing, in a header.
fn hit(records: &[Located], at: Position) -> Option<&Located> {
    let holds =
        |l: &&Located| l.at.segment == at.segment && (l.at.offset..l.next.offset).contains(&at.offset);
    records.iter().find(holds)
}

proptest! {
    /// A bit flipped anywhere in a closed journal: just that record is lost, it is reported with place and lseqs, and every
    /// other record reads as before.
    #[test]
    fn a_flipped_bit_costs_one_record(
        records in prop::collection::vec(common::record(), 1..25), size in 200u64..3000,
        segment: prop::sample::Index, bit: prop::sample::Index, hinted: bool,
    ) {
        let (disk, options) = (FaultDisk::new(), small(size));
        let (mut journal, _) = open(&disk, &options);
        records.iter().for_each(|record| assert!(journal.append(record).is_ok()));
        journal.sync().unwrap();
        let next = journal.next_lseq();
        journal.close().unwrap();
        let (whole, _) = open(&disk.copy(), &options);
        let all: Vec<_> = whole.reader().scan(Position::START).map(|item| item.unwrap()).collect();
        let closed = all.last().unwrap().clone();
        let segment = segment.index(closed.at.segment as usize + 1) as u32;
        let bit = bit.index(disk.content(&name(segment)).len() * 8) as u64;
        let at = Position { segment, offset: bit / 8 };
        flip(&disk, Position { segment, offset: 0 }, bit);

        let start = hinted.then_some(Position { segment, offset: HEADER });
        let (journal, recovery) = open_from(&disk, &options, start);
        let lost = hit(&all, at).cloned();
        let mut expected = all.clone();
        expected.retain(|l| lost.as_ref() != Some(l) && !common::is_own(&l.record));
        let (found, damage) = contents(&journal);
        prop_assert_eq!(found, expected);
        match &lost {
            None => {
                prop_assert_eq!(recovery.damage.len(), 1);
                prop_assert_eq!(&recovery.damage[0].cause, &Cause::Header);
                prop_assert!(recovery.damage[0].lseqs.is_empty());
            }
            Some(lost) if *lost == closed => {
                prop_assert_eq!(&recovery.damage, &[]);
                prop_assert_eq!(recovery.cut.map(|cut| cut.from), Some(closed.at.offset));
            }
            Some(lost) => {
                let Damage { from, to, ref lseqs, .. } = recovery.damage[0];
                prop_assert_eq!(recovery.damage.len(), 1);
                prop_assert_eq!((from, to), (lost.at.offset, lost.next.offset));
                prop_assert_eq!(lseqs, &common::lseqs(lost));
            }
        }
        prop_assert_eq!(journal.next_lseq(), next);
        prop_assert_eq!(damage, recovery.damage);
    }

    /// Whatever is in the folder: opening says what it finds, writing works, nothing panics.
    #[test]
    fn noise_in_files_never_panics(
        files in prop::collection::vec((0u32..4, prop::collection::vec(any::<u8>(), 0..300)), 0..4),
        keep_header: bool, start in prop::option::of((0u32..4, 0u64..300)),
    ) {
        let (disk, ..) = written(&[&[30], &[40]], &small(200));
        for (segment, noise) in files {
            let header = if keep_header { disk.content(&name(0))[..48].to_vec() } else { vec![] };
            disk.put(&name(segment), [header, noise].concat());
        }
        let start = start.map(|(segment, offset)| Position { segment, offset });
        let opened = Journal::open_on(Arc::new(disk.clone()), &small(200), start, &mut fresh, &mut |_, _| ());
        let (mut journal, _) = opened.unwrap();
        let next = journal.next_lseq();
        let placed = journal.append(&common::blocks(5, &[5])).unwrap();
        prop_assert_eq!(placed.first_lseq, next);
        journal.close().unwrap();
        let (journal, recovery) = open(&disk, &small(200));
        prop_assert!(recovery.clean);
        prop_assert_eq!(journal.reader().read(placed.at).unwrap().first_lseq, next);
        prop_assert!(journal.next_lseq() > next);
    }
}
