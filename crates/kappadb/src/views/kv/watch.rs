//! Watching keys: first what is there, then each change.

use super::{Kv, Value, ground::Ground};
use crate::error::ReadError;
use crate::views::boxed::Boxed;
use crate::views::kv::KvParts;
use crate::views::watching::{CHUNK, Listed, Look, Looked, Watched, Watching, in_short};
use futures::Stream;
use kappadb_core::EntryId;
use kappadb_view_kv::{KeyRange, ScanOptions};
use std::collections::{BTreeSet, HashSet};
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

/// Tells of keys: a stream of [`KvChange`]. It keeps the database open, and ends when that is closed, or with the first error;
/// dropping it ends it and nothing else.
#[derive(Debug)]
pub struct KvWatcher {
    changes: Boxed<Result<KvChange, ReadError>>,
}

impl KvWatcher {
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

impl Kv {
    /// Watches some keys. First each of them comes once as it is, in order, also if it has no value; then a key comes whenever
    /// its heads or its value change, be it written here or fetched, or because the time of a head has come.
    ///
    /// A watcher may be as slow as it likes: what changed meanwhile comes once, as it is then, marked as lagged.
    pub fn watch<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> KvWatcher {
        let keys: BTreeSet<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        let wanted: HashSet<Vec<u8>> = keys.iter().cloned().collect();
        let watcher = self.parts.kv.watch_keys(move |key| wanted.contains(key));
        KvWatcher { changes: Watching::new(Keys(None), watcher, Some(keys)).stream(self.parts.clone()) }
    }

    /// Watches the keys that start with `prefix`, as [`Kv::watch`] does. First those come that have a value, in order. It
    /// remembers some bytes for each key that it told of.
    pub fn watch_prefix(&self, prefix: impl AsRef<[u8]>) -> KvWatcher {
        let range = KeyRange::prefix(prefix);
        let wanted = range.clone();
        let watcher = self.parts.kv.watch_keys(move |key| wanted.contains(key));
        let watching = Watching::new(Keys(Some(range)), watcher, None);
        KvWatcher { changes: watching.stream(self.parts.clone()) }
    }
}

/// Keys that are watched: those of a range, if not just some.
struct Keys(Option<KeyRange>);

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
