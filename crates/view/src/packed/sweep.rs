//! Sweeping what is left of runs: those that were merged into others, and those that were never finished.

use super::run::{Area, RunId, number_of};
use super::shelf::Run;
use crate::ViewError;
use kappadb_store::{Batch, Tree, prefix_range};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Rows removed in one piece of the work.
const PIECE: usize = 512;

/// Runs that have pages and do not count.
#[derive(Debug, Default)]
pub struct Leftovers(BTreeSet<RunId>);

impl Leftovers {
    /// Looks for them in each area, whose `runs` count. Reads one row a run.
    pub fn find(tree: &dyn Tree, areas: &[(Area, &[Run])]) -> Result<Leftovers, ViewError> {
        let mut left = BTreeSet::new();
        for (area, runs) in areas {
            let (mut from, (_, end)) = (Some(0), area.pages());
            while let Some(number) = from {
                let first = RunId { area: *area, number }.pages();
                let row = tree.range(Bound::Included(&first), Bound::Excluded(&end)).next().transpose()?;
                let Some(found) = row.and_then(|(key, _)| number_of(&key)) else { break };
                if !runs.iter().any(|run| run.number == found) {
                    left.insert(RunId { area: *area, number: found });
                }
                from = found.checked_add(1);
            }
        }
        Ok(Leftovers(left))
    }

    /// These runs count no more, and may still have pages.
    pub fn add(&mut self, runs: impl IntoIterator<Item = RunId>) {
        self.0.extend(runs);
    }

    /// The job of removing all there is, if there is anything.
    pub fn sweep(&self, tree: &Arc<dyn Tree>) -> Option<Sweep> {
        let runs: Vec<RunId> = self.0.iter().copied().collect();
        (!runs.is_empty()).then(|| Sweep { tree: tree.clone(), runs, done: 0 })
    }

    /// It is done.
    pub fn swept(&mut self, sweep: &Sweep) {
        self.0.retain(|run| !sweep.runs.contains(run));
    }
}

/// Removes the pages of runs.
pub struct Sweep {
    tree: Arc<dyn Tree>,
    runs: Vec<RunId>,
    /// How many are done.
    done: usize,
}

impl Sweep {
    /// Removes some pages. True if there are more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        let mut batch = Batch::new();
        while let Some(run) = self.runs.get(self.done)
            && batch.len() < PIECE
        {
            let before = batch.len();
            for row in prefix_range(&*self.tree, &run.pages()).take(PIECE - before) {
                batch.delete(row?.0);
            }
            // Fewer than there was room for: nothing is left of it.
            self.done += usize::from(batch.len() < PIECE);
        }
        self.tree.apply(&batch)?;
        Ok(self.done < self.runs.len())
    }
}
