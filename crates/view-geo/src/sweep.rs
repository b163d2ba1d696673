//! Sweeping what is left of runs: those that were merged into others, and those that were never finished.

use crate::{MapIndex, rows};
use bytes::Bytes;
use kappadb_store::{Batch, Overlay, Tree, prefix_range};
use kappadb_view::{Upkeep, ViewError};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Rows removed in one piece of the work.
const PIECE: usize = 512;

/// Numbers that have pages or marks, but are none of the `living` runs. Reads one row a number.
pub fn leftovers(tree: &dyn Tree, living: &BTreeSet<u32>) -> Result<Vec<u32>, ViewError> {
    let mut left = BTreeSet::new();
    for prefix in [rows::PAGES, rows::DEAD] {
        let mut from = Some(0u32);
        while let Some(run) = from {
            let (first, end) = (rows::key(prefix, &[&run.to_be_bytes()]), [prefix + 1]);
            let Some(row) = tree.range(Bound::Included(&first), Bound::Excluded(&end)).next() else { break };
            // A key that is too short for a run's is nobody's.
            let found = row?.0.get(1..5).and_then(|run| run.try_into().ok()).map_or(run, u32::from_be_bytes);
            if !living.contains(&found) {
                left.insert(found);
            }
            from = found.checked_add(1);
        }
    }
    Ok(left.into_iter().collect())
}

/// Removes all rows of a run that has no descriptor.
pub struct Sweep {
    tree: Arc<dyn Tree>,
    run: u32,
}

impl Sweep {
    pub fn new(tree: Arc<dyn Tree>, run: u32) -> Sweep {
        Sweep { tree, run }
    }
}

impl Upkeep<MapIndex> for Sweep {
    fn work(&mut self) -> Result<bool, ViewError> {
        let run = self.run.to_be_bytes();
        let prefixes = [rows::PAGES, rows::DEAD].map(|prefix| rows::key(prefix, &[&run]));
        let left = prefixes.iter().flat_map(|prefix| prefix_range(&*self.tree, prefix));
        let keys = left.take(PIECE).map(|row| Ok(row?.0)).collect::<Result<Vec<Bytes>, ViewError>>()?;
        let more = keys.len() == PIECE;
        let mut batch = Batch::new();
        keys.into_iter().for_each(|key| batch.delete(key));
        self.tree.apply(&batch)?;
        Ok(more)
    }

    fn install(self: Box<Self>, index: &mut MapIndex, _: &mut Overlay<'_>) -> Result<(), ViewError> {
        index.space.swept(self.run);
        Ok(())
    }
}
