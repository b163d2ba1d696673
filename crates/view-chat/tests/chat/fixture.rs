//! An index with its tree.

use kappadb_core::{EntryId, FeedKey};
use kappadb_query::Selector;
use kappadb_store::{MemoryStore, Overlay, Store, Tree, prefix_range};
use kappadb_view::packed::{Area, Run, load_runs};
use kappadb_view::{Arrived, Change, Index, Upkeep, View};
use kappadb_view_chat::{ChatIndex, ChatView};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Small, so that a few entries make runs that are merged.
const FEW: u64 = 6;
const TEXTS: usize = 600;

pub struct Fixture {
    pub index: ChatIndex,
    tree: Arc<dyn Tree>,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::over(MemoryStore::new().tree("chat").unwrap())
    }

    fn over(tree: Arc<dyn Tree>) -> Fixture {
        let view = ChatView::default().with_sizes(FEW, TEXTS);
        Fixture { index: view.open(tree.clone()).unwrap(), tree }
    }

    /// With these held, in one batch.
    pub fn of<'a>(held: impl IntoIterator<Item = &'a Arrived>) -> Fixture {
        let mut fixture = Fixture::new();
        fixture.apply(&held.into_iter().map(Change::Hold).collect::<Vec<_>>());
        fixture
    }

    pub fn apply(&mut self, changes: &[Change<'_>]) {
        let mut rows = Overlay::new(&*self.tree);
        self.index.apply(changes, &mut rows).unwrap();
        self.tree.apply(&rows.into_batch()).unwrap();
    }

    /// As after a crash or a clean end: what was being done in the background is lost.
    pub fn reopen(self) -> Fixture {
        Fixture::over(self.tree)
    }

    /// Begins the next work in the background, if there is any.
    pub fn begin(&mut self, idle: bool) -> Option<Box<dyn Upkeep<ChatIndex>>> {
        self.index.upkeep(idle)
    }

    pub fn install(&mut self, job: Box<dyn Upkeep<ChatIndex>>) {
        let mut rows = Overlay::new(&*self.tree);
        job.install(&mut self.index, &mut rows).unwrap();
        self.tree.apply(&rows.into_batch()).unwrap();
    }

    /// Does all work that there is.
    pub fn settle(&mut self, idle: bool) {
        while let Some(mut job) = self.begin(idle) {
            while job.work().unwrap() {}
            self.install(job);
        }
    }

    /// True if any row has these bytes, of the tree or of a run.
    pub fn has(&self, wanted: &str) -> bool {
        let mut rows = prefix_range(&*self.tree, &[]).map(Result::unwrap);
        let within = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
        rows.any(|(key, value)| within(&key) || within(&value)) || self.runs_have(within)
    }

    fn runs_have(&self, within: impl Fn(&[u8]) -> bool) -> bool {
        let areas = (0..3).map(|sort| Area { prefix: 2, sort });
        let runs: Vec<Run> = areas.flat_map(|area| load_runs(&*self.tree, area).unwrap().0).collect();
        let mut found = false;
        for run in runs {
            let mut rows = run.range(&[], None, false).unwrap();
            while rows.advance().unwrap() {
                found |= within(rows.key()) || within(rows.value().unwrap());
            }
        }
        found
    }

    pub fn matches(&self, selector: &Selector) -> Vec<EntryId> {
        self.matches_without(selector, &BTreeSet::new())
    }

    pub fn matches_without(&self, selector: &Selector, dropped: &BTreeSet<FeedKey>) -> Vec<EntryId> {
        self.index.matches(selector, dropped).unwrap()
    }
}
