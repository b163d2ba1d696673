//! Proving blocks to a peer.

use crate::ReadError;
use crate::blocks::Blocks;
use crate::nodes::Nodes;
use crate::state::FeedState;
use bytes::Bytes;
use kappadb_core::{FeedKey, RangeSet, Seq, SignedHead, StoredBlock};
use kappadb_entry::Bundle;
use kappadb_merkle::{self as merkle, Known, Node};

/// Bytes of a block that is rather copied.
const SMALL: usize = 1 << 10;

/// As many blocks of `ranges` from the front as are held, fit in `max_bytes` (but at least one) and can be proved under one head.
pub(crate) fn prove(
    blocks: &Blocks,
    feed: &FeedKey,
    state: &FeedState,
    ranges: &RangeSet,
    known: &Known,
    max_bytes: usize,
) -> Result<Bundle, ReadError> {
    let (head, part) = choose(state, ranges).ok_or(ReadError::NoHead(*feed))?;
    let mut nodes = Nodes::new(blocks, None, state.number, &state.held);
    let found = front(&mut nodes, blocks, state, &part, max_bytes)?;
    let ranges: RangeSet = found.iter().map(|(seq, _)| *seq).collect();
    let (known, proof) = proof(&mut nodes, feed, &ranges, &head, known)?;
    let blocks = found.into_iter().map(|(_, block)| block).collect();
    Ok(Bundle { feed: *feed, head, ranges, blocks, known, proof })
}

/// The head under which the first wanted block can be proved, and what else of the wanted can.
fn choose(state: &FeedState, ranges: &RangeSet) -> Option<(SignedHead, RangeSet)> {
    let first = |set: &RangeSet| set.iter().next().unwrap_or(Seq::MAX);
    let newest = state.newest.map(|head| (head, state.linked(ranges)));
    let others = state.unlinked.iter().map(|u| (u.head, u.ranges.intersection(ranges)));
    newest.into_iter().chain(others).min_by_key(|(_, part)| first(part))
}

/// The blocks from the front. The low nodes beside them are made on the way, while the records they lie in are at hand: a
/// second pass would read many records again.
fn front(
    nodes: &mut Nodes<'_>,
    blocks: &Blocks,
    state: &FeedState,
    part: &RangeSet,
    max_bytes: usize,
) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
    let (mut found, mut bytes) = (Vec::new(), 0usize);
    blocks.read_around(state.number, part, &mut |seq, block, around| {
        let block = state.as_held(seq, block);
        bytes = bytes.saturating_add(block.bytes.len());
        let fits = found.is_empty() || bytes <= max_bytes;
        if fits {
            found.push((seq, by_itself(block)));
            nodes.make_beside(seq, part, around);
        }
        fits && bytes < max_bytes
    })?;
    nodes.make_waiting();
    Ok(found)
}

/// A small block is copied, or it would keep all of its record in memory until the peer has it.
fn by_itself(block: StoredBlock) -> StoredBlock {
    match block.bytes.len() {
        0..SMALL => StoredBlock { bytes: Bytes::copy_from_slice(&block.bytes), ..block },
        _ => block,
    }
}

/// The proof, and what it takes the receiver to know. That is nothing if the receiver's head is longer, or if the nodes that show how its
/// tree lies in ours never came here because we hold little of the feed.
fn proof(
    nodes: &mut Nodes<'_>,
    feed: &FeedKey,
    ranges: &RangeSet,
    head: &SignedHead,
    known: &Known,
) -> Result<(Known, Vec<Node>), ReadError> {
    let length = head.head.length;
    let mut lookup = |known: &Known| {
        let needed = merkle::needed(ranges, length, known);
        nodes.read_ahead(needed.iter().copied())?;
        let found = |index| nodes.get(index)?.ok_or(ReadError::MissingNode { feed: *feed, index });
        needed.into_iter().map(found).collect::<Result<Vec<Node>, ReadError>>()
    };
    if !known.is_empty() && known.length <= length {
        match lookup(known) {
            Err(ReadError::MissingNode { .. }) => {}
            proved => return Ok((known.clone(), proved?)),
        }
    }
    Ok((Known::default(), lookup(&Known::default())?))
}
