//! Which head leads a feed, and what of the feed is linked to it.
//!
//! A block is *linked* if stored nodes lead from it to the roots of the newest head. Blocks proved only under another head are kept
//! with that head until such a path exists. So is a head of which some roots are not linked, though it has no blocks: it may
//! turn out to be of another history.

use crate::ReadError;
use crate::index::{Index, join};
use crate::nodes::Nodes;
use crate::rows::Unlinked;
use crate::state::{FeedState, run};
use kappadb_core::limits::MAX_UNLINKED_HEADS;
use kappadb_core::{FeedKey, RangeSet, SignedHead};
use kappadb_merkle::{Node, flat, root_hash};

impl Index {
    /// Takes note of a verified head and of the blocks proved under it.
    pub fn state_head(
        &mut self,
        feed: &FeedKey,
        head: SignedHead,
        ranges: &RangeSet,
    ) -> Result<(), ReadError> {
        let changed = self.change_with_nodes(feed, |state, nodes| {
            match state.unlinked.iter_mut().find(|unlinked| unlinked.head.head == head.head) {
                Some(unlinked) => unlinked.ranges.union_with(ranges),
                None if state.newest.is_some_and(|newest| newest.head == head.head) => {}
                None => state.unlinked.push(Unlinked { head, ranges: ranges.clone() }),
            }
            if state.unlinked.is_empty() { Ok(()) } else { settle(state, nodes) }
        });
        changed.ok_or(ReadError::Undefined(*feed))?
    }
}

fn settle(state: &mut FeedState, nodes: &mut Nodes<'_>) -> Result<(), ReadError> {
    promote(state, nodes)?;
    let length = state.length();
    let mut loose = Vec::new();
    for mut unlinked in std::mem::take(&mut state.unlinked) {
        let mut linked = true;
        for root in flat::roots(unlinked.head.head.length) {
            if leads_up(root, length, nodes)? {
                unlinked.ranges = unlinked.ranges.minus(&run(flat::leaf_span(root)));
            } else {
                linked = false;
            }
        }
        // One whose blocks are all linked is still what vouches for its other roots: if they turn out to be others, it is evidence.
        if !linked || !unlinked.ranges.is_empty() {
            loose.push(unlinked);
        }
    }
    state.unlinked = bounded(loose);
    Ok(())
}

/// Without the shortest of the heads that no block needs, if there are too many.
fn bounded(mut unlinked: Vec<Unlinked>) -> Vec<Unlinked> {
    while unlinked.len() > MAX_UNLINKED_HEADS {
        let idle = unlinked.iter().enumerate().filter(|(_, unlinked)| unlinked.ranges.is_empty());
        let Some((at, _)) = idle.min_by_key(|(_, unlinked)| unlinked.head.head.length) else { break };
        unlinked.remove(at);
    }
    unlinked
}

/// Makes the longest head whose roots are at hand the newest; the one before takes its blocks to the unlinked ones.
fn promote(state: &mut FeedState, nodes: &mut Nodes<'_>) -> Result<(), ReadError> {
    let mut longer: Vec<Unlinked> = state.unlinked.clone();
    longer.retain(|unlinked| state.newest.is_none() || unlinked.head.head.length > state.length());
    longer.sort_by_key(|unlinked| std::cmp::Reverse(unlinked.head.head.length));
    for candidate in longer {
        if !has_roots(&candidate.head, nodes)? {
            continue;
        }
        let before = state.newest.map(|head| Unlinked { head, ranges: state.linked(&state.held) });
        state.newest = Some(candidate.head);
        state.unlinked.retain(|unlinked| unlinked.head != candidate.head);
        state.unlinked.extend(before);
        break;
    }
    Ok(())
}

/// True if the head's roots are at hand and are what it states.
pub(crate) fn has_roots(head: &SignedHead, nodes: &mut Nodes<'_>) -> Result<bool, ReadError> {
    let roots =
        flat::roots(head.head.length).into_iter().map(|root| Ok(nodes.get(root)?.map(|node| (root, node))));
    let roots = roots.collect::<Result<Option<Vec<_>>, ReadError>>()?;
    Ok(roots.is_some_and(|roots| root_hash(&roots) == head.head.root_hash))
}

/// True if nodes at hand lead from this one to a root of the tree of `length`.
fn leads_up(index: u64, length: u64, nodes: &mut Nodes<'_>) -> Result<bool, ReadError> {
    let node = nodes.get(index)?;
    leads_up_with(index, node, length, nodes)
}

/// The same for a node whose value the caller has; at a root it must be the one at hand.
pub(crate) fn leads_up_with(
    index: u64,
    node: Option<Node>,
    length: u64,
    nodes: &mut Nodes<'_>,
) -> Result<bool, ReadError> {
    if !flat::in_tree(index, length) {
        return Ok(false);
    }
    let (mut at, mut node) = (index, node);
    while !flat::is_root(at, length) {
        let (up, beside) = (flat::parent(at), flat::sibling(at));
        let above = nodes.get(up)?;
        let joined = match (node, nodes.get(beside)?) {
            (Some(node), Some(other)) => join(at, &node, &other).ok(),
            _ => None,
        };
        if joined.is_none() || joined != above {
            return Ok(false);
        }
        (at, node) = (up, above);
    }
    Ok(node.is_some() && node == nodes.get(at)?)
}
