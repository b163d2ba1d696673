//! The greatest trees there may be: what is just allowed holds, and one more is refused by name.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use kappadb_core::limits::{MAX_FEED_BLOCKS, MAX_TREE_BYTES};
use kappadb_core::{DatabaseId, Head, RangeSet, SecretKey};
use kappadb_merkle::{
    Branch, ForkError, ForkEvidence, Known, Node, Peaks, ProofError, TreeError, flat, leaf, needed,
    root_hash, verify,
};

fn node() -> Node {
    leaf(&[b"x"])
}

/// The tree of `length` leaves, all of whose roots are [`node`]: only its sizes and numbers mean anything.
fn peaks(length: u64) -> Peaks {
    let roots = flat::roots(length).into_iter().map(|index| (index, node())).collect();
    Peaks::from_roots(length, roots).unwrap()
}

#[test]
fn a_feed_grows_to_the_last_block_and_not_beyond() {
    let mut one_by_one = peaks(MAX_FEED_BLOCKS - 2);
    let mut at_once = one_by_one.clone();
    one_by_one.push(node(), &mut |_, _| {}).unwrap();
    one_by_one.push(node(), &mut |_, _| {}).unwrap();
    at_once.extend(&[node(), node()], &mut |_, _| {}).unwrap();
    assert_eq!(at_once, one_by_one);
    assert_eq!((at_once.length(), at_once.roots().len()), (MAX_FEED_BLOCKS, 1));
    let full = at_once.clone();
    assert_eq!(at_once.push(node(), &mut |_, _| {}), Err(TreeError::Full));
    assert_eq!(at_once.extend(&[node()], &mut |_, _| {}), Err(TreeError::Full));
    assert_eq!(peaks(MAX_FEED_BLOCKS - 1).extend(&[node(), node()], &mut |_, _| {}), Err(TreeError::Full));
    assert_eq!(at_once, full);
}

#[test]
fn no_tree_has_more_roots_than_the_greatest() {
    let roots = peaks(MAX_FEED_BLOCKS).roots().to_vec();
    let length = MAX_FEED_BLOCKS + 1;
    assert_eq!(Peaks::from_roots(length, roots), Err(TreeError::NotRoots { length }));
}

#[test]
fn bytes_are_counted_to_the_limit_and_not_beyond() {
    let all_but_one = Node { size: MAX_TREE_BYTES - 1, ..node() };
    let mut one_by_one = Peaks::from_roots(1, vec![(0, all_but_one)]).unwrap();
    assert_eq!(one_by_one.byte_length(), MAX_TREE_BYTES - 1);
    let mut at_once = one_by_one.clone();
    one_by_one.push(node(), &mut |_, _| {}).unwrap();
    at_once.extend(&[node()], &mut |_, _| {}).unwrap();
    assert_eq!((one_by_one.byte_length(), &one_by_one), (MAX_TREE_BYTES, &at_once));
    let before = at_once.clone();
    assert_eq!(at_once.push(node(), &mut |_, _| {}), Err(TreeError::TooLarge));
    assert_eq!(at_once.extend(&[node()], &mut |_, _| {}), Err(TreeError::TooLarge));
    assert_eq!(at_once, before);
}

/// Checks a proof that is all roots of a tree of `length`, for a verifier that knows nothing.
fn verify_roots(length: u64, root: Node, head: &Head) -> Result<(), ProofError> {
    let (none, known) = (RangeSet::new(), Known::default());
    let proof = vec![root; needed(&none, length, &known).len()];
    verify(&none, &[], head, &known, &proof, &mut |_| None).map(drop)
}

#[test]
fn a_proof_holds_in_the_greatest_tree_and_in_none_greater() {
    let head = peaks(MAX_FEED_BLOCKS).head();
    assert_eq!(verify_roots(MAX_FEED_BLOCKS, node(), &head), Ok(()));
    let length = MAX_FEED_BLOCKS + 1;
    let beyond = Head { length, ..head };
    assert_eq!(verify_roots(length, node(), &beyond), Err(ProofError::OutOfTree { end: 0, length }));
}

#[test]
fn a_proof_holds_for_the_most_bytes_and_for_none_more() {
    let of_size = |size| {
        let root = Node { size, ..node() };
        verify_roots(1, root, &Head { length: 1, byte_length: size, root_hash: root_hash(&[(0, root)]) })
    };
    assert_eq!(of_size(MAX_TREE_BYTES), Ok(()));
    assert_eq!(of_size(MAX_TREE_BYTES + 1), Err(TreeError::TooLarge.into()));
}

#[test]
fn the_last_leaf_is_in_the_tree_and_the_next_is_not() {
    let head = peaks(1).head();
    let verify = |seq: u64| {
        let set: RangeSet = std::iter::once(seq..seq + 1).collect();
        verify(&set, &[node()], &head, &Known::default(), &[], &mut |_| None).map(|out| out.nodes)
    };
    assert_eq!(verify(0), Ok(vec![(0, node())]));
    assert_eq!(verify(1), Err(ProofError::OutOfTree { end: 2, length: 1 }));
}

#[test]
fn a_head_that_states_other_bytes_than_its_roots_have_is_refused() {
    let honest = peaks(3).head();
    let lying = Head { byte_length: honest.byte_length + 1, ..honest };
    assert_eq!(verify_roots(3, node(), &lying), Err(ProofError::ByteLength));
    // As one side of a fork it shows nothing either.
    let (secret, db) = (SecretKey::from_seed(&[3; 32]), DatabaseId([4; 32]));
    let branch = |head: Head, node| Branch { head: head.sign(&db, &secret), node, proof: Vec::new() };
    let other = leaf(&[b"y"]);
    let a = branch(Head { length: 1, byte_length: 1, root_hash: root_hash(&[(0, node())]) }, node());
    let b = branch(Head { length: 1, byte_length: 1, root_hash: root_hash(&[(0, other)]) }, other);
    let lying = branch(Head { byte_length: 2, ..b.head.head }, other);
    let evidence = ForkEvidence { feed: secret.public(), index: 0, a, b };
    assert_eq!(evidence.verify(&db), Ok(0));
    assert_eq!(ForkEvidence { b: lying, ..evidence }.verify(&db), Err(ForkError::Path));
}
