//! Watching a box: first what is in it, then each change.

use super::{Found, Hit};
use crate::error::ReadError;
use crate::network::Live;
use crate::views::boxed::Boxed;
use crate::views::map::MapParts;
use crate::views::watching::{CHUNK, Listed, Look, Looked, Watched, in_short};
use futures::Stream;
use kappadb_core::{EntryId, Extent};
use kappadb_view_geo::{Cursor, Query};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A feature in a box as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct MapChange {
    /// The feature's id.
    pub id: String,
    /// What of it is in the box; none if nothing is any more: it was deleted, or moved away.
    pub found: Option<Found>,
    /// All of its heads, here and elsewhere, ascending; several are a conflict. Empty if nothing is known of it any more.
    pub heads: Vec<EntryId>,
    /// True if it may have had other states since it was told of last: the watcher was slower than the changes.
    pub lagged: bool,
}

/// Tells of the features in a box: a stream of [`MapChange`]. It keeps the database open, and ends when that is closed, or with the first
/// error; dropping it ends it and nothing else.
#[derive(Debug)]
pub struct MapWatcher {
    pub(super) changes: Boxed<Result<MapChange, ReadError>>,
    pub(super) live: Live,
}

impl MapWatcher {
    /// Follows what it watches: every peer is asked for it live as long as the watcher is there, so that what is written elsewhere is told within
    /// moments.
    pub fn live(mut self) -> MapWatcher {
        self.live.begin();
        self
    }

    /// Waits for the next change; none once the database is closed. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<MapChange, ReadError>> {
        self.changes.next().await
    }
}

impl Stream for MapWatcher {
    type Item = Result<MapChange, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll(context)
    }
}

/// A box that is watched.
pub(super) struct InBox(pub Extent);

impl Watched for InBox {
    type Parts = MapParts;
    type Change = MapChange;

    fn ready(&self, parts: &MapParts) -> Result<(), ReadError> {
        Ok(parts.map.ready()?)
    }

    fn list(&self, parts: &Arc<MapParts>, after: Option<Vec<u8>>) -> Result<Listed, ReadError> {
        let id = after.and_then(|key| String::from_utf8(key).ok());
        let query = Query { limit: Some(CHUNK), after: id.map(Cursor::after_id), ..Query::default() };
        let answer = parts.map.read(|index| index.query(&self.0, &query))??;
        let keys: Vec<Vec<u8>> = answer.hits.into_iter().map(|hit| hit.key.into_bytes()).collect();
        let next = answer.next.and_then(|_| keys.last().cloned());
        Ok((keys, next))
    }

    fn look(&self, parts: &MapParts, look: Look) -> Result<Looked<MapChange>, ReadError> {
        let now = parts.clock.now();
        let (hit, heads) = parts.map.read(|index| {
            Ok::<_, ReadError>((index.hit_in(&self.0, &look.key)?, index.heads(&look.key)?))
        })??;
        let next_due = heads.iter().map(|head| head.time).filter(|time| *time > now).min();
        let heads: Vec<EntryId> = heads.into_iter().map(|head| head.id).collect();
        let (hit, lagged) = (hit.map(Hit::from), look.has_lagged(&heads));
        let found = hit.as_ref().map(|hit| parts.load_feature(hit)).transpose()?;
        let winner = found.iter().flat_map(|found| &found.versions).find(|version| version.winner);
        let seen = hit.is_some().then(|| in_short((&heads, winner.map(|version| version.entry))));
        let id = String::from_utf8_lossy(&look.key).into_owned();
        let change = MapChange { id, found, heads, lagged };
        // What is not in the box, and was not, is not waited for.
        Ok(Looked { key: look.key, seen, change, next_due: next_due.filter(|_| seen.is_some()) })
    }
}
