//! What this machine remembers, outside of a database's folder, of the feeds that were written in it. `design/log.md` says when it is believed;
//! `design/formats.md` has the file.
//!
//! A folder names its witness in `DIR/witness`; the file of that name lies in the user's state folder. So a copy names the same one, and only one
//! of them can have it open, or agree with it once the other has written.

use super::Random;
use crate::error::WriteError;
use crate::folder::files::write_file;
use kappadb_core::{DatabaseId, FeedKey, Hash, Head, blake2b256};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of the header, and of what is known of one feed: a disk writes so much as a whole or not at all.
const SLOT: usize = 128;
const MAGIC: &[u8; 8] = b"kappaW\x01\0";
/// A process that was killed may leave its lock to a child for a moment.
const PAUSES_MS: [u64; 5] = [0, 10, 30, 100, 300];

/// How far an own feed was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub length: u64,
    pub root: Hash,
}

impl Written {
    pub const NOTHING: Written = Written { length: 0, root: Hash([0; 32]) };
}

/// What there is of a witness.
pub(crate) enum Found {
    /// What it knows of each feed; of those whose slot is damaged nothing.
    Known(BTreeMap<FeedKey, Written>),
    /// None: this machine has not written the folder, or it was forgotten.
    Unknown,
    /// Another copy of the folder has it.
    Taken,
}

/// The witness of a folder.
pub(crate) struct Witness {
    dir: PathBuf,
    /// Where witnesses lie; none if the system names no such place.
    state: Option<PathBuf>,
    random: Random,
    open: Mutex<Option<Open>>,
}

/// The file, locked.
struct Open {
    file: File,
    /// Where in it each feed is that may be written.
    slots: BTreeMap<FeedKey, u64>,
    end: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Closing is not enough while a child process that is just being started has a copy of it.
        drop(self.file.unlock());
    }
}

/// Where witnesses lie unless it is said otherwise.
pub(crate) fn default_state() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = || named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    named("KAPPA_STATE").or_else(|| Some(base()?.join("kappadb")))
}

impl Witness {
    pub fn new(dir: &Path, state: Option<PathBuf>, random: Random) -> Witness {
        Witness { dir: dir.to_owned(), state, random, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        // A panic elsewhere leaves it as it was: what is in it changes in one step.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it knows, without taking it: for telling people.
    pub fn look(&self) -> Found {
        let Some(path) = self.path() else { return Found::Unknown };
        let known = fs::read(&path).ok().and_then(|bytes| read(&bytes));
        known.map_or(Found::Unknown, |slots| {
            Found::Known(slots.into_iter().map(|(feed, (_, w))| (feed, w)).collect())
        })
    }

    /// Takes it, so that no other copy of the folder can.
    pub fn take(&self) -> Result<Found, WriteError> {
        let Some(path) = self.path() else { return Ok(Found::Unknown) };
        let failed = |source| WriteError::State { path: path.clone(), source };
        let file = match fs::OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Unknown),
            Err(error) => return Err(failed(error)),
        };
        if !lock(&file).map_err(failed)? {
            return Ok(Found::Taken);
        }
        let Some(slots) = read(&fs::read(&path).map_err(failed)?) else { return Ok(Found::Unknown) };
        let known = slots.iter().map(|(feed, (_, written))| (*feed, *written)).collect();
        let end = file.metadata().map_err(failed)?.len().next_multiple_of(SLOT as u64);
        let slots = slots.into_iter().map(|(feed, (at, _))| (feed, at)).collect();
        *self.open() = Some(Open { file, slots, end });
        Ok(Found::Known(known))
    }

    /// It does not speak for these feeds any more.
    pub fn leave_out(&self, feeds: &[FeedKey]) {
        if let Some(open) = &mut *self.open() {
            open.slots.retain(|feed, _| !feeds.contains(feed));
        }
    }

    /// Leaves it to the copy of the folder that it speaks of.
    pub fn release(&self) {
        *self.open() = None;
    }

    /// True if this replica has it.
    pub fn is_taken(&self) -> bool {
        self.open().is_some()
    }

    /// Makes a new one, which vouches for these feeds, and names it in the folder. The one that the folder named before stays: it may be that of
    /// the folder that this one is a copy of.
    pub fn make(&self, feeds: &BTreeMap<FeedKey, Written>) -> Result<(), WriteError> {
        let state = self.state.clone().ok_or(WriteError::NoState)?;
        let mut name = [0; 32];
        (self.random)(&mut name);
        let name = DatabaseId(name).to_string();
        let path = state.join(&name);
        let failed = |source| WriteError::State { path: path.clone(), source };
        let open = create(&state, &path, feeds).map_err(failed)?;
        let file = self.dir.join("witness");
        write_file(&file, &format!("{name}\n"))
            .map_err(|source| WriteError::Witness { path: file, source })?;
        *self.open() = Some(open);
        Ok(())
    }

    /// Where the one that the folder names would lie.
    fn path(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.dir.join("witness")).ok()?;
        // Nothing but the digits of a name becomes part of a path.
        let name: DatabaseId = text.trim().parse().ok()?;
        Some(self.state.as_ref()?.join(name.to_string()))
    }
}

impl kappadb_feed::Witness for Witness {
    fn vouches_for(&self, feed: &FeedKey) -> bool {
        self.open().as_ref().is_some_and(|open| open.slots.contains_key(feed))
    }

    fn begin(&self, feed: &FeedKey) -> io::Result<()> {
        let mut open = self.open();
        let open = open.as_mut().ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let at = open.end;
        open.file.write_all_at(&slot(feed, &Written::NOTHING), at)?;
        open.file.sync_all()?;
        open.end += SLOT as u64;
        open.slots.insert(*feed, at);
        Ok(())
    }

    fn note(&self, feed: &FeedKey, head: &Head) {
        let open = self.open();
        let Some((open, at)) = open.as_ref().and_then(|open| Some((open, *open.slots.get(feed)?))) else {
            return;
        };
        let written = Written { length: head.length, root: head.root_hash };
        if let Err(error) = open.file.write_all_at(&slot(feed, &written), at) {
            tracing::warn!(%feed, %error, "how far the feed was written could not be noted outside of the folder");
        }
    }
}

/// False if another has it.
fn lock(file: &File) -> io::Result<bool> {
    for pause in PAUSES_MS {
        std::thread::sleep(Duration::from_millis(pause));
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn create(state: &Path, path: &Path, feeds: &BTreeMap<FeedKey, Written>) -> io::Result<Open> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    lock(&file)?;
    let mut bytes = [0; SLOT].to_vec();
    bytes.iter_mut().zip(MAGIC).for_each(|(byte, magic)| *byte = *magic);
    let mut slots = BTreeMap::new();
    for (feed, written) in feeds {
        slots.insert(*feed, bytes.len() as u64);
        bytes.extend_from_slice(&slot(feed, written));
    }
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    File::open(state)?.sync_all()?;
    Ok(Open { file, slots, end: bytes.len() as u64 })
}

/// `feed 32 | length u64 | root 32 | first 8 bytes of H(all before)`, and nothing up to the end.
fn slot(feed: &FeedKey, written: &Written) -> [u8; SLOT] {
    let body = [&feed.0[..], &written.length.to_le_bytes(), &written.root.0].concat();
    let sum = blake2b256(&[&body]);
    let mut slot = [0; SLOT];
    let bytes = body.iter().chain(sum.0.iter().take(8));
    slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    slot
}

/// Of each feed where its slot is and what it says; none if it is no witness.
fn read(bytes: &[u8]) -> Option<BTreeMap<FeedKey, (u64, Written)>> {
    bytes.starts_with(MAGIC).then_some(())?;
    let slots = bytes.chunks(SLOT).enumerate().skip(1);
    Some(
        slots
            .filter_map(|(n, bytes)| read_slot(bytes).map(|(feed, w)| (feed, ((n * SLOT) as u64, w))))
            .collect(),
    )
}

fn read_slot(bytes: &[u8]) -> Option<(FeedKey, Written)> {
    let feed = FeedKey(*bytes.first_chunk()?);
    let length = u64::from_le_bytes(*bytes.get(32..)?.first_chunk()?);
    let written = Written { length, root: Hash(*bytes.get(40..)?.first_chunk()?) };
    (bytes == slot(&feed, &written)).then_some((feed, written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_feed::Witness as _;
    use std::sync::Arc;

    fn witness(dir: &Path, state: &Path) -> Witness {
        let seed = std::sync::atomic::AtomicU8::new(0);
        let random =
            move |bytes: &mut [u8]| bytes.fill(seed.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Witness::new(dir, Some(state.to_owned()), Arc::new(random))
    }

    fn head(length: u64) -> Head {
        Head { length, byte_length: 9, root_hash: Hash([7; 32]) }
    }

    fn known(found: Result<Found, WriteError>) -> BTreeMap<FeedKey, u64> {
        match found.unwrap() {
            Found::Known(known) => known.into_iter().map(|(feed, written)| (feed, written.length)).collect(),
            Found::Unknown | Found::Taken => panic!("nothing is known"),
        }
    }

    #[test]
    fn what_is_noted_is_known_to_whoever_opens_it_next_and_to_one_at_a_time() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, two) = (FeedKey([1; 32]), FeedKey([2; 32]));
        let first = witness(dir.path(), &state.path().join("deep/er"));
        assert!(matches!(first.take(), Ok(Found::Unknown)));
        first.make(&BTreeMap::from([(one, Written { length: 3, root: Hash([3; 32]) })])).unwrap();
        first.begin(&two).unwrap();
        first.note(&two, &head(5));
        assert!(first.vouches_for(&one) && first.vouches_for(&two) && !first.vouches_for(&FeedKey([3; 32])));
        let second = witness(dir.path(), &state.path().join("deep/er"));
        assert!(matches!(second.take(), Ok(Found::Taken)), "there is one at a time");
        assert!(!second.vouches_for(&one));
        drop(first);
        assert_eq!(known(second.take()), BTreeMap::from([(one, 3), (two, 5)]));
        second.leave_out(&[one]);
        assert!(!second.vouches_for(&one) && second.vouches_for(&two));
    }

    #[test]
    fn a_damaged_slot_speaks_for_no_feed_and_a_damaged_file_for_none_at_all() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let feeds: Vec<FeedKey> = (1..4).map(|n| FeedKey([n; 32])).collect();
        let first = witness(dir.path(), state.path());
        first.make(&feeds.iter().map(|feed| (*feed, Written::NOTHING)).collect()).unwrap();
        let path = first.path().unwrap();
        drop(first);
        let sound = fs::read(&path).unwrap();
        for at in 2 * SLOT..2 * SLOT + 80 {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let left = known(witness(dir.path(), state.path()).take());
            assert!(left.keys().eq([&feeds[0], &feeds[2]]), "{at}");
        }
        for cut in [0, 5, SLOT - 1] {
            fs::write(&path, &sound[..cut]).unwrap();
            let found = witness(dir.path(), state.path()).take().unwrap();
            assert!(
                matches!(found, Found::Unknown) || matches!(found, Found::Known(k) if k.is_empty()),
                "{cut}"
            );
        }
        fs::write(dir.path().join("witness"), "../../etc/passwd").unwrap();
        assert!(matches!(witness(dir.path(), state.path()).take(), Ok(Found::Unknown)));
    }

    #[test]
    fn a_new_one_leaves_the_one_before_to_the_folder_that_this_is_a_copy_of() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = witness(dir.path(), state.path());
        first.make(&BTreeMap::new()).unwrap();
        let before = first.path().unwrap();
        first.release();
        first.make(&BTreeMap::new()).unwrap();
        let after = first.path().unwrap();
        assert!(before != after && before.exists() && after.exists());
    }
}
