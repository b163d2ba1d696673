use crate::builder::{Builder, BuiltIn, OnProgress, Progress, Random};
use crate::engine::durability::Durability;
use crate::engine::gate::Gate;
use crate::engine::payload::Wanting;
use crate::engine::pool::Pool;
use crate::engine::turns::{Turn, Turns};
use crate::engine::uploads;
use crate::error::{OpenError, ReadError, WriteError};
use crate::folder::callers::Callers;
use crate::folder::derived::{self, Derived};
use crate::folder::files;
use crate::folder::listen::ListenFile;
use crate::folder::markers::Markers;
use crate::folder::peers::Peers;
use crate::folder::replica::{self, Replica};
use crate::folder::reserve::Reserve;
use crate::folder::trust::TrustFile;
use crate::folder::witness::Witness;
use crate::folder::writers::{self, Writers};
use crate::jobs::status::Status;
use crate::network::claims::{Book, Here};
use crate::network::clocks::Clocks;
use crate::network::forks::LateForks;
use crate::node::Follows;
use crate::network::liars::Liars;
use crate::network::links::Links;
use crate::network::own::{self, Own};
use crate::network::standing::Standing;
use crate::views::blobs::BlobView;
use crate::views::chat::{Chat, Pins, Recent};
use crate::views::kv::Kv;
use crate::views::map::Map;
use crate::write::Write;
use kappadb_core::{Clock, DatabaseId, FeedKey, Seq, Timestamp};
use kappadb_feed::{self as feed, DirLock, Feeds, OpenReport};
use kappadb_net::{Access, Allowance, Credentials, Identity};
use kappadb_store::Store;
use kappadb_view::{View, ViewError, ViewHandle, Views};
use kappadb_view_chat::ChatView;
use kappadb_view_geo::MapView;
use kappadb_view_kv::KvView;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Threads that the owner's work may have at once. Most of it is short; what takes long is an import, a check, a compaction.
const THREADS: usize = 64;

/// Threads that work for peers may have at once.
const PEERS_THREADS: usize = 16;

/// A replica of a database, open. Clones are handles to the same one.
///
/// All methods may be called from any task; blocking work runs on threads of the database's own. When the last
/// handle goes, what was promised durable is durable; [`Database::close`] also leaves a clean end, so that the next
/// opening is quick.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) parts: Arc<Parts>,
}

/// What an open database consists of; the blocking side. Those of handles that write under other names share everything else.
#[derive(Clone)]
pub(crate) struct Parts {
    pub dir: PathBuf,
    pub id: DatabaseId,
    pub access: Access,
    pub identity: Identity,
    pub peers: Arc<Peers>,
    /// Where it listens when it serves.
    pub listen: Arc<ListenFile>,
    /// What a peer may take of this replica when it is asked.
    pub allowance: Allowance,
    pub clock: Arc<dyn Clock>,
    pub progress: OnProgress,
    pub feeds: Feeds,
    pub views: Views,
    pub map: ViewHandle<MapView>,
    pub kv: ViewHandle<KvView>,
    pub chat: ViewHandle<ChatView>,
    pub blobs: ViewHandle<BlobView>,
    /// Who names what was not written yet.
    pub liars: ViewHandle<Liars>,
    pub warnings: Vec<String>,
    /// How it stands with the feeds that are written here.
    pub own: Arc<Own>,
    pub wanting: Arc<Wanting>,
    /// How long each own feed was when the database was opened.
    pub begun_at: BTreeMap<FeedKey, Seq>,
    /// What earlier answers have shown.
    pub claims: Arc<Book>,
    /// What answers from here alone rest on.
    pub here: Arc<Here>,
    /// No part of the journal was lost to damage, as far as was seen when it was opened.
    pub sound: bool,
    /// The forks that mattered last.
    pub late_forks: Arc<LateForks>,
    pub writers: Arc<Writers>,
    /// Whose moderation is applied.
    pub trust: Arc<TrustFile>,
    /// Fills bytes at random.
    pub random: Random,
    /// How far each channel was read.
    pub markers: Arc<Markers>,
    /// Whom names stand for here.
    pub pins: Arc<Pins>,
    /// What was read of chat lately.
    pub recent: Arc<Recent>,
    /// What the clocks of peers showed.
    pub clocks: Arc<Clocks>,
    /// Who called.
    pub callers: Arc<Callers>,
    /// The name under which this handle writes.
    pub name: Arc<str>,
    /// Room held back; none where nothing is written.
    pub reserve: Option<Arc<Reserve>>,
    /// Where derived data is kept.
    store: Arc<dyn Store>,
    /// Derived data on the disk that is not in use, for it lacked room there.
    pub idle: Option<PathBuf>,
    /// Whose turn it is to look up an entry's place among the others and to append it: two writes of one key by this replica must
    /// see each other.
    pub turns: Arc<Turns>,
    /// The threads for the owner's work.
    pub pool: Arc<Pool>,
    /// All work is done inside, whoever it is for.
    pub gate: Arc<Gate>,
    /// The threads for what peers want: however much that is, the owner does not wait behind it.
    pub peers_pool: Arc<Pool>,
    /// The sessions with peers.
    pub links: Arc<Links>,
    /// What is followed whenever this replica serves.
    pub follows: Arc<Follows>,
    /// What peers asked live.
    pub standing: Arc<Standing>,
    /// When a write is on the disk that does not say so itself.
    pub durability: Durability,
    /// The parts that these were made from, kept so that a server lives as long as any handle.
    root: Option<Arc<Parts>>,
    /// The last to go: who finds the folder free finds all in it free, the derived data too.
    lock: Arc<DirLock>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("id", &self.id).field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Parts {
    /// Derived data that turns out to be odd only when it is used is made anew, too.
    pub(crate) fn open(builder: Builder) -> Result<Parts, OpenError> {
        match Parts::try_open(builder.clone()) {
            Err(error) if error.wants_rebuild() && !builder.rebuild => Parts::try_open(builder.rebuild()),
            opened => opened,
        }
    }

    fn try_open(builder: Builder) -> Result<Parts, OpenError> {
        let Builder {
            dir,
            clock,
            random,
            progress,
            warned,
            rebuild,
            state,
            allowance,
            durability,
            locking,
            views: run,
            lock,
            made: _,
        } = builder;
        let replica = replica::load(&dir)?;
        let peers = Arc::new(replica.peers(&dir)?);
        let Replica { database, access, identity, trusted } = replica;
        // Before anything is wiped or written: a second process must leave everything as it is.
        let lock = lock.map_or_else(|| feed::lock(&dir, &locking).map(Arc::new), Ok)?;
        files::secure(&dir)?;
        let Derived { store, in_memory, idle } = derived::open(&dir.join("derived"), rebuild, &lock)?;
        let reserve = (!lock.is_read_only()).then(|| Arc::new(Reserve::of(&dir)));
        let witness = Arc::new(Witness::new(&dir, state, random.clone()));
        let config = feed::Config::new(&dir, store.clone(), database, random.clone())
            .with_lock(lock.clone())
            .with_witness(witness.clone());
        let tell = progress.clone();
        let (feeds, report) =
            Feeds::open(config, &mut |done, total| tell(Progress { task: "reading journal", done, total }))?;
        if report.rebuilt.is_some() {
            derived::forget(&*store)?;
        }
        let begun_at = uploads::lengths(&feeds);
        let claims = Arc::new(Book::new(store.clone()));
        let views = Views::new(feeds.clone(), store.clone());
        let map = register(&views, MapView::default(), run.contains(&BuiltIn::Map))?;
        let kv = register(&views, KvView, run.contains(&BuiltIn::Kv))?;
        let chat = register(&views, ChatView::default(), run.contains(&BuiltIn::Chat))?;
        let blobs = register(&views, BlobView, run.contains(&BuiltIn::Blobs))?;
        let liars = views.register(Liars::new(&feeds))?;
        let writers = Arc::new(Writers::load(&dir)?);
        writers.find_default(&feeds);
        let trust = Arc::new(TrustFile::new(&dir, trusted));
        let markers = Arc::new(Markers::load(&dir)?);
        let pins = Arc::new(Pins::load(&dir)?);
        let listen = Arc::new(ListenFile::load(&dir)?);
        let callers = Arc::new(Callers::load(&dir, clock.clone()));
        let identity = Identity::new(identity);
        let pool = Arc::new(Pool::new("kappadb-work", THREADS));
        let peers_pool = Arc::new(Pool::new("kappadb-peers", PEERS_THREADS));
        let mut seed = [0; 8];
        random(&mut seed);
        let follows = Arc::new(Follows::load(&dir)?);
        let links = Links::new(identity.public(), u64::from_le_bytes(seed));
        Ok(Parts {
            dir,
            id: database,
            access,
            identity,
            peers,
            listen,
            allowance,
            clock,
            progress,
            views,
            map,
            kv,
            chat,
            blobs,
            liars,
            warnings: warnings(&report).chain(in_memory).collect(),
            own: Arc::new(Own::new(witness, warned)),
            wanting: Arc::default(),
            begun_at,
            claims,
            here: Arc::default(),
            sound: report.damage.is_empty(),
            late_forks: Arc::default(),
            writers,
            trust,
            markers,
            pins,
            recent: Arc::default(),
            clocks: Arc::default(),
            callers,
            random,
            name: writers::DEFAULT.into(),
            reserve,
            store,
            idle,
            turns: Arc::new(Turns::new(feeds.clone(), pool.clone())),
            pool,
            gate: Arc::default(),
            links,
            follows,
            standing: Standing::new(&feeds, &peers_pool),
            peers_pool,
            durability,
            feeds,
            root: None,
            lock,
        })
    }

    /// Ends everything, whoever holds handles. Does nothing the second time.
    fn close(&self) -> Result<(), ReadError> {
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

    /// The parts that all handles have in common.
    pub(crate) fn root(self: &Arc<Self>) -> Arc<Parts> {
        self.root.as_ref().unwrap_or(self).clone()
    }

    /// The same for a handle that writes under this name.
    pub(crate) fn named(self: &Arc<Self>, name: &str) -> Parts {
        Parts { name: name.into(), root: Some(self.root()), ..Parts::clone(self) }
    }

    /// What is shown to whoever is met.
    pub(crate) fn credentials(&self) -> Credentials {
        let clock = Some(self.clock.clone());
        Credentials { clock, ..Credentials::new(self.access.clone(), self.identity.clone()) }
    }

    /// The turn at writing, for a job that takes long; whoever can wait without blocking does ([`run_in_turn`]).
    pub(crate) fn take_turn(&self) -> Result<Turn, ReadError> {
        self.turns.take()
    }

    pub(crate) fn progress(&self, task: &'static str, done: u64, total: u64) {
        (self.progress)(Progress { task, done, total });
    }
}

fn register<V: View>(views: &Views, view: V, runs: bool) -> Result<ViewHandle<V>, ViewError> {
    if runs { views.register(view) } else { Ok(views.absent(view)) }
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

impl Database {
    /// Says how to make or open the database in `dir`.
    pub fn builder(dir: impl AsRef<Path>) -> Builder {
        Builder::new(dir)
    }

    /// The database's name, the same for all of its replicas.
    pub fn id(&self) -> DatabaseId {
        self.parts.id
    }

    /// What was noticed when the database was opened and people should know: an unfinished write that was cut off,
    /// damage; that the folder may be a copy of one that is written elsewhere, and what is done about it. And what became of feeds
    /// written here: forks, that peers know more of them, and who names entries of them that were not written yet. A sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let parts = &self.parts;
        let of_feeds = parts.own_warnings().into_iter().chain(parts.fork_warnings());
        parts.warnings.iter().cloned().chain(of_feeds).chain(parts.lie_warnings()).collect()
    }

    /// The time, by the clock that it was opened with: what a view is asked with for which time matters.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Keys and values.
    pub fn kv(&self) -> Kv {
        Kv::new(self.parts.clone())
    }

    /// Messages in channels.
    pub fn chat(&self) -> Chat {
        Chat::new(self.parts.clone())
    }

    /// Map features.
    pub fn map(&self) -> Map {
        Map::new(self.parts.clone())
    }

    /// The feed that this handle writes; made if there is none yet.
    pub fn writer(&self) -> Write<FeedKey, WriteError> {
        Write::shared(&self.parts, |parts, _| parts.writer())
    }

    /// Adds a view of your own. It is brought up to date in the background; `ready` of its handle waits for that.
    pub async fn view<V: View>(&self, view: V) -> Result<ViewHandle<V>, ReadError> {
        Ok(self.run(move |parts| parts.views.register(view)).await??)
    }

    /// Puts on the disk all that was written before and is not there yet ([`Durability`]).
    ///
    /// # Errors
    /// If the disk does not take it: then nothing more is written until the database is opened again.
    pub async fn sync(&self) -> Result<(), WriteError> {
        Ok(self.run(|parts| parts.feeds.settle()).await?.map_err(ReadError::from)?)
    }

    /// Waits until every view has indexed all that is held now. No question needs it: each waits for its own view.
    ///
    /// # Errors
    /// The first view's that fails or does not go forward, once the others are ready.
    pub async fn ready(&self) -> Result<(), ReadError> {
        Ok(self.run(|parts| parts.views.all_ready()).await??)
    }

    /// Makes a view anew from the log, or all, and waits for it. What is there answers until the new rows have caught up.
    ///
    /// Dropped before it ends, the work goes on all the same.
    ///
    /// # Errors
    /// [`ReadError::View`] for a view that is not there, or that fails.
    pub async fn rebuild(&self, view: Option<&str>) -> Result<(), ReadError> {
        let view = view.map(str::to_owned);
        Ok(self.run(move |parts| parts.views.rebuild(view.as_deref())).await??)
    }

    /// What this replica holds.
    pub async fn status(&self) -> Result<Status, ReadError> {
        self.run(Status::of).await?
    }

    /// Checks every hash, signature, checksum and index. Returns what is wrong, a sentence each; empty if all is well.
    pub async fn verify(&self) -> Result<Vec<String>, ReadError> {
        self.run(|parts| {
            let problems = parts.feeds.verify(&mut |done, total| parts.progress("verifying", done, total))?;
            let mut problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.extend(parts.views.verify()?);
            problems.extend(parts.lie_warnings());
            Ok(problems)
        })
        .await?
    }

    /// Ends everything in order, whoever holds handles: what is under way ends, indexers stop, all is durable, the journal gets its clean end,
    /// and the folder is free. From then on every handle, and every peer of a server that still runs, is told that it is closed
    /// ([`ReadError::Closed`]); closing again does nothing.
    ///
    /// An import or another long write ends between two batches; a long reading (a check, an export) is waited for. If this is dropped, the database closes all the same.
    ///
    /// # Errors
    /// If the journal could not be given its clean end. It is closed all the same, and the next opening looks through it.
    pub async fn close(self) -> Result<(), ReadError> {
        self.parts.links.close().await;
        // Not on the database's own threads: what is done there is waited for.
        let parts = self.parts;
        tokio::task::spawn_blocking(move || parts.close()).await?
    }

    /// Runs blocking work where it may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        run(&self.parts, job).await
    }
}

/// Runs blocking work that may append, once it is known that this replica may.
pub(crate) async fn run_writing<T: Send + 'static>(
    parts: &Arc<Parts>,
    job: impl FnOnce(&Parts) -> T + Send + 'static,
) -> Result<T, WriteError> {
    own::make_sure(parts).await?;
    Ok(run(parts, job).await?)
}

/// Runs blocking work that has the turn at writing for itself, once it is known that this replica may append. The turn is waited for in a task of
/// its own: if it were given to whoever is not polled any more, all other writes would wait for him.
pub(crate) async fn run_in_turn<T: Send + 'static>(
    parts: &Arc<Parts>,
    job: impl FnOnce(&Parts, Turn) -> T + Send + 'static,
) -> Result<T, WriteError> {
    own::make_sure(parts).await?;
    let (parts, mut work) = (parts.clone(), JoinSet::new());
    work.spawn(async move {
        let turn = parts.turns.wait().await?;
        run(&parts, move |parts| job(parts, turn)).await
    });
    Ok(work.join_next().await.unwrap_or(Ok(Err(ReadError::Closed))).map_err(ReadError::from)??)
}

/// Runs blocking work on `parts` where it may block.
pub(crate) async fn run<T: Send + 'static>(
    parts: &Arc<Parts>,
    job: impl FnOnce(&Parts) -> T + Send + 'static,
) -> Result<T, ReadError> {
    let (pool, parts) = (parts.pool.clone(), parts.clone());
    let inside = move || {
        let _inside = parts.gate.enter()?;
        Ok(job(&parts))
    };
    pool.run(inside).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_write_is_on_the_disk_when_it_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
        let database = builder().durability(Durability::Buffered).create().await.unwrap();
        let (kv, feeds) = (database.kv(), database.parts.feeds.clone());
        kv.put("buffered", "value").await.unwrap();
        assert!(!feeds.is_settled());
        assert!(kv.get("buffered").await.unwrap().one().is_some(), "it is read at once");
        kv.put("now", "value").durability(Durability::Now).await.unwrap();
        assert!(feeds.is_settled());
        kv.put("buffered", "other").await.unwrap();
        assert!(!feeds.is_settled());
        database.sync().await.unwrap();
        assert!(feeds.is_settled());
        kv.put("interval", "value").durability(Durability::Interval(Duration::from_secs(1))).await.unwrap();
        kv.put("sooner", "value").durability(Durability::Interval(Duration::from_millis(50))).await.unwrap();
        for _ in 0..6_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if feeds.is_settled() {
                break;
            }
        }
        assert!(feeds.is_settled(), "the interval has passed long ago");
        // Whoever is told of it must not see it go.
        kv.put("asked for", "value").await.unwrap();
        assert!(!feeds.is_settled());
        let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let part = Database::builder(dir.path().join("part")).state(dir.path().join("part state"));
        let part = part.durability(Durability::Buffered).join(&server.ticket()).await.unwrap();
        part.kv().put("theirs", "value").await.unwrap();
        assert!(!part.parts.feeds.is_settled());
        let _ = part.ask("kv", crate::view::Selector::Everything).from(crate::Source::Peers).await.unwrap();
        assert!(feeds.is_settled() && part.parts.feeds.is_settled());
        assert!(part.kv().get("asked for").await.unwrap().one().is_some());
        kv.put("last", "value").await.unwrap();
        server.stop().await;
        drop((feeds, kv));
        database.close().await.unwrap();
        let database = builder().wait(Duration::from_secs(60)).open().await.unwrap();
        assert!(database.kv().get("last").await.unwrap().one().is_some());
        assert_eq!(database.verify().await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_told_and_is_not_that_the_database_was_closed() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path()).create().await.unwrap();
        let error = database.run(|_| assert_eq!(1, 2, "one and one")).await.unwrap_err();
        assert!(matches!(&error, ReadError::Panicked(text) if text.contains("one and one")), "{error}");
        assert!(database.kv().get("x").await.unwrap().one().is_none(), "and others go on");
    }
}
