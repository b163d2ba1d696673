//! Work in the background: merging of boxes, of references and of keys.

use crate::MapIndex;
use kappadb_view::Upkeep;

type Job = Box<dyn Upkeep<MapIndex>>;

/// What is to be done next, if anything. Each sort of work has its turn: while much arrives there is always some of each.
pub fn due(index: &mut MapIndex, idle: bool) -> Option<Job> {
    const SORTS: [fn(&mut MapIndex, bool) -> Option<Job>; 3] = [
        |index, idle| Some(Box::new(index.space.merge(&index.tree, idle)?)),
        |index, idle| index.refs.table.upkeep(idle, |index: &mut MapIndex| &mut index.refs.table),
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
