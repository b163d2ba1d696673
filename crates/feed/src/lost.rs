//! Taking out of derived state what the journal lost to damage: what is said to be held must be.
//!
//! Everything else stays, tree nodes above all: they prove the blocks that are left, and could not be computed again
//! from a journal with a hole.

use crate::ReadError;
use crate::rows::{self, Came, FeedRow, Location, tag};
use bytes::Bytes;
use kappadb_journal::{Damage, Position, Reader, Record};
use kappadb_store::{Batch, Tree, prefix_range};
use std::collections::BTreeMap;

/// A segment of which there is no file has no bytes that could be told as damaged.
fn is_lost(at: Position, reader: &Reader, damage: &[Damage]) -> bool {
    reader.is_missing(at.segment)
        || damage.iter().any(|d| d.segment == at.segment && (d.from..d.to).contains(&at.offset))
}

/// Removes the rows of blocks whose records lie in `damage`. Returns whether there were any.
pub(crate) fn take_out(tree: &dyn Tree, reader: &Reader, damage: &[Damage]) -> Result<bool, ReadError> {
    let mut batch = Batch::new();
    for row in prefix_range(tree, &[tag::LOCATION]) {
        let (key, value) = row?;
        if is_lost(rows::decode::<Location>(&value)?.at, reader, damage) {
            batch.delete(key);
        }
    }
    for row in prefix_range(tree, &[tag::ARRIVAL]) {
        let (key, value) = row?;
        if is_lost(rows::decode::<Came>(&value)?.at, reader, damage) {
            batch.delete(key);
        }
    }
    if batch.is_empty() {
        return Ok(false);
    }
    recount(tree, reader, &mut batch)?;
    tree.apply(&batch)?;
    Ok(true)
}

/// How many bytes a feed's blocks have is only in their records: all that can be read are looked through.
fn recount(tree: &dyn Tree, reader: &Reader, batch: &mut Batch) -> Result<(), ReadError> {
    let mut bytes: BTreeMap<_, u64> = BTreeMap::new();
    for located in reader.scan(Position::START).flatten() {
        if let Record::Blocks { feed, blocks, .. } | Record::Fetched { feed, blocks, .. } = &located.record {
            *bytes.entry(*feed).or_default() +=
                blocks.iter().map(|block| block.bytes.len() as u64).sum::<u64>();
        }
    }
    for row in prefix_range(tree, &[tag::FEED]) {
        let (key, value): (Bytes, Bytes) = row?;
        let row: FeedRow = rows::decode(&value)?;
        let bytes = bytes.get(&row.definition.feed).copied().unwrap_or_default();
        batch.put(key, kappadb_core::codec::encode(&FeedRow { bytes, ..row }));
    }
    Ok(())
}
