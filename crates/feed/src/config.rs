//! What opening takes and tells.

use crate::{OpenError, Problem, Witness};
use kappadb_core::DatabaseId;
use kappadb_journal::{Cut, Damage, DirLock, Locking};
use kappadb_store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fills a buffer with random bytes fit for secret keys.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Where the feeds of a database lie, and what they need from outside.
pub struct Config {
    /// The database's directory; made if missing. `DIR/LOCK`, `DIR/journal` and `DIR/keys` belong to this crate.
    pub dir: PathBuf,
    /// Derived state. Whatever is lost, stale or unreadable in it is rebuilt from the journal.
    pub store: Arc<dyn Store>,
    /// Every signature is checked to be for this database.
    pub database: DatabaseId,
    /// Randomness for new feeds' keys.
    pub random: Random,
    /// How the journal is kept.
    pub journal: kappadb_journal::Options,
    /// Where the journal lies, if not in `DIR/journal`.
    pub disk: Option<Arc<dyn kappadb_journal::Disk>>,
    /// What remembers outside of `dir` how far own feeds were written; without one every own feed may be appended to.
    pub witness: Option<Arc<dyn Witness>>,
    /// The lock of `dir`, if the caller took it before ([`lock`]); else it is taken when opening. Shared with whoever else has something open
    /// in it: it is given back with the last.
    pub lock: Option<Arc<DirLock>>,
}

impl Config {
    /// With the journal's default options, and the lock not yet taken.
    pub fn new(dir: impl Into<PathBuf>, store: Arc<dyn Store>, database: DatabaseId, random: Random) -> Self {
        Config {
            dir: dir.into(),
            store,
            database,
            random,
            journal: kappadb_journal::Options::default(),
            disk: None,
            witness: None,
            lock: None,
        }
    }

    /// With the lock taken before.
    pub fn with_lock(self, lock: Arc<DirLock>) -> Self {
        Config { lock: Some(lock), ..self }
    }

    /// With a witness.
    pub fn with_witness(self, witness: Arc<dyn Witness>) -> Self {
        Config { witness: Some(witness), ..self }
    }

    /// With the journal on this disk.
    pub fn with_disk(self, disk: Arc<dyn kappadb_journal::Disk>) -> Self {
        Config { disk: Some(disk), ..self }
    }

    /// With these options for the journal.
    pub fn with_journal(self, journal: kappadb_journal::Options) -> Self {
        Config { journal, ..self }
    }
}

/// Keeps every other process out of `dir` (made if missing, for its owner alone) until the lock is dropped.
pub fn lock(dir: &Path, locking: &Locking) -> Result<DirLock, OpenError> {
    crate::keys::make_folder(dir).map_err(|source| OpenError::File { file: dir.to_owned(), source })?;
    Ok(kappadb_journal::lock_dir(dir, locking)?)
}

/// Why derived state was made anew, or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rebuilt {
    /// There was none.
    Missing,
    /// It could not be read, or is of another format, or of another database.
    Unreadable,
    /// It does not belong to this journal.
    Stale,
    /// Some of the journal was lost to damage: what spoke of it was taken out, the rest stayed. Views are to be made
    /// anew.
    Hurt,
}

/// What opening found.
#[derive(Debug)]
pub struct OpenReport {
    /// Set if derived state was made anew or changed, and why.
    pub rebuilt: Option<Rebuilt>,
    /// A torn tail of the journal that was cut off; nothing acknowledged as durable was in it.
    pub cut: Option<Cut>,
    /// Damage in the journal. Unless it was settled ([`crate::Feeds::settle_damage`]) own feeds take no appends.
    pub damage: Vec<Damage>,
    /// All of the damage was settled.
    pub settled: bool,
    /// Appended blocks whose head did not reach the disk before a crash: never acknowledged, now dropped.
    pub dropped: u64,
    /// Anything else that did not fit together.
    pub problems: Vec<Problem>,
    /// The name of this life of the replica; a new one after a cut.
    pub incarnation: [u8; 16],
}
