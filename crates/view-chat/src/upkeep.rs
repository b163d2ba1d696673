//! Work in the background: merging, and words.

use crate::index::ChatIndex;
use crate::words::{Build, MergeWords};
use kappadb_store::Overlay;
use kappadb_view::packed::unless_full;
use kappadb_view::{Upkeep, ViewError};

type Due = Option<Box<dyn Upkeep<ChatIndex>>>;

/// What is to be done next, if anything. Each sort of work has its turn: while much arrives there is always some of each.
pub fn due(index: &mut ChatIndex, idle: bool) -> Due {
    const SORTS: [fn(&mut ChatIndex, bool) -> Due; 5] = [
        |index, idle| index.shelf.upkeep(idle, |index: &mut ChatIndex| &mut index.shelf),
        |index, idle| Job::begin(index.lexicon.build(idle).map(Job::Build)),
        |index, idle| Job::begin(index.lexicon.merge(idle).map(Job::Merge)),
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
    Build(Build),
    Merge(MergeWords),
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
        let done = match self {
            Job::Build(build) => build.work(),
            Job::Merge(merge) => merge.work(),
            Job::Tidy => Ok(false),
        };
        // On a full disk it is left as it is, and tried again when something comes.
        Ok(unless_full(done)?.unwrap_or(false))
    }

    fn install(self: Box<Self>, index: &mut ChatIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        match *self {
            Job::Build(build) => index.lexicon.built(build, rows),
            Job::Merge(merge) => index.lexicon.merged(merge, rows),
            Job::Tidy => index.named.tidy(rows),
        }
        Ok(())
    }
}
