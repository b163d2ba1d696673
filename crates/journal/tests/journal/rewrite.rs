//! Segments written anew: records keep their order and numbers, readers and crashes find one file or the other.

use crate::common::{self, contents, open, open_from, small};
use kappadb_core::{FeedKey, Form, StoredBlock};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{Journal, Located, Position, Record, RewriteError};
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

fn rewrite(journal: &mut Journal, segment: u32) -> kappadb_journal::Rewrite {
    let rewrite = journal.reader().rewrite(segment, &mut keep).unwrap();
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
            let Ok(rewrite) = journal.reader().rewrite(segment, &mut keep) else { break };
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
    let refused = journal.reader().rewrite(0, &mut keep).err();
    assert!(matches!(refused, Some(RewriteError::Damaged(Position { segment: 0, .. }))), "{refused:?}");
    assert_eq!(disk.content("00000000.kj"), bytes);
    assert!(disk.content("00000000.kj.new").is_empty());
}

#[test]
fn numbers_must_stay() {
    let mut journal = written(&FaultDisk::new(), &[common::blocks(0, &[100, 100])], 10_000);
    journal.begin_segment().unwrap();
    let refused = journal.reader().rewrite(0, &mut |_| None).err();
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
