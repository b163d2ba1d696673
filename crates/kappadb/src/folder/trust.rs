//! Whose moderation this replica applies, besides its own: `DIR/trust`, `admin <feed>`, `mod <feed>` or `not <feed>` a line. It comes with
//! the invitation and is this replica's own business from then on.

use crate::error::OpenError;
use crate::folder::files::write_file;
use kappadb_core::FeedKey;
use kappadb_net::Ticket;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Feeds whose moderation is applied here, besides this replica's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// They may hide, mute and block, and name admins and mods.
    pub admins: BTreeSet<FeedKey>,
    /// They may hide, mute and block.
    pub mods: BTreeSet<FeedKey>,
    /// What they say counts nowhere here, whoever named them, and whatever tickets say.
    pub distrusted: BTreeSet<FeedKey>,
}

impl Trusted {
    /// Adds those whom a ticket names, but for who was distrusted here.
    pub(crate) fn learn(&mut self, ticket: &Ticket) {
        let trusted = |feed: &&FeedKey| !self.distrusted.contains(feed);
        self.admins.extend(ticket.admins.iter().filter(trusted));
        self.mods.extend(ticket.mods.iter().filter(trusted));
    }

    fn text(&self) -> String {
        let admins = self.admins.iter().map(|feed| format!("admin {feed}\n"));
        let mods = self.mods.iter().map(|feed| format!("mod {feed}\n"));
        admins.chain(mods).chain(self.distrusted.iter().map(|feed| format!("not {feed}\n"))).collect()
    }

    fn parse(text: &str) -> Option<Trusted> {
        let mut trusted = Trusted::default();
        for line in text.lines() {
            let (role, feed) = line.split_once(' ')?;
            let feed = feed.parse().ok()?;
            match role {
                "admin" => trusted.admins.insert(feed),
                "mod" => trusted.mods.insert(feed),
                "not" => trusted.distrusted.insert(feed),
                _ => return None,
            };
        }
        Some(trusted)
    }
}

/// Writes the file anew, as a whole.
pub(crate) fn save(dir: &Path, trusted: &Trusted) -> io::Result<()> {
    write_file(&path(dir), &trusted.text())
}

fn path(dir: &Path) -> PathBuf {
    dir.join("trust")
}

/// What the file says. Nobody is trusted where there is none.
pub(crate) fn load(dir: &Path) -> Result<Trusted, OpenError> {
    let path = path(dir);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(source) => return Err(OpenError::File { path, source }),
        Ok(text) => text,
    };
    let wanted = "`admin <feed>`, `mod <feed>` or `not <feed>` a line";
    Trusted::parse(&text).ok_or(OpenError::Damaged { path, wanted })
}

/// The file, with what it says kept at hand.
pub(crate) struct TrustFile {
    dir: PathBuf,
    trusted: Mutex<Trusted>,
}

impl TrustFile {
    pub fn new(dir: &Path, trusted: Trusted) -> TrustFile {
        TrustFile { dir: dir.to_owned(), trusted: Mutex::new(trusted) }
    }

    fn lock(&self) -> MutexGuard<'_, Trusted> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self) -> Trusted {
        self.lock().clone()
    }

    /// Durable when it returns.
    pub fn set(&self, trusted: Trusted) -> io::Result<()> {
        let mut now = self.lock();
        save(&self.dir, &trusted)?;
        *now = trusted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_comes_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), Trusted::default());
        let file = TrustFile::new(dir.path(), Trusted::default());
        let feeds = |seeds: &[u8]| seeds.iter().map(|seed| FeedKey([*seed; 32])).collect();
        let trusted = Trusted { admins: feeds(&[1, 2]), mods: feeds(&[2, 3]), distrusted: feeds(&[4]) };
        file.set(trusted.clone()).unwrap();
        assert_eq!((load(dir.path()).unwrap(), file.get()), (trusted.clone(), trusted));
        for damage in ["admin", "admin x", "king 00", "mod\n"] {
            fs::write(dir.path().join("trust"), damage).unwrap();
            assert!(matches!(load(dir.path()), Err(OpenError::Damaged { .. })), "{damage:?}");
        }
    }
}
