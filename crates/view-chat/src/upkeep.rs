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

    fn sweep(&self, tree: &Arc<dyn Tree>) -> Option<Sweep> {
        let runs: Vec<RunId> = self.0.iter().copied().collect();
        (!runs.is_empty()).then(|| Sweep { tree: tree.clone(), runs, done: 0 })
    }

    fn add(&mut self, areas: &[u8], numbers: &[u64]) {
        let ids =
            areas.iter().flat_map(|area| numbers.iter().map(|number| RunId { area: *area, number: *number }));
        self.0.extend(ids);
    }
}

/// What is to be done next, if anything. Each sort of work has its turn: while much arrives there is always some of each.
pub fn due(index: &mut ChatIndex, idle: bool) -> Option<Box<dyn Upkeep<ChatIndex>>> {
    const SORTS: [fn(&mut ChatIndex, bool) -> Option<Job>; 4] = [
        |index, idle| index.shelf.due(idle).map(Job::Merge),
        |index, idle| index.lexicon.build(idle).map(Job::Build),
        |index, idle| index.lexicon.merge(idle).map(Job::MergeWords),
        |index, _| index.leftovers.sweep(&index.tree).map(Job::Sweep),
    ];
    for turn in 1..=SORTS.len() {
        let turn = (index.turn + turn) % SORTS.len();
        if let Some(job) = SORTS.get(turn).and_then(|sort| sort(index, idle)) {
            index.turn = turn;
            return Some(Box::new(job));
        }
    }
    None
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
            Job::Sweep(sweep) => index.leftovers.0.retain(|run| !sweep.runs.contains(run)),
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

/// Removes the pages of runs.
struct Sweep {
    tree: Arc<dyn Tree>,
    runs: Vec<RunId>,
    /// How many are done.
    done: usize,
}

impl Sweep {
    fn work(&mut self) -> Result<bool, ViewError> {
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
