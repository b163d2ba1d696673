//! The handle.

use crate::append::Request;
use crate::blocks::Blocks;
use crate::config::{Config, OpenReport, Random};
use crate::nodes::Nodes;
use crate::queue::Queue;
use crate::state::{FeedState, Visible, run};
use crate::writer::Writer;
use crate::{
    Append, AppendError, Arrival, Claim, CommitError, DefineError, Disk, Durability, FeedInfo, OpenError,
    Problem, PutError, PutOutcome, ReadError, keys, open, prove, verify,
};
use kappadb_core::{
    EntryId, FeedDefinition, FeedKey, Hash, Lseq, RangeSet, SecretKey, Seq, SignedHead, StoredBlock,
    Timestamp,
};
use kappadb_entry::Bundle;
use kappadb_journal::{DirLock, Record};
use kappadb_merkle::{ForkEvidence, Known, flat, root_hash};
use kappadb_store::Store;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use zeroize::Zeroizing;

type Wake = Box<dyn Fn() + Send + Sync>;

/// The feeds of one database on this replica. Cheap to clone; the last clone dropped closes the journal.
///
/// Every method blocks, for as long as a disk takes. Reads never wait for writes.
#[derive(Clone)]
pub struct Feeds {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    dir: PathBuf,
    pub store: Arc<dyn Store>,
    random: Random,
    blocks: Arc<Blocks>,
    visible: Arc<RwLock<Visible>>,
    queue: Queue,
    writer: Mutex<Writer>,
    own: RwLock<BTreeSet<FeedKey>>,
    wakes: Mutex<Vec<Wake>>,
    /// Read by who looks up a place in the journal and reads there, written by who moves records. Taken before the writer.
    pub layout: RwLock<()>,
    /// One compaction at a time, and no change to what is wanted meanwhile.
    pub compacting: Mutex<()>,
    // After the writer: it is let go of last.
    _lock: DirLock,
}

impl Shared {
    /// After a panic in the middle of a write nothing more is written.
    pub fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            let mut writer = poisoned.into_inner();
            writer.broken = true;
            writer
        })
    }

    pub fn look<R>(&self, look: impl FnOnce(&Visible) -> R) -> R {
        look(&self.visible.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// A feed that is wanted here.
    fn state(&self, feed: &FeedKey) -> Option<Arc<FeedState>> {
        self.look(|visible| visible.feeds.get(feed).filter(|_| !visible.dropped.contains(feed)).cloned())
    }

    fn known(&self, feed: &FeedKey) -> Result<Arc<FeedState>, ReadError> {
        self.state(feed).ok_or(ReadError::Undefined(*feed))
    }

    fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.layout.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` with the writer, then wakes who waits for arrivals if any came.
    pub fn write<R>(&self, work: impl FnOnce(&mut Writer) -> R) -> R {
        let before = self.look(|visible| (visible.end, visible.changes));
        let done = work(&mut self.writer());
        if self.look(|visible| (visible.end, visible.changes)) != before {
            self.wakes.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|wake| wake());
        }
        done
    }
}

impl Feeds {
    /// Opens the feeds in a directory. `progress` is told (done, to do): first in bytes of the journal looked through, then, if derived
    /// state has to catch up or be rebuilt, in blocks.
    ///
    /// # Errors
    /// Only what leaves nothing to work with: another process has the directory, files cannot be read or written. Damage and
    /// the like is in the [`OpenReport`].
    pub fn open(
        config: Config,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Feeds, OpenReport), OpenError> {
        let (dir, store, random) = (config.dir.clone(), config.store.clone(), config.random.clone());
        let open::Opened { writer, blocks, visible, lock, report } = open::open(config, progress)?;
        let own = RwLock::new(writer.keys.keys().copied().collect());
        let (queue, wakes, writer) = (Queue::default(), Mutex::default(), Mutex::new(writer));
        let (layout, compacting) = (RwLock::default(), Mutex::default());
        let shared = Shared {
            dir,
            store,
            random,
            blocks,
            visible,
            queue,
            writer,
            own,
            wakes,
            layout,
            compacting,
            _lock: lock,
        };
        Ok((Feeds { shared: Arc::new(shared) }, report))
    }

    /// Makes everything durable and closes the journal. Nothing can be written afterwards; other clones can still read.
    pub fn close(&self) -> Result<(), CommitError> {
        self.shared.write(Writer::close)
    }

    /// Makes a feed that this replica writes. Durable on return.
    pub fn create(&self, created: Timestamp, continues: Option<FeedKey>) -> Result<FeedKey, DefineError> {
        let mut seed = Zeroizing::new([0; 32]);
        (self.shared.random)(seed.as_mut());
        let secret = SecretKey::from_seed(&seed);
        let feed = secret.public();
        self.shared.write(|writer| {
            {
                writer.usable()?;
                keys::save(&self.shared.dir, &secret)?;
                let definition = FeedDefinition::sign(&writer.database, &secret, created, continues);
                writer.keys.insert(feed, secret);
                writer.define(&definition)?;
                writer.commit()
            }
            .map_err(DefineError::from)
        })?;
        self.shared.own.write().unwrap_or_else(PoisonError::into_inner).insert(feed);
        Ok(feed)
    }

    /// Accepts a feed into the database if its definition holds. Durable on return. False if it was here already.
    pub fn define(&self, definition: &FeedDefinition) -> Result<bool, DefineError> {
        if self.definition(&definition.feed).is_some() {
            return Ok(false);
        }
        if self.is_dropped(&definition.feed) {
            return Err(DefineError::Dropped(definition.feed));
        }
        self.shared.write(|writer| {
            definition.verify(&writer.database)?;
            writer.usable()?;
            let new = writer.define(definition)?;
            writer.commit()?;
            Ok(new)
        })
    }

    /// Lends the secret key of an own feed, for what is sealed to it; none if it is not here. Nothing is appended meanwhile, so
    /// be brief.
    pub fn with_secret<R>(&self, feed: &FeedKey, look: impl FnOnce(&SecretKey) -> R) -> Option<R> {
        self.shared.writer().keys.get(feed).map(look)
    }

    /// The feed's definition.
    pub fn definition(&self, feed: &FeedKey) -> Option<FeedDefinition> {
        self.shared.state(feed).map(|state| state.definition)
    }

    /// All feeds, in the order of their keys.
    pub fn list(&self) -> Vec<FeedInfo> {
        let own = self.shared.own.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.shared.look(|visible| {
            let info = |(feed, state): (&FeedKey, &Arc<FeedState>)| {
                let behind = own.contains(feed) && state.is_behind();
                let sound = state.fork.is_none() && state.is_whole() && !behind;
                FeedInfo {
                    feed: *feed,
                    created: state.definition.created,
                    length: state.length(),
                    held: state.held.count(),
                    bytes: state.bytes,
                    cleared: state.cleared.count(),
                    writable: own.contains(feed) && sound,
                    behind,
                    dropped: visible.dropped.contains(feed),
                    continues: state.definition.continues,
                    fork: state.fork.as_ref().map(|(seq, _)| *seq),
                }
            };
            visible.feeds.iter().map(info).collect()
        })
    }

    /// The newest head known of the feed.
    pub fn head(&self, feed: &FeedKey) -> Option<SignedHead> {
        self.shared.state(feed)?.newest
    }

    /// The root hash of the feed's tree when it had `length` blocks, as far as this replica can tell: that of a head that it
    /// knows, or one that follows from nodes at hand.
    pub fn root_at(&self, feed: &FeedKey, length: u64) -> Result<Option<Hash>, ReadError> {
        let _reading = self.shared.reading();
        let Some(state) = self.shared.state(feed) else { return Ok(None) };
        let heads = state.newest.iter().chain(state.unlinked.iter().map(|unlinked| &unlinked.head));
        if let Some(head) = heads.into_iter().find(|head| head.head.length == length) {
            return Ok(Some(head.head.root_hash));
        }
        if length > state.length() {
            return Ok(None);
        }
        let mut nodes = Nodes::new(&self.shared.blocks, None, state.number, &state.held);
        let root = |root| Ok(nodes.get(root)?.map(|node| (root, node)));
        let roots =
            flat::roots(length).into_iter().map(root).collect::<Result<Option<Vec<_>>, ReadError>>()?;
        Ok(roots.map(|roots| root_hash(&roots)))
    }

    /// The blocks of the feed that are here.
    pub fn held(&self, feed: &FeedKey) -> RangeSet {
        self.shared.state(feed).map(|state| state.held.clone()).unwrap_or_default()
    }

    /// The blocks of the feed that are here with their payload, if they have one.
    pub fn whole(&self, feed: &FeedKey) -> RangeSet {
        self.shared.state(feed).map(|state| state.held.minus(&state.cleared)).unwrap_or_default()
    }

    /// What may be told to a peer so that its proofs can be shorter: of `candidates`, the blocks that are held and linked to the
    /// newest head.
    pub fn known(&self, feed: &FeedKey, candidates: &RangeSet) -> Known {
        let known =
            |state: Arc<FeedState>| Known { length: state.length(), leaves: state.linked(candidates) };
        self.shared.state(feed).map(known).unwrap_or_default()
    }

    /// Appends blocks to own feeds, all or none, and returns their places, in the order of `appends`.
    ///
    /// Threads that append at the same time share one sync. With [`Durability::Now`] an [`AppendError::Commit`] means that the blocks may
    /// or may not be there when the database is opened again.
    pub fn append(
        &self,
        appends: Vec<Append>,
        durability: Durability,
    ) -> Result<Vec<Range<Seq>>, AppendError> {
        let request = Request::new(appends, durability)?;
        let Shared { queue, .. } = &*self.shared;
        let lead = || self.shared.write(|writer| writer.take_in_queue(queue.take()));
        queue.pass(request, lead).unwrap_or(Err(CommitError::Poisoned.into()))
    }

    /// Verifies a peer's blocks and stores what is new of them. They become durable and visible with the next [`Feeds::sync`].
    pub fn put(&self, bundle: Bundle) -> Result<PutOutcome, PutError> {
        self.shared.write(|writer| writer.put(bundle))
    }

    /// Makes durable and visible whatever was put, claimed, recorded, or appended with [`Durability::Interval`].
    pub fn sync(&self) -> Result<(), CommitError> {
        self.shared.write(Writer::commit)
    }

    /// As many of `ranges` from the front as are held, fit into `max_bytes` and can be proved under one head; at least one block, unless none
    /// is held. Call again for the rest.
    ///
    /// The bundle's `known` is what its proof builds on: `known`, or nothing at all if that is of a longer tree, or if this replica holds too
    /// little of the feed to show how the receiver's tree lies in its own. The receiver must be told which.
    pub fn prove(
        &self,
        feed: &FeedKey,
        ranges: &RangeSet,
        known: &Known,
        max_bytes: usize,
    ) -> Result<Bundle, ReadError> {
        let _reading = self.shared.reading();
        let state = self.shared.known(feed)?;
        prove::prove(&self.shared.blocks, feed, &state, ranges, known, max_bytes)
    }

    /// A block, if it is held.
    pub fn block(&self, id: &EntryId) -> Result<Option<StoredBlock>, ReadError> {
        Ok(self.blocks(&id.feed, &RangeSet::from_iter([id.seq]))?.pop().map(|(_, block)| block))
    }

    /// The blocks of `ranges` that are held, ascending. Empty for an unknown feed.
    pub fn blocks(&self, feed: &FeedKey, ranges: &RangeSet) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        let _reading = self.shared.reading();
        let Some(state) = self.shared.state(feed) else { return Ok(Vec::new()) };
        let mut found = self.shared.blocks.collect(state.number, &state.held.intersection(ranges))?;
        if !state.cleared.is_empty() {
            found.iter_mut().for_each(|(seq, block)| *block = state.as_held(*seq, block));
        }
        Ok(found)
    }

    /// Blocks in the order in which they came here, from `from` on; about `max_blocks` (whole records, at least one). Empty at
    /// the end. Numbers may be left out.
    pub fn arrivals(&self, from: Lseq, max_blocks: usize) -> Result<Vec<Arrival>, ReadError> {
        let _reading = self.shared.reading();
        let mut arrivals = Vec::new();
        for located in self.shared.blocks.records_from(from, self.end())? {
            let located = match located {
                // Lost, which `verify` and the next opening say; the rest must not wait for it.
                Err(error) if error.is_damage() => continue,
                located => located?,
            };
            let (feed, ranges, blocks) = match &located.record {
                Record::Blocks { feed, first, blocks } => {
                    (*feed, run(*first..*first + blocks.len() as u64), blocks)
                }
                Record::Fetched { feed, ranges, blocks, .. } => (*feed, ranges.clone(), blocks),
                _ => return Err(ReadError::Misplaced(located.at)),
            };
            // Of a dropped feed too, until it is compacted away: for views to take it out.
            let state = self.shared.look(|visible| visible.feeds.get(&feed).cloned());
            for (lseq, (seq, block)) in (located.first_lseq..).zip(ranges.iter().zip(blocks)) {
                if lseq >= from {
                    let block = match &state {
                        Some(state) => self.shared.blocks.as_held(state, seq, block)?,
                        None => block.clone(),
                    };
                    arrivals.push(Arrival { lseq, id: EntryId { feed, seq }, block });
                }
            }
            if arrivals.len() >= max_blocks {
                break;
            }
        }
        Ok(arrivals)
    }

    /// The first `lseq` that has not arrived: everything below is durable and visible.
    pub fn end(&self) -> Lseq {
        self.shared.look(|visible| visible.end)
    }

    /// Feeds that forked, and from where on each is not trusted; feeds that were dropped, from their beginning. Views leave
    /// these entries out.
    pub fn exclusions(&self) -> Vec<(FeedKey, Seq)> {
        self.shared.look(|visible| {
            let from = |(feed, state): (&FeedKey, &Arc<FeedState>)| match visible.dropped.contains(feed) {
                true => Some((*feed, 0)),
                false => Some((*feed, state.fork.as_ref()?.0)),
            };
            visible.feeds.iter().filter_map(from).collect()
        })
    }

    /// Calls `wake` after every commit that made something visible: blocks, feeds, forks, claims. On the thread that committed: it must be
    /// quick, must not write, and must not own a clone of these feeds, or they are never closed.
    pub fn on_arrival(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.shared.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(wake));
    }

    /// Records a completed query. Durable and visible with the next [`Feeds::sync`]. Replaces one of the same view, selector and peer.
    pub fn add_claim(&self, claim: Claim) -> Result<(), CommitError> {
        self.shared.write(|writer| {
            writer.usable()?;
            let mut claim = claim;
            claim.lengths.retain(|(feed, _)| !writer.index.is_dropped(feed));
            writer.write(&Record::Claim(claim.clone()))?;
            writer.index.claim(claim);
            Ok(())
        })
    }

    /// The completed queries.
    pub fn claims(&self) -> Vec<Claim> {
        self.shared.look(|visible| visible.claims.values().cloned().collect())
    }

    /// Checks and records evidence of a fork. Durable and visible with the next [`Feeds::sync`]. Returns from where on it lets the feed not be
    /// trusted.
    pub fn record_fork(&self, evidence: ForkEvidence) -> Result<Seq, PutError> {
        self.shared.write(|writer| writer.record_fork(evidence))
    }

    /// The evidence for each feed that forked, for passing on.
    pub fn forks(&self) -> Vec<ForkEvidence> {
        let fork =
            |state: &Arc<FeedState>| state.fork.as_ref().map(|(_, evidence)| ForkEvidence::clone(evidence));
        self.shared.look(|visible| visible.feeds.values().filter_map(fork).collect())
    }

    /// Blocks whose proof would show how heads that are not linked to the newest one lie in its history, or that they do not: for
    /// each the block that comes after it, as the path to that block passes by all roots before it. Of feeds not proved to be
    /// forked.
    pub fn loose_ends(&self) -> Vec<(FeedKey, RangeSet)> {
        let ends = |(feed, state): (&FeedKey, &Arc<FeedState>)| {
            let lengths = state.unlinked.iter().map(|unlinked| unlinked.head.head.length);
            let next: RangeSet = lengths.filter(|length| *length < state.length()).collect();
            let next = next.minus(&state.linked(&next));
            (state.fork.is_none() && !next.is_empty()).then_some((*feed, next))
        };
        self.shared.look(|visible| {
            let wanted = visible.feeds.iter().filter(|(feed, _)| !visible.dropped.contains(feed));
            wanted.filter_map(ends).collect()
        })
    }

    /// Checks every checksum, hash, signature and derived row. Empty if all is well. Writes wait meanwhile. `progress` is told
    /// (done, to do) in blocks.
    ///
    /// # Errors
    /// Only if it cannot be carried out; what it finds is no error.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Problem>, OpenError> {
        self.shared.blocks.forget();
        self.shared.write(|writer| verify::verify(writer, progress))
    }

    /// Makes derived state anew from the journal. Reads that run meanwhile may fail.
    pub fn rebuild(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), OpenError> {
        self.shared.write(|writer| open::rebuild(writer, progress))
    }

    /// Bytes on disk.
    pub fn disk(&self) -> Result<Disk, ReadError> {
        let journal = self.shared.writer().journal.as_ref().map_or(0, |journal| journal.disk_bytes());
        Ok(Disk { journal, derived: self.shared.store.disk_bytes()? })
    }
}
