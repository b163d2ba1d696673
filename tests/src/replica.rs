//! A whole replica in one process: feeds on disk, derived data in memory, the map and the key-value view.

use crate::model::{Answer, Entries};
use kappadb_core::limits::TARGET_FRAME;
use kappadb_core::{DatabaseId, EntryId, Extent, FeedKey, GeoBox, RangeSet, Seq, Timestamp};
use kappadb_entry::{Bundle, Detached, Header, chunk_block, chunk_payload, decode_block};
use kappadb_feed::{Append, Config, Feeds, PutError};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_store::{MemoryStore, Store};
use kappadb_view::{ViewHandle, Views};
use kappadb_view_geo::{MapView, Query};
use kappadb_view_kv::{KeyRange, KvView, ScanOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The one database of all tests.
pub const DATABASE: DatabaseId = DatabaseId([7; 32]);

/// The time at which scans are read.
pub const NOW: Timestamp = Timestamp(40);

/// Feeds, views and where they lie.
pub struct Replica {
    dir: TempDir,
    store: Arc<dyn Store>,
    open: Option<Open>,
    seed: Arc<Mutex<Random>>,
}

struct Open {
    feeds: Feeds,
    views: Views,
    map: ViewHandle<MapView>,
    kv: ViewHandle<KvView>,
}

impl Replica {
    /// An empty one; `seed` makes its keys.
    pub fn new(seed: u64) -> Replica {
        let mut replica = Replica {
            dir: tempfile::tempdir().expect("temp dir"),
            store: Arc::new(MemoryStore::new()),
            open: None,
            seed: Arc::new(Mutex::new(Random::new(seed))),
        };
        replica.reopen();
        replica
    }

    /// A copy of its folder, keys and all, without derived data: what restoring a backup beside the original makes.
    pub fn copy(&mut self, seed: u64) -> Replica {
        self.open = None;
        let mut copy = Replica {
            dir: tempfile::tempdir().expect("temp dir"),
            store: Arc::new(MemoryStore::new()),
            open: None,
            seed: Arc::new(Mutex::new(Random::new(seed))),
        };
        copy_folder(self.dir.path(), copy.dir.path());
        self.reopen();
        copy.reopen();
        copy
    }

    /// From where on which feeds do not count here.
    pub fn excluded(&self) -> BTreeMap<FeedKey, Seq> {
        self.feeds().exclusions().into_iter().collect()
    }

    /// Every map entry held that counts.
    pub fn counting(&self) -> Entries {
        without(self.entries(), &self.excluded())
    }

    /// Tells `peer` of the forks known here.
    pub fn tell(&self, peer: &Replica) {
        for evidence in self.feeds().list().iter().filter_map(|info| self.feeds().fork(&info.feed)) {
            let definition = self.feeds().definition(&evidence.feed).expect("definition");
            peer.feeds().define(&definition).expect("define");
            peer.feeds().record_fork(evidence).expect("evidence");
        }
        peer.feeds().sync().expect("sync");
    }

    /// Compares histories as a session does: of a feed whose heads cannot be seen to be of one history, what the peer has is looked at.
    pub fn compare(&self, peer: &Replica) {
        let loose = [self, peer].map(|replica| replica.feeds().loose_ends());
        for info in self.feeds().list() {
            let length = info.length.min(peer.feeds().head(&info.feed).map_or(0, |head| head.head.length));
            let root = |replica: &Replica| replica.feeds().root_at(&info.feed, length).expect("root");
            let one_history = root(self).is_some_and(|own| root(peer) == Some(own));
            let is_loose = loose.iter().flatten().any(|(feed, _)| *feed == info.feed);
            if length > 0 && (!one_history || is_loose) {
                self.fetch_anew(peer, info.feed);
            }
        }
    }

    /// Has all that a peer holds of a feed proved as if nothing were known of it here.
    fn fetch_anew(&self, peer: &Replica, feed: FeedKey) {
        let mut left = peer.feeds().held(&feed);
        while !left.is_empty() {
            let bundle = peer.feeds().prove(&feed, &left, &Default::default(), TARGET_FRAME).expect("prove");
            left = left.minus(&bundle.ranges);
            if bundle.ranges.is_empty()
                || self.feeds().put(bundle).is_ok_and(|outcome| outcome.fork.is_some())
            {
                break;
            }
        }
        self.feeds().sync().expect("sync");
    }

    /// Closes everything and opens it from disk; derived data stays.
    pub fn reopen(&mut self) {
        self.open = None;
        let seed = self.seed.clone();
        let random = move |bytes: &mut [u8]| {
            let mut random = seed.lock().expect("seed");
            random.fill(bytes);
        };
        let config = Config::new(self.dir.path(), self.store.clone(), DATABASE, Arc::new(random));
        let (feeds, _) = Feeds::open(config, &mut |_, _| ()).expect("open");
        let views = Views::new(feeds.clone(), self.store.clone());
        let map = views.register(MapView::default()).expect("register");
        let kv = views.register(KvView).expect("register");
        self.open = Some(Open { feeds, views, map, kv });
    }

    /// Forgets everything derived, as if its folder had been deleted, and opens.
    pub fn rebuild(&mut self) {
        self.open = None;
        self.store = Arc::new(MemoryStore::new());
        self.reopen();
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("open")
    }

    /// Its feeds.
    pub fn feeds(&self) -> &Feeds {
        &self.open().feeds
    }

    /// Its map.
    pub fn map(&self) -> &ViewHandle<MapView> {
        &self.open().map
    }

    /// Its keys and values.
    pub fn kv(&self) -> &ViewHandle<KvView> {
        &self.open().kv
    }

    /// All of its views.
    pub fn views(&self) -> &Views {
        &self.open().views
    }

    /// Gives back what clears and drops left, once the views have seen all of it.
    pub fn compact(&self) {
        self.views().all_ready().expect("ready");
        self.feeds().compact(&mut |_, _| ()).expect("compact");
    }

    /// Makes a feed of its own.
    pub fn writer(&self) -> FeedKey {
        self.feeds().create(Timestamp(1), None).expect("create")
    }

    /// Appends one entry durably.
    pub fn append(&self, feed: FeedKey, header: &Header, payload: &[u8]) -> EntryId {
        let block = kappadb_entry::encode_block(header, payload).expect("encode");
        let ranges = self.feeds().append(vec![Append { feed, blocks: vec![block] }]).expect("append");
        EntryId { feed, seq: ranges[0].start }
    }

    /// Appends an entry whose payload of so many bytes ([`content`]) lies in blocks of its own before it.
    pub fn append_detached(&self, feed: FeedKey, mut header: Header, bytes: u64) -> EntryId {
        let first = self.feeds().head(&feed).map_or(0, |head| head.head.length);
        let content = content(&feed, first, bytes);
        let chunks =
            content.chunks(CHUNK as usize).map(|chunk| chunk_block(header.time, chunk).expect("chunk"));
        let blocks: Vec<_> = chunks.collect();
        let places = RangeSet::from_iter(first..first + blocks.len() as u64);
        self.feeds().append(vec![Append { feed, blocks }]).expect("append");
        header.set_detached(&Detached::new(bytes, CHUNK, places).expect("detached"));
        self.append(feed, &header, b"")
    }

    /// The payload of an entry that lies in blocks of its own; none if some of it is not here.
    pub fn detached(&self, id: &EntryId, header: &Header) -> Option<Vec<u8>> {
        let detached = header.detached()?;
        let blocks = self.feeds().blocks(&id.feed, detached.chunks()).expect("read");
        let mut payload = Vec::new();
        for (number, seq) in (0..).zip(detached.chunks().iter()) {
            let (_, block) = blocks.iter().find(|(at, _)| *at == seq)?;
            let range = detached.bytes_of(number);
            payload.extend_from_slice(&chunk_payload(block, range.end - range.start).ok()?);
        }
        Some(payload)
    }

    /// Every map entry held, read block by block.
    pub fn entries(&self) -> Entries {
        let mut out = BTreeMap::new();
        for info in self.feeds().list() {
            let held = self.feeds().held(&info.feed);
            for (seq, block) in self.feeds().blocks(&info.feed, &held).expect("read") {
                let entry = decode_block(&block).expect("decode");
                out.insert(EntryId { feed: info.feed, seq }, entry.header);
            }
        }
        out
    }

    /// What the map view answers, in the model's form.
    pub fn answer(&self, extent: &Extent) -> Answer {
        self.map().ready().expect("ready");
        let answer =
            self.map().read(|index| index.query(extent, &Query::default())).expect("view").expect("query");
        let hits = answer.hits.into_iter().map(|hit| {
            let mut heads = hit.heads;
            heads.sort_unstable();
            (hit.key.into_bytes(), heads)
        });
        hits.collect()
    }

    /// Who refers to `target` as the map view knows it, in the model's form.
    pub fn referrers(&self, target: &str) -> Answer {
        self.map().ready().expect("ready");
        let hits =
            self.map().read(|index| index.referrers(&[target.into()])).expect("view").expect("referrers");
        hits.into_iter().map(|hit| (hit.key.into_bytes(), hit.heads)).collect()
    }

    /// The keys of a range with all of their heads as the key-value view knows them, in the model's form.
    pub fn heads(&self, range: &KeyRange, keys: &[&[u8]]) -> Answer {
        self.kv().ready().expect("ready");
        let wanted = keys.iter().filter(|key| range.contains(key));
        let heads = |key: &&[u8]| {
            let heads = self.kv().read(|index| index.read().heads(key)).expect("view").expect("heads");
            (key.to_vec(), heads.iter().map(|head| head.id).collect::<Vec<_>>())
        };
        wanted.map(heads).filter(|(_, heads)| !heads.is_empty()).collect()
    }

    /// The keys that a scan shows, with their winners, page by page of `page` keys.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions, page: usize) -> Vec<(Vec<u8>, EntryId)> {
        self.kv().ready().expect("ready");
        let (mut found, mut after) = (Vec::new(), options.after.clone());
        let limit = options.limit.unwrap_or(usize::MAX);
        while found.len() < limit {
            let part = ScanOptions { limit: Some(page.min(limit - found.len())), after, ..options.clone() };
            let part =
                self.kv().read(|index| index.read().scan(range, &part, NOW)).expect("view").expect("scan");
            found.extend(
                part.rows.into_iter().map(|row| (row.key, row.state.winner.expect("it is shown").id)),
            );
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        found
    }

    /// The feeds that it dropped.
    pub fn dropped(&self) -> BTreeSet<FeedKey> {
        self.feeds().dropped().into_iter().collect()
    }

    /// The ranges that it would send to somebody who has dropped the feeds `without`.
    pub fn matches(
        &self,
        view: &str,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> BTreeMap<FeedKey, RangeSet> {
        self.views().all_ready().expect("ready");
        let ids = self.open().views.matches(view, selector, without).expect("matches");
        let mut out: BTreeMap<FeedKey, Vec<u64>> = BTreeMap::new();
        ids.into_iter().for_each(|id| out.entry(id.feed).or_default().push(id.seq));
        out.into_iter().map(|(feed, seqs)| (feed, seqs.into_iter().collect())).collect()
    }

    /// Fetches `ranges` of one feed from `peer`, proved, as a session would: what is linked here is taken as known.
    pub fn fetch(&self, peer: &Replica, feed: FeedKey, ranges: &RangeSet) {
        let definition = peer.feeds().definition(&feed).expect("definition");
        self.feeds().define(&definition).expect("define");
        let mut left = ranges.minus(&self.feeds().held(&feed));
        let mut forget = false;
        while !left.is_empty() {
            let mut known = self.feeds().known(&feed, &self.feeds().held(&feed));
            if forget || known.length > peer.feeds().head(&feed).map_or(0, |h| h.head.length) {
                known = Default::default();
            }
            let bundle = peer.feeds().prove(&feed, &left, &known, TARGET_FRAME).expect("prove");
            left = left.minus(&bundle.ranges);
            if bundle.ranges.is_empty() {
                break;
            }
            match self.feeds().put(bundle.clone()) {
                Ok(_) => {}
                Err(PutError::KnownMismatch { .. }) if !forget => {
                    forget = true;
                    left.union_with(&bundle.ranges);
                }
                // Another history of the feed, which nothing at hand shows to be one: it is not taken in.
                Err(PutError::Contradiction { .. }) => {}
                Err(error) => panic!("put: {error}"),
            }
        }
        self.feeds().sync().expect("sync");
    }

    /// Asks `peer` for a box and stores all that it sends.
    pub fn ask(&self, peer: &Replica, extent: &Extent) {
        self.ask_for(peer, &Selector::from(extent));
    }

    /// Asks `peer` for what the selector needs and stores all that it sends.
    pub fn ask_for(&self, peer: &Replica, selector: &Selector) {
        self.ask_view(peer, "map", selector);
    }

    /// The same of the key-value view.
    pub fn ask_kv(&self, peer: &Replica, selector: &Selector) {
        self.ask_view(peer, "kv", selector);
    }

    fn ask_view(&self, peer: &Replica, view: &str, selector: &Selector) {
        for (feed, ranges) in peer.matches(view, selector, &self.dropped()) {
            self.fetch(peer, feed, &ranges);
        }
    }

    /// A bundle as `peer` would send it to somebody who knows nothing.
    pub fn bundle(&self, feed: FeedKey, ranges: &RangeSet) -> Bundle {
        self.feeds().prove(&feed, ranges, &Default::default(), usize::MAX).expect("prove")
    }
}

/// The search boxes of the model: an extent's own.
pub fn boxes(extent: &Extent) -> Vec<GeoBox> {
    extent.boxes().to_vec()
}

/// Bytes of a block of a detached payload.
const CHUNK: u32 = 1024;

/// What is said in blocks from `first` on: never the same elsewhere.
pub fn content(feed: &FeedKey, first: Seq, bytes: u64) -> Vec<u8> {
    let mut random = Random::new(first ^ u64::from_le_bytes(*feed.0.first_chunk().expect("a key")));
    let mut content = vec![0; bytes as usize];
    random.fill(&mut content);
    content
}

/// What counts if these feeds do not from there on.
pub fn without(mut entries: Entries, excluded: &BTreeMap<FeedKey, Seq>) -> Entries {
    entries.retain(|id, _| excluded.get(&id.feed).is_none_or(|first| id.seq < *first));
    entries
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("type").is_dir() {
            true => {
                std::fs::create_dir_all(&target).expect("folder");
                copy_folder(&entry.path(), &target);
            }
            false => drop(std::fs::copy(entry.path(), target).expect("copy")),
        }
    }
}
