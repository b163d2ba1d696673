//! What an entry refers to: one encoding, checked with the header, and it survives whatever happens to the payload.

use kappadb_core::limits::MAX_KEY;
use kappadb_core::{Form, StoredBlock, Timestamp};
use kappadb_entry::{EntryError, Extension, Header, Kind, REFS, decode_block, encode_block, space};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn header() -> Header {
    Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0))
}

fn with_bytes(bytes: Vec<u8>) -> Result<Header, EntryError> {
    let mut header = header();
    header.extensions.push(Extension { kind: REFS, bytes });
    let block = StoredBlock { form: Form::Whole, bytes: encode_block(&header, b"")? };
    Ok(decode_block(&block)?.header)
}

/// Few letters, so that keys share beginnings, are beginnings of each other, and repeat.
fn keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0u8..3, 0..6), 0..12)
}

proptest! {
    #[test]
    fn refs_come_back_sorted_and_once(keys in keys()) {
        let mut header = header();
        header.set_refs(keys.clone());
        let expected: Vec<Vec<u8>> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(header.refs(), expected.clone());
        let block = StoredBlock { form: Form::Whole, bytes: encode_block(&header, b"payload").unwrap() };
        prop_assert_eq!(decode_block(&block).unwrap().header.refs(), expected);
    }

    #[test]
    fn refs_have_one_encoding(bytes in prop::collection::vec(0u8..4, 0..16)) {
        if let Ok(read) = with_bytes(bytes.clone()) {
            let mut again = header();
            again.set_refs(read.refs());
            let written = again.extensions.pop().map(|extension| extension.bytes);
            prop_assert_eq!(written.unwrap_or_default(), bytes);
        }
    }
}

#[test]
fn neighbours_cost_three_bytes() {
    let mut header = header();
    header.set_refs((0..1000).map(|n| format!("n{}", 9_000_000_000_u64 + n).into_bytes()));
    assert!(header.extensions[0].bytes.len() < 4000, "{}", header.extensions[0].bytes.len());
    header.set_refs([]);
    assert_eq!(header.extensions, []);
}

#[test]
fn other_extensions_keep_their_order() {
    let mut header = header();
    header.extensions = vec![Extension { kind: 0, bytes: vec![1] }, Extension { kind: 9, bytes: vec![2] }];
    header.set_refs([b"a".to_vec()]);
    assert_eq!(header.extensions.iter().map(|e| e.kind).collect::<Vec<_>>(), [0, REFS, 9]);
}

#[test]
fn malformed_refs_are_no_entry() {
    let refused =
        |bytes: &[u8]| assert_eq!(with_bytes(bytes.to_vec()), Err(EntryError::BadRefs), "{bytes:?}");
    refused(&[]);
    refused(&[0, 1, b'b', 0, 1, b'a']);
    refused(&[0, 1, b'a', 0, 1, b'a']);
    refused(&[0, 2, b'a', b'a', 0, 2, b'a', b'b']);
    refused(&[0, 1, b'a', 1, 0]);
    refused(&[0, 0, 0, 0]);
    refused(&[1, 1, b'a']);
    refused(&[0, 2, b'a']);
    let mut long = header();
    long.set_refs([vec![0; MAX_KEY + 1]]);
    assert_eq!(encode_block(&long, b""), Err(EntryError::BadRefs));
    long.set_refs([vec![0; MAX_KEY]]);
    assert!(encode_block(&long, b"").is_ok());
}
