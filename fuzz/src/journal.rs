//! A journal whose segment files say anything. Checksums keep a fuzzer out of everything behind them, so the input may
//! also have records sealed, by the text of `design/formats.md` and not by the journal's own code.

use crate::Input;
use bytes::Bytes;
use kappadb_core::{FeedKey, StoredBlock};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{
    AppendError, Damage, Journal, Located, OpenError, Options, Position, Record, Recovery,
};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const NONCE: [u8; 16] = [9; 16];
const HEADER: usize = 48;

/// A journal: where to start (u8: 0 nowhere, else segment u8 and offset u16), then segments (number u8, 255 for the last there is, has header u8 and
/// what it says: joined u32, first lseq u64; items up to one of kind 0) and what they are made of: see `put_item`.
pub fn segment(data: &[u8]) {
    let mut input = Input::new(data);
    let start = (input.byte() != 0)
        .then(|| Position { segment: input.byte().into(), offset: u16::from_le_bytes(input.array()).into() });
    let disk = FaultDisk::new();
    let mut bytes = 0;
    while !input.is_empty() {
        let number = match input.byte() {
            255 => u32::MAX,
            number => number.into(),
        };
        let file = segment_file(&mut input, number);
        bytes += file.len();
        disk.put(&format!("{number:08x}.kj"), file);
    }
    match open(&disk, start) {
        Ok((journal, recovery)) => check(&disk, journal, &recovery, bytes),
        Err(error) => {
            assert!(matches!(error, OpenError::Version { .. } | OpenError::Write(AppendError::Exhausted)))
        }
    }
}

fn segment_file(input: &mut Input<'_>, segment: u32) -> Vec<u8> {
    let mut file = Vec::new();
    if input.byte() & 1 == 1 {
        file.extend_from_slice(b"kappaJ\x01\x00");
        file.extend_from_slice(&segment.to_le_bytes());
        file.extend_from_slice(&input.array::<12>());
        file.extend_from_slice(&NONCE);
        file.extend_from_slice(&xxh3_64(&file).to_le_bytes());
        assert_eq!(file.len(), HEADER);
    }
    while put_item(input, segment, &mut file) {}
    file
}

/// 0 ends the segment; 1 a sealed record: its durable mark (segment u8, offset u16), first lseq u64, body; 2 the like, with a
/// durable mark at its own place; 3 bytes as they are; 4 cuts up to 255 bytes off.
fn put_item(input: &mut Input<'_>, segment: u32, file: &mut Vec<u8>) -> bool {
    let here = Position { segment, offset: file.len() as u64 };
    match input.below(5) {
        0 => return false,
        1 => {
            let (segment, offset) = (input.byte().into(), u16::from_le_bytes(input.array()).into());
            let first_lseq = input.number();
            seal(here, Position { segment, offset }, first_lseq, input.chunk(), file);
        }
        2 => {
            let first_lseq = input.number();
            seal(here, here, first_lseq, input.chunk(), file);
        }
        3 => file.extend_from_slice(input.chunk()),
        _ => file.truncate(file.len().saturating_sub(input.byte().into())),
    }
    true
}

fn seal(at: Position, durable: Position, first_lseq: u64, body: &[u8], file: &mut Vec<u8>) {
    let place = [NONCE.as_slice(), &at.segment.to_le_bytes(), &at.offset.to_le_bytes()].concat();
    let mark = [durable.segment.to_le_bytes().as_slice(), &durable.offset.to_le_bytes()].concat();
    let covered = [mark.as_slice(), &first_lseq.to_le_bytes(), body].concat();
    let checksum = xxh3_64_with_seed(&covered, xxh3_64(&place));
    file.extend_from_slice(&[0x4b, 0x52, 0xd1, 0x0a]);
    file.extend_from_slice(&(body.len() as u32).to_le_bytes());
    file.extend_from_slice(&checksum.to_le_bytes());
    file.extend_from_slice(&covered);
}

fn open(disk: &FaultDisk, start: Option<Position>) -> Result<(Journal, Recovery), OpenError> {
    let options = Options { segment_bytes: 2048, open_files: 2 };
    let mut told = 0;
    let progress = &mut |done, total| {
        assert!(told <= done && done <= total, "progress goes back");
        told = done;
    };
    Journal::open_on(Arc::new(disk.clone()), &options, start, &mut || [5; 16], progress)
}

fn check(disk: &FaultDisk, mut journal: Journal, recovery: &Recovery, bytes: usize) {
    recovery.damage.iter().for_each(sound);
    let read = scan(&journal, bytes);
    let taken = read.last().map_or(0, |last| last.first_lseq.saturating_add(last.record.block_count()));
    assert!(journal.next_lseq() >= taken, "an lseq would be used again");
    // It can be gone on with, and keeps what it is given.
    let record = Record::Blocks {
        feed: FeedKey([3; 32]),
        first: 0,
        blocks: vec![StoredBlock::whole(Bytes::from_static(b"x"))],
    };
    let placed = match journal.append(&record) {
        Ok(placed) => placed,
        Err(error) => return assert!(matches!(error, AppendError::Exhausted), "{error}"),
    };
    assert!(placed.first_lseq >= taken);
    journal.close().expect("a sound disk");
    let (journal, again) = open(disk, None).expect("what was opened opens again");
    assert!(again.clean && again.cut.is_none(), "{again:?} after a clean close");
    assert!(journal.next_lseq() > placed.first_lseq, "the lseq of {placed:?} would be used again");
    let reader = journal.reader();
    assert_eq!(reader.read(placed.at).expect("what was appended").record, record);
    let kept: Vec<Located> = scan(&journal, bytes + 4096);
    assert!(kept.iter().any(|located| located.at == placed.at), "what was appended is not found");
    assert!(read.iter().all(|located| kept.contains(located)), "what was found is lost");
}

fn sound(damage: &Damage) {
    assert!(damage.from <= damage.to && damage.lseqs.start <= damage.lseqs.end, "{damage:?}");
}

/// Every record that can be read, in order. Work is bounded by the bytes there are.
fn scan(journal: &Journal, bytes: usize) -> Vec<Located> {
    let mut found: Vec<Located> = Vec::new();
    let reader = journal.reader();
    for (count, item) in reader.scan(Position::START).enumerate() {
        assert!(count <= bytes + 2048, "a scan without end");
        let located = match item {
            Ok(located) => located,
            Err(damage) => {
                sound(&damage);
                continue;
            }
        };
        if let Some(last) = found.last() {
            assert!(last.at < located.at);
            assert!(last.first_lseq.saturating_add(last.record.block_count()) <= located.first_lseq);
        }
        assert_eq!(reader.read(located.at).as_ref().expect("what a scan gives can be read"), &located);
        found.push(located);
    }
    found
}
