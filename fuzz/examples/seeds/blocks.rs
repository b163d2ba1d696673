//! Blocks, entries, and their proofs.

use crate::map::file_name;
use crate::{Seeds, named, out, set};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, Form, RangeSet, StoredBlock, Timestamp, encode_blocks};
use kappadb_entry::{
    Context, Detached, Extension, Header, Kind, Label, Moment, Places, chunk_block, encode_block, leaf_data,
    raw, space,
};
use kappadb_fuzz::truths;
use kappadb_geo::{Feature, put};

pub(crate) fn table(blocks: &[StoredBlock]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_blocks(blocks.iter(), &mut out);
    out
}

pub(crate) fn cleared(block: &StoredBlock) -> StoredBlock {
    StoredBlock { form: Form::Cleared, bytes: leaf_data(block).expect("a block").into() }
}

pub(crate) fn block() -> Seeds {
    let [truth, ..] = truths();
    let mixed = [truth.blocks[0].clone(), cleared(&truth.blocks[1]), StoredBlock::whole(Bytes::new())];
    vec![
        named("none", out().bytes(table(&[]))),
        named("three", out().bytes(table(&truth.blocks[..3]))),
        named("mixed", out().bytes(table(&mixed))),
    ]
}

/// Headers of every sort.
pub(crate) fn blocks(features: &[Feature]) -> Vec<(String, StoredBlock)> {
    let mut made = Vec::new();
    let mut add = |name: &str, header: &Header, payload: &[u8]| {
        made.push((name.to_owned(), StoredBlock::whole(encode_block(header, payload).expect("a block"))));
    };
    let header = |space, code| Header::new(Kind { space, code }, Timestamp(1_700_000_000_000));
    add("raw", &header(space::RAW, 0), b"bytes");
    add("empty", &header(space::RAW, 0), b"");
    let feeds = [FeedKey([1; 32]), FeedKey([2; 32])];
    let context = Context {
        own: Some(4),
        vector: vec![(feeds[0].name(), 300), (feeds[1].name(), 7)],
        ids: vec![EntryId { feed: feeds[0], seq: 1 }],
    };
    let key_value =
        Header { key: Some(b"key".to_vec()), context: context.clone(), depth: 2, ..header(space::KV, 0) };
    add("key-value", &key_value, b"value");
    let at = 1_700_000_000_000;
    let moments = vec![Moment { channel: b"general".to_vec(), from: at, to: at }];
    add("chat", &Header { places: Places::new(vec![], moments), ..header(space::CHAT, 0) }, "hei".as_bytes());
    let mut extended =
        Header { extensions: vec![Extension { kind: 9, bytes: b"later".to_vec() }], ..key_value };
    extended.set_refs([b"n1".to_vec(), b"n12".to_vec()]);
    extended.set_label(&label());
    add("extended", &extended, b"value");
    let mut blob = header(space::RAW, raw::BLOB);
    blob.set_label(&label());
    blob.set_detached(&payload());
    add("blob", &blob, b"");
    add("chunk", &header(space::RAW, raw::CHUNK), &[7; 900]);
    for feature in features.iter().step_by(3) {
        let prepared = put(feature).expect("a feature");
        let map =
            Header { key: Some(prepared.key), places: prepared.places.clone(), ..header(space::MAP, 0) };
        add(&format!("map-{}", file_name(feature)), &map, &prepared.payload);
        let past = prepared.places;
        let gone = Header { context: context.clone(), depth: 1, places: Places::NOWHERE, past, ..map };
        add(
            &format!("map-{}-gone", file_name(feature)),
            &Header { kind: Kind { space: space::MAP, code: 1 }, ..gone },
            b"",
        );
    }
    made
}

fn label() -> Label {
    Label { media_type: "image/jpeg".to_owned(), name: "photo.jpg".to_owned() }
}

/// Three chunks in two runs.
fn payload() -> Detached {
    Detached::new(2_948, 1_024, set([3, 4, 9])).expect("a payload")
}

/// Where it lies, some of its bytes, a block.
pub(crate) fn detached() -> Seeds {
    let seed = |payload: &Detached, from: u64, to: u64, block: &StoredBlock| {
        let form = u8::from(block.form == Form::Cleared);
        out().chunk(&payload.encode()).number(from).number(to).byte(form).bytes(&block.bytes)
    };
    let chunk = chunk_block(Timestamp(1_700_000_000_000), &[7; 900]).expect("a chunk");
    let chunk = StoredBlock::whole(chunk);
    let large = Detached::new(1 << 40, 1 << 16, RangeSet::below(1 << 24)).expect("a payload");
    vec![
        named("last", seed(&payload(), 2_048, 2_948, &chunk)),
        named("across", seed(&payload(), 1_000, 2_100, &chunk)),
        named("cleared", seed(&payload(), 2_100, u64::MAX, &cleared(&chunk))),
        named("large", seed(&large, 1 << 39, (1 << 39) + 1, &chunk)),
    ]
}

pub(crate) fn entry(features: &[Feature]) -> Seeds {
    let mut seeds = Vec::new();
    for (name, block) in blocks(features) {
        seeds.push(named(&name, out().byte(0).bytes(&block.bytes)));
        if cleared(&block).bytes != block.bytes {
            seeds.push(named(&format!("{name}-cleared"), out().byte(1).bytes(cleared(&block).bytes)));
        }
    }
    let newer = [&[3, 2, 0, 0][..], b"of a later version"].concat();
    seeds.push(named("later", out().byte(0).bytes(newer)));
    seeds
}

/// Length, known length, known leaves, leaves; then changes.
pub(crate) fn bundle() -> Seeds {
    let honest = |length: u8, known: u8, known_leaves: u32, leaves: u32| {
        out().byte(length).byte(known).bytes(known_leaves.to_le_bytes()).bytes(leaves.to_le_bytes())
    };
    vec![
        named("fresh", honest(23, 0, 0, 0x7f_ffff)),
        named("few", honest(17, 0, 0, 0b1_0000_0000_0011_0010)),
        named("extended", honest(23, 23, 0xff, 0xf00)),
        named("upgraded", honest(23, 11, 0b101_0000_0000, 0x40_0000)),
        named("nothing-new", honest(23, 9, 0, 0)),
        named("other-head", honest(23, 0, 0, 0xf0).bytes([0, 22])),
        named("other-block", honest(23, 0, 0, 0xf0).bytes([8, 0, 7, 0, 3])),
        named("other-node", honest(23, 0, 0, 0xf0).bytes([9, 1, 2, 200]).bytes([7; 32]).number(40)),
        named("cleared", honest(23, 0, 0, 0xf0).bytes([8, 0, 7, 0, 9])),
    ]
}

pub(crate) fn fork() -> Seeds {
    // Which feed, index; history and length of both sides; changes: side, history, what.
    vec![
        named("forked", out().bytes([1, 10, 0, 13, 1, 13])),
        named("forked-above", out().bytes([1, 3, 0, 12, 1, 8])),
        named("before", out().bytes([1, 0, 0, 13, 1, 13])),
        named("honest", out().bytes([0, 6, 0, 20, 1, 23])),
        named("shifted", out().bytes([0, 0, 0, 2, 1, 2]).bytes([0, 0, 1, 1]).bytes([0, 0, 3, 0, 3, 255])),
        named("far", out().bytes([1, 255]).number(u64::MAX).bytes([0, 13, 1, 13])),
    ]
}
