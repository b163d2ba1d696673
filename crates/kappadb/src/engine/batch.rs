//! Writes that share a turn: each looks up what it replaces, sees those before it, and all are appended together.

use super::Engine;
use super::keyed::KeyedIndex;
use crate::engine::durability::Durability;
use crate::engine::payload::{self, CHUNK, MAX_INLINE};
use crate::engine::pool::guarded;
use crate::error::{ReadError, WriteError};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, RangeSet, StoredBlock, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Detached, EntryError, Header, decode_block, encode_block};
use kappadb_feed::{Append, AppendError, Feeds};
use kappadb_view::{View, ViewHandle};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Bytes of blocks that are appended at once, about.
const BYTES: usize = 4 << 20;

/// A write whose turn has come. It tells whoever waits for it when it is known what became of it.
pub(crate) type Job = Box<dyn FnOnce(&mut Batch) -> Tell + Send>;

/// Tells of a write what became of it, once its blocks were appended or refused.
pub(crate) type Tell = Box<dyn FnOnce(&Refused) + Send>;

/// The feeds that took nothing, and why.
pub(crate) type Refused = BTreeMap<FeedKey, AppendError>;

/// When a write is to be on the disk, and the runtime that keeps the time.
pub(crate) struct Due {
    pub durability: Durability,
    pub runtime: Option<Handle>,
}

/// That something is to be on the disk within a time.
pub(crate) struct Promise {
    pub within: Duration,
    pub runtime: Handle,
}

/// What is taken in a turn and not yet appended.
#[derive(Default)]
pub(crate) struct Batch {
    /// Some of it is to be on the disk at once.
    now: bool,
    /// Some of it is to be on the disk within a time.
    promise: Option<Promise>,
    feeds: BTreeMap<FeedKey, Taken>,
    bytes: usize,
    /// The entries among it that have keys, by space and key.
    keyed: HashMap<(u32, Vec<u8>), Vec<Version>>,
    /// The keys of these in the order in which they came.
    order: Vec<(u32, Vec<u8>)>,
    /// The payloads among it that lie in blocks of their own.
    detached: BTreeMap<EntryId, Bytes>,
    /// The latest order time of each channel among it.
    latest: BTreeMap<String, Timestamp>,
    /// The views that have all that was appended before.
    ready: BTreeSet<String>,
}

struct Taken {
    /// How long the feed is without it.
    from: u64,
    blocks: Vec<Bytes>,
}

/// What there was when a write began.
struct Before {
    blocks: BTreeMap<FeedKey, usize>,
    bytes: usize,
    keyed: usize,
}

impl Taken {
    pub fn end(&self) -> u64 {
        self.from + self.blocks.len() as u64
    }
}

/// The write that `plan` makes, and what it will have given. A write that nobody waits for any more is not begun.
pub(crate) fn job<P, T, E>(
    parts: Arc<P>,
    due: Due,
    plan: impl FnOnce(&P, &mut Batch) -> Result<T, E> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, E>>)
where
    P: Send + Sync + 'static,
    T: Send + 'static,
    E: From<WriteError> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    let job = move |batch: &mut Batch| -> Tell {
        if tell.is_closed() {
            return Box::new(|_| ());
        }
        let (planned, feeds) = batch.attempt(|batch| plan(&parts, batch));
        if !feeds.is_empty() {
            batch.owe(due);
        }
        Box::new(move |refused| {
            let refusal = feeds.iter().find_map(|feed| refused.get(feed)).cloned();
            let refusal = refusal.map(|error| Err(WriteError::from(error).into()));
            let _ = tell.send(refusal.unwrap_or(planned));
        })
    };
    (Box::new(job), told)
}

impl Batch {
    /// Does writes, and tells what became of them. Returns what was promised to be on the disk later, if anything.
    pub fn write(feeds: &Feeds, jobs: Vec<Job>) -> Vec<Promise> {
        let (mut batch, mut tells) = (Batch::default(), Vec::with_capacity(jobs.len()));
        let mut promises = Vec::new();
        for job in jobs {
            tells.push(job(&mut batch));
            if batch.bytes >= BYTES {
                promises.extend(std::mem::take(&mut batch).append(feeds, tells.drain(..)));
            }
        }
        promises.extend(batch.append(feeds, tells.drain(..)));
        promises
    }

    /// Something is taken that is due then.
    fn owe(&mut self, due: Due) {
        match (due.durability, due.runtime) {
            (Durability::Buffered, _) => {}
            (Durability::Interval(within), Some(runtime)) => {
                if self.promise.as_ref().is_none_or(|promise| within < promise.within) {
                    self.promise = Some(Promise { within, runtime });
                }
            }
            // Without a runtime nobody keeps the time.
            (Durability::Now | Durability::Interval(_), _) => self.now = true,
        }
    }

    fn append(self, feeds: &Feeds, tells: impl Iterator<Item = Tell>) -> Option<Promise> {
        let (now, promise) = (self.now, self.promise);
        let appends: Vec<Append> = self
            .feeds
            .into_iter()
            .filter(|(_, taken)| !taken.blocks.is_empty())
            .map(|(feed, Taken { blocks, .. })| Append { feed, blocks })
            .collect();
        let names: Vec<FeedKey> = appends.iter().map(|append| append.feed).collect();
        let outcomes = if appends.is_empty() { Vec::new() } else { feeds.append_each(appends, now) };
        let refused =
            names.into_iter().zip(outcomes).filter_map(|(feed, outcome)| Some((feed, outcome.err()?)));
        let refused = refused.collect();
        tells.for_each(|tell| tell(&refused));
        promise.filter(|_| !now)
    }

    /// Has `plan` take what it writes, whole or not at all. Returns the feeds that it is in.
    fn attempt<T, E: From<WriteError>>(
        &mut self,
        plan: impl FnOnce(&mut Batch) -> Result<T, E>,
    ) -> (Result<T, E>, Vec<FeedKey>) {
        let before = self.mark();
        let planned = guarded(|| plan(self)).unwrap_or_else(|panic| Err(WriteError::from(panic).into()));
        if planned.is_err() {
            self.go_back_to(before);
            return (planned, Vec::new());
        }
        let grew = |(feed, taken): (&FeedKey, &Taken)| {
            (taken.blocks.len() > before.blocks.get(feed).copied().unwrap_or(0)).then_some(*feed)
        };
        (planned, self.feeds.iter().filter_map(grew).collect())
    }

    fn mark(&self) -> Before {
        let blocks = self.feeds.iter().map(|(feed, taken)| (*feed, taken.blocks.len())).collect();
        Before { blocks, bytes: self.bytes, keyed: self.order.len() }
    }

    fn go_back_to(&mut self, before: Before) {
        for (feed, taken) in &mut self.feeds {
            taken.blocks.truncate(before.blocks.get(feed).copied().unwrap_or(0));
        }
        let feeds = &self.feeds;
        self.detached.retain(|id, _| feeds.get(&id.feed).is_some_and(|taken| id.seq < taken.end()));
        for key in self.order.drain(before.keyed..) {
            self.keyed.get_mut(&key).map(Vec::pop);
        }
        self.bytes = before.bytes;
    }

    /// The active versions of a key, among all that is held now and what this turn takes.
    pub fn active<V: View<Index: KeyedIndex>>(
        &mut self,
        view: &ViewHandle<V>,
        space: u32,
        key: &[u8],
    ) -> Result<Vec<Version>, ReadError> {
        self.bring_up(view)?;
        let mut active = view.read(|index| index.active(key))??;
        for version in self.keyed.get(&(space, key.to_vec())).into_iter().flatten() {
            rules::insert(&mut active, version.clone());
        }
        Ok(active)
    }

    /// Sees to it that a view has all that was held when the turn began.
    pub fn bring_up<V: View>(&mut self, view: &ViewHandle<V>) -> Result<(), ReadError> {
        if !self.ready.contains(view.name()) {
            view.ready()?;
            self.ready.insert(view.name().to_owned());
        }
        Ok(())
    }

    /// The latest order time of a channel among what this turn takes.
    pub fn latest(&self, channel: &str) -> Option<Timestamp> {
        self.latest.get(channel).copied()
    }

    /// Something was said in a channel at this order time. To be told last, for it stays so if the write fails after it.
    pub fn said(&mut self, channel: &str, order: Timestamp) {
        let latest = self.latest.entry(channel.to_owned()).or_insert(order);
        *latest = order.max(*latest);
    }

    /// Takes an entry of a feed. A payload too large for its block lies in blocks of its own before it.
    pub fn take(
        &mut self,
        engine: &Engine,
        feed: FeedKey,
        mut header: Header,
        payload: Vec<u8>,
    ) -> Result<EntryId, WriteError> {
        let is_detached = payload.len() > MAX_INLINE;
        if is_detached {
            header.set_detached(&self.put_chunks(engine, feed, &payload)?);
        }
        let block = encode_block(&header, if is_detached { &[] } else { &payload })?;
        let id = self.push(engine, feed, block);
        if is_detached {
            self.detached.insert(id, payload.into());
        }
        if let Some(key) = header.key.clone() {
            let key = (header.kind.space, key);
            self.keyed.entry(key.clone()).or_default().push(Version::from_header(id, &header));
            self.order.push(key);
        }
        Ok(id)
    }

    /// Takes a payload as blocks of its own.
    fn put_chunks(&mut self, engine: &Engine, feed: FeedKey, payload: &[u8]) -> Result<Detached, WriteError> {
        let from = self.end(engine, &feed);
        for block in payload::chunk_blocks(engine.clock.now(), payload)? {
            self.push(engine, feed, block);
        }
        let chunks: RangeSet = std::iter::once(from..self.end(engine, &feed)).collect();
        Ok(Detached::new(payload.len() as u64, CHUNK, chunks).map_err(EntryError::from)?)
    }

    /// The payload of an entry that this turn takes; none of any other.
    pub fn payload(&self, id: &EntryId) -> Option<Bytes> {
        if let Some(payload) = self.detached.get(id) {
            return Some(payload.clone());
        }
        let taken = self.feeds.get(&id.feed)?;
        let at = usize::try_from(id.seq.checked_sub(taken.from)?).ok()?;
        decode_block(&StoredBlock::whole(taken.blocks.get(at)?.clone())).ok()?.payload
    }

    /// Takes a block of a feed as it is.
    pub fn push(&mut self, engine: &Engine, feed: FeedKey, block: Bytes) -> EntryId {
        let taken = self.taken(engine, feed);
        let id = EntryId { feed, seq: taken.end() };
        let bytes = block.len();
        taken.blocks.push(block);
        self.bytes += bytes;
        id
    }

    fn taken(&mut self, engine: &Engine, feed: FeedKey) -> &mut Taken {
        let from = || engine.feeds.head(&feed).map_or(0, |head| head.head.length);
        self.feeds.entry(feed).or_insert_with(|| Taken { from: from(), blocks: Vec::new() })
    }

    /// How long a feed will be with what this turn takes.
    pub fn end(&mut self, engine: &Engine, feed: &FeedKey) -> u64 {
        self.taken(engine, *feed).end()
    }
}
