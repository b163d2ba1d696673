//! Several writers on one replica: local names for the feeds that it appends to, in `DIR/writers`.

use crate::error::{OpenError, WriteError};
use crate::folder::files::write_file;
use kappadb_core::FeedKey;
use kappadb_feed::{FeedInfo, Feeds};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name of the writer that is there without being asked for.
pub(crate) const DEFAULT: &str = "default";
/// Names of authors that an import made feeds for begin so. Nobody writes as one of them without saying so, and none of them is "me".
pub(crate) const IMPORTED: &str = "imported:";
/// Characters in a name, at most.
const MAX_NAME: usize = 96;

/// A writer of this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterInfo {
    /// What it is called here; other replicas know its feed alone.
    pub name: String,
    /// The feed that it appends to.
    pub feed: FeedKey,
}

/// The names and their feeds, as in the file: `feed name` a line.
pub(crate) struct Writers {
    path: PathBuf,
    names: Mutex<BTreeMap<String, FeedKey>>,
}

impl Writers {
    pub fn load(dir: &Path) -> Result<Writers, OpenError> {
        let path = dir.join("writers");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(OpenError::File { path, source }),
            Ok(text) => text,
        };
        let line = |line: &str| {
            let (feed, name) = line.split_once(' ')?;
            Some((name.to_owned(), feed.parse().ok().filter(|_| is_name(name))?))
        };
        let names = text.lines().map(line).collect::<Option<BTreeMap<String, FeedKey>>>();
        let damaged = || OpenError::Damaged { path: path.clone(), wanted: "`<feed> <name>` a line" };
        let names = Mutex::new(names.ok_or_else(damaged)?);
        Ok(Writers { path, names })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, FeedKey>> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The feed that a name stands for.
    pub fn get(&self, name: &str) -> Option<FeedKey> {
        self.lock().get(name).copied()
    }

    /// The feeds of authors that an import made.
    #[cfg(feature = "chat")]
    pub fn imported(&self) -> Vec<FeedKey> {
        let names = self.lock();
        let imported = names.range(IMPORTED.to_owned()..).take_while(|(name, _)| name.starts_with(IMPORTED));
        imported.map(|(_, feed)| *feed).collect()
    }

    /// A copy: whoever looks at the names may look again, or change them, before it is done.
    pub fn names(&self) -> BTreeMap<String, FeedKey> {
        self.lock().clone()
    }

    /// The newest own feed without a name is the default writer's, if no other is: one that was made just before a crash, or whose name was lost
    /// with the file.
    pub fn find_default(&self, feeds: &Feeds) {
        let mut names = self.lock();
        if !names.contains_key(DEFAULT) {
            let named: BTreeSet<FeedKey> = names.values().copied().collect();
            let nameless = |info: &FeedInfo| info.writable && !named.contains(&info.feed);
            let newest =
                feeds.list().into_iter().filter(nameless).max_by_key(|info| (info.created, info.feed));
            names.extend(newest.map(|info| (DEFAULT.to_owned(), info.feed)));
        }
    }

    /// Writes a name down durably, in place of what it stood for.
    pub fn set(&self, name: &str, feed: FeedKey) -> Result<(), WriteError> {
        let mut names = self.lock();
        let mut new = names.clone();
        new.insert(name.to_owned(), feed);
        if name == DEFAULT {
            // It would be found without the file: a write that failed must not make another one.
            names.insert(name.to_owned(), feed);
        }
        let text: String = new.iter().map(|(name, feed)| format!("{feed} {name}\n")).collect();
        let failed = |source: io::Error| WriteError::Names { path: self.path.clone(), source };
        write_file(&self.path, &text).map_err(failed)?;
        *names = new;
        Ok(())
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c == ' ' || !(c.is_whitespace() || c.is_control());
    (1..=MAX_NAME).contains(&name.chars().count()) && name.trim() == name && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let writers = Writers::load(dir.path()).unwrap();
        writers.set("anna", FeedKey([1; 32])).unwrap();
        writers.set("imported:Anna  Lee", FeedKey([4; 32])).unwrap();
        writers.set("björn", FeedKey([2; 32])).unwrap();
        writers.set("anna", FeedKey([3; 32])).unwrap();
        let again = Writers::load(dir.path()).unwrap();
        assert_eq!(again.names(), writers.names());
        assert_eq!(again.names()["anna"], FeedKey([3; 32]));
        for damage in ["anna", "x anna", "00 "] {
            fs::write(dir.path().join("writers"), damage).unwrap();
            assert!(matches!(Writers::load(dir.path()), Err(OpenError::Damaged { .. })), "{damage}");
        }
    }

    #[test]
    fn names_have_spaces_within_and_nothing_that_is_not_seen() {
        assert!(is_name("a") && is_name("anna-2") && is_name("Anna Lee") && is_name(&"ö".repeat(96)));
        assert!(
            ["", " ", " a", "a ", "a\nb", "a\u{2028}b", &"x".repeat(97)].iter().all(|name| !is_name(name))
        );
    }
}
