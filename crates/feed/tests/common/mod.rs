//! A replica in a temporary directory, with what tests do to it.
#![expect(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and fails loudly")]

use bytes::Bytes;
use kappadb_core::{DatabaseId, EntryId, FeedKey, RangeSet, StoredBlock, Timestamp, blake2b256};
use kappadb_entry::Bundle;
use kappadb_feed::{Append, Arrival, Config, Feeds, OpenReport, PutError, PutOutcome};
use kappadb_merkle::Known;
use kappadb_store::{MemoryStore, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const DATABASE: DatabaseId = DatabaseId([7; 32]);

static NEXT: AtomicU64 = AtomicU64::new(1);

pub struct Replica {
    pub dir: tempfile::TempDir,
    pub store: Arc<dyn Store>,
    feeds: Option<Feeds>,
}

pub fn config(dir: &Path, store: Arc<dyn Store>) -> Config {
    // Other bytes at every call of this process, and never the same twice.
    let random = |out: &mut [u8]| {
        let call = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let hash = blake2b256(&[&call, &std::process::id().to_le_bytes()]);
        out.iter_mut().zip(hash.0).for_each(|(out, byte)| *out = byte);
    };
    Config::new(dir, store, DATABASE, Arc::new(random))
}

impl Replica {
    pub fn new() -> Replica {
        Replica::with(Arc::new(MemoryStore::new()))
    }

    pub fn with(store: Arc<dyn Store>) -> Replica {
        let mut replica = Replica { dir: tempfile::tempdir().unwrap(), store, feeds: None };
        replica.reopen();
        replica
    }

    pub fn feeds(&self) -> &Feeds {
        self.feeds.as_ref().unwrap()
    }

    pub fn close(&mut self) {
        self.feeds = None;
    }

    pub fn reopen(&mut self) -> OpenReport {
        self.close();
        let (feeds, report) =
            Feeds::open(config(self.dir.path(), self.store.clone()), &mut |_, _| {}).unwrap();
        self.feeds = Some(feeds);
        report
    }

    /// As if the folder of derived state had been deleted.
    pub fn reopen_without_derived(&mut self) -> OpenReport {
        self.close();
        self.store = Arc::new(MemoryStore::new());
        self.reopen()
    }

    pub fn writer(&self) -> FeedKey {
        self.feeds().create(Timestamp(1), None).unwrap()
    }

    pub fn append(&self, feed: FeedKey, blocks: Vec<Bytes>) -> std::ops::Range<u64> {
        self.feeds().append(vec![Append { feed, blocks }]).unwrap().remove(0)
    }

    /// Appends `count` more of the blocks that [`block`] makes.
    pub fn grow(&self, feed: FeedKey, count: u64) {
        let from = self.feeds().head(&feed).map_or(0, |head| head.head.length);
        self.append(feed, (from..from + count).map(block).collect());
    }

    /// Asks `peer` as a session would until all of `ranges` that it has is here.
    pub fn fetch(
        &self,
        peer: &Replica,
        feed: FeedKey,
        ranges: &RangeSet,
        max_bytes: usize,
    ) -> Result<u64, PutError> {
        self.feeds().define(&peer.feeds().definition(&feed).unwrap()).unwrap();
        let mut left = ranges.intersection(&peer.feeds().held(&feed));
        let (mut forget, mut stored) = (false, 0);
        while !left.is_empty() {
            let known =
                if forget { Known::default() } else { self.feeds().known(&feed, &self.feeds().held(&feed)) };
            let bundle = peer.feeds().prove(&feed, &left, &known, max_bytes).unwrap();
            assert!(!bundle.ranges.is_empty());
            let got = bundle.ranges.clone();
            match self.feeds().put(bundle) {
                Ok(outcome) => {
                    stored += outcome.stored;
                    left = left.minus(&got);
                }
                Err(PutError::KnownMismatch(_)) if !forget => forget = true,
                Err(error) => return Err(error),
            }
        }
        self.feeds().sync().unwrap();
        Ok(stored)
    }

    /// A proof for somebody who knows nothing.
    pub fn bundle(&self, feed: FeedKey, ranges: &RangeSet) -> Bundle {
        self.feeds().prove(&feed, ranges, &Known::default(), usize::MAX).unwrap()
    }

    pub fn put(&self, bundle: Bundle) -> Result<PutOutcome, PutError> {
        let outcome = self.feeds().put(bundle)?;
        self.feeds().sync().unwrap();
        Ok(outcome)
    }

    pub fn problems(&self) -> Vec<String> {
        self.feeds().verify(&mut |_, _| {}).unwrap().iter().map(ToString::to_string).collect()
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let next = self.feeds().arrivals(from, 10).unwrap();
            let Some(last) = next.last() else { return all };
            from = last.lseq + 1;
            all.extend(next);
        }
    }

    pub fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    /// The last segment.
    pub fn segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.journal()).unwrap().map(|item| item.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|e| e == "kj")).max().unwrap()
    }
}

/// A block of a header that no test looks into, and a payload of a few to a few hundred bytes.
pub fn block(seq: u64) -> Bytes {
    salted(seq, 0)
}

pub fn salted(seq: u64, salt: u8) -> Bytes {
    let [low, high, ..] = seq.to_le_bytes();
    let payload = vec![low; usize::try_from(seq * 37 % 200).unwrap()];
    [&[3, salt, low, high], &payload[..]].concat().into()
}

pub fn stored(seq: u64) -> StoredBlock {
    StoredBlock::whole(block(seq))
}

pub fn id(feed: FeedKey, seq: u64) -> EntryId {
    EntryId { feed, seq }
}

pub fn run(range: std::ops::Range<u64>) -> RangeSet {
    std::iter::once(range).collect()
}

pub fn runs(ranges: &[std::ops::Range<u64>]) -> RangeSet {
    ranges.iter().cloned().collect()
}

/// Everything that can be asked of a feed.
pub fn answers(replica: &Replica, feed: &FeedKey) -> String {
    let feeds = replica.feeds();
    let held = feeds.held(feed);
    let info = feeds.list().into_iter().find(|info| info.feed == *feed);
    let known = feeds.known(feed, &held);
    let bundle = feeds.prove(feed, &held, &Known::default(), 4000).map_err(|error| error.to_string());
    let blocks = feeds.blocks(feed, &held).unwrap();
    format!(
        "{info:?} {:?} {held:?} {known:?} {bundle:?} {blocks:?} {:?}",
        feeds.head(feed),
        feeds.exclusions()
    )
}
