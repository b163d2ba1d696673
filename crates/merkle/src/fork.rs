//! Evidence that a writer signed two histories.

use crate::flat;
use crate::node::{Node, TreeError, byte_length, parent, root_hash};
use bincode::{Decode, Encode};
use kappadb_core::{DatabaseId, FeedKey, HeadError, Seq, SignedHead};

/// Two heads signed by one feed, with paths to one place in the tree where they differ. Anybody can check it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ForkEvidence {
    /// The feed that forked.
    pub feed: FeedKey,
    /// Flat-tree index of the node that differs.
    pub index: u64,
    /// One side.
    pub a: Branch,
    /// The other side.
    pub b: Branch,
}

/// One side of a fork.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Branch {
    /// The head of this side.
    pub head: SignedHead,
    /// The node at the evidence's index under this head.
    pub node: Node,
    /// The nodes of [`ForkEvidence::branch_needed`], in that order.
    pub proof: Vec<Node>,
}

/// Why evidence shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// A head is not the feed's.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Both sides have the same node, by its hash.
    #[error("both sides agree on the node")]
    Same,
    /// The index is not in the tree of both heads.
    #[error("node {0} is not in both trees")]
    OutOfTree(u64),
    /// A path has more or fewer nodes than it needs.
    #[error("a path has {given} nodes and needs {needed}")]
    Length {
        /// Nodes given.
        given: usize,
        /// Nodes needed.
        needed: usize,
    },
    /// A path does not lead to its head.
    #[error("a path does not lead to its signed head")]
    Path,
    /// Sizes over the limit.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl ForkEvidence {
    /// The nodes that lead from `index` to the head of a tree of `length`: siblings on the way up, and the other roots.
    /// Ascending. `None` if the tree has no such node.
    pub fn branch_needed(index: u64, length: u64) -> Option<Vec<u64>> {
        if !flat::in_tree(index, length) {
            return None;
        }
        let (mut at, mut needed) = (index, Vec::new());
        while !flat::is_root(at, length) {
            needed.push(flat::sibling(at));
            at = flat::parent(at);
        }
        needed.extend(flat::roots(length).into_iter().filter(|&root| root != at));
        needed.sort_unstable();
        Some(needed)
    }

    /// Checks both sides. Returns the lowest seq from which the feed cannot be trusted: that of the first leaf below the node.
    pub fn verify(&self, database: &DatabaseId) -> Result<Seq, ForkError> {
        // Hashes only: a node and its sibling are both given here, so their sizes could be shifted between them under
        // one root (`design/proofs.md`). A hash covers everything below it, its size too.
        if self.a.node.hash == self.b.node.hash {
            return Err(ForkError::Same);
        }
        for branch in [&self.a, &self.b] {
            branch.verify(database, &self.feed, self.index)?;
        }
        Ok(flat::leaf_span(self.index).start)
    }
}

impl Branch {
    fn verify(&self, database: &DatabaseId, feed: &FeedKey, index: u64) -> Result<(), ForkError> {
        self.head.verify(database, feed)?;
        let head = &self.head.head;
        let needed = ForkEvidence::branch_needed(index, head.length).ok_or(ForkError::OutOfTree(index))?;
        if needed.len() != self.proof.len() {
            return Err(ForkError::Length { given: self.proof.len(), needed: needed.len() });
        }
        let given = |index: u64| {
            let at = needed.binary_search(&index).ok()?;
            self.proof.get(at).copied()
        };
        let (mut at, mut node) = (index, self.node);
        while !flat::is_root(at, head.length) {
            let other = given(flat::sibling(at)).ok_or(ForkError::Path)?;
            let (left, right) = if at < flat::sibling(at) { (node, other) } else { (other, node) };
            (at, node) = (flat::parent(at), parent(&left, &right)?);
        }
        let root = |root: u64| if root == at { Some((root, node)) } else { Some((root, given(root)?)) };
        let roots = flat::roots(head.length)
            .into_iter()
            .map(root)
            .collect::<Option<Vec<_>>>()
            .ok_or(ForkError::Path)?;
        match root_hash(&roots) == head.root_hash && byte_length(&roots)? == head.byte_length {
            true => Ok(()),
            false => Err(ForkError::Path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_siblings_up_to_a_root_and_the_other_roots() {
        assert_eq!(ForkEvidence::branch_needed(0, 5), Some(vec![2, 5, 8]));
        assert_eq!(ForkEvidence::branch_needed(5, 5), Some(vec![1, 8]));
        assert_eq!(ForkEvidence::branch_needed(8, 5), Some(vec![3]));
        assert_eq!(ForkEvidence::branch_needed(0, 1), Some(vec![]));
        assert_eq!(ForkEvidence::branch_needed(7, 5), None);
        assert_eq!(ForkEvidence::branch_needed(10, 5), None);
    }
}
