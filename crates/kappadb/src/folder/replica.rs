//! The small files that say what a directory is a replica of: who it is, what lets it in, whom it knows.

use super::trust::{self, Trusted};
use crate::error::{CreateError, OpenError};
use crate::folder::files::{self, Before, write_file};
use crate::folder::listen::{self, Listen};
use crate::folder::peers::Peers;
use kappadb_core::{DatabaseId, FeedKey, SecretKey};
use kappadb_feed::{DirLock, Locking};
use kappadb_net::{Access, AccessKey, Ticket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

const VERSION: &str = "1";

/// What `DIR/replica`, `DIR/keys/access`, `DIR/keys/identity` and `DIR/trust` hold.
pub(crate) struct Replica {
    pub database: DatabaseId,
    pub access: Access,
    pub identity: SecretKey,
    pub trusted: Trusted,
}

/// True if `dir` holds a replica.
pub(crate) fn exists(dir: &Path) -> bool {
    dir.join("replica").is_file()
}

/// How long to wait for another process that is just making the same folder.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the files, and keeps the folder locked: of two who do so at once, one finds it made. `DIR/replica` is written last: a
/// directory without it is no replica. `met` is whose ticket it was made with. Also returns what was there before, for who cannot go on with it.
pub(crate) fn create(
    dir: &Path,
    locking: &Locking,
    replica: &Replica,
    met: Option<&Ticket>,
    listen: &Listen,
) -> Result<(DirLock, Before), CreateError> {
    let there_already = || if exists(dir) { Err(CreateError::Exists(dir.to_owned())) } else { Ok(()) };
    there_already()?;
    let before = Before::of(dir);
    let patient = Locking { wait: locking.wait.max(PATIENCE), ..locking.clone() };
    let lock = kappadb_feed::lock(dir, &patient);
    let lock = lock.inspect_err(|_| before.leave_no_folder()).map_err(OpenError::from)?;
    there_already()?;
    write(dir, replica, met, listen).inspect_err(|_| before.restore())?;
    Ok((lock, before))
}

fn write(dir: &Path, replica: &Replica, met: Option<&Ticket>, listen: &Listen) -> Result<(), CreateError> {
    files::secure(dir)?;
    let write = || -> io::Result<()> {
        make_folder(&dir.join("keys"))?;
        let access =
            format!("epoch {}\nkey {}\n", replica.access.epoch, FeedKey(*replica.access.key.expose()));
        write_file(&dir.join("keys/access"), &access)?;
        write_file(&dir.join("keys/identity"), &format!("{}\n", FeedKey(*replica.identity.seed())))?;
        trust::save(dir, &replica.trusted)?;
        listen::save(dir, listen)
    };
    let failed = |source| CreateError::Io { dir: dir.to_owned(), source };
    write().map_err(failed)?;
    if let Some(ticket) = met {
        replica.peers(dir)?.meet(ticket, None)?;
    }
    let text = format!("kappadb {VERSION}\ndatabase {}\n", replica.database);
    write_file(&dir.join("replica"), &text).map_err(failed)
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads the files.
pub(crate) fn load(dir: &Path) -> Result<Replica, OpenError> {
    if !exists(dir) {
        return Err(OpenError::NotADatabase(dir.to_owned()));
    }
    let replica = Fields::read(dir.join("replica"))?;
    match replica.get("kappadb")? {
        VERSION => {}
        other => return Err(OpenError::Version { dir: dir.to_owned(), found: other.to_owned() }),
    }
    let database = replica.parse("database")?;
    let access = Fields::read(dir.join("keys/access"))?;
    let FeedKey(key) = access.parse("key")?;
    let identity = Fields::read(dir.join("keys/identity"))?;
    let FeedKey(seed) =
        identity.text.trim().parse().map_err(|_| identity.damaged("one line of 64 hex digits"))?;
    Ok(Replica {
        database,
        access: Access { database, epoch: access.parse("epoch")?, key: AccessKey::new(key) },
        identity: SecretKey::from_seed(&seed),
        trusted: trust::load(dir)?,
    })
}

/// Adds the ticket's peer to those that an existing replica knows, or takes its new addresses, and trusts whom it names, too. Keeps the folder locked.
pub(crate) fn meet(dir: &Path, locking: &Locking, ticket: &Ticket) -> Result<DirLock, CreateError> {
    let lock = kappadb_feed::lock(dir, locking).map_err(OpenError::from)?;
    files::secure(dir)?;
    let replica = load(dir)?;
    if replica.database != ticket.database {
        return Err(CreateError::OtherDatabase { dir: dir.to_owned(), database: replica.database });
    }
    replica.peers(dir)?.meet(ticket, None)?;
    let mut trusted = replica.trusted.clone();
    trusted.learn(ticket);
    if trusted != replica.trusted {
        trust::save(dir, &trusted).map_err(|source| CreateError::Io { dir: dir.to_owned(), source })?;
    }
    Ok(lock)
}

/// The ticket of the replica in a folder that may be open elsewhere.
pub(crate) fn ticket(dir: &Path) -> Result<(Ticket, Listen), OpenError> {
    let Replica { access, identity, trusted, .. } = load(dir)?;
    let missing = || OpenError::Damaged { path: dir.join("listen"), wanted: "where this replica listens" };
    let listen = listen::load(dir)?.ok_or_else(missing)?;
    Ok((listen.ticket(&access, identity.public(), trusted)?, listen))
}

/// What joining with `ticket` makes of a new directory.
pub(crate) fn from_ticket(ticket: &Ticket, identity: SecretKey) -> Replica {
    let mut trusted = Trusted::default();
    trusted.learn(ticket);
    Replica { database: ticket.database, access: ticket.access(), identity, trusted }
}

impl Replica {
    /// Whom it knows.
    pub(crate) fn peers(&self, dir: &Path) -> Result<Peers, OpenError> {
        Peers::load(dir, self.identity.public(), self.database)
    }
}

/// A text file of `name value` lines, with errors that name it.
struct Fields {
    path: PathBuf,
    text: String,
}

impl Fields {
    fn read(path: PathBuf) -> Result<Self, OpenError> {
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Fields { path, text }),
            Err(source) => Err(OpenError::File { path, source }),
        }
    }

    fn damaged(&self, wanted: &'static str) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), wanted }
    }

    fn get(&self, name: &'static str) -> Result<&str, OpenError> {
        let found = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.ok_or_else(|| self.damaged("a line for each of its fields"))
    }

    fn parse<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, OpenError> {
        self.get(name)?.trim().parse().map_err(|_| self.damaged("a well-formed value in each field"))
    }
}
