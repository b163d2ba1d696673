//! Proofs by whoever wants them to hold: an honest one, changed as the input says. Signatures cannot be forged, so the
//! input picks among heads that the writer signed; whatever is accepted must then be what the writer wrote.

use crate::Input;
use crate::peers::{DB, Truth};
use kappadb_core::{Form, Hash, RangeSet, StoredBlock, codec};
use kappadb_entry::{Bundle, leaf_data};
use kappadb_merkle::{Branch, ForkEvidence, Known, Node, flat};
use kappadb_sim::Random;
use std::rc::Rc;

/// Blocks of the honest feed.
const HONEST: usize = 23;
/// The first block that the forked feed has twice.
const FORKED: u64 = 5;

/// One writer with one history, and two histories of another, different from block [`FORKED`] on.
struct Feeds {
    honest: Rc<Truth>,
    forked: [Rc<Truth>; 2],
}

thread_local! {
    static FEEDS: Feeds = Feeds {
        honest: Truth::new(1, &std::array::from_fn::<u8, HONEST, _>(|i| i as u8 % 5), 40, &mut Random::new(1)),
        forked: [0, 9].map(|salt| {
            let key = |i: usize| if (i as u64) < FORKED { i as u8 } else { i as u8 + salt };
            Truth::new(2, &std::array::from_fn::<u8, 13, _>(key), 0, &mut Random::new(2))
        }),
    };
}

/// Numbers below `end` whose bits are set in four bytes.
fn set(input: &mut Input<'_>, end: u64) -> RangeSet {
    let bits = u32::from_le_bytes(input.array());
    (0..end.min(32)).filter(|i| bits >> i & 1 == 1).collect()
}

fn node(input: &mut Input<'_>, truth: &Truth) -> Node {
    let true_one = truth.nodes.get(&input.byte().into());
    true_one.copied().unwrap_or_else(|| Node { hash: Hash(input.array()), size: input.number() })
}

/// Puts, takes or changes one node of a list.
fn change_nodes(input: &mut Input<'_>, nodes: &mut Vec<Node>, truth: &Truth) {
    let at = input.below(nodes.len() + 1);
    match input.below(4) {
        0 => nodes.insert(at, node(input, truth)),
        1 if at < nodes.len() => drop(nodes.remove(at)),
        2 if at < nodes.len() => nodes[at] = node(input, truth),
        3 if at < nodes.len() => {
            nodes[at].size = nodes[at].size.wrapping_add_signed(i64::from(input.byte() as i8))
        }
        _ => {}
    }
}

/// A bundle: length u8, known length u8, known leaves u32, leaves u32, and then changes.
pub fn bundle(data: &[u8]) {
    FEEDS.with(|feeds| {
        let (truth, mut input) = (&*feeds.honest, Input::new(data));
        let length = input.below(HONEST + 1) as u64;
        let known_length = input.below(HONEST + 1) as u64;
        let known = Known { length: known_length, leaves: set(&mut input, known_length) };
        let honest = truth.bundle(&set(&mut input, length), length, &known);
        let mut bundle = honest.clone();
        while !input.is_empty() {
            change_bundle(&mut input, &mut bundle, truth);
        }
        // A verifier has the nodes of the tree that it knows, and no others.
        let lookup =
            &mut |index| truth.nodes.get(&index).filter(|_| flat::in_tree(index, known_length)).copied();
        match bundle.verify(&DB, lookup) {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                // Nothing of an upgrade backwards is promised.
                assert!(bundle != honest || known_length > length, "an honest bundle was refused: {error}");
            }
            Ok(verified) => {
                let all = verified.nodes.iter().chain(&verified.supplied).chain(&verified.roots);
                all.for_each(|(index, node)| assert_eq!(truth.nodes.get(index), Some(node), "node {index}"));
                assert_eq!(bundle.ranges.count(), bundle.blocks.len() as u64);
                for (seq, block) in bundle.ranges.iter().zip(&bundle.blocks) {
                    assert_eq!(leaf_data(block), leaf_data(&truth.blocks[seq as usize]), "block {seq}");
                }
            }
        }
    });
}

fn change_bundle(input: &mut Input<'_>, bundle: &mut Bundle, truth: &Truth) {
    match input.below(10) {
        0 => bundle.head = truth.heads[input.below(truth.heads.len())],
        1 => bundle.head.head.length = input.number(),
        2 => bundle.head.head.byte_length ^= u64::from(input.byte()),
        3 => bundle.ranges = set(input, 32),
        4 => bundle.known = Known { length: input.byte().into(), leaves: set(input, 32) },
        5 => bundle.known = codec::decode::<Known, 1024>("known", input.chunk()).unwrap_or_default(),
        6 => bundle.ranges = codec::decode::<RangeSet, 1024>("ranges", input.chunk()).unwrap_or_default(),
        7 => {
            let at = input.below(bundle.blocks.len() + 1);
            let block = block(input, truth);
            bundle.blocks.splice(at..at, [block]);
        }
        8 => {
            let at = input.below(bundle.blocks.len() + 1);
            if at < bundle.blocks.len() {
                bundle.blocks.remove(at);
            }
        }
        _ => change_nodes(input, &mut bundle.proof, truth),
    }
}

/// One of the writer's blocks, whole or cleared, or any bytes.
fn block(input: &mut Input<'_>, truth: &Truth) -> StoredBlock {
    let which = input.below(2 * HONEST + 2);
    match (truth.blocks.get(which / 2), which % 2) {
        (Some(block), 0) => block.clone(),
        (Some(block), _) => {
            let left = leaf_data(block).expect("a written block has a leaf");
            StoredBlock { form: Form::Cleared, bytes: left.into() }
        }
        (None, form) => {
            let form = if form == 0 { Form::Whole } else { Form::Cleared };
            StoredBlock { form, bytes: input.chunk().to_vec().into() }
        }
    }
}

/// Fork evidence: 0 for the honest feed or 1 for the forked one, the index u8 (255: eight bytes), then for both sides the
/// history and the length, and then changes.
pub fn fork(data: &[u8]) {
    FEEDS.with(|feeds| {
        let mut input = Input::new(data);
        let forked = input.below(2) == 1;
        let histories = if forked { &feeds.forked } else { &[feeds.honest.clone(), feeds.honest.clone()] };
        let index = match input.byte() {
            255 => input.number(),
            index => index.into(),
        };
        let [a, b] = [(); 2].map(|()| branch(&mut input, histories, index));
        let mut evidence = ForkEvidence { feed: histories[0].key(), index, a, b };
        while !input.is_empty() {
            let side = if input.below(2) == 0 { &mut evidence.a } else { &mut evidence.b };
            let truth = &histories[input.below(2)];
            match input.below(4) {
                0 => side.node = node(&mut input, truth),
                1 => side.node.size = side.node.size.wrapping_add_signed(i64::from(input.byte() as i8)),
                2 => side.head = truth.heads[input.below(truth.heads.len())],
                _ => change_nodes(&mut input, &mut side.proof, truth),
            }
        }
        let bytes = codec::encode(&evidence);
        assert_eq!(codec::decode::<ForkEvidence, { 1 << 20 }>("fork", &bytes).as_ref(), Ok(&evidence));
        if let Ok(seq) = evidence.verify(&DB) {
            assert!(forked, "an honest writer was framed");
            let span = flat::leaf_span(evidence.index);
            assert!(seq == span.start && span.end > FORKED, "a fork before the fork: {seq}");
        }
    });
}

fn branch(input: &mut Input<'_>, histories: &[Rc<Truth>; 2], index: u64) -> Branch {
    let truth = &histories[input.below(2)];
    let head = truth.heads[input.below(truth.heads.len())];
    let of = |index: u64| truth.nodes.get(&index).copied();
    let needed = ForkEvidence::branch_needed(index, head.head.length).unwrap_or_default();
    let nothing = Node { hash: Hash([0; 32]), size: 0 };
    Branch { head, node: of(index).unwrap_or(nothing), proof: needed.into_iter().filter_map(of).collect() }
}
