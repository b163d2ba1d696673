//! The small files that say what a directory is a replica of: who it is, what lets it in, whom it knows.

use crate::chat::{Trusted, trust};
use crate::error::{CreateError, OpenError};
use kappadb_core::{DatabaseId, FeedKey, SecretKey};
use kappadb_feed::Locking;
use kappadb_net::{Access, AccessKey, Ticket};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const VERSION: &str = "1";

/// What `DIR/replica`, `DIR/keys/access`, `DIR/keys/identity`, `DIR/peers` and `DIR/trust` hold.
pub(crate) struct Replica {
    pub database: DatabaseId,
    pub access: Access,
    pub identity: SecretKey,
    pub peers: Vec<Peer>,
    pub trusted: Trusted,
}

/// A peer that this replica may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its identity; a dial that meets another one fails.
    pub key: FeedKey,
    /// Where it may be, `host:port` each.
    pub addresses: Vec<String>,
}

/// True if `dir` holds a replica.
pub(crate) fn exists(dir: &Path) -> bool {
    dir.join("replica").is_file()
}

/// Makes the files. `DIR/replica` is written last: a directory without it is no replica.
pub(crate) fn create(dir: &Path, replica: &Replica) -> Result<(), CreateError> {
    if exists(dir) {
        return Err(CreateError::Exists(dir.to_owned()));
    }
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir.join("keys"))?;
        let access =
            format!("epoch {}\nkey {}\n", replica.access.epoch, FeedKey(*replica.access.key.expose()));
        write_secret(&dir.join("keys/access"), &access)?;
        write_secret(&dir.join("keys/identity"), &format!("{}\n", FeedKey(*replica.identity.seed())))?;
        write_peers(dir, &replica.peers)?;
        trust::save(dir, &replica.trusted)?;
        let text = format!("kappadb {VERSION}\ndatabase {}\n", replica.database);
        write_file(&dir.join("replica"), &text, 0o644)?;
        settle(dir)
    };
    write().map_err(|source| CreateError::Io { dir: dir.to_owned(), source })
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
        peers: read_peers(dir)?,
        trusted: trust::load(dir)?,
    })
}

/// True if the folder is not where it was: a copy, or restored from a backup. A folder that was renamed is where it was. Known by
/// the inode of `DIR/replica`, which is written once; what that was is in `DIR/place`.
pub(crate) fn is_copied(dir: &Path) -> io::Result<bool> {
    match fs::read_to_string(dir.join("place")) {
        Ok(text) => Ok(text.trim() != inode(dir)?),
        // Made before there was such a file, or not to its end.
        Err(error) if error.kind() == io::ErrorKind::NotFound => settle(dir).map(|()| false),
        Err(error) => Err(error),
    }
}

/// From now on the folder is where it is.
pub(crate) fn settle(dir: &Path) -> io::Result<()> {
    write_file(&dir.join("place"), &(inode(dir)? + "\n"), 0o644)
}

fn inode(dir: &Path) -> io::Result<String> {
    Ok(format!("inode {}", fs::metadata(dir.join("replica"))?.ino()))
}

/// Adds the ticket's peer to those that an existing replica knows, or takes its new addresses. Whom it trusts stays as it is.
pub(crate) fn meet(dir: &Path, locking: &Locking, ticket: &Ticket) -> Result<(), CreateError> {
    let _lock = kappadb_feed::lock(dir, locking).map_err(OpenError::from)?;
    let Replica { database, mut peers, .. } = load(dir)?;
    if database != ticket.database {
        return Err(CreateError::OtherDatabase { dir: dir.to_owned(), database });
    }
    peers.retain(|peer| peer.key != ticket.peer);
    peers.insert(0, peer(ticket));
    write_peers(dir, &peers).map_err(|source| CreateError::Io { dir: dir.to_owned(), source })
}

fn peer(ticket: &Ticket) -> Peer {
    Peer { key: ticket.peer, addresses: ticket.addresses.clone() }
}

/// What joining with `ticket` makes of a new directory.
pub(crate) fn from_ticket(ticket: &Ticket, identity: SecretKey) -> Replica {
    let Ticket { database, admins, mods, .. } = ticket.clone();
    let trusted = Trusted { admins: admins.into_iter().collect(), mods: mods.into_iter().collect() };
    Replica { database, access: ticket.access(), identity, peers: vec![peer(ticket)], trusted }
}

fn read_peers(dir: &Path) -> Result<Vec<Peer>, OpenError> {
    let file = Fields::read(dir.join("peers"))?;
    let peer = |line: &str| {
        let (key, addresses) = line.split_once(' ')?;
        Some(Peer { key: key.parse().ok()?, addresses: addresses.split(',').map(str::to_owned).collect() })
    };
    file.text
        .lines()
        .map(|line| peer(line).ok_or_else(|| file.damaged("`<peer key> <address>,...` a line")))
        .collect()
}

/// Replaces `DIR/peers`.
pub(crate) fn write_peers(dir: &Path, peers: &[Peer]) -> io::Result<()> {
    let text: String = peers.iter().map(|p| format!("{} {}\n", p.key, p.addresses.join(","))).collect();
    write_file(&dir.join("peers"), &text, 0o644)
}

/// Writes a secret that only this user may read.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    write_file(path, text, 0o600)
}

/// Replaces a file as a whole: after a crash it is the old one or the new one.
pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
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
