//! Watching keys: first what is there, then each change.

use super::Value;
use super::ground::Ground;
use crate::error::ReadError;
use crate::lines::fields;
use crate::network::Live;
use crate::views::boxed::Boxed;
use crate::views::kv::KvParts;
use crate::views::watching::{CHUNK, Listed, Look, Looked, Watched, in_short};
use futures::Stream;
use kappadb_core::EntryId;
use kappadb_view_kv::{KeyRange, ScanOptions};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A key as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvChange {
    /// The key.
    pub key: Vec<u8>,
    /// Its value; none if it has none.
    pub value: Option<Value>,
    /// Its heads, ascending; several are a conflict. Empty if nothing is known of the key.
    pub heads: Vec<EntryId>,
    /// True if it may have had other states since it was told of last: the watcher was slower than the changes.
    pub lagged: bool,
}

/// As an item; without a value `value` and what belongs to it are null. `lagged` is there if it is true.
impl Serialize for KvChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let KvChange { key, value, heads, lagged } = self;
        let said = value.as_ref();
        let mut map = serializer.serialize_map(None)?;
        fields::bytes(&mut map, "key", Some(key))?;
        fields::bytes(&mut map, "value", said.and_then(|value| value.bytes.as_deref()))?;
        map.serialize_entry("id", &said.map(|value| value.id))?;
        map.serialize_entry("author", &said.map(|value| value.author))?;
        map.serialize_entry("timestamp", &said.map(|value| value.time))?;
        map.serialize_entry("heads", heads)?;
        if *lagged {
            map.serialize_entry("lagged", lagged)?;
        }
        map.end()
    }
}

/// Tells of keys: a stream of [`KvChange`]. It keeps the database open, and ends when that is closed, or with the first error;
/// dropping it ends it and nothing else.
#[derive(Debug)]
pub struct KvWatcher {
    pub(super) changes: Boxed<Result<KvChange, ReadError>>,
    pub(super) live: Live,
}

impl KvWatcher {
    /// Follows what it watches: every peer is asked for it live as long as the watcher is there, so that what is written elsewhere is told within
    /// moments.
    pub fn live(mut self) -> KvWatcher {
        self.live.begin();
        self
    }

    /// Waits for the next change; none once the database is closed. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<KvChange, ReadError>> {
        self.changes.next().await
    }
}

impl Stream for KvWatcher {
    type Item = Result<KvChange, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll(context)
    }
}

/// Keys that are watched: those of a range, if not just some.
pub(super) struct Keys(pub Option<KeyRange>);

impl Watched for Keys {
    type Parts = KvParts;
    type Change = KvChange;

    fn ready(&self, parts: &KvParts) -> Result<(), ReadError> {
        Ok(parts.kv.ready()?)
    }

    fn list(&self, parts: &Arc<KvParts>, after: Option<Vec<u8>>) -> Result<Listed, ReadError> {
        let Some(range) = &self.0 else { return Ok(Listed::default()) };
        let options = ScanOptions { limit: Some(CHUNK), backwards: false, after };
        let (rows, next) = Ground::now(parts.clone()).rows(range, &options)?;
        Ok((rows.into_iter().map(|row| row.key).collect(), next))
    }

    fn look(&self, parts: &KvParts, look: Look) -> Result<Looked<KvChange>, ReadError> {
        let now = parts.clock.now();
        let state = parts.kv_state_indexed(&look.key)?;
        let (value, heads) = (parts.kv_value(&state)?, state.ids());
        let next_due = state.heads.iter().map(|head| head.time).filter(|time| *time > now).min();
        let seen = Some(in_short((&heads, state.shown().map(|winner| winner.id))));
        let (lagged, key) = (look.has_lagged(&heads), look.key);
        let change = KvChange { key: key.clone(), value, heads, lagged };
        Ok(Looked { key, seen, change, next_due })
    }
}
