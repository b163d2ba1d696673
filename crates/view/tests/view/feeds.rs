//! Views over real feeds: what is appended is indexed, found again after a restart, and made anew from the journal.
use crate::common::*;
use kappadb_core::{DatabaseId, EntryId, FeedKey, Timestamp};
use kappadb_feed::{Append, Config, Feeds};
use kappadb_store::{MemoryStore, Store};
use kappadb_view::{ViewHandle, Views};
use std::path::Path;
use std::sync::Arc;

struct Replica {
    feeds: Feeds,
    views: Views,
    kv: ViewHandle<KvView>,
}

fn open(dir: &Path, store: &Arc<dyn Store>) -> Replica {
    let random = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
    let config = Config::new(dir, store.clone(), DatabaseId([3; 32]), random);
    let (feeds, _) = Feeds::open(config, &mut |_, _| ()).unwrap();
    let views = Views::new(feeds.clone(), store.clone());
    let kv = views.register(KvView::new(1)).unwrap();
    Replica { feeds, views, kv }
}

impl Replica {
    fn append(&self, feed: FeedKey, key: &str, depth: u32, replaced: &[EntryId]) -> EntryId {
        let blocks = vec![entry(key, depth, replaced).bytes];
        let seqs = self.feeds.append(vec![Append { feed, blocks }]).unwrap();
        EntryId { feed, seq: seqs.first().unwrap().start }
    }

    fn heads(&self, key: &str) -> Vec<EntryId> {
        self.kv.ready().unwrap();
        self.kv.read(|index| index.heads(key.as_bytes())).unwrap()
    }
}

#[test]
fn views_follow_feeds_and_are_made_anew_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let replica = open(dir.path(), &store);
    let feed = replica.feeds.create(Timestamp(1), None).unwrap();
    let first = replica.append(feed, "x", 0, &[]);
    assert_eq!(replica.heads("x"), [first]);
    let second = replica.append(feed, "x", 1, &[first]);
    let third = replica.append(feed, "x", 1, &[first]);
    assert_eq!(replica.heads("x"), [second, third]);
    drop(replica);

    let replica = open(dir.path(), &store);
    assert_eq!(replica.views.status().first().unwrap().lag, 0, "the cursor was kept");
    assert_eq!(replica.heads("x"), [second, third]);
    let merged = replica.append(feed, "x", 2, &[first, second, third]);
    assert_eq!(replica.heads("x"), [merged]);
    drop(replica);

    let replica = open(dir.path(), &(Arc::new(MemoryStore::new()) as Arc<dyn Store>));
    assert_eq!(replica.heads("x"), [merged]);
    {
        let _still = replica.views.pause();
        replica.feeds.rebuild(&mut |_, _| ()).unwrap();
    }
    replica.views.rebuild(None).unwrap();
    assert_eq!(replica.heads("x"), [merged]);
    assert!(replica.views.verify().unwrap().is_empty());
}

#[test]
fn many_small_appends_wake_the_indexer() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let replica = open(dir.path(), &store);
    let feed = replica.feeds.create(Timestamp(1), None).unwrap();
    let watcher = replica.kv.watch();
    for n in 0..20 {
        replica.append(feed, &format!("k{n}"), 0, &[]);
        // No `ready`: the append itself must have woken it.
        let changes = watcher.next(std::time::Duration::from_secs(4)).unwrap();
        assert_eq!(changes.notices.len(), 1, "entry {n} was not indexed by itself");
    }
}

/// A feed is dropped and compacted away, `watched` or not by the view that has it; allowed again, it comes back.
fn a_feed_comes_and_goes(watched: bool) {
    let (dir, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let peer = open(there.path(), &(Arc::new(MemoryStore::new()) as Arc<dyn Store>));
    let feed = peer.feeds.create(Timestamp(1), None).unwrap();
    let id = peer.append(feed, "x", 0, &[]);
    let fetch = |feeds: &Feeds| {
        let wanted = kappadb_core::RangeSet::below(1);
        feeds.define(&peer.feeds.definition(&feed).unwrap()).unwrap();
        feeds.put(peer.feeds.prove(&feed, &wanted, &Default::default(), usize::MAX).unwrap()).unwrap();
        feeds.sync().unwrap();
    };
    let replica = open(dir.path(), &store);
    fetch(&replica.feeds);
    assert_eq!(replica.heads("x"), [id]);
    let go = |feeds: &Feeds| {
        feeds.drop_feed(&feed).unwrap();
        feeds.compact(&mut |_, _| {}).unwrap();
    };
    let replica = if watched {
        go(&replica.feeds);
        replica
    } else {
        drop(replica);
        let random = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        let config = Config::new(dir.path(), store.clone(), DatabaseId([3; 32]), random);
        let (feeds, _) = Feeds::open(config, &mut |_, _| ()).unwrap();
        go(&feeds);
        feeds.allow_feed(&feed).unwrap();
        drop(feeds);
        open(dir.path(), &store)
    };
    assert_eq!(replica.heads("x"), []);
    replica.feeds.allow_feed(&feed).unwrap();
    assert_eq!(replica.heads("x"), []);
    fetch(&replica.feeds);
    assert_eq!(replica.heads("x"), [id]);
    assert!(replica.views.verify().unwrap().is_empty());
    drop(replica);
    let replica = open(dir.path(), &store);
    assert_eq!(replica.views.status().first().unwrap().lag, 0, "the cursor was kept");
    assert_eq!(replica.heads("x"), [id]);
}

#[test]
fn a_view_takes_out_what_is_compacted_away() {
    a_feed_comes_and_goes(true);
}

#[test]
fn a_view_that_was_away_while_a_feed_was_compacted_away_is_made_anew() {
    a_feed_comes_and_goes(false);
}
