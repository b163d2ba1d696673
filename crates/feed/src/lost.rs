//! Taking out of derived state what the journal lost to damage: what is said to be held must be.
//!
//! Everything else stays, tree nodes above all: they prove the blocks that are left, and could not be computed again
//! from a journal with a hole.

use crate::ReadError;
use crate::blocks::run_of;
use crate::rows::{self, Came, FeedRow, tag};
use crate::state::front;
use bytes::Bytes;
use kappadb_core::RangeSet;
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
    let (mut batch, mut held) = (Batch::new(), Held::new());
    for row in prefix_range(tree, &[tag::LOCATION]) {
        let row = row?;
        let (run, location) = run_of(&row)?;
        if is_lost(location.at, reader, damage) {
            batch.delete(row.0);
        } else {
            held.entry(rows::feed_number(&row.0).unwrap_or_default()).or_default().insert(run);
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
    recount(tree, reader, &held, &mut batch)?;
    tree.apply(&batch)?;
    Ok(true)
}

/// What is left of each feed, by its number.
type Held = BTreeMap<u32, RangeSet>;

/// How many bytes a feed's blocks have is only in their records: all that can be read are looked through.
fn recount(tree: &dyn Tree, reader: &Reader, held: &Held, batch: &mut Batch) -> Result<(), ReadError> {
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
        let left = rows::feed_number(&key).and_then(|number| held.get(&number));
        let (front, held) = left.map_or((0, 0), |left| (front(left), left.count()));
        batch.put(key, kappadb_core::codec::encode(&FeedRow { bytes, front, held, ..row }));
    }
    Ok(())
}
