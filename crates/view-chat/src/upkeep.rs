//! Work in the background: merging, words, sweeping.

use crate::index::ChatIndex;
use crate::packed::{Merge, RunId, Shelf, number_of};
use crate::rows::{AREAS, DOCS, ENTRIES, WORDS};
use crate::words::{Build, Lexicon, MergeWords};
use kappadb_store::{Batch, Overlay, Tree, prefix_range};
use kappadb_view::{Upkeep, ViewError};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Rows removed in one piece of the work.
const PIECE: usize = 512;

/// Runs that have pages and do not count: they were merged, or never finished.
#[derive(Debug, Default)]
pub struct Leftovers(BTreeSet<RunId>);

impl Leftovers {
    /// Reads one row a run.
    pub fn find(tree: &dyn Tree, shelf: &Shelf, lexicon: &Lexicon) -> Result<Leftovers, ViewError> {
        let living = |area: u8, number: u64| match area {
            ENTRIES => shelf.runs().iter().any(|run| run.number == number),
            _ => lexicon.segments().iter().any(|run| run.number == number),
        };
        let mut left = BTreeSet::new();
        for area in AREAS {
            let (mut from, end) = (Some(0), RunId { area: area + 1, number: 0 }.pages());
            while let Some(number) = from {
                let first = RunId { area, number }.pages();
                let row = tree.range(Bound::Included(&first), Bound::Excluded(&end)).next().transpose()?;
                let Some(found) = row.and_then(|(key, _)| number_of(&key)) else { break };
                if !living(area, found) {
                    left.insert(RunId { area, number: found });
                }
                from = found.checked_add(1);
            }
        }
        Ok(Leftovers(left))
    }

    fn add(&mut self, areas: &[u8], numbers: &[u64]) {
        let ids =
            areas.iter().flat_map(|area| numbers.iter().map(|number| RunId { area: *area, number: *number }));
        self.0.extend(ids);
    }
}

/// What is to be done next, if anything.
pub fn due(index: &mut ChatIndex, idle: bool) -> Option<Box<dyn Upkeep<ChatIndex>>> {
    let job = if let Some(run) = index.leftovers.0.first() {
        Job::Sweep(Sweep { tree: index.tree.clone(), run: *run })
    } else if let Some(merge) = index.shelf.due(idle) {
        Job::Merge(merge)
    } else if let Some(build) = index.lexicon.build(idle) {
        Job::Build(build)
    } else {
        Job::MergeWords(index.lexicon.merge(idle)?)
    };
    Some(Box::new(job))
}

enum Job {
    Sweep(Sweep),
    Merge(Merge),
    Build(Build),
    MergeWords(MergeWords),
}

impl Upkeep<ChatIndex> for Job {
    fn work(&mut self) -> Result<bool, ViewError> {
        match self {
            Job::Sweep(sweep) => sweep.work(),
            Job::Merge(merge) => merge.work(),
            Job::Build(build) => build.work(),
            Job::MergeWords(merge) => merge.work(),
        }
    }

    fn install(self: Box<Self>, index: &mut ChatIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        match *self {
            Job::Sweep(sweep) => {
                index.leftovers.0.remove(&sweep.run);
            }
            Job::Merge(merge) => {
                index.leftovers.add(&[ENTRIES], merge.origins());
                index.shelf.install(merge, rows);
            }
            Job::Build(build) => index.lexicon.built(&build, rows),
            Job::MergeWords(merge) => {
                index.leftovers.add(&[DOCS, WORDS], &merge.origins);
                index.lexicon.merged(&merge, rows);
            }
        }
        Ok(())
    }
}

/// Removes the pages of a run.
struct Sweep {
    tree: Arc<dyn Tree>,
    run: RunId,
}

impl Sweep {
    fn work(&mut self) -> Result<bool, ViewError> {
        let mut batch = Batch::new();
        for row in prefix_range(&*self.tree, &self.run.pages()).take(PIECE) {
            batch.delete(row?.0);
        }
        self.tree.apply(&batch)?;
        Ok(batch.len() == PIECE)
    }
}
