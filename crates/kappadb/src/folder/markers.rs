//! What was read of each channel: `DIR/read-markers`, this replica's own state. It is not derived from the feeds, so it lies
//! beside them and not in the folder that can be thrown away.

use crate::error::OpenError;
use crate::folder::files::{read_file, write_file};
use kappadb_core::{EntryId, Lseq, RangeSet, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names of lanes of private messages are of another sort than those of channels; in the file they begin with this.
const LANE: char = '@';
const CHANNEL: char = '#';

/// How far a channel was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Where the arrival log ended then: what came later is not read.
    pub seen: Lseq,
    /// When that was, by this machine's clock.
    pub time: Timestamp,
    /// The last message of the channel then. If it is not the last before `seen` any more, numbers of arrivals mean something else now.
    pub last: Option<(Lseq, EntryId)>,
    /// Of what had come by then, what is not read.
    pub left: RangeSet,
}

/// The file was not written.
pub(crate) struct NotKept(pub io::Error);

/// Markers by folded name of the channel, or by that of the lane.
pub(crate) struct Markers {
    path: PathBuf,
    markers: Mutex<BTreeMap<String, Marker>>,
}

impl Markers {
    pub fn load(dir: &Path) -> Result<Markers, OpenError> {
        let path = dir.join("read-markers");
        let text = read_file(&path)?.unwrap_or_default();
        let markers = text.lines().map(parse).collect::<Option<_>>();
        let wanted = "`<arrivals> <time> <arrival>:<feed>/<seq> <from>-<to>,... #<channel>` a line";
        let damaged = || OpenError::Damaged { path: path.clone(), wanted };
        Ok(Markers { markers: Mutex::new(markers.ok_or_else(damaged)?), path })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Marker>> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a channel was read; none if it never was.
    pub fn get(&self, channel: &str) -> Option<Marker> {
        self.lock().get(channel).cloned()
    }

    /// Marks channels: `mark` makes of the marker that a channel has the one that it is to have. Durable when it returns.
    pub fn set<E: From<NotKept>>(
        &self,
        channels: impl IntoIterator<Item = String>,
        mark: impl Fn(&str, Option<&Marker>) -> Result<Marker, E>,
    ) -> Result<(), E> {
        let mut markers = self.lock();
        let mut new = markers.clone();
        for channel in channels {
            let marker = mark(&channel, markers.get(&channel))?;
            new.insert(channel, marker);
        }
        if new != *markers {
            write_file(&self.path, &new.iter().map(line).collect::<String>()).map_err(NotKept)?;
            *markers = new;
        }
        Ok(())
    }
}

fn line((channel, marker): (&String, &Marker)) -> String {
    let Marker { seen, time, last, left } = marker;
    let last = last.map_or("-".to_owned(), |(lseq, id)| format!("{lseq}:{id}"));
    let left: Vec<String> =
        left.ranges().iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
    let left = if left.is_empty() { "-".to_owned() } else { left.join(",") };
    let name = match channel.strip_prefix(kappadb_chat::Lane::MARK) {
        Some(lane) => format!("{LANE}{lane}"),
        None => format!("{CHANNEL}{channel}"),
    };
    format!("{seen} {} {last} {left} {name}\n", time.0)
}

fn parse(line: &str) -> Option<(String, Marker)> {
    let mut words = line.splitn(5, ' ');
    let mut next = || words.next();
    let (seen, time) = (next()?.parse().ok()?, Timestamp(next()?.parse().ok()?));
    let last = match next()? {
        "-" => None,
        last => {
            let (lseq, id) = last.split_once(':')?;
            Some((lseq.parse().ok()?, id.parse().ok()?))
        }
    };
    let left = match next()? {
        "-" => RangeSet::new(),
        ranges => ranges.split(',').map(parse_range).collect::<Option<_>>()?,
    };
    let name = next()?;
    let channel = match name.strip_prefix(LANE) {
        Some(lane) => format!("{}{lane}", kappadb_chat::Lane::MARK),
        None => name.strip_prefix(CHANNEL)?.to_owned(),
    };
    Some((channel, Marker { seen, time, last, left }))
}

fn parse_range(range: &str) -> Option<Range<u64>> {
    let (from, to) = range.split_once('-')?;
    Some(from.parse().ok()?..to.parse().ok()?).filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::FeedKey;
    use std::fs;

    #[test]
    fn markers_come_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let id = EntryId { feed: FeedKey([7; 32]), seq: 3 };
        let some = Marker {
            seen: 20,
            time: Timestamp(-5),
            last: Some((17, id)),
            left: [2..3, 9..11].into_iter().collect(),
        };
        let none = Marker { seen: 0, time: Timestamp(0), last: None, left: RangeSet::new() };
        let markers = Markers::load(dir.path()).unwrap();
        assert_eq!(markers.get("a b"), None);
        for (channel, marker) in [("a b", &some), ("größe", &none), ("\0aa", &some)] {
            let kept = markers.set([channel.to_owned()], |_, _| Ok::<_, NotKept>(marker.clone()));
            assert!(kept.is_ok());
            let again = Markers::load(dir.path()).unwrap();
            assert_eq!(again.get(channel).as_ref(), Some(marker));
        }
        assert_eq!(Markers::load(dir.path()).unwrap().get("a b"), Some(some));
        for damage in ["5 x a", "5 5 - - a", "5 5 - 3-3 #a", "5 5 - -"] {
            fs::write(dir.path().join("read-markers"), damage).unwrap();
            assert!(matches!(Markers::load(dir.path()), Err(OpenError::Damaged { .. })), "{damage}");
        }
    }
}
