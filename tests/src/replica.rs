//! A whole replica in one process: feeds on disk, derived data in memory, the map and the key-value view.

use crate::model::{Answer, Entries};
use kappadb_core::limits::TARGET_FRAME;
use kappadb_core::{DatabaseId, EntryId, Extent, FeedKey, GeoBox, RangeSet, Timestamp};
use kappadb_entry::{Bundle, Header, decode_block};
use kappadb_feed::{Append, Config, Durability, Feeds, PutError};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_store::{MemoryStore, Store};
use kappadb_view::{ViewHandle, Views};
use kappadb_view_geo::{MapView, Query};
use kappadb_view_kv::{KeyRange, KvView, ScanOptions};
use std::collections::BTreeMap;
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
        self.views().ready().expect("ready");
        self.feeds().compact(&mut |_, _| ()).expect("compact");
    }

    /// Makes a feed of its own.
    pub fn writer(&self) -> FeedKey {
        self.feeds().create(Timestamp(1), None).expect("create")
    }

    /// Appends one entry durably.
    pub fn append(&self, feed: FeedKey, header: &Header, payload: &[u8]) -> EntryId {
        let block = kappadb_entry::encode_block(header, payload).expect("encode");
        let ranges =
            self.feeds().append(vec![Append { feed, blocks: vec![block] }], Durability::Now).expect("append");
        EntryId { feed, seq: ranges[0].start }
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
            let heads = self.kv().read(|index| index.heads(key)).expect("view").expect("heads");
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
            let part = self.kv().read(|index| index.scan(range, &part, NOW)).expect("view").expect("scan");
            found.extend(part.rows.into_iter().map(|row| (row.key, row.winner)));
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        found
    }

    /// The ranges that a peer would send for `selector` of the map.
    pub fn matches(&self, selector: &Selector) -> BTreeMap<FeedKey, RangeSet> {
        self.matches_of("map", selector)
    }

    fn matches_of(&self, view: &str, selector: &Selector) -> BTreeMap<FeedKey, RangeSet> {
        self.views().ready().expect("ready");
        let ids = self.open().views.matches(view, selector).expect("matches");
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
        for (feed, ranges) in peer.matches(selector) {
            self.fetch(peer, feed, &ranges);
        }
    }

    /// The same of the key-value view.
    pub fn ask_kv(&self, peer: &Replica, selector: &Selector) {
        for (feed, ranges) in peer.matches_of("kv", selector) {
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
