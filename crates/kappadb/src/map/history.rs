//! A feature through time.

use super::{Edition, Map};
use crate::ask::{self, Asked};
use crate::error::ReadError;
use kappadb_core::FeedKey;
use kappadb_entry::rules;
use kappadb_query::Selector;
use std::cmp::Reverse;

/// A version in a feature's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// The version.
    pub edition: Edition,
    /// Its author's feed.
    pub author: FeedKey,
    /// True if no other version that is held replaces it. Several such are a conflict.
    pub current: bool,
}

impl Map {
    /// All versions of a feature that are held here, deletes included, the latest first: none comes after one that it
    /// replaces. Empty for a feature that is not known.
    pub async fn history(&self, id: &str) -> Result<Vec<Revision>, ReadError> {
        let id = id.to_owned();
        self.run(move |parts| {
            parts.map.ready()?;
            let mut versions = parts.map.read(|index| index.history(id.as_bytes()))??;
            let heads: Vec<_> = rules::heads(&versions).iter().map(|head| head.id).collect();
            let winner = rules::winner(&rules::heads(&versions), parts.clock.now()).map(|head| head.id);
            // Whatever replaces another is of greater depth.
            versions.sort_by_key(|version| Reverse((version.depth, version.time, version.id)));
            let mut revisions = Vec::with_capacity(versions.len());
            for version in versions {
                let Some((_, mut edition)) = parts.load_edition(&id, version.id)? else { continue };
                edition.winner = Some(version.id) == winner;
                let current = heads.contains(&version.id);
                revisions.push(Revision { edition, author: version.id.feed, current });
            }
            Ok(revisions)
        })
        .await?
    }

    /// Asks the known peers for every version of a feature, also those that others made redundant.
    pub async fn ask_history(&self, id: &str) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, ask::MAP, Selector::versions([id.as_bytes()])).await
    }
}
