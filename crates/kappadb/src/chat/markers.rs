//! How far each channel was read: `DIR/read-markers`, this replica's own state. It is not derived from the feeds, so it lies
//! beside them and not in the folder that can be thrown away.

use crate::error::OpenError;
use crate::files::write_file;
use kappadb_core::Timestamp;
use kappadb_view_chat::Place;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last message read in each channel, by folded name.
pub(crate) struct Markers {
    path: PathBuf,
    places: Mutex<BTreeMap<String, Place>>,
}

impl Markers {
    pub fn load(dir: &Path) -> Result<Markers, OpenError> {
        let path = dir.join("read-markers");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(OpenError::File { path, source }),
            Ok(text) => text,
        };
        let places = text.lines().map(parse).collect::<Option<_>>();
        let wanted = "`<order time> <feed>/<seq> <channel>` a line";
        let damaged = || OpenError::Damaged { path: path.clone(), wanted };
        Ok(Markers { places: Mutex::new(places.ok_or_else(damaged)?), path })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last message read in a channel; none if nothing was.
    pub fn get(&self, folded: &str) -> Option<Place> {
        self.lock().get(folded).copied()
    }

    /// Marks a channel as read so far. A marker never goes back. Durable when it returns.
    pub fn set(&self, folded: &str, place: Place) -> io::Result<()> {
        let mut places = self.lock();
        if places.get(folded).is_some_and(|known| *known >= place) {
            return Ok(());
        }
        let mut new = places.clone();
        new.insert(folded.to_owned(), place);
        let line = |(folded, Place { order, id }): (&String, &Place)| format!("{} {id} {folded}\n", order.0);
        write_file(&self.path, &new.iter().map(line).collect::<String>())?;
        *places = new;
        Ok(())
    }
}

fn parse(line: &str) -> Option<(String, Place)> {
    let (time, rest) = line.split_once(' ')?;
    let (id, folded) = rest.split_once(' ')?;
    let place = Place { order: Timestamp(time.parse().ok()?), id: id.parse().ok()? };
    Some((folded.to_owned(), place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::{EntryId, FeedKey};

    #[test]
    fn markers_come_back_and_never_go_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = |time, seq| Place { order: Timestamp(time), id: EntryId { feed: FeedKey([7; 32]), seq } };
        let markers = Markers::load(dir.path()).unwrap();
        assert_eq!(markers.get("a b"), None);
        markers.set("a b", place(5, 1)).unwrap();
        markers.set("größe", place(-5, 0)).unwrap();
        markers.set("a b", place(4, 9)).unwrap();
        let again = Markers::load(dir.path()).unwrap();
        assert_eq!((again.get("a b"), again.get("größe")), (Some(place(5, 1)), Some(place(-5, 0))));
        fs::write(dir.path().join("read-markers"), "5 x a\n").unwrap();
        assert!(matches!(Markers::load(dir.path()), Err(OpenError::Damaged { .. })));
    }
}
