//! Watching keys of a view, for as slow a reader as there is: first what is there, then each change.

use crate::engine::{self, OnEngine};
use crate::error::ReadError;
use crate::views::boxed::Boxed;
use futures::future::{Either, select};
use futures::stream;
use kappadb_core::{EntryId, Timestamp};
use kappadb_view::{Changes, Watcher};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Keys read at a time.
pub(crate) const CHUNK: usize = 64;

/// What is watched, and how it is looked at. Its methods block.
pub(crate) trait Watched: Send + Sync + 'static {
    /// What it is looked at in.
    type Parts: OnEngine;
    /// What is told.
    type Change: Send + 'static;

    /// Waits until everything that is held is indexed.
    fn ready(&self, parts: &Self::Parts) -> Result<(), ReadError>;

    /// The next keys of those that are there, and where to go on.
    fn list(&self, parts: &Arc<Self::Parts>, after: Option<Vec<u8>>) -> Result<Listed, ReadError>;

    /// A key as it is now.
    fn look(&self, parts: &Self::Parts, look: Look) -> Result<Looked<Self::Change>, ReadError>;
}

/// Some keys, and the one to go on after, if there are more.
pub(crate) type Listed = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// A key to look at.
pub(crate) struct Look {
    pub key: Vec<u8>,
    /// It has had states that were not seen.
    lagged: bool,
    /// The heads that were told of: if it has others now, those were not seen.
    heads: Option<Vec<EntryId>>,
}

impl Look {
    fn at(key: Vec<u8>, lagged: bool) -> Look {
        Look { key, lagged, heads: None }
    }

    /// True if it has had states that were not seen, as it has these heads now.
    pub fn has_lagged(&self, heads: &[EntryId]) -> bool {
        self.lagged || self.heads.as_ref().is_some_and(|told| told != heads)
    }
}

/// A key that was looked at.
pub(crate) struct Looked<C> {
    pub key: Vec<u8>,
    /// In short, what is to be seen of it: it is told of again when that is another. None for one that is not to be seen, which is told of if it was.
    pub seen: Option<u64>,
    /// What is told of it.
    pub change: C,
    /// When it has to be looked at again, whatever comes.
    pub next_due: Option<Timestamp>,
}

/// Something in short.
pub(crate) fn in_short(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The state of somebody who watches.
pub(crate) struct Watching<W: Watched> {
    watched: Arc<W>,
    watcher: Watcher,
    /// False until everything that was held when it began is indexed.
    ready_to_look: bool,
    /// It is not just certain keys that are watched: which there are is looked up.
    is_open: bool,
    look: VecDeque<Look>,
    /// From after which key on it has to be looked up, and whether it was before.
    through: Option<(Option<Vec<u8>>, bool)>,
    /// What was told of each key, in short.
    told: BTreeMap<Vec<u8>, u64>,
    /// When a head that is not due yet will be.
    due: BTreeSet<(Timestamp, Vec<u8>)>,
    ready: VecDeque<W::Change>,
}

impl<W: Watched> Watching<W> {
    /// Watches these keys, or, if there are none, those that there are.
    pub fn new(watched: W, watcher: Watcher, keys: Option<BTreeSet<Vec<u8>>>) -> Watching<W> {
        let is_open = keys.is_none();
        Watching {
            watched: Arc::new(watched),
            watcher,
            ready_to_look: false,
            look: keys.into_iter().flatten().map(|key| Look::at(key, false)).collect(),
            through: is_open.then_some((None, false)),
            is_open,
            told: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: VecDeque::new(),
        }
    }

    /// What it tells, one change after the other, until the database is closed.
    pub fn stream(self, parts: Arc<W::Parts>) -> Boxed<Result<W::Change, ReadError>> {
        Boxed::new(stream::unfold(Some((parts, self)), |watching| async move {
            let (parts, mut watching) = watching?;
            match watching.next(&parts).await.transpose()? {
                Ok(change) => Some((Ok(change), Some((parts, watching)))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn next(&mut self, parts: &Arc<W::Parts>) -> Result<Option<W::Change>, ReadError> {
        if !self.ready_to_look {
            let watched = self.watched.clone();
            engine::run(parts, move |parts| watched.ready(parts)).await??;
            self.ready_to_look = true;
        }
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            let watched = self.watched.clone();
            if !self.look.is_empty() {
                let keys: Vec<_> = self.look.drain(..self.look.len().min(CHUNK)).collect();
                let look = move |parts: &W::Parts| {
                    keys.into_iter().map(|key| watched.look(parts, key)).collect::<Result<Vec<_>, _>>()
                };
                engine::run(parts, look).await??.into_iter().for_each(|looked| self.tell(looked));
            } else if let Some((after, lagged)) = self.through.take() {
                let held = parts.clone();
                let (keys, next) = engine::run(parts, move |_| watched.list(&held, after)).await??;
                self.through = next.map(|next| (Some(next), lagged));
                self.look.extend(keys.into_iter().map(|key| Look::at(key, lagged)));
            } else if !self.wait(parts).await {
                return Ok(None);
            }
        }
    }

    /// Waits until there is something to look at. False at the end.
    async fn wait(&mut self, parts: &W::Parts) -> bool {
        let now = parts.engine().clock.now();
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
        let now = parts.engine().clock.now();
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
            self.through = self.is_open.then_some((None, true));
        }
        true
    }

    /// Makes a change ready to be told, if it is one.
    fn tell(&mut self, Looked { key, seen, change, next_due }: Looked<W::Change>) {
        self.due.extend(next_due.map(|due| (due, key.clone())));
        let before = match seen {
            Some(seen) => self.told.insert(key, seen),
            None => self.told.remove(&key),
        };
        if before != seen {
            self.ready.push_back(change);
        }
    }
}
