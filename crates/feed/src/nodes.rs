//! Finding tree nodes: kept ones in rows, low ones computed again from the blocks below.

use crate::ReadError;
use crate::blocks::Blocks;
use crate::rows;
use crate::state::run;
use kappadb_core::{RangeSet, Seq, StoredBlock};
use kappadb_merkle::{Node, Peaks, flat};
use std::collections::HashMap;
use std::ops::{Bound, Range};

/// Nodes lower than this are not kept while all blocks below them are held: at most 8 blocks are read to make one again, and a block
/// costs an eighth of a row instead of two.
pub(crate) const KEPT_HEIGHT: u32 = 4;

/// Nodes not yet written, by feed number and index.
pub(crate) type Fresh = HashMap<(u32, u64), Node>;

/// Where the nodes of one feed are looked up.
pub(crate) struct Nodes<'a> {
    blocks: &'a Blocks,
    fresh: Option<&'a Fresh>,
    number: u32,
    /// Blocks that can be read.
    held: &'a RangeSet,
    computed: HashMap<u64, Node>,
    /// Indexes of which all rows are in `computed`.
    scanned: Range<u64>,
}

impl<'a> Nodes<'a> {
    pub fn new(blocks: &'a Blocks, fresh: Option<&'a Fresh>, number: u32, held: &'a RangeSet) -> Self {
        Nodes { blocks, fresh, number, held, computed: HashMap::new(), scanned: 0..0 }
    }

    /// The node, if it is kept or can be computed.
    pub fn get(&mut self, index: u64) -> Result<Option<Node>, ReadError> {
        if index >= flat::END {
            return Ok(None);
        }
        let fresh = self.fresh.and_then(|fresh| fresh.get(&(self.number, index)));
        if let Some(&node) = fresh.or_else(|| self.computed.get(&index)) {
            return Ok(Some(node));
        }
        let row = match self.scanned.contains(&index) {
            true => None,
            false => self.blocks.tree.get(&rows::node_key(self.number, index))?,
        };
        if let Some(value) = row {
            return Ok(Some(rows::decode(&value)?));
        }
        match flat::height(index) < KEPT_HEIGHT && self.held.covers(&flat::leaf_span(index)) {
            true => self.compute(index),
            false => Ok(None),
        }
    }

    /// Reads the rows of these indexes at once, unless there are more than `most`: for a caller who is going to ask for about
    /// that many of them.
    pub fn scan(&mut self, indexes: Range<u64>, most: usize) -> Result<(), ReadError> {
        let (from, to) =
            (rows::node_key(self.number, indexes.start), rows::node_key(self.number, indexes.end));
        let mut found = HashMap::new();
        for row in self.blocks.tree.range(Bound::Included(&from), Bound::Excluded(&to)) {
            let (key, value) = row?;
            found.insert(rows::number_at_end(&key).unwrap_or_default(), rows::decode(&value)?);
            if found.len() > most {
                return Ok(());
            }
        }
        self.computed.extend(found);
        self.scanned = indexes;
        Ok(())
    }

    /// Makes the low nodes that a proof of block `seq`, among those `wanted`, is likely to need: none if all the blocks around it
    /// are wanted too. What cannot be made here is missed when it is looked up, if it is.
    pub fn make_beside(&mut self, seq: Seq, wanted: &RangeSet) {
        let leaf = flat::leaf_index(seq);
        let group = flat::leaf_span(kept_above(leaf));
        if !self.computed.contains_key(&leaf) && !wanted.covers(&group) && self.held.covers(&group) {
            drop(self.compute(leaf));
        }
    }

    /// Reads the blocks below the node, or below the lowest kept one above it if all are held, and remembers every node that
    /// follows: who asks for one of them asks for its neighbours next.
    fn compute(&mut self, index: u64) -> Result<Option<Node>, ReadError> {
        let group = flat::leaf_span(kept_above(index));
        let span = if self.held.covers(&group) { group } else { flat::leaf_span(index) };
        let below = self.blocks.collect(self.number, &run(span.clone()))?;
        let blocks: Vec<StoredBlock> = below.into_iter().map(|(_, block)| block).collect();
        if blocks.len() as u64 != span.end - span.start {
            return Ok(None);
        }
        // A tree of these leaves alone has the same inner nodes, 2 * start further left.
        let mut peaks = Peaks::new();
        peaks.extend(&kappadb_entry::leaf_nodes(&blocks)?, &mut |i, node| {
            // A higher node is at hand if it was written, and not otherwise.
            if flat::height(i) < KEPT_HEIGHT {
                self.computed.insert(i + 2 * span.start, node);
            }
        })?;
        Ok(self.computed.get(&index).copied())
    }
}

/// The lowest node above `index` that is always kept.
fn kept_above(index: u64) -> u64 {
    let mut at = index;
    while flat::height(at) < KEPT_HEIGHT {
        at = flat::parent(at);
    }
    at
}
