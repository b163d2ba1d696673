//! Writing entries: alone, or in the place of what this replica knows of their key. Nothing here knows of a view.

mod batch;

use crate::engine::batch::{Batch, Due, Job, job};
use crate::engine::durability::Durability;
use crate::engine::keyed::{KeyedIndex, active};
use crate::engine::turns::{Turn, Turns};
use crate::engine::{self, OnEngine};
use crate::error::{ReadError, WriteError};
use crate::network::{Handle, OnHandle, make_sure};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, FeedName, Timestamp};
use kappadb_entry::rules::{self, Links, Version};
use kappadb_entry::{Header, Kind, Places, encode_block};
use kappadb_feed::Append;
use kappadb_view::{View, ViewHandle};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime;
use tokio::task::JoinSet;

/// An entry to be. What it replaces is worked out where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What sort of entry.
    pub kind: Kind,
    /// What it is about, within the space of its kind.
    pub key: Option<Vec<u8>>,
    /// Where it is.
    pub places: Places,
    /// The keys, in the same space, that it refers to.
    pub refs: Vec<Vec<u8>>,
    /// Its content. What does not fit into a block is written into blocks of its own.
    pub payload: Vec<u8>,
    /// When it was made, if that is not now: of what comes from elsewhere and has a date.
    pub time: Option<Timestamp>,
}

impl Draft {
    /// An entry about nothing, nowhere, without content.
    pub fn new(kind: Kind) -> Draft {
        Draft { kind, key: None, places: Places::NOWHERE, refs: Vec::new(), payload: Vec::new(), time: None }
    }
}

type Running<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
type Start<T, E> = Box<dyn FnOnce(Option<Durability>) -> Running<T, E> + Send>;

/// A write on its way. Nothing is done before it is first polled.
///
/// Writes wait for their turn, and those that wait side by side share one sync of the disk. A write that is dropped before its turn has
/// come leaves nothing; after that it is done whole, whether somebody waits for it or not. It borrows nothing, so it can be spawned.
///
/// ```
/// use kappadb::{Database, Durability};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = Database::builder(dir.path()).create().await?;
/// let kv = database.kv();
/// let other = tokio::spawn(kv.put("other", "value"));
/// kv.put("seen at", "12:30").durability(Durability::Buffered).await?;
/// other.await??;
/// # Ok(()) }
/// ```
#[must_use = "nothing is written before this is awaited"]
pub struct Write<T, E> {
    /// None once it is polled.
    start: Option<Start<T, E>>,
    durability: Option<Durability>,
    running: Option<Running<T, E>>,
}

impl<T, E> Write<T, E> {
    /// When it is to be on the disk. Default: what the database was opened with. What rests on more than its own key may be there
    /// sooner. Said after it was first polled it changes nothing.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }
}

impl<T, E> Future for Write<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let this = self.get_mut();
        if let Some(start) = this.start.take() {
            this.running = Some(start(this.durability));
        }
        // After its end it says nothing more, as other futures do.
        this.running.as_mut().map_or(Poll::Pending, |running| running.as_mut().poll(context))
    }
}

impl<T, E> fmt::Debug for Write<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl<T, E> Write<T, E>
where
    T: Send + 'static,
    E: From<WriteError> + Send + 'static,
{
    /// One that looks at nothing but the versions of its keys ([`Batch::active`]), and so may share its turn.
    pub(crate) fn shared<P: OnHandle + OnEngine>(
        parts: &Arc<P>,
        plan: impl FnOnce(&P, &mut Batch) -> Result<T, E> + Send + 'static,
    ) -> Self {
        Write::new(parts, plan, Turns::write)
    }

    /// One that looks at what others may be about to change. It has a turn of its own.
    pub(crate) fn apart<P: OnHandle + OnEngine>(
        parts: &Arc<P>,
        plan: impl FnOnce(&P, &mut Batch) -> Result<T, E> + Send + 'static,
    ) -> Self {
        Write::new(parts, plan, Turns::write_apart)
    }

    fn new<P: OnHandle + OnEngine>(
        parts: &Arc<P>,
        plan: impl FnOnce(&P, &mut Batch) -> Result<T, E> + Send + 'static,
        join: fn(&Arc<Turns>, Job),
    ) -> Self {
        let parts = parts.clone();
        let start = move |durability: Option<Durability>| -> Running<T, E> {
            Box::pin(async move {
                make_sure(&parts.handle().network).await?;
                let turns = parts.engine().turns.clone();
                let durability = durability.unwrap_or(parts.engine().durability);
                let (job, told) =
                    job(parts, Due { durability, runtime: runtime::Handle::try_current().ok() }, plan);
                join(&turns, job);
                told.await.unwrap_or_else(|_| Err(WriteError::from(ReadError::Closed).into()))
            })
        };
        Write { start: Some(Box::new(start)), durability: None, running: None }
    }
}

/// Runs blocking work that may append, once it is known that this replica may.
pub(crate) async fn run_writing<P: OnHandle + OnEngine, T: Send + 'static>(
    parts: &Arc<P>,
    job: impl FnOnce(&P) -> T + Send + 'static,
) -> Result<T, WriteError> {
    make_sure(&parts.handle().network).await?;
    Ok(engine::run(parts, job).await?)
}

/// Runs blocking work that has the turn at writing for itself, once it is known that this replica may append. The turn is waited for in a task of
/// its own: if it were given to whoever is not polled any more, all other writes would wait for him.
pub(crate) async fn run_in_turn<P: OnHandle + OnEngine, T: Send + 'static>(
    parts: &Arc<P>,
    job: impl FnOnce(&P, Turn) -> T + Send + 'static,
) -> Result<T, WriteError> {
    make_sure(&parts.handle().network).await?;
    let (parts, mut work) = (parts.clone(), JoinSet::new());
    work.spawn(async move {
        let turn = parts.engine().turns.wait().await?;
        engine::run(&parts, move |parts| job(parts, turn)).await
    });
    Ok(work.join_next().await.unwrap_or(Ok(Err(ReadError::Closed))).map_err(ReadError::from)??)
}

impl Handle {
    /// The feed that this handle writes: that of its name, or a new one that continues it if it is not fit to be written. The
    /// caller has the turn, or two first writes would make a feed each.
    pub(crate) fn writer(&self) -> Result<FeedKey, WriteError> {
        self.writer_named(&self.name)
    }

    /// A new feed for this handle's writer, which continues the one it had. The caller has the turn.
    pub(crate) fn next_feed(&self) -> Result<FeedKey, WriteError> {
        let before = self.feed_of(&self.name);
        let feed = self.feeds.create(self.clock.now(), before)?;
        self.writers.set(&self.name, feed)?;
        Ok(feed)
    }

    /// Appends an entry that replaces all heads of its key that `view` knows here. The caller has the turn.
    pub(crate) fn replace<V: View<Index: KeyedIndex>>(
        &self,
        view: &ViewHandle<V>,
        draft: Draft,
    ) -> Result<EntryId, WriteError> {
        let feed = self.writer()?;
        let active = active(view, draft.key.as_deref().unwrap_or_default())?;
        let block = self.block(draft, &active, &feed)?;
        let ids = self.append(feed, vec![block])?;
        ids.first().copied().ok_or(WriteError::Read(ReadError::Closed))
    }

    /// The block of a draft by `feed` that replaces all heads among `active`. A payload too large for it is appended at once.
    pub(crate) fn block(
        &self,
        draft: Draft,
        active: &[Version],
        feed: &FeedKey,
    ) -> Result<Bytes, WriteError> {
        let own = (feed.name(), self.feeds.length_of(&feed.name()));
        let links = self.links(active, feed, own);
        let (mut header, payload) = self.header(draft, links);
        let payload = self.fit(*feed, &mut header, payload)?;
        Ok(encode_block(&header, &payload)?)
    }

    /// The links of an entry by `feed` that replaces all heads among `active`, without what they name beyond what is known to exist: of a feed, what
    /// its newest head here says, or else what a peer claimed of it that answered for this key. (A head comes only with blocks of its feed, and these
    /// need not come if they are redundant.) `own` is how long the feed is, with what is about to be appended.
    pub(crate) fn links(&self, active: &[Version], feed: &FeedKey, own: (FeedName, u64)) -> Links {
        let heads: Vec<EntryId> = rules::heads(active).iter().map(|version| version.id).collect();
        let links = rules::succeed(active, &heads, feed);
        links.within(feed, |name| if *name == own.0 { own.1 } else { self.length_of(name) })
    }

    /// The header of a draft with the links that it is to have, and its payload.
    pub(crate) fn header(&self, draft: Draft, links: Links) -> (Header, Vec<u8>) {
        let Draft { kind, key, places, refs, payload, time } = draft;
        let mut header =
            Header { key, places, ..Header::new(kind, time.unwrap_or_else(|| self.clock.now())) };
        header.set_refs(refs);
        links.apply_to(&mut header);
        (header, payload)
    }

    /// Appends blocks to an own feed, durably. The caller has the turn.
    pub(crate) fn append(&self, feed: FeedKey, blocks: Vec<Bytes>) -> Result<Vec<EntryId>, WriteError> {
        let ranges = self.feeds.append(vec![Append { feed, blocks }])?;
        Ok(ranges.into_iter().flatten().map(|seq| EntryId { feed, seq }).collect())
    }
}
