//! Which feeds people need not be told of any more, for what lies beyond their fork was looked after: `DIR/recovered`.

use super::files::write_file;
use kappadb_core::FeedKey;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where it lies.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("recovered")
}

/// Of each feed, how many blocks beyond its fork were looked after.
pub(crate) fn load(dir: &Path) -> BTreeMap<FeedKey, u64> {
    let text = fs::read_to_string(path(dir)).unwrap_or_default();
    let line = |line: &str| {
        let (feed, count) = line.split_once(' ')?;
        Some((feed.parse().ok()?, count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Writes down so many of a feed.
pub(crate) fn note(dir: &Path, feed: &FeedKey, beyond: u64) -> io::Result<()> {
    let mut recovered = load(dir);
    recovered.insert(*feed, beyond);
    let text: String = recovered.iter().map(|(feed, count)| format!("{feed} {count}\n")).collect();
    write_file(&path(dir), &text)
}
