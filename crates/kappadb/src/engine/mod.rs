//! What an open database works with, whoever asks and whatever is asked: what is held, the turn at writing, threads, the time. Nothing here knows
//! of peers, nor what a view is about.

pub(crate) mod batch;
pub(crate) mod durability;
pub(crate) mod gate;
pub(crate) mod held;
pub(crate) mod keyed;
pub(crate) mod payload;
pub(crate) mod pool;
pub(crate) mod turns;
pub(crate) mod uploads;
pub(crate) mod writers;

use crate::error::{OpenError, ReadError};
use crate::folder::derived::{self, Derived};
use crate::folder::reserve::Reserve;
use crate::folder::witness::Witness;
use crate::folder::writers::Writers;
use crate::folder::{Random, files};
use durability::Durability;
use gate::Gate;
use kappadb_core::{Clock, DatabaseId, FeedKey, Seq, Threads};
use kappadb_feed as feed;
use kappadb_feed::{DirLock, Feeds, OpenReport};
use kappadb_journal::Disk;
use kappadb_store::Store;
use kappadb_view::Views;
use payload::Wanting;
use pool::Pool;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use turns::{Turn, Turns};

/// Threads that the owner's work may have at once. Most of it is short; what takes long is an import, a check, a compaction.
const THREADS: usize = 64;

/// Threads that work for peers may have at once.
const PEERS_THREADS: usize = 16;

/// How far some long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, for people.
    pub task: &'static str,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}

pub(crate) type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What a database works with while it is open. All of its handles share one.
pub(crate) struct Engine {
    pub dir: PathBuf,
    pub id: DatabaseId,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub threads: Arc<dyn Threads>,
    progress: OnProgress,
    pub feeds: Feeds,
    pub views: Views,
    /// The names of the feeds that are written here.
    pub writers: Writers,
    /// Payloads that were asked for and lacked chunks.
    pub wanting: Wanting,
    /// How long each own feed was when the database was opened.
    begun_at: BTreeMap<FeedKey, Seq>,
    /// No part of the journal was lost to damage, as far as was seen when it was opened.
    pub sound: bool,
    /// Room held back; none where nothing is written.
    pub reserve: Option<Reserve>,
    /// Where derived data is kept.
    pub store: Arc<dyn Store>,
    /// Derived data on the disk that is not in use, for it lacked room there.
    pub idle: Option<PathBuf>,
    /// Whose turn it is to look up an entry's place among the others and to append it: two writes of one key by this replica must
    /// see each other.
    pub turns: Arc<Turns>,
    /// The threads for the owner's work.
    pub pool: Arc<Pool>,
    /// The threads for what peers want: however much that is, the owner does not wait behind it.
    pub peers_pool: Arc<Pool>,
    /// All work is done inside, whoever it is for.
    pub gate: Gate,
    /// When a write is on the disk that does not say so itself.
    pub durability: Durability,
    /// The last to go: who finds the folder free finds all in it free, the derived data too.
    lock: Arc<DirLock>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("id", &self.id).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// What it is opened with.
pub(crate) struct Opening {
    pub dir: PathBuf,
    pub id: DatabaseId,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub threads: Arc<dyn Threads>,
    /// Where derived data is kept, if not in the folder.
    pub store: Option<Arc<dyn Store>>,
    /// Where the journal is kept, if not in the folder.
    pub disk: Option<Arc<dyn Disk>>,
    pub progress: OnProgress,
    pub durability: Durability,
    /// Derived data is made anew.
    pub rebuild: bool,
    pub witness: Arc<Witness>,
    pub lock: Arc<DirLock>,
}

impl Engine {
    /// Opens what lies in a folder. Also returns what people should know of how that went, a sentence each.
    pub fn open(opening: Opening) -> Result<(Engine, Vec<String>), OpenError> {
        let Opening { dir, id, clock, random, threads, progress, durability, rebuild, witness, lock, .. } =
            opening;
        // Not before it is locked: a second process must leave everything as it is.
        files::secure(&dir)?;
        let Derived { store, in_memory, idle } = match opening.store {
            Some(store) => derived::given(store, rebuild)?,
            None => derived::open(&dir.join("derived"), rebuild, &lock)?,
        };
        // Where the journal lies elsewhere, room in the folder is of no use to it.
        let reserve = (!lock.is_read_only() && opening.disk.is_none()).then(|| Reserve::of(&dir));
        let config = feed::Config::new(&dir, store.clone(), id, random.clone());
        let config =
            feed::Config { disk: opening.disk, ..config.with_lock(lock.clone()).with_witness(witness) };
        let tell = progress.clone();
        let (feeds, report) =
            Feeds::open(config, &mut |done, total| tell(Progress { task: "reading journal", done, total }))?;
        if report.rebuilt.is_some() {
            derived::forget(&*store)?;
        }
        let writers = Writers::load(&dir)?;
        writers.find_default(&feeds);
        let pool = Arc::new(Pool::new(&threads, "kappadb-work", THREADS));
        let engine = Engine {
            dir,
            id,
            clock,
            random,
            progress,
            views: Views::with_threads(feeds.clone(), store.clone(), threads.clone()),
            writers,
            wanting: Wanting::default(),
            begun_at: uploads::lengths(&feeds),
            sound: report.damage.is_empty(),
            reserve,
            store,
            idle,
            turns: Arc::new(Turns::new(feeds.clone(), threads.clone(), pool.clone())),
            pool,
            peers_pool: Arc::new(Pool::new(&threads, "kappadb-peers", PEERS_THREADS)),
            gate: Gate::default(),
            durability,
            feeds,
            threads,
            lock,
        };
        Ok((engine, warnings(&report).chain(in_memory).collect()))
    }

    /// Ends everything, whoever holds handles. Does nothing the second time.
    pub fn close(&self) -> Result<(), ReadError> {
        // An import has the turn and is inside: it ends as it finds that there are no more turns.
        self.turns.close();
        if !self.gate.close() {
            return Ok(());
        }
        self.views.close();
        let closed = self.feeds.close();
        if let Err(error) = self.store.close() {
            // Nothing in it is lost for good.
            tracing::warn!(%error, "derived data could not be closed in order, and will be made anew");
        }
        self.lock.release();
        Ok(closed?)
    }

    /// The turn at writing, for a job that takes long; whoever can wait without blocking does ([`Turns::wait`]).
    pub fn take_turn(&self) -> Result<Turn, ReadError> {
        self.turns.take()
    }

    /// Tells how far some long work has come.
    pub fn progress(&self, task: &'static str, done: u64, total: u64) {
        (self.progress)(Progress { task, done, total });
    }
}

/// What people should know of how opening went.
fn warnings(report: &OpenReport) -> impl Iterator<Item = String> {
    // A file that was just made and nothing was written to is nobody's write.
    let cut = report.cut.iter().filter(|cut| cut.to > cut.from).map(|cut| {
        format!("the last write, of {} bytes, had not come to its end and was left out", cut.to - cut.from)
    });
    let damage = report
        .damage
        .iter()
        .filter(|_| !report.settled)
        .map(|damage| format!("the journal is damaged: {damage}; `kappa verify` says what was lost"));
    cut.chain(damage).chain(report.problems.iter().map(ToString::to_string))
}

/// What rests on the engine: each storey's state dereferences to that of the storey below.
pub(crate) trait OnEngine: Send + Sync + 'static {
    fn engine(&self) -> &Engine;
}

impl OnEngine for Engine {
    fn engine(&self) -> &Engine {
        self
    }
}

impl<T: Deref<Target: OnEngine> + Send + Sync + 'static> OnEngine for T {
    fn engine(&self) -> &Engine {
        (**self).engine()
    }
}

/// Runs blocking work where it may block.
pub(crate) async fn run<P: OnEngine, T: Send + 'static>(
    parts: &Arc<P>,
    job: impl FnOnce(&P) -> T + Send + 'static,
) -> Result<T, ReadError> {
    let (pool, parts) = (parts.engine().pool.clone(), parts.clone());
    let inside = move || {
        let _inside = parts.engine().gate.enter()?;
        Ok(job(&parts))
    };
    pool.run(inside).await?
}
