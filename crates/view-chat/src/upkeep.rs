//! Work in the background: merging, words, sweeping.

use crate::index::ChatIndex;
use crate::words::{Build, MergeWords, docs_of, words_of};
use kappadb_store::Overlay;
use kappadb_view::packed::{Merge, Sweep};
use kappadb_view::{Upkeep, ViewError};

type Due = Option<Box<dyn Upkeep<ChatIndex>>>;

/// What is to be done next, if anything. Each sort of work has its turn: while much arrives there is always some of each.
pub fn due(index: &mut ChatIndex, idle: bool) -> Due {
    const SORTS: [fn(&mut ChatIndex, bool) -> Due; 6] = [
        |index, idle| Job::begin(index.shelf.due(idle).map(Job::Merge)),
        |index, idle| Job::begin(index.lexicon.build(idle).map(Job::Build)),
        |index, idle| Job::begin(index.lexicon.merge(idle).map(Job::MergeWords)),
        |index, _| Job::begin(index.leftovers.sweep(&index.tree).map(Job::Sweep)),
        |index, idle| index.state.upkeep(idle),
        |index, _| Job::begin(index.named.is_done().then_some(Job::Tidy)),
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

enum Job {
    Sweep(Sweep),
    Merge(Merge),
    Build(Build),
    MergeWords(MergeWords),
    /// Rows of what was seen to be erased.
    Tidy,
}

impl Job {
    fn begin(job: Option<Job>) -> Due {
        job.map(|job| Box::new(job) as _)
    }
}

impl Upkeep<ChatIndex> for Job {
    fn work(&mut self) -> Result<bool, ViewError> {
        match self {
            Job::Sweep(sweep) => sweep.work(),
            Job::Merge(merge) => merge.work(),
            Job::Build(build) => build.work(),
            Job::MergeWords(merge) => merge.work(),
            Job::Tidy => Ok(false),
        }
    }

    fn install(self: Box<Self>, index: &mut ChatIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        match *self {
            Job::Sweep(sweep) => index.leftovers.swept(&sweep),
            Job::Merge(merge) => {
                index.leftovers.add(merge.origins());
                index.shelf.install(merge, rows);
            }
            Job::Tidy => index.named.tidy(rows),
            Job::Build(build) => index.lexicon.built(&build, rows),
            Job::MergeWords(merge) => {
                index
                    .leftovers
                    .add(merge.origins.iter().flat_map(|segment| [docs_of(*segment), words_of(*segment)]));
                index.lexicon.merged(&merge, rows);
            }
        }
        Ok(())
    }
}
