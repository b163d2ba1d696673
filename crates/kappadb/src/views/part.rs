//! What work over all views, and what stands above that, has to know of a view of this library. A view says what it has to say; to the rest it leaves
//! what is said here.

use super::again::{Carry, Refused};
use super::says::Says;
use crate::error::{LogError, ReadError};
use crate::network::{Follow, Handle, ViewRules};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::rules::Version;
use kappadb_entry::{Entry, Header};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many features are in conflict: people who had not seen each other's change say different things of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Conflicts {
    /// So many at least.
    pub count: u64,
    /// True if there may be more: not all features with several current versions were looked at, or none, for the view of the map does not run.
    pub more: bool,
}

impl Default for Conflicts {
    /// What is known if nothing was looked at.
    fn default() -> Self {
        Conflicts { count: 0, more: true }
    }
}

/// A view, opened.
pub(crate) trait Opened {
    /// What the network has to be told of it.
    fn rules(&self) -> Box<dyn ViewRules>;

    /// The same view for one who reads and writes under a name.
    fn part(&self, handle: &Handle) -> Arc<dyn Part>;
}

/// A view for one who reads and writes under a name.
pub(crate) trait Part: Send + Sync {
    /// The view's name.
    fn view(&self) -> &'static str;

    /// All versions of a key.
    fn history(&self, key: &[u8]) -> Result<Vec<Version>, ReadError>;

    /// What an entry of its space says; none if that is nothing that it understands.
    fn says(&self, id: EntryId, entry: &Entry) -> Result<Option<Says>, ReadError>;

    /// The entry that this one changes.
    fn edited(&self, _header: &Header) -> Option<EntryId> {
        None
    }

    /// The entry that this one takes back.
    fn withdrawn(&self, _header: &Header) -> Option<EntryId> {
        None
    }

    /// True if an entry says what no other feed can say for its own.
    fn speaks_for_itself(&self, _id: EntryId, _entry: &Entry) -> bool {
        false
    }

    /// The payload with which another feed says an entry again, and the header made to fit where it would say something else there. None if the
    /// payload stays what it is.
    fn say_again(
        &self,
        _id: EntryId,
        _entry: &Entry,
        _header: &mut Header,
        _carry: &mut Carry<'_>,
    ) -> Result<Option<Bytes>, Refused> {
        Ok(None)
    }

    /// What a feed calls itself.
    fn called(&self, _feed: &FeedKey) -> Result<Option<String>, ReadError> {
        Ok(None)
    }

    /// Other writers whose clocks were ahead of this machine's by as many milliseconds, and by how much.
    fn dated_ahead(&self, _by: i64) -> Result<BTreeMap<FeedKey, i64>, ReadError> {
        Ok(BTreeMap::new())
    }

    /// How many features are in conflict.
    fn conflicts(&self) -> Result<Conflicts, ReadError> {
        Ok(Conflicts::default())
    }

    /// What is to be done before a compaction.
    fn before_compaction(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// What is to be done after one, once there is room. What fails is done by the next.
    fn after_compaction(&self) {}

    /// What a channel is followed by.
    fn channel(&self, _name: &str) -> Vec<Follow> {
        Vec::new()
    }

    /// What private messages to this replica's writers, and from them, are followed by.
    fn private(self: Arc<Self>) -> Vec<Follow> {
        Vec::new()
    }
}
