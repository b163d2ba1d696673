//! Decoders that need nothing around them: what they accept has one encoding.

use crate::Input;
use bytes::Bytes;
use kappadb_core::codec;
use kappadb_core::{
    DatabaseId, EntryId, Extent, FeedDefinition, FeedKey, Form, RangeSet, SignedHead, StoredBlock,
    decode_blocks, encode_blocks,
};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Detached, Places, chunk_payload, decode_block, encode_block, leaf_data, leaf_nodes};
use kappadb_journal::Record;
use kappadb_merkle::{self as merkle, ForkEvidence, Known, Node, flat};
use kappadb_query::Selector;
use kappadb_sync::Hello;
use kappadb_sync::frame::Frame;
use std::fmt::Display;
use std::slice::from_ref;
use std::str::FromStr;

/// More than any input.
const LIMIT: usize = 1 << 21;

/// A block table.
pub fn block(data: &[u8]) {
    let Ok(blocks) = decode_blocks(Bytes::copy_from_slice(data)) else { return };
    let mut again = Vec::new();
    encode_blocks(blocks.iter(), &mut again);
    assert_eq!(again, data);
    assert_eq!(leaf_nodes(&blocks).is_ok(), blocks.iter().all(|block| leaf_data(block).is_ok()));
}

/// A block: first its form (0 whole, else cleared), then its bytes.
pub fn entry(data: &[u8]) {
    let mut input = Input::new(data);
    let form = if input.byte() == 0 { Form::Whole } else { Form::Cleared };
    let block = StoredBlock { form, bytes: Bytes::copy_from_slice(input.rest()) };
    let leaf = leaf_data(&block);
    match (&leaf, leaf_nodes(from_ref(&block))) {
        (Ok(leaf), Ok(nodes)) => assert_eq!(nodes, [merkle::leaf(&[leaf])]),
        (leaf, nodes) => assert!(leaf.is_err() && nodes.is_err()),
    }
    let Ok(entry) = decode_block(&block) else { return };
    let leaf = leaf.expect("an entry has a leaf");
    if let Some(payload) = &entry.payload {
        assert_eq!(encode_block(&entry.header, payload).as_ref(), Ok(&block.bytes));
    }
    if leaf != block.bytes {
        // Its payload can be dropped without changing what it means, or its leaf.
        let cleared = StoredBlock { form: Form::Cleared, bytes: leaf.clone().into() };
        assert_eq!(leaf_data(&cleared), Ok(leaf));
        let rest = decode_block(&cleared).expect("what is left of an entry is one");
        assert_eq!((rest.header, rest.payload), (entry.header.clone(), None));
    }
    let version = Version::from_header(EntryId { feed: FeedKey([1; 32]), seq: 3 }, &entry.header);
    assert!(!rules::replaces(&version, &version));
    has_one_encoding::<Version>(&codec::encode(&version)).expect("a version of an entry");
}

/// Where a payload lies (a chunk), some of its bytes (two numbers), and a block that may hold them: form and bytes.
pub fn detached(data: &[u8]) {
    let mut input = Input::new(data);
    let bytes = input.chunk();
    let wanted = input.number()..input.number();
    let form = if input.byte() == 0 { Form::Whole } else { Form::Cleared };
    let block = StoredBlock { form, bytes: Bytes::copy_from_slice(input.rest()) };
    let Ok(detached) = Detached::decode(bytes) else { return };
    assert_eq!(detached.encode(), bytes);
    let covering = detached.covering(&wanted);
    let blocks = detached.blocks(&covering);
    assert_eq!(detached.numbers(&blocks), RangeSet::from_iter([covering.clone()]));
    assert!(detached.chunks().minus(&blocks).count() + blocks.count() == detached.chunks().count());
    assert_eq!(detached.numbers(detached.chunks()), RangeSet::below(detached.chunks().count()));
    if let Some(last) = covering.clone().next_back() {
        let (first, last) = (detached.bytes_of(covering.start), detached.bytes_of(last));
        assert!(first.contains(&wanted.start) && last.contains(&(wanted.end.min(detached.bytes()) - 1)));
        let len = last.end - last.start;
        if let Ok(payload) = chunk_payload(&block, len) {
            assert_eq!(payload.len() as u64, len);
        }
    }
}

fn has_one_encoding<T: bincode::Decode<()> + bincode::Encode>(bytes: &[u8]) -> Option<T> {
    let value = codec::decode::<T, LIMIT>("fuzz", bytes).ok()?;
    assert_eq!(codec::encode(&value), bytes);
    Some(value)
}

/// Everything that is plain bincode: first which (see below), then its bytes.
pub fn codec(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let bytes = input.rest();
    match kind {
        0 => ranges(bytes),
        1 => drop(has_one_encoding::<Known>(bytes).map(|known| knows(&known))),
        2 => drop(has_one_encoding::<FeedDefinition>(bytes).map(|d| d.verify(&DatabaseId([7; 32])))),
        3 => drop(
            has_one_encoding::<SignedHead>(bytes)
                .map(|head| head.verify(&DatabaseId([7; 32]), &FeedKey([1; 32]))),
        ),
        4 => drop(has_one_encoding::<ForkEvidence>(bytes).map(|fork| fork.verify(&DatabaseId([7; 32])))),
        5 => drop(has_one_encoding::<Vec<(u64, Node)>>(bytes)),
        6 => drop(has_one_encoding::<Version>(bytes)),
        _ => drop(has_one_encoding::<Places>(bytes)),
    }
}

/// One set behind another.
fn ranges(bytes: &[u8]) {
    let Ok((a, used)) = codec::decode_prefix::<RangeSet, LIMIT>("fuzz", bytes) else { return };
    assert_eq!(codec::encode(&a), bytes[..used]);
    let Ok((b, _)) = codec::decode_prefix::<RangeSet, LIMIT>("fuzz", &bytes[used..]) else { return };
    let both = a.intersection(&b);
    let mut either = a.clone();
    either.union_with(&b);
    let mut one_by_one = a.clone();
    b.ranges().iter().for_each(|range| one_by_one.insert(range.clone()));
    assert_eq!(either, one_by_one);
    for set in [&a, &b, &both, &either] {
        assert!(set.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
        assert!(set.ranges().iter().all(|range| range.start < range.end));
    }
    let count = |set: &RangeSet| u128::from(set.count());
    assert_eq!(count(&either) + count(&both), count(&a) + count(&b));
    assert_eq!(count(&a.minus(&b)) + count(&both), count(&a));
    for range in b.ranges() {
        assert_eq!(a.intersects(range), both.intersects(range));
        assert_eq!(a.covers(range), both.covers(range));
        assert_eq!(a.contains(range.start), both.contains(range.start));
    }
}

/// The rule that proofs stand on: of two siblings in the tree both are known or none is.
fn knows(known: &Known) {
    let edges = known.leaves.ranges().iter().take(64).flat_map(|range| [range.start, range.end]);
    let indexes = edges.chain([known.length]).flat_map(|seq| [seq.wrapping_mul(2), seq, seq.wrapping_sub(1)]);
    for index in indexes.filter(|&index| known.contains(index)) {
        assert!(flat::in_tree(index, known.length));
        let above = flat::parent(index);
        assert!(!flat::in_tree(above, known.length) || known.contains(flat::sibling(index)));
    }
    let few: RangeSet = known.leaves.ranges().iter().take(8).map(|range| range.start).collect();
    let length = known.length % (1 << 40);
    let needed = merkle::needed(&few, length, &Known::default());
    assert!(needed.is_sorted_by(|a, b| a < b));
    let rest = merkle::needed(&few, length, &Known { length, leaves: known.leaves.clone() });
    assert!(rest.iter().all(|index| needed.contains(index)), "knowing more asks for something new");
}

/// Two selectors in chunks, and behind them places and a key that they are asked about.
pub fn selector(data: &[u8]) {
    let mut input = Input::new(data);
    let [a, b] = [input.chunk(), input.chunk()].map(|bytes| {
        let selector = Selector::decode(bytes).ok()?;
        assert_eq!(selector.encode().as_deref(), Ok(bytes));
        assert!(selector.covers(&selector));
        Some(selector)
    });
    let key = input.chunk();
    let (Some(a), Some(b)) = (a, b) else { return };
    let Some(places) = has_one_encoding::<Places>(input.rest()) else { return };
    for key in [None, Some(key)] {
        let (a_matches, b_matches) = (a.matches_places(key, &places), b.matches_places(key, &places));
        assert!(
            !(a.covers(&b) && b_matches && !a_matches),
            "{a:?} covers {b:?} but not {key:?} at {places:?}"
        );
        assert!(
            !(b.covers(&a) && a_matches && !b_matches),
            "{b:?} covers {a:?} but not {key:?} at {places:?}"
        );
    }
}

/// A frame: kind and body.
pub fn frame(data: &[u8]) {
    match Frame::decode(data) {
        Ok(Some(frame)) => {
            assert!(!frame.name().is_empty());
            assert_eq!(frame.encode(), data);
        }
        Ok(None) => assert!(data.first().is_some_and(|kind| kind & 0x80 != 0)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Two hellos, one in a chunk.
pub fn hello(data: &[u8]) {
    let mut input = Input::new(data);
    let [a, b] = [input.chunk(), input.rest()].map(|bytes| {
        let hello = Hello::decode(bytes).ok()?;
        assert_eq!(hello.encode(), bytes);
        Some(hello)
    });
    let a = a.unwrap_or_default();
    let Some(b) = b else { return };
    assert_eq!(a.agree(&b).ok(), b.agree(&a).ok());
    if let Ok(agreed) = a.agree(&b) {
        assert!((a.min_version..=a.max_version).contains(&agreed.version));
        assert!((b.min_version..=b.max_version).contains(&agreed.version));
        assert!(agreed.open_queries > 0 && agreed.session_feeds > 0);
    }
}

/// The body of a record of the journal.
pub fn record(data: &[u8]) {
    let Ok(record) = Record::decode(&Bytes::copy_from_slice(data)) else { return };
    let mut again = Vec::new();
    record.encode_into(&mut again).expect("what was read can be written");
    assert_eq!(again, data);
}

/// Ids, keys and extents as people type them.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    is_written_as_read::<DatabaseId>(text);
    is_written_as_read::<FeedKey>(text);
    is_written_as_read::<EntryId>(text);
    is_written_as_read::<Extent>(text);
    if let Some((kind, number)) = kappadb_geo::id::parse_osm(text) {
        assert_eq!(kappadb_geo::id::osm(kind, number), text);
    }
    if let Ok(id) = kappadb_geo::id::free(text) {
        assert_eq!(kappadb_geo::id::parse_osm(&id), None);
        assert_eq!(kappadb_geo::id::free(&id).as_deref(), Ok(id.as_str()));
    }
}

pub(crate) fn is_written_as_read<T: FromStr + Display + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    assert!(written.parse::<T>().is_ok_and(|again| again == value), "{text:?} was read as {written}");
}
