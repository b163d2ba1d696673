//! Who has left something out of an answer, and what shows it: `DIR/omissions`, `<peer> <feed>/<seq> <statement>` a line, the statement in hex.
//! It is nobody else's business to delete it, so it is not derived data.

use super::files::write_file;
use crate::error::OpenError;
use crate::folder::files::read_file;
use data_encoding::HEXLOWER;
use kappadb_core::{EntryId, FeedKey, codec};
use kappadb_sync::SignedStatement;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Peers of which it is kept, at most: identities cost nothing.
const MOST: usize = 64;
/// Bytes of a statement, at most.
pub(crate) const MAX_STATEMENT: usize = 1 << 20;

/// What shows that a peer has left something out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Omission {
    pub peer: FeedKey,
    /// What it left out.
    pub entry: EntryId,
    /// What it signed.
    pub statement: SignedStatement,
}

/// The file, with what it says kept at hand.
pub(crate) struct Omissions {
    path: PathBuf,
    list: Mutex<Vec<Omission>>,
}

impl Omissions {
    /// What is there. A line that cannot be read, or shows nothing, is passed over.
    pub fn load(dir: &Path) -> Result<Omissions, OpenError> {
        let path = dir.join("omissions");
        let text = read_file(&path)?.unwrap_or_default();
        Ok(Omissions { list: Mutex::new(text.lines().filter_map(parse).collect()), path })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Omission>> {
        // Each change is whole by itself.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first thing that this peer was found to have left out.
    pub fn of(&self, peer: &FeedKey) -> Option<EntryId> {
        self.lock().iter().find(|omission| omission.peer == *peer).map(|omission| omission.entry)
    }

    /// Those of whom something is known, and what they left out.
    pub fn list(&self) -> Vec<(FeedKey, EntryId)> {
        self.lock().iter().map(|omission| (omission.peer, omission.entry)).collect()
    }

    /// Notes the first thing that a peer left out. False if one was known. Durable when it returns.
    pub fn note(&self, omission: Omission) -> io::Result<bool> {
        let mut list = self.lock();
        if list.iter().any(|known| known.peer == omission.peer) {
            return Ok(false);
        }
        let mut new = list.clone();
        new.push(omission);
        let over = new.len().saturating_sub(MOST);
        new.drain(..over);
        write_file(&self.path, &new.iter().map(line).collect::<String>())?;
        *list = new;
        Ok(true)
    }
}

fn parse(text: &str) -> Option<Omission> {
    let mut words = text.split(' ');
    let (peer, entry) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let bytes = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
    let statement = codec::decode::<SignedStatement, MAX_STATEMENT>("statement", &bytes).ok()?;
    statement.verify(&peer).ok()?;
    Some(Omission { peer, entry, statement })
}

fn line(Omission { peer, entry, statement }: &Omission) -> String {
    format!("{peer} {entry} {}\n", HEXLOWER.encode(&codec::encode(statement)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::SecretKey;
    use kappadb_sync::{About, Claimed};
    use std::collections::BTreeSet;

    fn omission(n: u64, seq: u64) -> Omission {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        let (key, feed) = (SecretKey::from_seed(&seed), FeedKey([3; 32]));
        let about = About { view: "kv".to_owned(), selector: vec![1], without: BTreeSet::new() };
        let claimed = Claimed { feed, claimed: 9, at: 9, root: [2; 16], sent: (0..n).collect() };
        let statement = SignedStatement::sign(&key, about, vec![claimed]);
        Omission { peer: key.public(), entry: EntryId { feed, seq }, statement }
    }

    #[test]
    fn the_first_of_each_peer_is_kept_and_comes_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let omissions = Omissions::load(dir.path()).unwrap();
        assert!(omissions.list().is_empty());
        assert!(omissions.note(omission(1, 5)).unwrap() && omissions.note(omission(2, 6)).unwrap());
        assert!(!omissions.note(omission(1, 7)).unwrap());
        let again = Omissions::load(dir.path()).unwrap();
        assert_eq!(again.list(), omissions.list());
        assert_eq!(again.of(&omission(1, 0).peer).map(|entry| entry.seq), Some(5));
        for n in 3..100 {
            omissions.note(omission(n, 1)).unwrap();
        }
        assert_eq!(omissions.list().len(), MOST);
    }

    #[test]
    fn what_nobody_signed_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (omission(1, 5), omission(2, 5));
        let forged = Omission { peer: other.peer, ..one.clone() };
        let text = [line(&forged), "noise\n".to_owned(), line(&one)].concat();
        std::fs::write(dir.path().join("omissions"), text).unwrap();
        assert_eq!(Omissions::load(dir.path()).unwrap().list(), [(one.peer, one.entry)]);
    }
}
