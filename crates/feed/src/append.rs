//! Appending to own feeds. Concurrent appends share one sync, and one signature a feed.
//!
//! Each caller hashes its blocks and queues them ([`crate::queue`]). One of them takes in the whole queue, commits once and leaves
//! every result in its slot; the others then find theirs there.

use crate::index::Arrived;
use crate::pages::KEPT_HEIGHT;
use crate::state::run;
use crate::writer::Writer;
use crate::{Append, AppendError, CommitError, ReadError};
use kappadb_core::limits::{MAX_FEED_BLOCKS, MAX_TREE_BYTES};
use kappadb_core::{FeedKey, RangeSet, Seq, StoredBlock};
use kappadb_journal::Record;
use kappadb_merkle::{Node, Peaks, TreeError, flat};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of blocks in one record, about: reading one block reads no more than that.
const RECORD_BYTES: usize = 32 << 10;

pub(crate) type Outcome = Result<Vec<Range<Seq>>, AppendError>;

/// Blocks of one feed, hashed.
pub(crate) struct Prepared {
    feed: FeedKey,
    blocks: Vec<StoredBlock>,
    leaves: Vec<Node>,
}

/// One caller's append.
pub(crate) struct Request {
    appends: Vec<Prepared>,
    /// It is to be on the disk when its outcome is known.
    durable: bool,
    slot: Arc<Slot>,
}

/// Where its result is left.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<Outcome>>);

/// An own feed with what was appended since the last commit.
pub(crate) struct Appending {
    pub peaks: Peaks,
    /// Blocks under the last head.
    committed: u64,
    /// Nodes made since then that are to be kept.
    nodes: Vec<(u64, Node)>,
    /// Blocks not yet in the journal, and their bytes.
    open: Vec<StoredBlock>,
    open_bytes: usize,
    arrived: Vec<Arrived>,
}

impl Slot {
    pub fn take(&self) -> Option<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fill(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

impl Request {
    /// Checks and hashes the blocks, on the caller's thread.
    pub fn new(appends: Vec<Append>, durable: bool) -> Result<Self, AppendError> {
        let appends = appends.into_iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(Request { appends, durable, slot: Arc::default() })
    }

    pub fn slot(&self) -> Arc<Slot> {
        self.slot.clone()
    }
}

fn prepare(append: Append) -> Result<Prepared, AppendError> {
    let blocks: Vec<StoredBlock> = append.blocks.into_iter().map(StoredBlock::whole).collect();
    let leaves = kappadb_entry::leaf_nodes(&blocks).map_err(|error| AppendError::Block {
        index: blocks.iter().position(|block| kappadb_entry::leaf_data(block).is_err()).unwrap_or_default(),
        error,
    })?;
    Ok(Prepared { feed: append.feed, blocks, leaves })
}

/// How many blocks from the front it takes to fill `room`: at least one.
fn fitting(blocks: &[StoredBlock], mut room: usize) -> usize {
    let fills = blocks.iter().position(|block| {
        room = room.saturating_sub(block.bytes.len());
        room == 0
    });
    fills.map_or(blocks.len(), |last| last + 1)
}

impl Appending {
    fn new(peaks: Peaks) -> Self {
        Appending {
            committed: peaks.length(),
            peaks,
            nodes: Vec::new(),
            open: Vec::new(),
            open_bytes: 0,
            arrived: Vec::new(),
        }
    }

    /// True if there is something without a signed head.
    pub fn is_dirty(&self) -> bool {
        self.peaks.length() > self.committed
    }

    /// Room for bytes of blocks in the record being made.
    fn room(&self) -> usize {
        RECORD_BYTES.saturating_sub(self.open_bytes)
    }

    fn push(&mut self, blocks: impl Iterator<Item = StoredBlock>, leaves: &[Node]) -> Result<(), TreeError> {
        // Low nodes are made again from the blocks, but not before these can be read; until then the next heads are linked to
        // the last one by those at the edge between old and new.
        let edge = self.committed.next_multiple_of(1 << KEPT_HEIGHT);
        let Appending { peaks, nodes, .. } = self;
        peaks.extend(leaves, &mut |index, node| {
            if flat::height(index) >= KEPT_HEIGHT || flat::leaf_span(index).start < edge {
                nodes.push((index, node));
            }
        })?;
        let open_bytes = &mut self.open_bytes;
        self.open.extend(blocks.inspect(|block| *open_bytes += block.bytes.len()));
        Ok(())
    }

    /// What has been written under a head now, and the nodes that came of it.
    pub fn committed(&mut self) -> (Vec<Arrived>, Vec<(u64, Node)>) {
        self.committed = self.peaks.length();
        (std::mem::take(&mut self.arrived), std::mem::take(&mut self.nodes))
    }
}

impl Writer {
    /// Takes in the queue and commits it. A journal that does not take it fails all who share the commit, also those who come
    /// after the one at which that showed.
    pub fn take_in_queue(&mut self, queue: Vec<Request>) {
        let (mut done, mut failed) = (Vec::with_capacity(queue.len()), None);
        let durable = queue.iter().any(|request| request.durable);
        for Request { appends, slot, .. } in queue {
            let outcome = match &failed {
                None => self.append(appends, &mut failed),
                Some(error) => Err(AppendError::clone(error)),
            };
            done.push((slot, outcome));
        }
        if failed.is_none() && done.iter().any(|(_, outcome)| outcome.is_ok()) {
            failed = self.commit_as(durable).err().map(AppendError::from);
        }
        for (slot, outcome) in done {
            slot.fill(failed.iter().fold(outcome, |outcome, error| outcome.and(Err(error.clone()))));
        }
    }

    /// All of it or nothing. What failed when some of it was taken in already has `failed` for all: a tree gives nothing back.
    fn append(&mut self, appends: Vec<Prepared>, failed: &mut Option<AppendError>) -> Outcome {
        self.usable()?;
        for append in &appends {
            self.ready(&append.feed)?;
        }
        self.check_room(&appends)?;
        let pushed: Outcome = appends.into_iter().map(|append| self.push(append)).collect();
        pushed.inspect_err(|error| {
            self.retreat();
            *failed = Some(error.clone());
        })
    }

    fn push(&mut self, append: Prepared) -> Result<Range<Seq>, AppendError> {
        let Prepared { feed, blocks, leaves } = append;
        let undefined = AppendError::Undefined(feed);
        let start = self.appending.get(&feed).map_or(0, |appending| appending.peaks.length());
        let (mut blocks, mut leaves) = (blocks.into_iter(), leaves.as_slice());
        while !leaves.is_empty() {
            let Some(appending) = self.appending.get_mut(&feed) else { return Err(undefined) };
            let count = fitting(blocks.as_slice(), appending.room());
            let (now, later) = leaves.split_at(count);
            appending.push(blocks.by_ref().take(count), now)?;
            leaves = later;
            if appending.room() == 0 {
                self.flush_blocks(&feed)?;
            }
        }
        let Some(appending) = self.appending.get_mut(&feed) else { return Err(undefined) };
        let end = appending.peaks.length();
        self.dirty |= end > start;
        Ok(start..end)
    }

    /// Writes the feed's open blocks to the journal.
    pub fn flush_blocks(&mut self, feed: &FeedKey) -> Result<(), CommitError> {
        let Some(appending) = self.appending.get_mut(feed).filter(|appending| !appending.open.is_empty())
        else {
            return Ok(());
        };
        let blocks = std::mem::take(&mut appending.open);
        let bytes = std::mem::take(&mut appending.open_bytes) as u64;
        let end = appending.peaks.length();
        let first = end - blocks.len() as u64;
        let placed = self.write(&Record::Blocks { feed: *feed, first, blocks })?;
        if let Some(appending) = self.appending.get_mut(feed) {
            let ranges = run(first..end);
            let (at, first_lseq, cleared) = (placed.at, placed.first_lseq, RangeSet::new());
            appending.arrived.push(Arrived { at, first_lseq, ranges, bytes, cleared });
        }
        Ok(())
    }

    /// Makes sure that the feed may be appended to and that its roots are at hand.
    fn ready(&mut self, feed: &FeedKey) -> Result<(), AppendError> {
        let (length, fork, whole) = self
            .index
            .with(feed, |state| {
                let whole = state.is_whole() && !state.is_over();
                (state.length(), state.fork.as_ref().map(|(seq, _)| *seq), whole)
            })
            .ok_or(AppendError::Undefined(*feed))?;
        if let Some(seq) = fork {
            return Err(AppendError::Forked { feed: *feed, seq });
        }
        if self.keys.get(feed).map_err(|error| AppendError::Secret(Arc::new(error)))?.is_none() {
            return Err(AppendError::NotOurs(*feed));
        }
        if self.witness.as_ref().is_some_and(|witness| !witness.vouches_for(feed)) {
            return Err(AppendError::Unsure(*feed));
        }
        if let Some(damage) = self.unsettled() {
            return Err(AppendError::Damaged(Box::new(damage.clone())));
        }
        if !whole {
            return Err(AppendError::Behind(*feed));
        }
        if !self.appending.contains_key(feed) {
            let peaks = self.peaks(feed, length).map_err(|error| CommitError::Derived(Arc::new(error)))?;
            self.appending.insert(*feed, Appending::new(peaks));
        }
        Ok(())
    }

    fn peaks(&self, feed: &FeedKey, length: u64) -> Result<Peaks, ReadError> {
        let roots = self.index.with_nodes(feed, |nodes| {
            let root =
                |index| Ok((index, nodes.get(index)?.ok_or(ReadError::MissingNode { feed: *feed, index })?));
            flat::roots(length).into_iter().map(root).collect::<Result<Vec<_>, ReadError>>()
        });
        Ok(Peaks::from_roots(length, roots.ok_or(ReadError::Undefined(*feed))??)?)
    }

    /// Checked for the whole request first, so that nothing of it is taken in if something of it does not fit.
    fn check_room(&self, appends: &[Prepared]) -> Result<(), TreeError> {
        let blocks: u64 = appends.iter().map(|append| append.blocks.len() as u64).sum();
        let bytes: u64 = appends.iter().flat_map(|append| &append.leaves).map(|leaf| leaf.size).sum();
        for appending in appends.iter().filter_map(|append| self.appending.get(&append.feed)) {
            if appending.peaks.length() + blocks > MAX_FEED_BLOCKS {
                return Err(TreeError::Full);
            }
            if appending.peaks.byte_length() + bytes > MAX_TREE_BYTES {
                return Err(TreeError::TooLarge);
            }
        }
        Ok(())
    }
}
