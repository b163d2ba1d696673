//! Blocks: what goes in comes out, what is malformed, unsorted or over a limit is refused by name, noise never panics.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use bytes::Bytes;
use kappadb_core::limits::*;
use kappadb_core::{EntryId, FeedKey, FeedName, Form, GeoBox, StoredBlock, Timestamp, blake2b256, codec};
use kappadb_entry::{
    CRITICAL, Context, Entry, EntryError, Extension, Header, Kind, Moment, Places, VERSION, clear_block,
    context_of, decode_block, encode_block, kind_of, leaf_data, leaf_nodes, payload_of, space,
};
use kappadb_merkle::leaf;
use proptest::prelude::*;

fn header() -> Header {
    Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(5))
}

/// The block of this header as another writer might send it: encoded without any check.
fn unchecked(header: &Header, payload: &[u8]) -> StoredBlock {
    let head = codec::encode(header);
    let mut out = codec::encode(&(head.len() as u64));
    out.extend([&head, payload].concat());
    StoredBlock::whole(out)
}

fn cleared(block: &StoredBlock) -> StoredBlock {
    StoredBlock { form: Form::Cleared, bytes: leaf_data(block).unwrap().into() }
}

fn key(n: u8) -> FeedKey {
    FeedKey([n; 32])
}

fn places() -> impl Strategy<Value = Places> {
    let span = |max: i32| (-max..=max, -max..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let boxes = (span(1_800_000_000), span(900_000_000)).prop_map(|((west, east), (south, north))| GeoBox {
        west,
        south,
        east,
        north,
    });
    let moments = (prop::collection::vec(any::<u8>(), 0..9), any::<(i64, i64)>())
        .prop_map(|(channel, (a, b))| Moment { channel, from: a.min(b), to: a.max(b) });
    (prop::collection::vec(boxes, 0..=MAX_PLACES), prop::collection::vec(moments, 0..=MAX_PLACES))
        .prop_map(|(boxes, moments)| Places::new(boxes, moments))
}

fn contexts() -> impl Strategy<Value = Context> {
    let vector = prop::collection::btree_map(any::<u8>().prop_map(|n| key(n).name()), any::<u64>(), 0..5);
    let ids = prop::collection::btree_set((any::<u8>().prop_map(key), any::<u64>()), 0..5);
    (any::<Option<u64>>(), vector, ids).prop_map(|(own, vector, ids)| Context {
        own,
        vector: vector.into_iter().collect(),
        ids: ids.into_iter().map(|(feed, seq)| EntryId { feed, seq }).collect(),
    })
}

fn headers() -> impl Strategy<Value = Header> {
    let key = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let extensions =
        prop::collection::btree_map(4u16..CRITICAL, prop::collection::vec(any::<u8>(), 0..9), 0..3);
    ((any::<(u32, u8, i64, u32)>(), key), contexts(), places(), places(), extensions).prop_map(
        |(((space, code, time, depth), key), context, places, past, extensions)| {
            let extensions = extensions.into_iter().map(|(kind, bytes)| Extension { kind, bytes }).collect();
            let new = Header::new(Kind { space, code }, Timestamp(time));
            Header { key, depth, context, places, past, extensions, ..new }
        },
    )
}

proptest! {
    #[test]
    fn blocks_round_trip_and_keep_their_leaf_when_cleared(
        header in headers(),
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let block = StoredBlock::whole(encode_block(&header, &payload).unwrap());
        let sized = Header { payload_len: u32::try_from(payload.len()).unwrap(), ..header };
        prop_assert_eq!(&block, &unchecked(&sized, &payload));
        let entry = decode_block(&block).unwrap();
        prop_assert_eq!(&entry.header, &sized);
        prop_assert_eq!(entry.payload.as_deref(), Some(&payload[..]));

        let mut leaf_bytes = block.bytes[..block.bytes.len() - payload.len()].to_vec();
        if !payload.is_empty() {
            leaf_bytes.extend(blake2b256(&[&payload]).0);
            let cleared = cleared(&block);
            prop_assert_eq!(clear_block(&block), Some(cleared.clone()));
            for block in [&block, &cleared] {
                prop_assert_eq!(kind_of(block), Some(sized.kind));
                prop_assert_eq!(context_of(block), Some(sized.context.clone()));
            }
            prop_assert_eq!((payload_of(&block), payload_of(&cleared)), (Some(&payload[..]), None));
            prop_assert_eq!(clear_block(&cleared), None);
            prop_assert_eq!(leaf_data(&cleared).unwrap(), leaf_bytes.clone());
            let entry = decode_block(&cleared).unwrap();
            prop_assert_eq!((entry.header, entry.payload), (sized, None));
        } else {
            prop_assert_eq!(clear_block(&block), None);
        }
        prop_assert_eq!(leaf_data(&block).unwrap(), leaf_bytes);
    }

    #[test]
    fn many_leaves_at_once_are_the_same_leaves(
        payloads in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
    ) {
        let blocks: Vec<StoredBlock> = payloads.iter().map(|(clear, payload)| {
            let block = StoredBlock::whole(encode_block(&header(), payload).unwrap());
            if *clear && !payload.is_empty() { cleared(&block) } else { block }
        }).collect();
        let one_by_one: Vec<_> = blocks.iter().map(|b| leaf(&[&leaf_data(b).unwrap()])).collect();
        prop_assert_eq!(leaf_nodes(&blocks).unwrap(), one_by_one);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), form in any::<bool>()) {
        let block = StoredBlock { form: if form { Form::Whole } else { Form::Cleared }, bytes: bytes.into() };
        let _ = (decode_block(&block), leaf_data(&block), leaf_nodes(std::slice::from_ref(&block)));
    }

    #[test]
    fn a_changed_byte_never_panics_and_what_decodes_is_canonical(
        header in headers(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = encode_block(&header, b"payload").unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let block = StoredBlock::whole(bytes);
        if let Ok(Entry { header, payload: Some(payload) }) = decode_block(&block) {
            prop_assert_eq!(encode_block(&header, &payload).unwrap(), block.bytes);
        }
    }
}

fn many<T>(n: usize, item: impl Fn(u8) -> T) -> Vec<T> {
    (0..n).map(|i| item(u8::try_from(i).unwrap())).collect()
}

/// So many feeds of a context, ascending.
fn feeds(n: usize, seq: u64) -> Vec<(FeedName, u64)> {
    let name = |i: usize| FeedName([&[0; 4][..], &(i as u64).to_be_bytes()].concat().try_into().unwrap());
    (0..n).map(|i| (name(i), seq)).collect()
}

fn moment(channel: Vec<u8>) -> Moment {
    Moment { channel, from: 0, to: 1 }
}

fn places_of(moments: Vec<Moment>) -> Places {
    Places { extents: Vec::new(), moments }
}

fn boxes(n: usize) -> Vec<GeoBox> {
    many(n, |i| GeoBox { west: i.into(), south: 0, east: 200, north: 1 })
}

/// Refused for the same reason on the way out and on the way in.
#[track_caller]
fn refused(header: Header, why: EntryError) {
    assert_eq!(encode_block(&header, b""), Err(why.clone()));
    assert_eq!(decode_block(&unchecked(&header, b"")), Err(why));
}

#[test]
fn every_limit_is_an_error_that_names_it() {
    let too_many = |what, count: usize, limit| EntryError::TooMany { what, count, limit };
    let long_key = Header { key: Some(vec![0; MAX_KEY + 1]), ..header() };
    refused(long_key, EntryError::TooLong { what: "key", len: MAX_KEY + 1, limit: MAX_KEY });
    let vector = feeds(MAX_CONTEXT_FEEDS + 1, 0);
    let feeds = Header { context: Context { vector, ..Context::NOTHING }, ..header() };
    refused(feeds, too_many("context feeds", MAX_CONTEXT_FEEDS + 1, MAX_CONTEXT_FEEDS));
    let ids = many(MAX_CONTEXT_IDS + 1, |i| EntryId { feed: key(i), seq: 0 });
    let ids = Header { context: Context { ids, ..Context::NOTHING }, ..header() };
    refused(ids, too_many("context ids", MAX_CONTEXT_IDS + 1, MAX_CONTEXT_IDS));
    let places = Places { extents: boxes(MAX_PLACES + 1), moments: Vec::new() };
    refused(Header { places, ..header() }, too_many("boxes", MAX_PLACES + 1, MAX_PLACES));
    let past = places_of(many(MAX_PAST_PLACES + 1, |i| moment(vec![i])));
    refused(Header { past, ..header() }, too_many("moments", MAX_PAST_PLACES + 1, MAX_PAST_PLACES));
    let places = places_of(vec![moment(vec![0; MAX_CHANNEL + 1])]);
    let why = EntryError::TooLong { what: "channel", len: MAX_CHANNEL + 1, limit: MAX_CHANNEL };
    refused(Header { places, ..header() }, why);
    let extensions = many(MAX_EXTENSIONS + 1, |i| Extension { kind: i.into(), bytes: Vec::new() });
    refused(Header { extensions, ..header() }, too_many("extensions", MAX_EXTENSIONS + 1, MAX_EXTENSIONS));
    let extensions = vec![Extension { kind: 7, bytes: vec![0; MAX_HEADER] }];
    let header = Header { extensions, ..header() };
    let len = codec::encode(&header).len();
    refused(header, EntryError::TooLong { what: "header", len, limit: MAX_HEADER });
}

#[test]
fn what_is_seen_of_a_block_at_its_front_does_not_depend_on_the_rest() {
    let mut header = Header { key: Some(b"k".to_vec()), ..header() };
    header.context.ids = vec![EntryId { feed: key(1), seq: 7 }];
    header.depth = 300;
    let whole = codec::encode(&header);
    let cut = whole.len() - 8;
    let block = StoredBlock::whole([codec::encode(&(cut as u64)), whole[..cut].to_vec()].concat());
    assert!(decode_block(&block).is_err());
    assert_eq!((kind_of(&block), context_of(&block)), (Some(header.kind), Some(header.context.clone())));
    let newer = unchecked(&Header { version: VERSION + 1, ..header }, b"");
    assert_eq!((kind_of(&newer), context_of(&newer)), (None, None));
    let nothing = StoredBlock::whole(&b"\x01"[..]);
    assert_eq!((kind_of(&nothing), context_of(&nothing)), (None, None));
}

#[test]
fn a_block_over_the_limit_is_refused() {
    let room = MAX_BLOCK - encode_block(&header(), &[0; 70_000]).unwrap().len() + 70_000;
    let block = StoredBlock::whole(encode_block(&header(), &vec![7; room]).unwrap());
    assert_eq!(block.bytes.len(), MAX_BLOCK);
    assert!(decode_block(&block).is_ok());
    let why = EntryError::TooLong { what: "block", len: MAX_BLOCK + 1, limit: MAX_BLOCK };
    assert_eq!(encode_block(&header(), &vec![7; room + 1]), Err(why.clone()));
    let long = StoredBlock::whole([&block.bytes[..], &[7]].concat());
    assert_eq!(decode_block(&long), Err(why.clone()));
    assert_eq!(leaf_data(&long), Err(why));
}

#[test]
fn lists_are_sorted_and_boxes_are_boxes() {
    let vector = vec![(key(2).name(), 0), (key(1).name(), 0)];
    let context = Context { vector, ..Context::NOTHING };
    refused(Header { context, ..header() }, EntryError::Unsorted { what: "context feeds" });
    let twice = vec![(key(1).name(), 0), (key(1).name(), 5)];
    let context = Context { vector: twice, ..Context::NOTHING };
    refused(Header { context, ..header() }, EntryError::Unsorted { what: "context feeds" });
    for list in [[2u8, 1], [1, 1]] {
        let unsorted = |what| EntryError::Unsorted { what };
        let ids = list.map(|seq| EntryId { feed: key(1), seq: seq.into() }).to_vec();
        refused(Header { context: Context { ids, ..Context::NOTHING }, ..header() }, unsorted("context ids"));
        let extents = list.map(|west| GeoBox { west: west.into(), south: 0, east: 9, north: 0 }).to_vec();
        let places = Places { extents, moments: Vec::new() };
        refused(Header { places: places.clone(), ..header() }, unsorted("boxes"));
        refused(Header { past: places, ..header() }, unsorted("boxes"));
        let places = places_of(list.map(|n| Moment { channel: Vec::new(), from: n.into(), to: 9 }).to_vec());
        refused(Header { places, ..header() }, unsorted("moments"));
        let extensions = list.map(|n| Extension { kind: 10 + u16::from(n), bytes: Vec::new() }).to_vec();
        refused(Header { extensions, ..header() }, unsorted("extensions"));
    }
    let instant = places_of(vec![Moment { channel: Vec::new(), from: 1, to: 1 }]);
    assert!(encode_block(&Header { places: instant, ..header() }, b"").is_ok());
    let places = places_of(vec![Moment { channel: Vec::new(), from: 2, to: 1 }]);
    refused(Header { places, ..header() }, EntryError::BadMoment { from: 2, to: 1 });
    let upside_down = GeoBox { west: 0, south: 2, east: 0, north: 1 };
    let past = Places { extents: vec![upside_down], moments: Vec::new() };
    let bad = Header { past, ..header() };
    assert_eq!(encode_block(&bad, b""), Err(EntryError::BadBox(upside_down)));
    assert!(matches!(decode_block(&unchecked(&bad, b"")), Err(EntryError::Decode(_))));
}

#[test]
fn boxes_are_upright_and_on_the_map() {
    let GeoBox { west, south, east, north } = GeoBox::WORLD;
    let bad = [
        GeoBox { west: west - 1, south: 0, east: 0, north: 0 },
        GeoBox { west: 0, south: 0, east: east + 1, north: 0 },
        GeoBox { west: 0, south: south - 1, east: 0, north: 0 },
        GeoBox { west: 0, south: 0, east: 0, north: north + 1 },
        GeoBox { west: 1, south: 0, east: 0, north: 0 },
        GeoBox { west: 0, south: 1, east: 0, north: 0 },
    ];
    for b in bad {
        let header = Header { places: Places { extents: vec![b], moments: Vec::new() }, ..header() };
        assert_eq!(encode_block(&header, b""), Err(EntryError::BadBox(b)));
    }
    let world = Header { places: Places::new(vec![GeoBox::WORLD], Vec::new()), ..header() };
    assert!(encode_block(&world, b"").is_ok());
}

#[test]
fn the_greatest_links_and_key_fit_in_a_header() {
    let id = |i| EntryId { feed: key(i), seq: u64::MAX };
    let moments = |n| many(n, |i| moment(vec![i; MAX_CHANNEL]));
    let context = Context {
        own: Some(u64::MAX),
        vector: feeds(MAX_CONTEXT_FEEDS, u64::MAX),
        ids: many(MAX_CONTEXT_IDS, id),
    };
    let places = Places { extents: boxes(MAX_PLACES), moments: moments(MAX_PLACES) };
    let past = Places { extents: boxes(MAX_PAST_PLACES), moments: moments(MAX_PAST_PLACES) };
    let full = Header { key: Some(vec![9; MAX_KEY]), context, places, past, depth: u32::MAX, ..header() };
    let block = StoredBlock::whole(encode_block(&full, b"").unwrap());
    assert_eq!(decode_block(&block).unwrap().header, full);
}

#[test]
fn what_a_newer_release_writes_is_told_apart_and_still_proved() {
    let newer = Header { version: VERSION + 1, ..header() };
    refused(newer.clone(), EntryError::UnknownVersion(VERSION + 1));
    let critical = Header { extensions: vec![Extension { kind: CRITICAL, bytes: Vec::new() }], ..header() };
    refused(critical, EntryError::UnknownExtension(CRITICAL));
    let block = unchecked(&newer, b"payload");
    assert_eq!(leaf_data(&cleared(&block)), leaf_data(&block));
    // Only the first byte of a later release's header is known to be what it is.
    let unreadable = StoredBlock::whole(vec![3, VERSION + 1, 250, 250]);
    assert_eq!(decode_block(&unreadable), Err(EntryError::UnknownVersion(VERSION + 1)));
    let skipped = Header { extensions: vec![Extension { kind: 7, bytes: vec![1] }], ..header() };
    let entry = decode_block(&unchecked(&skipped, b"")).unwrap();
    assert_eq!(entry.header.extensions, skipped.extensions, "kept, not acted on");
}

#[test]
fn a_payload_of_another_length_than_stated_counts_as_cleared() {
    let lying = Header { payload_len: 3, ..header() };
    for payload in [b"four".as_slice(), b""] {
        let entry = decode_block(&unchecked(&lying, payload)).unwrap();
        assert_eq!((entry.header, entry.payload), (lying.clone(), None));
    }
    let block = unchecked(&lying, b"four");
    assert_eq!(decode_block(&block), decode_block(&cleared(&block)));
}

#[test]
fn blocks_that_cannot_be_cut_are_refused() {
    let whole = |bytes: &'static [u8]| StoredBlock::whole(Bytes::from_static(bytes));
    assert_eq!(leaf_data(&whole(&[5, 1, 2])), Err(EntryError::Truncated { header: 5, left: 2 }));
    assert!(matches!(leaf_data(&whole(&[])), Err(EntryError::Decode(_))));
    assert!(matches!(leaf_data(&whole(&[251, 1, 0, 9])), Err(EntryError::Decode(_))), "a long form of 1");
    let block = StoredBlock { form: Form::Cleared, bytes: Bytes::from_static(&[1, 1, 0, 0]) };
    assert_eq!(leaf_data(&block), Err(EntryError::BadDigest(2)));
    assert_eq!(clear_block(&block), None);
    assert_eq!(clear_block(&whole(&[5, 1, 2])), None);
}
