//! Proofs over random trees, leaf sets and earlier knowledge: true ones hold, every other is refused.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

use kappadb_core::{DatabaseId, Hash, Head, RangeSet, SecretKey};
use kappadb_merkle::{
    Branch, ForkError, ForkEvidence, Known, Node, Peaks, ProofError, Verified, flat, leaf, needed, parent,
    prove, verify,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

struct Tree {
    nodes: BTreeMap<u64, Node>,
    heads: Vec<Head>,
}

fn tree(length: u64, salt: u8) -> Tree {
    grown(length, &|seq| leaf(&[&vec![salt; usize::try_from(seq % 5 * 9).unwrap()], &seq.to_le_bytes()]))
}

fn grown(length: u64, leaf_of: &dyn Fn(u64) -> Node) -> Tree {
    let (mut peaks, mut nodes, mut heads) = (Peaks::new(), BTreeMap::new(), vec![Peaks::new().head()]);
    for seq in 0..length {
        peaks.push(leaf_of(seq), &mut |i, n| assert!(nodes.insert(i, n).is_none())).unwrap();
        heads.push(peaks.head());
    }
    Tree { nodes, heads }
}

impl Tree {
    fn leaves(&self, set: &RangeSet) -> Vec<Node> {
        set.iter().map(|seq| self.nodes[&(2 * seq)]).collect()
    }

    fn prove(&self, set: &RangeSet, length: u64, known: &Known) -> Vec<Node> {
        prove::<Infallible>(set, length, known, &mut |i| Ok(self.nodes[&i])).unwrap()
    }

    fn head(&self, length: u64) -> &Head {
        &self.heads[usize::try_from(length).unwrap()]
    }

    /// Verifies with a lookup that has exactly the known nodes.
    fn verify(
        &self,
        set: &RangeSet,
        head: &Head,
        known: &Known,
        leaves: &[Node],
        proof: &[Node],
    ) -> Result<Verified, ProofError> {
        verify(set, leaves, head, known, proof, &mut |i| known.contains(i).then(|| self.nodes[&i]))
    }
}

/// A length, leaves below it, and what is known of any other length.
fn cases() -> impl Strategy<Value = (u64, RangeSet, Known)> {
    let set = |end: u64| {
        prop::collection::vec((0..end.max(1), 1u64..5), 0..6).prop_map(move |runs| {
            runs.into_iter()
                .map(|(s, n)| s..(s + n).min(end))
                .filter(|r| r.start < r.end)
                .collect::<RangeSet>()
        })
    };
    (0u64..80, prop_oneof![Just(0u64), 0u64..90]).prop_flat_map(move |(length, known)| {
        (Just(length), set(length), set(known).prop_map(move |leaves| Known { length: known, leaves }))
    })
}

/// Everything that follows from these nodes by joining siblings.
fn closure(mut have: BTreeSet<u64>, length: u64) -> BTreeSet<u64> {
    let mut fresh: Vec<u64> = have.iter().copied().collect();
    while let Some(i) = fresh.pop() {
        let up = flat::parent(i);
        if have.contains(&flat::sibling(i)) && flat::in_tree(up, length) && have.insert(up) {
            fresh.push(up);
        }
    }
    have
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_true_proof_holds((length, set, known) in cases()) {
        let t = tree(90, 0);
        let proof = t.prove(&set, length, &known);
        let out = t.verify(&set, t.head(length), &known, &t.leaves(&set), &proof).unwrap();
        prop_assert!(out.nodes.iter().all(|(i, n)| t.nodes[i] == *n && flat::in_tree(*i, length)));
        prop_assert_eq!(out.nodes.iter().map(|(i, _)| i).collect::<BTreeSet<_>>().len(), out.nodes.len());
        prop_assert!(out.supplied.iter().map(|(i, _)| *i).eq(needed(&set, length, &known)));
        prop_assert!(out.roots.iter().map(|(i, _)| *i).eq(flat::roots(length)));
        // Afterwards the verifier knows what `Known` promises for the leaves, old and new, under the new length.
        if known.length <= length {
            let mut leaves = set.clone();
            leaves.union_with(&known.leaves);
            let now = Known { length, leaves };
            let have: BTreeSet<u64> = out.nodes.iter().map(|(i, _)| *i).chain((0..200).filter(|&i| known.contains(i))).collect();
            prop_assert!((0..200).filter(|&i| now.contains(i)).all(|i| have.contains(&i)));
        }
    }

    #[test]
    fn a_proof_has_nothing_that_can_be_computed_and_nothing_too_many((length, set, known) in cases()) {
        let list = needed(&set, length, &known);
        prop_assert!(list.windows(2).all(|w| w[0] < w[1]));
        let given: BTreeSet<u64> = set.iter().map(flat::leaf_index).chain((0..200).filter(|&i| known.contains(i))).collect();
        let reach = |without: Option<u64>| {
            closure(given.iter().copied().chain(list.iter().copied().filter(|i| Some(*i) != without)).collect(), length)
        };
        prop_assert!(flat::roots(length).iter().all(|root| reach(None).contains(root)));
        for &index in &list {
            prop_assert!(!reach(Some(index)).contains(&index), "{} follows from the others", index);
            prop_assert!(!list.contains(&flat::sibling(index)), "siblings {} and {}", index, flat::sibling(index));
            // Without it some root, or the check of some leaf, is out of reach.
            let up = closure(list.iter().copied().filter(|&i| i != index).chain(given.iter().copied()).collect(), length);
            prop_assert!(flat::roots(length).iter().any(|r| !up.contains(r)) || !known.is_empty());
        }
    }

    #[test]
    fn a_changed_proof_is_refused((length, set, known) in cases(), at in any::<prop::sample::Index>(), by in 1u64..9) {
        let t = tree(90, 0);
        let (head, leaves, proof) = (t.head(length), t.leaves(&set), t.prove(&set, length, &known));
        let refused = |leaves: &[Node], proof: &[Node]| t.verify(&set, head, &known, leaves, proof).is_err();
        let mut longer = proof.clone();
        longer.push(t.nodes[&0]);
        prop_assert!(refused(&leaves, &longer));
        if !proof.is_empty() {
            let at = at.index(proof.len());
            prop_assert!(refused(&leaves, &proof[1..]));
            let changed = |change: &dyn Fn(&mut Node)| { let mut p = proof.clone(); change(&mut p[at]); p };
            prop_assert!(refused(&leaves, &changed(&|n| n.hash.0[5] ^= 1)));
            prop_assert!(refused(&leaves, &changed(&|n| n.size += by)));
            prop_assert!(refused(&leaves, &changed(&|n| n.size = u64::MAX)));
            // Sizes shifted between two supplied nodes: the sum stays.
            let mut shifted = proof.clone();
            shifted[at].size += by;
            if let Some(other) = shifted.iter_mut().enumerate().find(|(i, n)| *i != at && n.size >= by).map(|(_, n)| n) {
                other.size -= by;
                prop_assert!(refused(&leaves, &shifted));
            }
        }
        if !leaves.is_empty() {
            let at = at.index(leaves.len());
            prop_assert!(refused(&leaves[1..], &proof));
            let mut wrong = leaves.clone();
            wrong[at].hash.0[0] ^= 1;
            prop_assert!(refused(&wrong, &proof));
            wrong[at] = Node { size: leaves[at].size + by, ..leaves[at] };
            prop_assert!(refused(&wrong, &proof));
        }
    }

    #[test]
    fn a_proof_of_another_history_is_refused((length, set, known) in cases(), salted in 0u64..80) {
        let ours = tree(90, 0);
        let theirs = grown(90, &|seq| leaf(&[&[u8::from(seq >= salted)], &seq.to_le_bytes()]));
        let honest = grown(90, &|seq| leaf(&[&[0], &seq.to_le_bytes()]));
        let proof = theirs.prove(&set, length, &known);
        prop_assume!(length > salted);
        let out = verify(&set, &theirs.leaves(&set), theirs.head(length), &known, &proof,
            &mut |i| known.contains(i).then(|| honest.nodes[&i]));
        // It may hold only if nothing known lies where the histories differ.
        let differs = |i: u64| flat::in_tree(i, length) && known.contains(i) && honest.nodes[&i] != theirs.nodes[&i];
        prop_assert_eq!(out.is_err(), (0..200).any(|i| differs(i) && checked(i, length, &set, &known)));
        prop_assert!(verify(&set, &theirs.leaves(&set), ours.head(length), &Known::default(),
            &theirs.prove(&set, length, &Known::default()), &mut |_| None).is_err());
    }

    #[test]
    fn any_numbers_are_safe(length in any::<u64>(), end in any::<u64>(), known in any::<u64>(), count in 0usize..4) {
        let node = leaf(&[b"x"]);
        let set = std::iter::once(end.saturating_sub(1)..end).collect::<RangeSet>();
        let known = Known { length: known, leaves: set.clone() };
        let head = Head { length, byte_length: 1, root_hash: Hash([0; 32]) };
        drop(needed(&set, length, &known));
        prop_assert!(verify(&set, &vec![node; count], &head, &known, &[node], &mut |_| Some(node)).is_err());
        prop_assert!(ForkEvidence::branch_needed(end, length).is_none_or(|n| n.len() <= 82));
    }

    #[test]
    fn forks_are_shown_and_only_forks(la in 1u64..60, lb in 1u64..60, from in 0u64..60, at in 0u64..120) {
        let secret = SecretKey::from_seed(&[3; 32]);
        let db = DatabaseId([4; 32]);
        let a = grown(60, &|seq| leaf(&[&[0], &seq.to_le_bytes()]));
        let b = grown(60, &|seq| leaf(&[&[u8::from(seq >= from)], &seq.to_le_bytes()]));
        let branch = |t: &Tree, length: u64| Some(Branch {
            head: t.head(length).sign(&db, &secret),
            node: *t.nodes.get(&at)?,
            proof: ForkEvidence::branch_needed(at, length)?.iter().map(|i| t.nodes[i]).collect(),
        });
        let (Some(a), Some(b)) = (branch(&a, la), branch(&b, lb)) else { return Ok(()) };
        let evidence = ForkEvidence { feed: secret.public(), index: at, a, b };
        let span = flat::leaf_span(at);
        let expected = if from < span.end { Ok(span.start) } else { Err(ForkError::Same) };
        prop_assert_eq!(evidence.verify(&db), expected);
        prop_assert!(evidence.verify(&DatabaseId([5; 32])).is_err());
        let mut lie = evidence.clone();
        lie.a.node.hash.0[0] ^= 1;
        prop_assert_eq!(lie.verify(&db), Err(ForkError::Path));
        let mut longer = evidence.clone();
        longer.b.proof.push(longer.b.node);
        prop_assert!(longer.verify(&db).is_err());
        let mut elsewhere = evidence;
        elsewhere.index = u64::MAX;
        prop_assert!(elsewhere.verify(&db).is_err());
    }
}

/// True if the walk compares or uses this known node: computed again from a proved leaf below it with nothing known
/// in between, or hashed into a node above.
fn checked(index: u64, length: u64, set: &RangeSet, known: &Known) -> bool {
    let proved = |i: u64| set.intersects(&flat::leaf_span(i));
    let known_below = |i: u64| flat::height(i) > 0 && known.leaves.intersects(&flat::leaf_span(i));
    let settles = proved(index) && !known_below(index);
    let up = flat::parent(index);
    let joined = flat::in_tree(up, length) && !known.contains(up);
    // A known node beside the lowest known one on a leaf's path is not looked at: its parent is settled below.
    settles || joined || flat::is_root(index, length)
}

#[test]
fn two_siblings_with_shifted_sizes_are_refused() {
    // Roots hash over sizes, parents over sums only: that is why siblings are never both supplied.
    let (a, b) = (leaf(&[b"aaaa"]), leaf(&[b"bb"]));
    let root = parent(&a, &b).unwrap();
    let shifted = (Node { size: 5, ..a }, Node { size: 1, ..b });
    assert_eq!(parent(&shifted.0, &shifted.1), Ok(root));
    let head = Head { length: 2, byte_length: 6, root_hash: kappadb_merkle::root_hash(&[(1, root)]) };
    let none = RangeSet::new();
    let out = verify(&none, &[], &head, &Known::default(), &[shifted.0, shifted.1], &mut |_| None);
    assert_eq!(out, Err(ProofError::Length { given: 2 }));
}

#[test]
fn a_writer_of_one_history_is_not_framed_by_shifted_sizes() {
    let (secret, db) = (SecretKey::from_seed(&[3; 32]), DatabaseId([4; 32]));
    let honest = tree(2, 0);
    let head = honest.head(2).sign(&db, &secret);
    let (left, right) = (honest.nodes[&0], honest.nodes[&2]);
    let a = Branch { head, node: left, proof: vec![right] };
    let b = Branch {
        node: Node { size: left.size + 1, ..left },
        proof: vec![Node { size: right.size - 1, ..right }],
        ..a.clone()
    };
    let evidence = ForkEvidence { feed: secret.public(), index: 0, a, b };
    assert_eq!(evidence.verify(&db), Err(ForkError::Same));
}

#[test]
fn a_leaf_is_settled_at_the_lowest_known_node_above_it() {
    let t = tree(8, 0);
    let known = Known { length: 8, leaves: std::iter::once(3u64).collect() };
    let verify = |seq: u64, own: &[u64]| {
        let set: RangeSet = std::iter::once(seq).collect();
        let proof = t.prove(&set, 8, &known);
        let lookup = &mut |index| own.contains(&index).then(|| t.nodes[&index]);
        let out = verify(&set, &t.leaves(&set), t.head(8), &known, &proof, lookup)?;
        Ok(out.nodes.into_iter().map(|(index, _)| index).collect::<Vec<_>>())
    };
    // Leaf 2 is node 4, beside the known leaf's 6. Leaf 6 is node 12, below 11, beside the known leaf's path.
    assert_eq!(verify(2, &[4, 7]), Ok(vec![4]));
    assert_eq!(verify(6, &[11, 7]), Ok(vec![9, 12, 14, 13, 11]));
    assert_eq!(verify(6, &[3, 7]), Err(ProofError::MissingKnown { index: 11 }));
}
