//! A feature through time.

use super::Edition;
use crate::error::ReadError;
use crate::network::Answer;
use crate::views::map::MapParts;
use kappadb_core::FeedKey;
use kappadb_entry::rules;
use serde::Serialize;
use std::cmp::Reverse;

/// A version in a feature's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Revision {
    /// The version.
    #[serde(flatten)]
    pub edition: Edition,
    /// Its author's feed.
    #[serde(skip)]
    pub author: FeedKey,
    /// True if no other version that is held replaces it. Several such are a conflict.
    pub current: bool,
}

pub(super) fn feature_history(parts: &MapParts, id: &str) -> Result<Answer<Revision>, ReadError> {
    parts.map.ready()?;
    let mut versions = parts.map.read(|index| index.history(id.as_bytes()))??;
    let heads: Vec<_> = rules::heads(&versions).iter().map(|head| head.id).collect();
    let winner = rules::winner(&rules::heads(&versions), parts.clock.now()).map(|head| head.id);
    // Whatever replaces another is of greater depth.
    versions.sort_by_key(|version| Reverse((version.depth, version.time, version.id)));
    let mut revisions = Vec::with_capacity(versions.len());
    for version in versions {
        let Some((_, mut edition)) = parts.load_edition(id, version.id)? else { continue };
        edition.winner = Some(version.id) == winner;
        let current = heads.contains(&version.id);
        revisions.push(Revision { edition, author: version.id.feed, current });
    }
    let lacking = revisions.iter().filter(|r| r.current && r.edition.held().is_err()).count();
    Ok(Answer::of(revisions).lacking(lacking))
}
