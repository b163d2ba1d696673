//! Hashing leaves, parents and roots, as hypercore does.

use bincode::{Decode, Encode};
use blake2b_simd::many::{HashManyJob, hash_many};
use blake2b_simd::{Params, State};
use kappadb_core::{Hash, limits::MAX_TREE_BYTES};

const LEAF: u8 = 0;
const PARENT: u8 = 1;
const ROOTS: u8 = 2;

/// Bytes of a leaf's input before its data: what it is, and how long.
const LEAF_PREFIX: usize = 9;

/// Inputs hashed side by side; more would only cost memory.
const BATCH: usize = 64;

/// A node of the tree: the hash over what is below it, and how many bytes of leaf data that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Node {
    /// Of the subtree.
    pub hash: Hash,
    /// Leaf data below, bytes; at most [`MAX_TREE_BYTES`].
    pub size: u64,
}

/// Why nodes make no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The sum of two sizes is over [`MAX_TREE_BYTES`].
    #[error("a tree of more than {MAX_TREE_BYTES} bytes")]
    TooLarge,
    /// The tree has [`kappadb_core::limits::MAX_FEED_BLOCKS`] leaves already.
    #[error("the feed is full")]
    Full,
    /// The given nodes are not the roots of the given length.
    #[error("these are not the roots of a tree of {length} leaves")]
    NotRoots {
        /// Leaves.
        length: u64,
    },
}

fn params() -> Params {
    let mut params = Params::new();
    params.hash_length(32);
    params
}

fn digest(bytes: &[u8]) -> Hash {
    let mut out = [0; 32];
    out.copy_from_slice(bytes.get(..32).unwrap_or(&[0; 32]));
    Hash(out)
}

fn finish(state: &State) -> Hash {
    digest(state.finalize().as_bytes())
}

/// `BLAKE2b-256(0x00 | data length u64 LE | data)`, where data is the concatenation of `parts`.
pub fn leaf(parts: &[&[u8]]) -> Node {
    let size = parts.iter().map(|part| part.len() as u64).sum::<u64>();
    let mut state = params().to_state();
    state.update(&[LEAF]).update(&size.to_le_bytes());
    for part in parts {
        state.update(part);
    }
    Node { hash: finish(&state), size }
}

/// [`leaf`] of each of `data`, which comes in two parts, several at a time in SIMD lanes: the same digests, sooner.
pub fn leaves(data: &[[&[u8]; 2]]) -> Vec<Node> {
    let mut nodes = Vec::with_capacity(data.len());
    let mut bytes = Vec::new();
    for batch in data.chunks(BATCH) {
        let sizes: Vec<usize> = batch.iter().map(|parts| parts.iter().map(|part| part.len()).sum()).collect();
        bytes.clear();
        for (parts, size) in batch.iter().zip(&sizes) {
            bytes.push(LEAF);
            bytes.extend_from_slice(&(*size as u64).to_le_bytes());
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
        }
        let mut rest = bytes.as_slice();
        let next = |size: &usize| {
            let (input, later) = rest.split_at(LEAF_PREFIX + size);
            rest = later;
            input
        };
        let inputs: Vec<&[u8]> = sizes.iter().map(next).collect();
        nodes.extend(
            digests(&inputs).into_iter().zip(sizes).map(|(hash, size)| Node { hash, size: size as u64 }),
        );
    }
    nodes
}

/// BLAKE2b-256 of each of `data`, several at a time in SIMD lanes.
pub fn digests(data: &[&[u8]]) -> Vec<Hash> {
    let params = params();
    let mut jobs: Vec<HashManyJob<'_>> = data.iter().map(|input| HashManyJob::new(&params, input)).collect();
    hash_many(jobs.iter_mut());
    jobs.iter().map(|job| digest(job.to_hash().as_bytes())).collect()
}

fn sum(left: u64, right: u64) -> Result<u64, TreeError> {
    left.checked_add(right).filter(|&size| size <= MAX_TREE_BYTES).ok_or(TreeError::TooLarge)
}

/// `BLAKE2b-256(0x01 | sum of sizes u64 LE | left hash | right hash)`.
pub fn parent(left: &Node, right: &Node) -> Result<Node, TreeError> {
    let size = sum(left.size, right.size)?;
    let mut state = params().to_state();
    state.update(&[PARENT]).update(&size.to_le_bytes()).update(&left.hash.0).update(&right.hash.0);
    Ok(Node { hash: finish(&state), size })
}

/// [`parent`] of each pair, several at a time in SIMD lanes.
pub fn parents(pairs: &[(Node, Node)]) -> Result<Vec<Node>, TreeError> {
    let mut nodes = Vec::with_capacity(pairs.len());
    for batch in pairs.chunks(BATCH) {
        let sizes = batch.iter().map(|(l, r)| sum(l.size, r.size)).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<[u8; 73]> =
            sizes.iter().zip(batch).map(|(&size, pair)| parent_input(size, pair)).collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(<[u8; 73]>::as_slice).collect();
        nodes.extend(digests(&inputs).into_iter().zip(sizes).map(|(hash, size)| Node { hash, size }));
    }
    Ok(nodes)
}

/// What a parent is hashed over: 1 + 8 + 32 + 32 bytes.
fn parent_input(size: u64, (left, right): &(Node, Node)) -> [u8; 73] {
    let mut input = [PARENT; 73];
    input[1..9].copy_from_slice(&size.to_le_bytes());
    input[9..41].copy_from_slice(&left.hash.0);
    input[41..].copy_from_slice(&right.hash.0);
    input
}

/// `BLAKE2b-256(0x02 | for each root, left to right: hash | index u64 LE | size u64 LE)`.
pub fn root_hash(roots: &[(u64, Node)]) -> Hash {
    let mut state = params().to_state();
    state.update(&[ROOTS]);
    for (index, node) in roots {
        state.update(&node.hash.0).update(&index.to_le_bytes()).update(&node.size.to_le_bytes());
    }
    finish(&state)
}

/// Leaf data bytes under all `roots`.
pub fn byte_length(roots: &[(u64, Node)]) -> Result<u64, TreeError> {
    roots.iter().try_fold(0, |total, (_, node)| sum(total, node.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_at_once_are_the_same_digests(data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..150)) {
            let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let halves: Vec<_> = slices.iter().map(|data| data.split_at(data.len() / 3).into()).collect();
            let nodes = leaves(&halves);
            prop_assert_eq!(&nodes, &slices.iter().map(|d| leaf(&[d])).collect::<Vec<_>>());
            let plain: Vec<_> = slices.iter().map(|d| kappadb_core::blake2b256(&[d])).collect();
            prop_assert_eq!(digests(&slices), plain);
            let pairs: Vec<_> = nodes.windows(2).map(|w| (w[0], w[1])).collect();
            let one_by_one: Result<Vec<_>, _> = pairs.iter().map(|(l, r)| parent(l, r)).collect();
            prop_assert_eq!(parents(&pairs), one_by_one);
        }
    }

    #[test]
    fn parts_are_one_text() {
        assert_eq!(leaf(&[b"ab", b"", b"c"]), leaf(&[b"abc"]));
    }

    #[test]
    fn sizes_are_capped() {
        let half = Node { hash: Hash([0; 32]), size: MAX_TREE_BYTES / 2 + 1 };
        let huge = Node { size: u64::MAX, ..half };
        assert_eq!(parent(&half, &half), Err(TreeError::TooLarge));
        assert_eq!(parent(&huge, &huge), Err(TreeError::TooLarge));
        assert_eq!(byte_length(&[(0, half), (2, huge)]), Err(TreeError::TooLarge));
    }
}
