//! The one walk that prover and verifier share.

use crate::Known;
use crate::flat;
use kappadb_core::RangeSet;

/// One step of rebuilding the roots on a stack of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Push the next proved leaf.
    Leaf(u64),
    /// Push the next node of the proof.
    Supply(u64),
    /// Push the verifier's own node.
    Recall(u64),
    /// Replace the two topmost nodes by their parent.
    Join(u64),
    /// The topmost node must equal the verifier's own; its worth is settled.
    Match(u64),
    /// Drop the topmost node: nothing above it needs to be computed.
    Drop,
    /// The topmost node is this root: take it.
    Root(u64),
}

/// What a proof is about.
pub(crate) struct Plan<'a> {
    pub leaves: &'a RangeSet,
    pub length: u64,
    pub known: &'a Known,
}

impl Plan<'_> {
    /// Tells `visit` every step, root by root, left to right and from below.
    ///
    /// A subtree without proved leaves is recalled if known and supplied if not, but entered where the known tree ends
    /// within it, so that an upgrade always shows how the old tree lies in the new one.
    pub fn walk<E>(&self, visit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        for root in flat::roots(self.length) {
            self.value(root, visit)?;
            visit(Step::Root(root))?;
        }
        Ok(())
    }

    fn has_leaf_below(&self, index: u64) -> bool {
        self.leaves.intersects(&flat::leaf_span(index))
    }

    /// Steps that end with the node's value on the stack. Recursion is as deep as the tree: at most 41.
    fn value<E>(&self, index: u64, visit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        match (self.has_leaf_below(index), self.known.contains(index)) {
            (false, true) => visit(Step::Recall(index)),
            (false, false) if self.known.ends_within(index) => self.join(index, visit),
            (false, false) => visit(Step::Supply(index)),
            (true, false) => self.join(index, visit),
            (true, true) => {
                self.check(index, visit)?;
                visit(Step::Recall(index))
            }
        }
    }

    fn join<E>(&self, index: u64, visit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        let Some((left, right)) = flat::children(index) else { return visit(Step::Leaf(index)) };
        self.value(left, visit)?;
        self.value(right, visit)?;
        visit(Step::Join(index))
    }

    /// Steps that settle the proved leaves below a known node, each at the lowest known node above it, and leave the
    /// stack as it was.
    fn check<E>(&self, index: u64, visit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        match flat::children(index) {
            Some((left, right)) if self.known.has_leaf_below(index) => [left, right]
                .into_iter()
                .filter(|&i| self.has_leaf_below(i))
                .try_for_each(|i| self.check(i, visit)),
            _ => {
                self.join(index, visit)?;
                visit(Step::Match(index))?;
                visit(Step::Drop)
            }
        }
    }
}
