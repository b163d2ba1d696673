use crate::error::ReadError;
use crate::folder::callers::Caller;
use crate::network::ask::MAP;
use crate::network::lies;
use crate::views::Parts;
use crate::views::part::Conflicts;
use kappadb_core::FeedKey;
use serde::Serialize;

/// What a replica holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The database's id, hex.
    pub database: String,
    /// Every feed known here.
    pub feeds: Vec<FeedStatus>,
    /// Every view.
    pub views: Vec<ViewStatus>,
    /// Map features in conflict.
    pub conflicts: Conflicts,
    /// Peers that called, the last one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Caller>,
    /// Bytes on disk.
    pub disk: Disk,
}

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedStatus {
    /// Its key, hex.
    pub feed: String,
    /// Blocks under the newest head known here.
    pub length: u64,
    /// Blocks held.
    pub held: u64,
    /// Bytes of the blocks held.
    pub bytes: u64,
    /// Of the blocks held, those whose payload was cleared here.
    pub cleared: u64,
    /// True if its secret key is here and it takes appends.
    pub writable: bool,
    /// True if its secret key is here and peers know more of it than was written here: it takes no more appends.
    #[serde(skip_serializing_if = "is_false")]
    pub behind: bool,
    /// True if its secret key is here and it was given up, for there may be more of it than is here: it takes no more appends.
    #[serde(skip_serializing_if = "is_false")]
    pub given_up: bool,
    /// True if an entry of it names one of a feed that is written here which was not written yet when it came.
    #[serde(skip_serializing_if = "is_false")]
    pub lies: bool,
    /// True if it is on the block list.
    #[serde(skip_serializing_if = "is_false")]
    pub dropped: bool,
    /// The feed that it goes on for, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<String>,
    /// The seq from which it is left out, if it was proved to be forked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork: Option<u64>,
}

/// One view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// How far in the arrival log it has come.
    pub lseq: u64,
    /// Blocks that it has not indexed yet.
    pub lag: u64,
    /// Why it stands still, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The truth.
    pub journal: u64,
    /// What can be made anew from it.
    pub derived: u64,
}

impl Status {
    pub(crate) fn of(parts: &Parts, callers: Vec<Caller>) -> Result<Status, ReadError> {
        let lies = lies(parts)?;
        let known = parts.feeds.list();
        // Those of which nothing is left, so that people can see what is on the list, and take it off.
        let gone =
            parts.feeds.dropped().into_iter().filter(|feed| known.iter().all(|info| info.feed != *feed));
        let gone: Vec<FeedStatus> = gone.map(FeedStatus::gone).collect();
        let feeds = known.into_iter().map(|info| FeedStatus {
            feed: info.feed.to_string(),
            length: info.length,
            held: info.held,
            bytes: info.bytes,
            cleared: info.cleared,
            writable: info.writable,
            behind: info.behind,
            given_up: info.given_up,
            lies: lies.contains_key(&info.feed),
            dropped: info.dropped,
            predecessor: info.continues.map(|feed| feed.to_string()),
            fork: info.fork,
        });
        let views = parts.views.status().into_iter().map(|view| ViewStatus {
            name: view.name,
            version: view.version,
            lseq: view.lseq,
            lag: view.lag,
            error: view.error,
        });
        let conflicts = parts.of_view(MAP).map(|map| map.conflicts()).transpose()?.unwrap_or_default();
        let disk = parts.feeds.disk()?;
        Ok(Status {
            database: parts.id.to_string(),
            feeds: feeds.chain(gone).collect(),
            views: views.collect(),
            conflicts,
            callers,
            disk: Disk { journal: disk.journal, derived: disk.derived },
        })
    }
}

impl FeedStatus {
    /// A feed that was dropped, and of which nothing is held.
    fn gone(feed: FeedKey) -> FeedStatus {
        FeedStatus {
            feed: feed.to_string(),
            length: 0,
            held: 0,
            bytes: 0,
            cleared: 0,
            writable: false,
            behind: false,
            given_up: false,
            lies: false,
            dropped: true,
            predecessor: None,
            fork: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_false(flag: &bool) -> bool {
    !flag
}
