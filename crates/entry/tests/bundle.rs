//! Bundles: a true one is accepted, and one with any part changed is refused for the right reason.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{DatabaseId, Form, RangeSet, SecretKey, StoredBlock, Timestamp};
use kappadb_entry::{Bundle, BundleError, Header, Kind, encode_block, leaf_data, leaf_nodes, space};
use kappadb_merkle::{Known, Node, Peaks, prove};
use proptest::prelude::*;
use std::collections::BTreeMap;

const DATABASE: DatabaseId = DatabaseId([1; 32]);

fn block(seq: u64) -> StoredBlock {
    let header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(0));
    let payload = vec![7; usize::try_from(seq % 4 * 50).unwrap()];
    StoredBlock::whole(encode_block(&header, &payload).unwrap())
}

fn bundle(length: u64, ranges: RangeSet) -> Bundle {
    let all: Vec<StoredBlock> = (0..length).map(block).collect();
    let (mut peaks, mut nodes) = (Peaks::new(), BTreeMap::new());
    for leaf in leaf_nodes(&all).unwrap() {
        let on_node = &mut |index, node| assert_eq!(nodes.insert(index, node), None);
        peaks.push(leaf, on_node).unwrap();
    }
    let secret = SecretKey::from_seed(&[2; 32]);
    let lookup = &mut |index| nodes.get(&index).copied().ok_or(());
    let proof = prove(&ranges, length, &Known::default(), lookup).unwrap();
    Bundle {
        feed: secret.public(),
        head: peaks.head().sign(&DATABASE, &secret),
        blocks: ranges.iter().map(block).collect(),
        ranges,
        known: Known::default(),
        proof,
    }
}

fn verify(bundle: &Bundle) -> Result<(), BundleError> {
    bundle.verify(&DATABASE, &mut |_| None::<Node>).map(drop)
}

proptest! {
    #[test]
    fn true_bundles_hold_and_a_changed_block_does_not(
        length in 1u64..40,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        byte in any::<prop::sample::Index>(),
    ) {
        let seq = |i: &prop::sample::Index| i.index(usize::try_from(length).unwrap()) as u64;
        let mut bundle = bundle(length, picks.iter().map(seq).collect());
        prop_assert_eq!(verify(&bundle), Ok(()));
        // A cleared block is proved by the same leaf.
        let first = &mut bundle.blocks[0];
        if first.bytes.len() > 60 {
            *first = StoredBlock { form: Form::Cleared, bytes: leaf_data(first).unwrap().into() };
        }
        prop_assert_eq!(verify(&bundle), Ok(()));
        let mut bytes = bundle.blocks[0].bytes.to_vec();
        let at = byte.index(bytes.len());
        bytes[at] ^= 1;
        bundle.blocks[0].bytes = bytes.into();
        let refusal = verify(&bundle);
        prop_assert!(matches!(refusal, Err(BundleError::Proof(_) | BundleError::Block { .. })), "{:?}", refusal);
    }
}

#[test]
fn every_part_is_checked() {
    let good = || bundle(9, RangeSet::from_iter([2u64, 3, 7]));
    let mut fewer = good();
    fewer.blocks.pop();
    assert_eq!(verify(&fewer), Err(BundleError::Count { blocks: 2, named: 3 }));
    let mut beyond = good();
    beyond.ranges = RangeSet::from_iter([2u64, 3, 9]);
    assert_eq!(verify(&beyond), Err(BundleError::BeyondHead { end: 10, length: 9 }));
    let mut foreign = good();
    foreign.feed = SecretKey::from_seed(&[3; 32]).public();
    assert!(matches!(verify(&foreign), Err(BundleError::Head(_))));
    assert!(good().verify(&DatabaseId([9; 32]), &mut |_| None).is_err());
    let mut cut = good();
    cut.blocks[1] = StoredBlock::whole(vec![9, 0]);
    assert!(matches!(verify(&cut), Err(BundleError::Block { seq: 3, .. })));
    let mut more = good();
    more.proof.push(more.proof[0]);
    assert!(matches!(verify(&more), Err(BundleError::Proof(_))));
    let mut elsewhere = good();
    elsewhere.ranges = RangeSet::from_iter([2u64, 3, 6]);
    assert!(matches!(verify(&elsewhere), Err(BundleError::Proof(_))));
}
