//! A key through time.

use super::{Content, Head, Kv};
use crate::error::ReadError;
use kappadb_entry::rules;
use std::cmp::Reverse;

/// A version in a key's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRevision {
    /// The version.
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

impl Kv {
    /// All versions of a key that are held here, deletes included, the latest first: none comes after one that it replaces.
    /// Empty for a key that is not known.
    pub async fn history(&self, key: impl AsRef<[u8]>) -> Result<Vec<KvRevision>, ReadError> {
        let key = key.as_ref().to_vec();
        self.run(move |parts| {
            parts.kv.ready()?;
            let mut versions = parts.kv.read(|index| index.read().history(&key))??;
            let heads = rules::heads(&versions);
            let winner = rules::winner(&heads, parts.clock.now()).map(|winner| winner.id);
            let heads: Vec<_> = heads.iter().map(|head| head.id).collect();
            // Whatever replaces another is of greater depth.
            versions.sort_by_key(|version| Reverse((version.depth, version.time, version.id)));
            let contents = parts.kv_contents(&versions.iter().collect::<Vec<_>>())?;
            let revision = |(version, content): (rules::Version, Content)| {
                let (id, winner) = (version.id, winner == Some(version.id));
                let version = Head { id, author: id.feed, time: version.time, content, winner };
                KvRevision { version, current: heads.contains(&id) }
            };
            Ok(versions.into_iter().zip(contents).map(revision).collect())
        })
        .await?
    }
}
