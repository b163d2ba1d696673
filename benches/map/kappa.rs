//! kappadb's map index on disk, with its upkeep in the background, as the engine of views runs it.

use kappadb_benches::timed;
use kappadb_core::GeoBox;
use kappadb_store::{Overlay, SledOptions, SledStore, Store, Tree};
use kappadb_view::{Arrived, Change, Index, Upkeep, View};
use kappadb_view_geo::{Answer, MapIndex, MapView, Query};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

const BATCH: usize = 1_000;

type Job = Box<dyn Upkeep<MapIndex>>;

/// An index in a folder of its own.
pub struct Kappa {
    _dir: tempfile::TempDir,
    store: SledStore,
    tree: Arc<dyn Tree>,
    pub index: RwLock<MapIndex>,
}

/// What keeping it took.
#[derive(Debug, Default)]
pub struct Times {
    /// Seconds until everything answered and was on disk.
    pub ingest: f64,
    /// Seconds more until all runs were merged.
    pub settle: f64,
    /// The longest time that questions had to wait, in milliseconds: for a batch, and for a merged run to be installed.
    pub batch_ms: f64,
    pub install_ms: f64,
}

impl Kappa {
    pub fn new() -> Kappa {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = SledStore::open(dir.path(), SledOptions::default()).expect("store");
        let tree = store.tree("map").expect("tree");
        let index = RwLock::new(MapView::default().open(tree.clone()).expect("index"));
        Kappa { _dir: dir, store, tree, index }
    }

    /// Takes everything in, and merges until there is nothing to merge.
    pub fn ingest(&self, arrivals: &[Arrived]) -> Times {
        let (start, mut times, mut helper) = (Instant::now(), Times::default(), None);
        for batch in arrivals.chunks(BATCH) {
            let changes: Vec<Change<'_>> = batch.iter().map(Change::Hold).collect();
            let applied = self.change(|index, rows| drop(index.apply(&changes, rows).expect("applies")));
            times.batch_ms = times.batch_ms.max(applied);
            self.keep_up(&mut helper, false, &mut times);
        }
        self.store.flush().expect("flushes");
        times.ingest = start.elapsed().as_secs_f64();
        while self.keep_up(&mut helper, true, &mut times) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        times.settle = start.elapsed().as_secs_f64() - times.ingest;
        times
    }

    /// Changes the index; gives the milliseconds for which nobody could ask.
    fn change(&self, change: impl FnOnce(&mut MapIndex, &mut Overlay<'_>)) -> f64 {
        let mut index = self.index.write().expect("whole");
        let ((), seconds) = timed(|| {
            let mut rows = Overlay::new(&*self.tree);
            change(&mut index, &mut rows);
            self.tree.apply(&rows.into_batch()).expect("commits");
        });
        seconds * 1e3
    }

    /// Installs what is finished and starts what is due; false if nothing is.
    fn keep_up(&self, helper: &mut Option<JoinHandle<Job>>, idle: bool, times: &mut Times) -> bool {
        if let Some(done) = helper.take_if(|busy| busy.is_finished()) {
            let job = done.join().expect("works");
            let installed = self.change(|index, rows| job.install(index, rows).expect("installs"));
            times.install_ms = times.install_ms.max(installed);
        }
        if helper.is_none() {
            let job = self.index.write().expect("whole").upkeep(idle);
            *helper = job.map(|mut job| {
                std::thread::spawn(move || {
                    while job.work().expect("works") {}
                    job
                })
            });
        }
        helper.is_some()
    }

    pub fn query(&self, extent: &GeoBox, query: &Query) -> Answer {
        self.index.read().expect("whole").query(&(*extent).into(), query).expect("answers")
    }

    /// Seconds to open it once more.
    pub fn reopen(&self) -> f64 {
        timed(|| MapView::default().open(self.tree.clone()).expect("opens")).1
    }
}
