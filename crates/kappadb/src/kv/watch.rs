//! Watching keys: first what is there, then each change.

use super::{Kv, Value, ground::Ground};
use crate::boxed::Boxed;
use crate::database::{self, Parts};
use crate::error::ReadError;
use futures::future::{Either, select};
use futures::{Stream, stream};
use kappadb_core::{EntryId, Timestamp};
use kappadb_view::{Changes, Watcher};
use kappadb_view_kv::{KeyRange, KeyState, ScanOptions};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Keys read at a time.
const CHUNK: usize = 64;

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
        self.watcher(Watching::new(watcher, keys.into_iter().collect(), None))
    }

    /// Watches the keys that start with `prefix`, as [`Kv::watch`] does. First those come that have a value, in order. It
    /// remembers some bytes for each key that it told of.
    pub fn watch_prefix(&self, prefix: impl AsRef<[u8]>) -> KvWatcher {
        let range = KeyRange::prefix(prefix);
        let wanted = range.clone();
        let watcher = self.parts.kv.watch_keys(move |key| wanted.contains(key));
        self.watcher(Watching::new(watcher, VecDeque::new(), Some(range)))
    }

    fn watcher(&self, watching: Watching) -> KvWatcher {
        let changes = stream::unfold(Some((self.parts.clone(), watching)), |watching| async move {
            let (parts, mut watching) = watching?;
            match watching.next(&parts).await.transpose()? {
                Ok(change) => Some((Ok(change), Some((parts, watching)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        KvWatcher { changes: Boxed::new(changes) }
    }
}

/// The state of a watcher.
struct Watching {
    watcher: Watcher,
    /// False until everything that was held when it began is indexed.
    ready_to_look: bool,
    /// What is watched, if it is not just the keys told of.
    range: Option<KeyRange>,
    look: VecDeque<Look>,
    /// From after which key on the range has to be looked through, and whether it was before.
    through: Option<(Option<Vec<u8>>, bool)>,
    /// What was told of each key, in short.
    told: BTreeMap<Vec<u8>, u64>,
    /// When a head that is not due yet will be.
    due: BTreeSet<(Timestamp, Vec<u8>)>,
    ready: VecDeque<KvChange>,
}

/// A key to look at.
struct Look {
    key: Vec<u8>,
    /// It has had states that were not seen.
    lagged: bool,
    /// The heads that were told of: if it has others now, those were not seen.
    heads: Option<Vec<EntryId>>,
}

impl Look {
    fn at(key: Vec<u8>, lagged: bool) -> Look {
        Look { key, lagged, heads: None }
    }
}

/// A key that was looked at.
struct Looked {
    key: Vec<u8>,
    state: KeyState,
    value: Option<Value>,
    /// When it has to be looked at again, whatever comes.
    next_due: Option<Timestamp>,
    lagged: bool,
}

impl Watching {
    fn new(watcher: Watcher, keys: VecDeque<Vec<u8>>, range: Option<KeyRange>) -> Watching {
        Watching {
            watcher,
            ready_to_look: false,
            look: keys.into_iter().map(|key| Look::at(key, false)).collect(),
            through: range.is_some().then_some((None, false)),
            range,
            told: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: VecDeque::new(),
        }
    }

    async fn next(&mut self, parts: &Arc<Parts>) -> Result<Option<KvChange>, ReadError> {
        if !self.ready_to_look {
            database::run(parts, |parts| parts.kv.ready()).await??;
            self.ready_to_look = true;
        }
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            if !self.look.is_empty() {
                let keys: Vec<_> = self.look.drain(..self.look.len().min(CHUNK)).collect();
                let looked = database::run(parts, move |parts| parts.look_at(keys)).await??;
                looked.into_iter().for_each(|looked| self.tell(looked));
            } else if let (Some((after, lagged)), Some(range)) = (self.through.take(), &self.range) {
                let options = ScanOptions { limit: Some(CHUNK), backwards: false, after };
                let (range, ground) = (range.clone(), Ground::now(parts.clone()));
                let (rows, next) = database::run(parts, move |_| ground.rows(&range, &options)).await??;
                self.through = next.map(|next| (Some(next), lagged));
                self.look.extend(rows.into_iter().map(|row| Look::at(row.key, lagged)));
            } else if !self.wait(parts).await {
                return Ok(None);
            }
        }
    }

    /// Waits until there is something to look at. False at the end.
    async fn wait(&mut self, parts: &Parts) -> bool {
        let now = parts.clock.now();
        let due = self.due.first().map(|(due, _)| due.0.saturating_sub(now.0).max(0).unsigned_abs());
        let changes = pin!(std::future::poll_fn(|context| self.watcher.poll_next(context)));
        let changes = match due {
            None => changes.await,
            Some(millis) => {
                let sleep = pin!(tokio::time::sleep(Duration::from_millis(millis.saturating_add(1))));
                match select(changes, sleep).await {
                    Either::Left((changes, _)) => changes,
                    Either::Right(_) => Some(Changes::default()),
                }
            }
        };
        let Some(Changes { notices, lagged }) = changes else { return false };
        let now = parts.clock.now();
        while self.due.first().is_some_and(|(due, _)| *due <= now) {
            self.look.extend(self.due.pop_first().map(|(_, key)| Look::at(key, false)));
        }
        let mut changed: BTreeMap<Vec<u8>, (u32, Vec<EntryId>)> = BTreeMap::new();
        for notice in notices {
            let (changes, heads) = changed.entry(notice.key).or_default();
            *changes = changes.saturating_add(notice.changes);
            *heads = notice.heads;
        }
        self.look.extend(changed.into_iter().map(|(key, (changes, heads))| Look {
            key,
            lagged: changes > 1,
            heads: Some(heads),
        }));
        if lagged {
            self.look = self.told.keys().map(|key| Look::at(key.clone(), true)).collect();
            self.through = self.range.is_some().then_some((None, true));
        }
        true
    }

    /// Makes a change ready to be told, if it is one.
    fn tell(&mut self, Looked { key, state, value, next_due, lagged }: Looked) {
        let heads = state.ids();
        let mut hasher = DefaultHasher::new();
        (&heads, state.shown().map(|winner| winner.id)).hash(&mut hasher);
        let fingerprint = hasher.finish();
        self.due.extend(next_due.map(|due| (due, key.clone())));
        if self.told.insert(key.clone(), fingerprint) != Some(fingerprint) {
            self.ready.push_back(KvChange { key, value, heads, lagged });
        }
    }
}

impl Parts {
    fn look_at(&self, keys: Vec<Look>) -> Result<Vec<Looked>, ReadError> {
        let now = self.clock.now();
        let look = |Look { key, lagged, heads }: Look| {
            let state = self.kv_state_indexed(&key)?;
            let value = self.kv_value(&state)?;
            let next_due = state.heads.iter().map(|head| head.time).filter(|time| *time > now).min();
            let lagged = lagged || heads.is_some_and(|heads| heads != state.ids());
            Ok(Looked { key, state, value, next_due, lagged })
        };
        keys.into_iter().map(look).collect()
    }
}
