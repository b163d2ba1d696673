//! The body of a record: round trip, one encoding, limits, noise.

use crate::common;
use bytes::Bytes;
use kappadb_core::limits::MAX_BLOCK;
use kappadb_core::{FeedKey, Hash, Head, RangeSet, Signature, SignedHead, StoredBlock};
use kappadb_journal::{MAX_BODY, Record, RecordError};
use proptest::prelude::*;

fn encode(record: &Record) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    record.encode_into(&mut out).map(|()| out)
}

proptest! {
    #[test]
    fn records_round_trip_and_have_one_encoding(record in common::record(), extra: u8) {
        let mut bytes = encode(&record).unwrap();
        prop_assert_eq!(Record::decode(&Bytes::from(bytes.clone())), Ok(record));
        bytes.push(extra);
        prop_assert!(Record::decode(&Bytes::from(bytes.clone())).is_err());
        bytes.truncate(bytes.len() - 2);
        prop_assert!(Record::decode(&Bytes::from(bytes)).is_err());
    }

    #[test]
    fn noise_never_panics(kind in 0u8..12, noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind], noise.as_slice()].concat();
        if let Ok(record) = Record::decode(&Bytes::from(bytes.clone())) {
            prop_assert_eq!(encode(&record).unwrap(), bytes);
        }
    }

    #[test]
    fn changed_bytes_never_panic(record in common::record(), at: prop::sample::Index, to: u8) {
        let mut bytes = encode(&record).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(record) = Record::decode(&Bytes::from(bytes.clone())) {
            prop_assert_eq!(encode(&record).unwrap(), bytes);
        }
    }
}

#[test]
fn blocks_share_the_memory_of_the_body() {
    let body = Bytes::from(encode(&common::blocks(0, &[100, 200])).unwrap());
    let Record::Blocks { blocks, .. } = Record::decode(&body).unwrap() else { panic!("another kind") };
    let inside = body.as_ptr_range();
    assert!(blocks.iter().all(|block| inside.contains(&block.bytes.as_ptr())));
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let feed = FeedKey([1; 32]);
    let head = SignedHead {
        head: Head { length: 1, byte_length: 1, root_hash: Hash([0; 32]) },
        signature: Signature([0; 64]),
    };
    let one = vec![StoredBlock::whole(vec![1])];
    let fetched = |ranges| Record::Fetched { feed, head, ranges, nodes: vec![], blocks: one.clone() };
    let scattered: RangeSet = (0..65_537).map(|n| n * 2).collect();

    assert_eq!(encode(&fetched(RangeSet::below(2))), Err(RecordError::Count { ranges: 2, blocks: 1 }));
    assert_eq!(
        encode(&Record::Blocks { feed, first: u64::MAX, blocks: one.clone() }),
        Err(RecordError::SeqOverflow)
    );
    assert_eq!(
        encode(&Record::Clear { feed, ranges: scattered, freed: 0 }),
        Err(RecordError::Ranges { count: 65_537 })
    );
    assert_eq!(encode(&common::blocks(0, &[MAX_BLOCK + 1])), Err(RecordError::Block { len: MAX_BLOCK + 1 }));
    let many = encode(&common::blocks(0, &[MAX_BLOCK; MAX_BODY / MAX_BLOCK]));
    assert!(matches!(many, Err(RecordError::TooLarge { len }) if len > MAX_BODY));
}

#[test]
fn unknown_kinds_and_empty_bodies_are_named() {
    assert_eq!(Record::decode(&Bytes::new()), Err(RecordError::Empty));
    assert_eq!(Record::decode(&Bytes::from_static(&[0])), Err(RecordError::UnknownKind(0)));
    assert_eq!(Record::decode(&Bytes::from_static(&[16, 1])), Err(RecordError::UnknownKind(16)));
    assert_eq!(Record::decode(&Bytes::from_static(&[9])), Ok(Record::Closed));
}
