//! One proof for many leaves: which nodes it needs, making it, checking it.

use crate::Known;
use crate::node::{Node, TreeError, byte_length, parent, root_hash};
use crate::plan::{Plan, Step};
use kappadb_core::limits::{MAX_FEED_BLOCKS, MAX_TREE_BYTES};
use kappadb_core::{Head, RangeSet};
use std::convert::Infallible;

/// What a proof taught.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Every node computed or supplied, the proved leaves' own among them, each once, from below.
    pub nodes: Vec<(u64, Node)>,
    /// The nodes that were supplied: those that cannot be computed from the leaves. Ascending.
    pub supplied: Vec<(u64, Node)>,
    /// The roots of the head's tree.
    pub roots: Vec<(u64, Node)>,
}

/// Why a proof was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The proof has more or fewer nodes than are needed.
    #[error("the proof has {given} nodes and not exactly those that are needed")]
    Length {
        /// Nodes given.
        given: usize,
    },
    /// Not as many leaves as the ranges name.
    #[error("{given} leaves for ranges of {named}")]
    Leaves {
        /// Leaves given.
        given: usize,
        /// Leaves named.
        named: u64,
    },
    /// A leaf at or after the head's length, or a length over the limit.
    #[error("leaves up to {end} are not in a tree of {length}")]
    OutOfTree {
        /// One more than the last leaf.
        end: u64,
        /// Leaves of the tree.
        length: u64,
    },
    /// The roots do not hash to what the head states.
    #[error("the proof does not lead to the signed root hash")]
    RootHash,
    /// The roots' sizes are not what the head states.
    #[error("the proof's sizes are not the signed byte length")]
    ByteLength,
    /// A computed node is not the one that the verifier holds.
    #[error("node {index} is not the one known")]
    KnownMismatch {
        /// The node.
        index: u64,
    },
    /// The verifier lacks a node that it said it knew.
    #[error("node {index} was said to be known and is not")]
    MissingKnown {
        /// The node.
        index: u64,
    },
    /// Sizes over the limit.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The nodes that a proof of `leaves` under a tree of `length` consists of, ascending: none can be computed from the
/// leaves and what is `known`, each is needed, and no two of them are siblings. Both sides call this, so a proof
/// carries no indexes. Leaves at or after `length` are ignored.
pub fn needed(leaves: &RangeSet, length: u64, known: &Known) -> Vec<u64> {
    let mut needed = Vec::new();
    let push = &mut |step| -> Result<(), Infallible> {
        if let Step::Supply(index) = step {
            needed.push(index);
        }
        Ok(())
    };
    match (Plan { leaves, length, known }).walk(push) {
        Ok(()) => needed,
    }
}

/// The proof of `leaves` under the tree of `length`; `lookup` gives the prover's nodes.
pub fn prove<E>(
    leaves: &RangeSet,
    length: u64,
    known: &Known,
    lookup: &mut dyn FnMut(u64) -> Result<Node, E>,
) -> Result<Vec<Node>, E> {
    needed(leaves, length, known).into_iter().map(lookup).collect()
}

/// Checks that `leaf_nodes` are the leaves named by `leaves` in the tree of `head`, whose signature the caller has checked.
///
/// `lookup` gives the verifier's node for an index that is `known`. Nothing is learnt from a proof that fails. The
/// work is bounded by the number of leaves given times the depth of the tree.
pub fn verify(
    leaves: &RangeSet,
    leaf_nodes: &[Node],
    head: &Head,
    known: &Known,
    proof: &[Node],
    lookup: &mut dyn FnMut(u64) -> Option<Node>,
) -> Result<Verified, ProofError> {
    if leaves.count() != leaf_nodes.len() as u64 {
        return Err(ProofError::Leaves { given: leaf_nodes.len(), named: leaves.count() });
    }
    if leaves.end() > head.length || head.length > MAX_FEED_BLOCKS {
        return Err(ProofError::OutOfTree { end: leaves.end(), length: head.length });
    }
    let mut machine = Machine {
        leaf_nodes,
        proof,
        given: proof.len(),
        lookup,
        stack: Vec::new(),
        out: Verified::default(),
    };
    Plan { leaves, length: head.length, known }.walk(&mut |step| machine.step(step))?;
    machine.finish(head)
}

struct Machine<'a> {
    leaf_nodes: &'a [Node],
    proof: &'a [Node],
    given: usize,
    lookup: &'a mut dyn FnMut(u64) -> Option<Node>,
    stack: Vec<Node>,
    out: Verified,
}

impl Machine<'_> {
    fn step(&mut self, step: Step) -> Result<(), ProofError> {
        match step {
            Step::Leaf(index) => {
                let node = next(&mut self.leaf_nodes).ok_or(ProofError::Length { given: self.given })?;
                self.learn(index, node)
            }
            Step::Supply(index) => {
                let node = next(&mut self.proof).ok_or(ProofError::Length { given: self.given })?;
                self.out.supplied.push((index, node));
                self.learn(index, node)
            }
            Step::Recall(index) => {
                let node = self.recall(index)?;
                self.stack.push(node);
                Ok(())
            }
            Step::Join(index) => {
                let (right, left) = (self.pop()?, self.pop()?);
                self.learn(index, parent(&left, &right)?)
            }
            Step::Match(index) => {
                let own = self.recall(index)?;
                if self.stack.last() == Some(&own) {
                    Ok(())
                } else {
                    Err(ProofError::KnownMismatch { index })
                }
            }
            Step::Drop => self.pop().map(drop),
            Step::Root(index) => {
                let node = self.pop()?;
                self.out.roots.push((index, node));
                Ok(())
            }
        }
    }

    fn learn(&mut self, index: u64, node: Node) -> Result<(), ProofError> {
        if node.size > MAX_TREE_BYTES {
            return Err(TreeError::TooLarge.into());
        }
        self.out.nodes.push((index, node));
        self.stack.push(node);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<Node, ProofError> {
        (self.lookup)(index).ok_or(ProofError::MissingKnown { index })
    }

    fn pop(&mut self) -> Result<Node, ProofError> {
        self.stack.pop().ok_or(ProofError::Length { given: self.given })
    }

    fn finish(self, head: &Head) -> Result<Verified, ProofError> {
        if !self.proof.is_empty() {
            return Err(ProofError::Length { given: self.given });
        }
        if root_hash(&self.out.roots) != head.root_hash {
            return Err(ProofError::RootHash);
        }
        if byte_length(&self.out.roots)? != head.byte_length {
            return Err(ProofError::ByteLength);
        }
        Ok(self.out)
    }
}

fn next(nodes: &mut &[Node]) -> Option<Node> {
    let (first, rest) = nodes.split_first()?;
    *nodes = rest;
    Some(*first)
}
