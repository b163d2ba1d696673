//! Detached payloads: one encoding, checked on both ways; bytes and chunks map to each other; chunks are what they say.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::limits::{MAX_CHUNK, MAX_CHUNK_RUNS, MAX_DETACHED, MAX_LABEL, MIN_CHUNK};
use kappadb_core::{Form, RangeSet, StoredBlock, Timestamp, codec};
use kappadb_entry::{
    ChunkError, DETACHED, Detached, DetachedError, EntryError, Extension, Header, Kind, Label, chunk_block,
    chunk_payload, decode_block, encode_block, leaf_data, raw, space,
};
use proptest::prelude::*;

fn header() -> Header {
    Header::new(Kind { space: space::RAW, code: raw::BLOB }, Timestamp(5))
}

/// Runs of seqs with gaps between them, as many numbers as `bytes` take.
fn detached() -> impl Strategy<Value = Detached> {
    (1u64..300_000, MIN_CHUNK..9_000, prop::collection::vec((0u64..70_000, 1u64..40), 1..9)).prop_map(
        |(bytes, size, gaps)| {
            let (mut left, mut end, mut chunks) = (bytes.div_ceil(size.into()), 0, RangeSet::new());
            for (gap, len) in gaps.into_iter().cycle() {
                let len = len.min(left);
                chunks.insert(end + gap..end + gap + len);
                (end, left) = (end + gap + len, left - len);
                if left == 0 {
                    break;
                }
            }
            Detached::new(bytes, size, chunks).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn a_header_carries_it(detached in detached()) {
        let mut header = header();
        prop_assert_eq!(header.detached(), None);
        header.set_detached(&detached);
        let block = StoredBlock::whole(encode_block(&header, b"").unwrap());
        let read = decode_block(&block).unwrap();
        prop_assert_eq!(read.header.payload_bytes(), detached.bytes());
        prop_assert_eq!(detached.bytes_of(0).end, detached.bytes().min(detached.chunk_size().into()));
        prop_assert_eq!(read.header.detached(), Some(detached));
        let refused = encode_block(&header, b"more");
        prop_assert_eq!(refused, Err(EntryError::Detached(DetachedError::Inline(4))));
    }

    #[test]
    fn noise_never_panics_and_what_decodes_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(detached) = Detached::decode(&bytes) {
            prop_assert_eq!(detached.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_byte_never_panics(detached in detached(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = detached.encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(detached) = Detached::decode(&bytes) {
            prop_assert_eq!(detached.encode(), bytes);
        }
    }

    #[test]
    fn bytes_and_chunks_map_to_each_other(detached in detached(), from in 0u64..310_000, len in 0u64..310_000) {
        let seqs: Vec<u64> = detached.chunks().iter().collect();
        // Chunk by chunk: one after the other they are the payload.
        let mut end = 0;
        for (number, seq) in (0u64..).zip(&seqs) {
            let bytes = detached.bytes_of(number);
            prop_assert_eq!(bytes.start, end);
            end = bytes.end;
            prop_assert_eq!(detached.blocks(&(number..number + 1)).iter().collect::<Vec<_>>(), vec![*seq]);
        }
        prop_assert_eq!(end, detached.bytes());
        prop_assert!(detached.bytes_of(seqs.len() as u64).is_empty());
        // A range of bytes lies in just those chunks that share a byte with it.
        let wanted = from..from + len;
        let covering = detached.covering(&wanted);
        for number in 0..seqs.len() as u64 {
            let bytes = detached.bytes_of(number);
            let shares = bytes.start.max(wanted.start) < bytes.end.min(wanted.end);
            prop_assert_eq!(covering.contains(&number), shares);
        }
        let blocks = detached.blocks(&covering);
        let others: RangeSet = [0..blocks.end(), 80_000..90_000].into_iter().collect();
        prop_assert_eq!(detached.numbers(&others.intersection(&blocks)).iter().collect::<Vec<_>>(), covering.clone().collect::<Vec<_>>());
        prop_assert_eq!(detached.numbers(&RangeSet::below(u64::MAX)), RangeSet::below(seqs.len() as u64));
        let blocks: Vec<u64> = blocks.iter().collect();
        prop_assert_eq!(blocks, covering.map(|n| seqs[usize::try_from(n).unwrap()]).collect::<Vec<_>>());
    }

    #[test]
    fn a_chunk_is_what_it_says_or_refused(payload in prop::collection::vec(any::<u8>(), 1..3_000), wanted in 0u64..3_000) {
        let block = StoredBlock::whole(chunk_block(Timestamp(1), &payload).unwrap());
        let found = payload.len() as u64;
        prop_assert_eq!(chunk_payload(&block, found).unwrap(), payload);
        if wanted != found {
            prop_assert_eq!(chunk_payload(&block, wanted), Err(ChunkError::Length { found, wanted }));
        }
        let cleared = StoredBlock { form: Form::Cleared, bytes: leaf_data(&block).unwrap().into() };
        prop_assert_eq!(chunk_payload(&cleared, found), Err(ChunkError::Cleared));
    }

    #[test]
    fn labels_round_trip(media_type in "[ -~]{0,40}", name in ".{0,40}") {
        let mut header = header();
        prop_assert_eq!(header.label(), Label::default());
        let label = Label { media_type, name };
        header.set_label(&label);
        let block = StoredBlock::whole(encode_block(&header, b"x").unwrap());
        prop_assert_eq!(decode_block(&block).unwrap().header.label(), label);
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let below = RangeSet::below;
    let refused = [
        (0, MIN_CHUNK, below(0), DetachedError::Bytes(0)),
        (MAX_DETACHED + 1, MAX_CHUNK, below(1), DetachedError::Bytes(MAX_DETACHED + 1)),
        (1, MIN_CHUNK - 1, below(1), DetachedError::ChunkSize(MIN_CHUNK - 1)),
        (1, MAX_CHUNK + 1, below(1), DetachedError::ChunkSize(MAX_CHUNK + 1)),
        (1, MIN_CHUNK, below(2), DetachedError::Count { named: 2, needed: 1 }),
        (1_025, 1_024, below(1), DetachedError::Count { named: 1, needed: 2 }),
        (MAX_DETACHED, MAX_CHUNK, below(u64::MAX), DetachedError::Count { named: u64::MAX, needed: 2 << 20 }),
    ];
    for (bytes, size, chunks, why) in refused {
        assert_eq!(Detached::new(bytes, size, chunks.clone()), Err(why.clone()));
        let encoded = codec::encode(&(bytes, size, chunks));
        assert_eq!(Detached::decode(&encoded), Err(why.clone().into()));
        let extension = Extension { kind: DETACHED, bytes: encoded };
        let header = Header { extensions: vec![extension], ..header() };
        assert_eq!(encode_block(&header, b""), Err(why.into()));
        assert_eq!((header.detached(), header.payload_bytes()), (None, 0));
    }
    let runs: RangeSet = (0..=MAX_CHUNK_RUNS as u64).map(|n| 2 * n).collect();
    let bytes = runs.count() * 1_024;
    assert_eq!(Detached::new(bytes, 1_024, runs), Err(DetachedError::Scattered(MAX_CHUNK_RUNS + 1)));
}

#[test]
fn the_largest_payload_in_the_most_runs_fits_a_header() {
    let (mut chunks, mut end) = (RangeSet::new(), 1 << 39);
    let each = (MAX_DETACHED / u64::from(MAX_CHUNK)) / MAX_CHUNK_RUNS as u64;
    for _ in 0..MAX_CHUNK_RUNS {
        chunks.insert(end..end + each);
        end += each + 60_000;
    }
    let detached = Detached::new(MAX_DETACHED, MAX_CHUNK, chunks).unwrap();
    assert!(detached.lies_before(end) && !detached.lies_before(end - 60_001));
    let mut header = header();
    header.set_detached(&detached);
    let block = StoredBlock::whole(encode_block(&header, b"").unwrap());
    assert_eq!(decode_block(&block).unwrap().header.detached(), Some(detached));
}

#[test]
fn other_entries_are_no_chunks() {
    let other = StoredBlock::whole(encode_block(&header(), b"four").unwrap());
    assert!(matches!(chunk_payload(&other, 4), Err(ChunkError::Kind(kind)) if kind.code == raw::BLOB));
    assert!(matches!(chunk_payload(&StoredBlock::whole(vec![9]), 4), Err(ChunkError::Entry(_))));
    // A writer that checks nothing: the header claims five bytes.
    let kind = Kind { space: space::RAW, code: raw::CHUNK };
    let lying = codec::encode(&Header { payload_len: 5, ..Header::new(kind, Timestamp(1)) });
    let lying = [codec::encode(&(lying.len() as u64)), lying, b"four".to_vec()].concat();
    let why = ChunkError::Length { found: 0, wanted: 5 };
    assert_eq!(chunk_payload(&StoredBlock::whole(lying), 5), Err(why));
    let long = Label { media_type: "x".repeat(MAX_LABEL + 1), name: String::new() };
    let mut header = header();
    header.set_label(&long);
    assert!(matches!(encode_block(&header, b""), Err(EntryError::TooLong { what: "media type", .. })));
}

#[test]
fn labels_have_a_limit() {
    let mut header = header();
    let label = |media_type, name| Label { media_type: "x".repeat(media_type), name: "y".repeat(name) };
    let greatest = label(MAX_LABEL, MAX_LABEL);
    header.set_label(&greatest);
    let block = StoredBlock::whole(encode_block(&header, b"").unwrap());
    assert_eq!(decode_block(&block).unwrap().header.label(), greatest);
    header.set_label(&label(1, MAX_LABEL + 1));
    let why = EntryError::TooLong { what: "name", len: MAX_LABEL + 1, limit: MAX_LABEL };
    assert_eq!(encode_block(&header, b""), Err(why));
    // What is far too long is not even read.
    header.set_label(&label(2 * MAX_LABEL, 2 * MAX_LABEL));
    assert!(matches!(encode_block(&header, b""), Err(EntryError::Decode(_))));
    header.set_label(&Label::default());
    assert_eq!(header.extensions, []);
}
