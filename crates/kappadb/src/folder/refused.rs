//! Peers that the owner will not have, whoever tells of them: `DIR/refused`, a key a line.

use crate::error::OpenError;
use crate::folder::files::{read_file, write_file};
use kappadb_core::FeedKey;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file, with what it says kept at hand.
pub(crate) struct Refused {
    path: PathBuf,
    peers: Mutex<BTreeSet<FeedKey>>,
}

impl Refused {
    pub fn load(dir: &Path) -> Result<Refused, OpenError> {
        let path = dir.join("refused");
        let text = read_file(&path)?.unwrap_or_default();
        let peers = text.lines().map(|line| line.parse().ok()).collect::<Option<_>>();
        let damaged = || OpenError::Damaged { path: path.clone(), wanted: "the key of a peer a line" };
        Ok(Refused { peers: Mutex::new(peers.ok_or_else(damaged)?), path })
    }

    pub fn contains(&self, peer: &FeedKey) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }

    /// Durable when it returns.
    pub fn set(&self, peer: FeedKey, refused: bool) -> io::Result<()> {
        // Only changed once the file is.
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = peers.clone();
        let is_new = if refused { new.insert(peer) } else { new.remove(&peer) };
        if is_new {
            write_file(&self.path, &new.iter().map(|peer| format!("{peer}\n")).collect::<String>())?;
            *peers = new;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_stays_so_until_that_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (FeedKey([1; 32]), FeedKey([2; 32]));
        let refused = Refused::load(dir.path()).unwrap();
        refused.set(one, false).unwrap();
        assert!(!dir.path().join("refused").exists());
        refused.set(one, true).unwrap();
        refused.set(two, true).unwrap();
        refused.set(one, false).unwrap();
        for refused in [refused, Refused::load(dir.path()).unwrap()] {
            assert!(!refused.contains(&one) && refused.contains(&two));
        }
        std::fs::write(dir.path().join("refused"), "no key\n").unwrap();
        assert!(matches!(Refused::load(dir.path()), Err(OpenError::Damaged { .. })));
    }
}
