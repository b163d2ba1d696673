//! A key through time.

use super::{Content, Head};
use crate::error::ReadError;
use crate::network::Answer;
use crate::views::kv::KvParts;
use kappadb_entry::rules;
use serde::Serialize;
use std::cmp::Reverse;

/// A version in a key's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KvRevision {
    /// The version.
    #[serde(flatten)]
    pub version: Head,
    /// True if no other version that is held replaces it.
    pub current: bool,
}

impl KvRevision {
    /// True if it took the key's value away.
    pub fn is_delete(&self) -> bool {
        self.version.content == Content::Deleted
    }
}

impl KvParts {
    pub(super) fn kv_history(&self, key: &[u8]) -> Result<Answer<KvRevision>, ReadError> {
        self.kv.ready()?;
        let mut versions = self.kv.read(|index| index.read().history(key))??;
        let (heads, now) = (rules::heads(&versions), self.clock.now());
        let winner = rules::winner(&heads, now).map(|winner| winner.id);
        let heads: Vec<_> = heads.iter().map(|head| head.id).collect();
        // Whatever replaces another is of greater depth.
        versions.sort_by_key(|version| Reverse((version.depth, version.time, version.id)));
        let contents = self.kv_contents(&versions.iter().collect::<Vec<_>>())?;
        let revision = |(version, content): (rules::Version, Content)| {
            let (id, time) = (version.id, version.time);
            let (winner, ahead) = (winner == Some(id), time > now);
            let version = Head { id, author: id.feed, time, content, winner, ahead };
            KvRevision { version, current: heads.contains(&id) }
        };
        let revisions: Vec<KvRevision> = versions.into_iter().zip(contents).map(revision).collect();
        let lacking = revisions.iter().filter(|r| r.current && r.version.content == Content::NotHeld).count();
        Ok(Answer::of(revisions).lacking(lacking))
    }
}
