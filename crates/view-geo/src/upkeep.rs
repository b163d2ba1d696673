//! Work in the background: merging and sweeping, of boxes, of references and of keys.

use crate::MapIndex;
use kappadb_store::Overlay;
use kappadb_view::{Upkeep, ViewError, packed};

type Job = Box<dyn Upkeep<MapIndex>>;

/// What is to be done next, if anything. Each sort of work has its turn: while much arrives there is always some of each.
pub fn due(index: &mut MapIndex, idle: bool) -> Option<Job> {
    const SORTS: [fn(&mut MapIndex, bool) -> Option<Job>; 5] = [
        |index, _| Some(Box::new(index.space.sweep(&index.tree)?)),
        |index, idle| Some(Box::new(index.space.merge(&index.tree, idle)?)),
        |index, _| Some(Box::new(SweepRefs(index.refs.sweep(&index.tree)?))),
        |index, idle| Some(Box::new(MergeRefs(index.refs.due(idle)?))),
        |index, idle| index.keyed.upkeep(idle, |index| &mut index.keyed),
    ];
    for turn in 1..=SORTS.len() {
        let turn = (index.turn + turn) % SORTS.len();
        if let Some(job) = SORTS.get(turn).and_then(|sort| sort(index, idle)) {
            index.turn = turn;
            return Some(job);
        }
    }
    None
}

struct MergeRefs(packed::Merge);

impl Upkeep<MapIndex> for MergeRefs {
    fn work(&mut self) -> Result<bool, ViewError> {
        self.0.work()
    }

    fn install(self: Box<Self>, index: &mut MapIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        index.refs.install(self.0, rows);
        Ok(())
    }
}

struct SweepRefs(packed::Sweep);

impl Upkeep<MapIndex> for SweepRefs {
    fn work(&mut self) -> Result<bool, ViewError> {
        self.0.work()
    }

    fn install(self: Box<Self>, index: &mut MapIndex, _: &mut Overlay<'_>) -> Result<(), ViewError> {
        index.refs.swept(&self.0);
        Ok(())
    }
}
