//! Tree hashes against those of hypercore-crypto (`design/vectors/make_merkle.mjs`).
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use kappadb_merkle::{Node, Peaks, leaf, leaves, parent, root_hash};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../design/vectors/merkle.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The same bytes as in the script.
fn data(seed: u64, length: u64) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((seed + 31 * i) % 251).unwrap()).collect()
}

fn node(value: &Value) -> (u64, Node) {
    let hash = value["hash"].as_str().unwrap().parse::<kappadb_core::DatabaseId>().unwrap().0;
    (
        value["index"].as_u64().unwrap(),
        Node { hash: kappadb_core::Hash(hash), size: value["size"].as_u64().unwrap() },
    )
}

#[test]
fn leaves_are_hypercores() {
    let vectors = vectors();
    let cases = vectors["leaves"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let bytes = data(case["seed"].as_u64().unwrap(), case["length"].as_u64().unwrap());
        let made = leaf(&[&bytes]);
        assert_eq!(case["hash"], made.hash.to_string());
        assert_eq!(leaves(&[[&bytes, &[]]]), [made]);
    }
}

#[test]
fn parents_are_hypercores() {
    for case in vectors()["parents"].as_array().unwrap() {
        let made = parent(&node(&case["left"]).1, &node(&case["right"]).1);
        assert_eq!(made, Ok(node(&case["parent"]).1));
    }
}

#[test]
fn trees_are_hypercores() {
    let mut peaks = Peaks::new();
    for (n, case) in (0..).zip(vectors()["trees"].as_array().unwrap()) {
        peaks.push(leaf(&[&data(n, 10 + 7 * n)]), &mut |_, _| {}).unwrap();
        let roots: Vec<_> = case["roots"].as_array().unwrap().iter().map(node).collect();
        assert_eq!(peaks.roots(), roots);
        assert_eq!(case["length"], peaks.length());
        assert_eq!(case["root_hash"], root_hash(&roots).to_string());
        assert_eq!(peaks.head().root_hash, root_hash(&roots));
    }
    assert_eq!(peaks.length(), 33);
}
