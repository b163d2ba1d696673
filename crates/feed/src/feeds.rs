//! The handle.

use crate::append::{Outcome, Request};
use crate::blocks::Blocks;
use crate::config::{Config, OpenReport, Random};
use crate::queue::Queue;
use crate::state::{FeedState, Visible};
use crate::writer::Writer;
use crate::{
    Append, AppendError, CommitError, DefineError, Disk, OpenError, Problem, PutError, PutOutcome, ReadError,
    keys, open, verify,
};
use kappadb_core::{EntryId, FeedDefinition, FeedKey, Predecessor, SecretKey, Seq, Timestamp};
use kappadb_entry::Bundle;
use kappadb_journal::DirLock;
use kappadb_merkle::ForkEvidence;
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
    pub blocks: Arc<Blocks>,
    visible: Arc<RwLock<Visible>>,
    queue: Queue,
    writer: Mutex<Writer>,
    pub own: RwLock<BTreeSet<FeedKey>>,
    /// What was appended last.
    appended: Mutex<Option<EntryId>>,
    wakes: Mutex<Vec<Wake>>,
    /// Read by who looks up a place in the journal and reads there, written by who moves records. Taken before the writer.
    pub layout: RwLock<()>,
    /// One compaction at a time, and no change to what is wanted meanwhile.
    pub compacting: Mutex<()>,
    // After the writer: it is let go of last.
    _lock: Arc<DirLock>,
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

    /// A feed that is wanted here.
    pub fn state(&self, feed: &FeedKey) -> Option<Arc<FeedState>> {
        self.look(|visible| visible.feeds.get(feed).filter(|_| !visible.dropped.contains(feed)).cloned())
    }

    pub fn known(&self, feed: &FeedKey) -> Result<Arc<FeedState>, ReadError> {
        self.state(feed).ok_or(ReadError::Undefined(*feed))
    }

    pub fn reading(&self) -> RwLockReadGuard<'_, ()> {
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
        if let Some(journal) = &writer.journal {
            store.on_sleep(Arc::new(journal.reader().resting()));
        }
        let own = RwLock::new(writer.keys.feeds().copied().collect());
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
            appended: Mutex::default(),
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
                let before = match continues {
                    Some(before) => Some(match writer.keys.get(&before)? {
                        Some(old) => Predecessor::consenting(&writer.database, old, &feed),
                        None => Predecessor::named(before),
                    }),
                    None => None,
                };
                if let Some(witness) = &writer.witness {
                    witness.begin(&feed).map_err(DefineError::Witness)?;
                }
                keys::save(&self.shared.dir, &secret)?;
                let definition = FeedDefinition::sign(&writer.database, &secret, created, before);
                writer.keys.insert(feed, secret);
                writer.define(&definition)?;
                writer.commit()
            }
            .map_err(DefineError::from)
        })?;
        self.shared.own.write().unwrap_or_else(PoisonError::into_inner).insert(feed);
        Ok(feed)
    }

    /// Accepts a feed into the database if its definition holds, so that blocks of it can be put. Durable and visible with the next
    /// [`Feeds::sync`]. False if it was here already.
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
            Ok(writer.define(definition)?)
        })
    }

    /// Lends the secret key of an own feed, for what is sealed to it; none if it is not here, or cannot be read. Nothing is appended meanwhile, so
    /// be brief.
    pub fn with_secret<R>(&self, feed: &FeedKey, look: impl FnOnce(&SecretKey) -> R) -> Option<R> {
        let writer = self.shared.writer();
        match writer.keys.get(feed) {
            Ok(secret) => secret.map(look),
            Err(error) => {
                tracing::warn!(%feed, %error, "what is sealed to a feed cannot be opened");
                None
            }
        }
    }

    /// True if the feed's secret key is here, whether it may be appended to or not.
    pub fn is_own(&self, feed: &FeedKey) -> bool {
        self.shared.own.read().unwrap_or_else(PoisonError::into_inner).contains(feed)
    }

    /// The feed's definition.
    pub fn definition(&self, feed: &FeedKey) -> Option<FeedDefinition> {
        self.shared.state(feed).map(|state| state.definition)
    }

    /// Appends blocks to own feeds, all or none, and returns their places, in the order of `appends`. On return they are on disk, signed and
    /// visible. Threads that append at the same time share one sync, and one signature a feed.
    ///
    /// # Errors
    /// [`AppendError::Commit`] if the disk does not take them. Then none of them counts, and their places are given to the next that are
    /// appended; they may be there only if the process ends before they could be cut off again.
    pub fn append(&self, appends: Vec<Append>) -> Result<Vec<Range<Seq>>, AppendError> {
        let feeds: Vec<FeedKey> = appends.iter().map(|append| append.feed).collect();
        let request = Request::new(appends, true)?;
        let ranges = self.pass(vec![request]).pop().unwrap_or(Err(CommitError::Poisoned.into()))?;
        feeds.iter().zip(&ranges).for_each(|(feed, range)| self.note_appended(feed, range));
        Ok(ranges)
    }

    /// The last entry that was appended since this was opened.
    pub fn last_appended(&self) -> Option<EntryId> {
        *self.shared.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_appended(&self, feed: &FeedKey, range: &Range<Seq>) {
        if let Some(seq) = range.end.checked_sub(1).filter(|_| !range.is_empty()) {
            let mut appended = self.shared.appended.lock().unwrap_or_else(PoisonError::into_inner);
            *appended = Some(EntryId { feed: *feed, seq });
        }
    }

    /// As [`Feeds::append`] of each by itself: what one feed does not take says nothing of the others. All share one sync; none if they need not be
    /// `durable` on return. Then they are with the system and visible: they outlive this process, and a power cut once [`Feeds::settle`]
    /// or any later append that is durable has returned.
    pub fn append_each(&self, appends: Vec<Append>, durable: bool) -> Vec<Result<Range<Seq>, AppendError>> {
        let (mut requests, mut refused) = (Vec::new(), Vec::new());
        let feeds: Vec<FeedKey> = appends.iter().map(|append| append.feed).collect();
        for append in appends {
            match Request::new(vec![append], durable) {
                Ok(request) => {
                    requests.push(request);
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let mut outcomes = if requests.is_empty() { Vec::new() } else { self.pass(requests) }.into_iter();
        let unknown = || Err(AppendError::from(CommitError::Poisoned));
        let outcome = |refused| match refused {
            Some(error) => Err(error),
            None => {
                let ranges = outcomes.next().unwrap_or_else(|| Err(CommitError::Poisoned.into()))?;
                ranges.into_iter().next().map_or_else(unknown, Ok)
            }
        };
        let outcomes: Vec<Result<Range<Seq>, AppendError>> = refused.into_iter().map(outcome).collect();
        let done =
            feeds.iter().zip(&outcomes).filter_map(|(feed, outcome)| Some((feed, outcome.as_ref().ok()?)));
        done.for_each(|(feed, range)| self.note_appended(feed, range));
        outcomes
    }

    fn pass(&self, requests: Vec<Request>) -> Vec<Outcome> {
        let Shared { queue, .. } = &*self.shared;
        let lead = || self.shared.write(|writer| writer.take_in_queue(queue.take()));
        let outcomes = queue.pass(requests, lead).into_iter();
        outcomes.map(|outcome| outcome.unwrap_or(Err(CommitError::Poisoned.into()))).collect()
    }

    /// Verifies a peer's blocks and stores what is new of them. They become durable and visible with the next [`Feeds::sync`].
    pub fn put(&self, bundle: Bundle) -> Result<PutOutcome, PutError> {
        self.shared.write(|writer| writer.put(bundle))
    }

    /// Makes durable and visible whatever was put or recorded, but for what a setback took meanwhile ([`Feeds::setbacks`]).
    pub fn sync(&self) -> Result<(), CommitError> {
        self.shared.write(Writer::commit)
    }

    /// Makes durable what was appended without that. At once if there is nothing of the kind.
    pub fn settle(&self) -> Result<(), CommitError> {
        if self.is_settled() { Ok(()) } else { self.sync() }
    }

    /// True if all that is visible is durable.
    pub fn is_settled(&self) -> bool {
        self.shared.look(|visible| !visible.unsynced)
    }

    /// How often all that was put or recorded and not synced yet had to be let go of, because the disk did not take a write, of whomever.
    /// Who put something and relies on it after a sync compares this with what it was before.
    pub fn setbacks(&self) -> u64 {
        self.shared.look(|visible| visible.setbacks)
    }

    /// Calls `wake` after every commit that made something visible: blocks, feeds, forks. On the thread that committed: it must be
    /// quick, must not write, and must not own a clone of these feeds, or they are never closed.
    pub fn on_arrival(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.shared.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(wake));
    }

    /// Checks and records evidence of a fork. Durable and visible with the next [`Feeds::sync`]. Returns from where on it lets the feed not be
    /// trusted.
    pub fn record_fork(&self, evidence: ForkEvidence) -> Result<Seq, PutError> {
        self.shared.write(|writer| writer.record_fork(evidence))
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
