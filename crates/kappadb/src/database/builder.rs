use super::Database;
use crate::engine::durability::Durability;
use crate::engine::pool::aside;
use crate::engine::{OnProgress, Progress};
use crate::error::{CreateError, OpenError, WriteError};
use crate::folder::files::Before;
use crate::folder::listen::Listen;
use crate::folder::replica::{self, Replica};
use crate::folder::trust::Trusted;
use crate::folder::{Random, witness};
use crate::network::{OnWarning, patient};
use crate::views::BuiltIn;
use kappadb_core::{Clock, DatabaseId, SecretKey, Threads, Timestamp, limits};
use kappadb_feed::{DirLock, Locking};
use kappadb_journal::Disk;
use kappadb_net::transport::Transport;
use kappadb_net::{Access, AccessKey, Allowance, Tcp, Ticket};
use kappadb_store::Store;
use kappadb_view::SystemThreads;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Says how a database is made or opened. Every setting has a default.
#[must_use]
#[derive(Clone)]
pub struct Builder {
    pub(super) dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Random,
    pub(super) threads: Arc<dyn Threads>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) disk: Option<Arc<dyn Disk>>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) progress: OnProgress,
    pub(super) warned: OnWarning,
    pub(super) rebuild: bool,
    pub(super) state: Option<PathBuf>,
    pub(super) durability: Durability,
    pub(super) allowance: Allowance,
    pub(super) locking: Locking,
    pub(super) views: BTreeSet<BuiltIn>,
    pub(super) introductions: bool,
    /// Held already, by whoever made the folder.
    pub(super) lock: Option<Arc<DirLock>>,
    /// What was there before the folder was made.
    pub(super) made: Option<Before>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("dir", &self.dir).finish_non_exhaustive()
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[expect(
    clippy::expect_used,
    reason = "a system without randomness can make no key; there is nothing to go on with"
)]
fn system_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system's random generator");
}

/// For how long a peer may let a question wait if nothing else is said ([`Builder::patience`]): what `KAPPA_PATIENCE` in the environment says, or
/// 2 s.
pub fn usual_patience() -> Duration {
    let set = std::env::var("KAPPA_PATIENCE").ok().and_then(|text| text.parse::<f32>().ok());
    let set = set.and_then(|seconds| Duration::try_from_secs_f32(seconds).ok());
    set.filter(|patience| !patience.is_zero()).unwrap_or(Duration::from_millis(limits::PATIENCE_MS))
}

/// Writes down who made the database.
async fn found(database: &Database) -> Result<(), CreateError> {
    // Who joins by its tickets trusts its founder; that is the reader's to change.
    let admins = [database.writer().await?].into();
    let trusted = Trusted { admins, ..Trusted::default() };
    let file =
        database.run(move |parts| parts.trust.set(trusted).map_err(|source| (parts.dir.clone(), source)));
    file.await.map_err(WriteError::from)?.map_err(|(dir, source)| CreateError::Io { dir, source })
}

impl Builder {
    pub(super) fn new(dir: impl AsRef<Path>) -> Self {
        Builder {
            dir: dir.as_ref().to_owned(),
            clock: Arc::new(SystemClock),
            random: Arc::new(system_random),
            threads: Arc::new(SystemThreads),
            store: None,
            disk: None,
            transport: Arc::new(Tcp),
            progress: Arc::new(|_| ()),
            warned: Arc::new(|_| ()),
            rebuild: false,
            state: witness::default_state(),
            allowance: Allowance::patient(usual_patience()),
            durability: Durability::default(),
            locking: Locking::default(),
            views: BuiltIn::ALL.iter().copied().collect(),
            introductions: true,
            lock: None,
            made: None,
        }
    }

    /// Where "now" comes from. Default: the system clock.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where keys and nonces come from. Default: the system's generator. Anything predictable gives away the keys.
    pub fn random(mut self, random: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// Who does the work that blocks. Default: threads of the system.
    pub fn threads(mut self, threads: impl Threads + 'static) -> Self {
        self.threads = Arc::new(threads);
        self
    }

    /// Where derived data is kept. Whatever is lost of it is made anew. Default: sled, in the folder.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Where the journal, which is all that cannot be made anew, is kept. Its small files and the keys of its feeds stay in the folder. Default: in
    /// the folder.
    pub fn disk(mut self, disk: impl Disk + 'static) -> Self {
        self.disk = Some(Arc::new(disk));
        self
    }

    /// How peers are reached, and reach this replica. Default: TCP.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self
    }

    /// Is told how far long work (rebuilding, importing, verifying) has come. Default: nobody.
    pub fn progress(mut self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Is told, in a sentence, what [`Database::warnings`] has to say that it did not say when the database was opened: that a feed is not gone on
    /// with, which shows at the first write. Default: nobody.
    pub fn warned(mut self, warned: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.warned = Arc::new(warned);
        self
    }

    /// Where this machine remembers, outside of the database, how far feeds were written here, so that a copy of the folder or an older state of it
    /// is told from the one that was written last. One place serves any number of databases; it is to be on this machine, kept between runs, and no
    /// part of what backups of the database put back. Default: `$KAPPA_STATE`, else `kappadb` in `$XDG_STATE_HOME` or `~/.local/state`.
    pub fn state(mut self, folder: impl AsRef<Path>) -> Self {
        self.state = Some(folder.as_ref().to_owned());
        self
    }

    /// When writes are on the disk that do not say so themselves ([`Write::durability`](crate::Write::durability)). Default: when they
    /// return. Imports, and what rests on more than its own key, may be there sooner than that.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Which of the library's own views run, beside those that [`Database::view`] adds. Default: all. One that does not run costs nothing; whoever asks it
    /// is told so ([`ViewError::Off`](crate::view::ViewError::Off)), peers too. Entries of its space are kept and passed on all the same, as those of any
    /// space are. Its rows stay as they are, and are brought up to date when it runs again.
    ///
    /// What deletes of chat take back is erased by the chat view: where it does not run, their payloads stay.
    pub fn views(mut self, views: impl IntoIterator<Item = BuiltIn>) -> Self {
        self.views = views.into_iter().collect();
        self
    }

    /// Whether this replica tells its peers where it listens and of peers that it has heard of, and calls some of those of whom they tell, while it
    /// serves or follows. Default: true.
    pub fn introductions(mut self, on: bool) -> Self {
        self.introductions = on;
        self
    }

    /// How long to wait for a folder that another process has open, before [`OpenError::InUse`]. Default: half a second.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.locking.wait = wait;
        self
    }

    /// What others who find the folder in use are told of this process, beside its number; no secrets. Default: the program's file
    /// name.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.locking.command = command.into();
        self
    }

    /// Throws all derived data away and makes it anew from the journal. Default: only when it is missing or damaged.
    pub fn rebuild(mut self) -> Self {
        self.rebuild = true;
        self
    }

    /// For how long a peer may let a question wait, from the dial on, before it is left behind: the answer goes on without it and says
    /// so. A long answer may take longer, as long as something useful keeps coming. Default: the seconds that
    /// `KAPPA_PATIENCE` in the environment says, else 2 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.allowance = patient(&self.allowance, patience);
        self
    }

    /// Bytes that a peer may send to one question at most. Beyond them it is left behind, what came is kept, and who asks again goes on
    /// from there. Default: 1 GiB.
    pub fn question_bytes(mut self, bytes: u64) -> Self {
        self.allowance.question_bytes = bytes;
        self
    }

    /// Makes a new database with one writer feed. Its tickets name that as admin of its chat. If that fails, the folder is left as it was.
    pub async fn create(self) -> Result<Database, CreateError> {
        let database = DatabaseId(self.draw());
        let access = Access { database, epoch: 1, key: AccessKey::new(self.draw()) };
        let identity = SecretKey::from_seed(&self.draw());
        let new = Replica { database, access, identity, trusted: Trusted::default() };
        let (dir, threads) = (self.dir.clone(), self.threads.clone());
        let made = self.make(new, None).await?;
        let before = made.made.clone();
        let database = made.open().await?;
        let founded = found(&database).await;
        if founded.is_err() {
            let _ = database.clone().close().await;
            let restore = move || before.iter().for_each(Before::restore);
            let _ = aside(&threads, restore).await;
        }
        founded.map(|()| database).map_err(|error| error.in_short(&dir))
    }

    /// Opens the database in the directory, or makes one if there is none.
    ///
    /// # Errors
    /// As those of [`Builder::create`] and [`Builder::open`]. A directory that holds something else is left as it is.
    pub async fn open_or_create(self) -> Result<Database, CreateError> {
        if replica::exists(&self.dir) {
            return Ok(self.open().await?);
        }
        match self.clone().create().await {
            // Somebody was quicker.
            Err(CreateError::Exists(_)) => Ok(self.open().await?),
            created => created,
        }
    }

    /// Makes a sparse replica of the database that `ticket` names. Needs no network, and makes no writer feed until
    /// the first write. Where there is a replica of that database already, it learns of the ticket's peer: that is how
    /// to follow a peer to a new address.
    pub async fn join(self, ticket: &Ticket) -> Result<Database, CreateError> {
        let ticket = ticket.clone();
        let builder = if replica::exists(&self.dir) {
            self.with_lock(move |dir, locking| Ok((replica::meet(dir, locking, &ticket)?, None))).await?
        } else {
            let identity = SecretKey::from_seed(&self.draw());
            self.make(replica::from_ticket(&ticket, identity), Some(ticket)).await?
        };
        Ok(builder.open().await?)
    }

    async fn make(self, new: Replica, met: Option<Ticket>) -> Result<Builder, CreateError> {
        let transport = self.transport.clone();
        let make = move |dir: &Path, locking: &Locking| {
            let listen = Listen::on_a_free_port(&*transport);
            let (lock, before) = replica::create(dir, locking, &new, met.as_ref(), &listen)?;
            Ok((lock, Some(before)))
        };
        self.with_lock(make).await
    }

    /// Does what begins with locking the folder, and keeps it locked.
    async fn with_lock(
        mut self,
        job: impl FnOnce(&Path, &Locking) -> Result<(DirLock, Option<Before>), CreateError> + Send + 'static,
    ) -> Result<Builder, CreateError> {
        let threads = self.threads.clone();
        let done = aside(&threads, move || {
            let done = job(&self.dir, &self.locking);
            let (lock, made) = done.map_err(|error| error.in_short(&self.dir))?;
            (self.lock, self.made) = (Some(Arc::new(lock)), made);
            Ok(self)
        });
        done.await.map_err(OpenError::Stopped)?
    }

    /// The ticket of the replica in the directory ([`Database::ticket`]), and where it listens; also while another process has it open.
    pub async fn ticket(self) -> Result<(Ticket, Listen), OpenError> {
        let threads = self.threads.clone();
        aside(&threads, move || replica::ticket(&self.dir)).await.map_err(OpenError::Stopped)?
    }

    /// True if somebody has the folder open, be it this process. Nothing is written.
    pub fn is_in_use(&self) -> bool {
        kappadb_feed::is_locked(&self.dir)
    }

    /// Opens an existing database.
    pub async fn open(self) -> Result<Database, OpenError> {
        let threads = self.threads.clone();
        let open = move || {
            let (dir, made, lock) = (self.dir.clone(), self.made.clone(), self.lock.clone());
            let opened = self.open_folder().map_err(|error| error.in_short(&dir));
            if let (Err(_), Some(made)) = (&opened, made) {
                made.restore();
            }
            drop(lock);
            opened
        };
        aside(&threads, open).await.map_err(OpenError::Stopped)?
    }

    fn draw(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        (self.random)(&mut bytes);
        bytes
    }
}
