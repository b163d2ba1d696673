//! Whom a name stands for here: `DIR/pins`, this replica's own. Nicknames are anybody's; what people wrote down of whom they mean by one is not.

use super::files::{read_file, write_file};
use crate::error::OpenError;
use kappadb_chat::{check_nick, fold};
use kappadb_core::FeedKey;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A name, and the feed that is meant by it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// As it was written.
    pub name: String,
    /// Whom it stands for.
    pub feed: FeedKey,
}

/// The pins, by folded name.
pub(crate) struct Pins {
    path: PathBuf,
    pins: Mutex<BTreeMap<String, Pin>>,
}

impl Pins {
    pub fn load(dir: &Path) -> Result<Pins, OpenError> {
        let path = dir.join("pins");
        let text = read_file(&path)?.unwrap_or_default();
        let line = |line: &str| {
            let (feed, name) = line.split_once(' ')?;
            check_nick(name).ok()?;
            Some((fold(name), Pin { name: name.to_owned(), feed: feed.parse().ok()? }))
        };
        let pins = text.lines().map(line).collect::<Option<_>>();
        let damaged = || OpenError::Damaged { path: path.clone(), wanted: "`<feed> <name>` a line" };
        Ok(Pins { pins: Mutex::new(pins.ok_or_else(damaged)?), path })
    }

    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Pin>> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Durable when it returns.
    pub fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Pin>)) -> io::Result<()> {
        let mut pins = self.lock();
        let mut new = pins.clone();
        change(&mut new);
        let line = |Pin { name, feed }: &Pin| format!("{feed} {name}\n");
        write_file(&self.path, &new.values().map(line).collect::<String>())?;
        *pins = new;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn pins_come_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let pins = Pins::load(dir.path()).unwrap();
        for (name, seed) in [("Anna Lee", 1), ("größe", 2), ("ANNA LEE", 3)] {
            let pin = Pin { name: name.to_owned(), feed: FeedKey([seed; 32]) };
            pins.change(|pins| drop(pins.insert(fold(name), pin))).unwrap();
        }
        let again = Pins::load(dir.path()).unwrap();
        assert_eq!(*again.lock(), *pins.lock());
        assert_eq!(again.lock()["anna lee"].feed, FeedKey([3; 32]));
        for damage in ["anna", "x anna", &format!("{} ", FeedKey([1; 32]))] {
            fs::write(dir.path().join("pins"), damage).unwrap();
            assert!(matches!(Pins::load(dir.path()), Err(OpenError::Damaged { .. })), "{damage:?}");
        }
    }
}
