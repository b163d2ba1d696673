//! Blocks with contexts against those that another program made from `design/formats.md` (`design/vectors/make_contexts.py`).

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{EntryId, FeedKey, StoredBlock, Timestamp};
use kappadb_entry::{Context, Header, Kind, decode_block, encode_block, space};
use serde_json::Value;

fn id(item: &Value) -> EntryId {
    let feed: FeedKey = item[0].as_str().unwrap().parse().unwrap();
    EntryId { feed, seq: item[1].as_str().unwrap().parse().unwrap() }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

#[test]
fn contexts_are_as_the_format_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../design/vectors/contexts.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = |of: &str| vectors[of].as_str().unwrap().as_bytes().to_vec();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let listed = |of: &str| case[of].as_array().unwrap().iter().map(id);
        let context = Context {
            own: case["own"].as_u64(),
            vector: sorted(listed("vector").map(|id| (id.feed.name(), id.seq))),
            ids: sorted(listed("ids")),
        };
        let time = Timestamp(vectors["time"].as_i64().unwrap());
        let header = Header {
            key: Some(text("key")),
            context,
            depth: u32::try_from(case["depth"].as_u64().unwrap()).unwrap(),
            ..Header::new(Kind { space: space::KV, code: 0 }, time)
        };
        let block = encode_block(&header, &text("value")).unwrap();
        let hex: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, case["block"], "{}", case["name"]);
        let decoded = decode_block(&StoredBlock::whole(block)).unwrap().header;
        assert_eq!(decoded.context, header.context, "{}", case["name"]);
    }
}
