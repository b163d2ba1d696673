//! A feature through time.

use super::{Edition, Map};
use crate::error::ReadError;
use crate::network::Answer;
use crate::network::Read;
use crate::network::ask::{self, MAP};
use crate::views::map::MapParts;
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
    /// All versions of a feature, deletes included, the latest first: none comes after one that it replaces. Nothing for a feature that is not
    /// known. Peers are asked for every version, also those that others made redundant; of these, contents that are too large for a block are
    /// not fetched.
    pub fn history(&self, id: &str) -> Read<Answer<Revision>> {
        let id = id.to_owned();
        Read::new(&self.parts, ask::one(MAP, Selector::versions([id.as_bytes()])), move |parts| {
            parts.feature_history(&id)
        })
    }
}

impl MapParts {
    fn feature_history(&self, id: &str) -> Result<Answer<Revision>, ReadError> {
        self.map.ready()?;
        let mut versions = self.map.read(|index| index.history(id.as_bytes()))??;
        let heads: Vec<_> = rules::heads(&versions).iter().map(|head| head.id).collect();
        let winner = rules::winner(&rules::heads(&versions), self.clock.now()).map(|head| head.id);
        // Whatever replaces another is of greater depth.
        versions.sort_by_key(|version| Reverse((version.depth, version.time, version.id)));
        let mut revisions = Vec::with_capacity(versions.len());
        for version in versions {
            let Some((_, mut edition)) = self.load_edition(id, version.id)? else { continue };
            edition.winner = Some(version.id) == winner;
            let current = heads.contains(&version.id);
            revisions.push(Revision { edition, author: version.id.feed, current });
        }
        let lacking = revisions.iter().filter(|r| r.current && r.edition.held().is_err()).count();
        Ok(Answer::of(revisions).lacking(lacking))
    }
}
