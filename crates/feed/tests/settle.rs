//! Going on after damage.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod common;

use common::{block, config};
use kappadb_core::{FeedKey, Timestamp};
use kappadb_feed::{Append, AppendError, Feeds};
use kappadb_journal::fault::FaultDisk;
use kappadb_store::{MemoryStore, Store};
use std::sync::Arc;

const SEGMENT: &str = "00000000.kj";

struct World {
    feeds: Option<Feeds>,
    dir: tempfile::TempDir,
    disk: FaultDisk,
    store: Arc<dyn Store>,
}

impl World {
    fn new() -> World {
        let store = Arc::new(MemoryStore::new());
        let mut world =
            World { feeds: None, dir: tempfile::tempdir().unwrap(), disk: FaultDisk::new(), store };
        world.open();
        world
    }

    fn open(&mut self) -> usize {
        self.feeds = None;
        let config = config(self.dir.path(), self.store.clone()).with_disk(Arc::new(self.disk.clone()));
        let (feeds, report) = Feeds::open(config, &mut |_, _| {}).unwrap();
        self.feeds = Some(feeds);
        report.damage.len()
    }

    fn open_without_derived(&mut self) -> usize {
        self.store = Arc::new(MemoryStore::new());
        self.open()
    }

    fn feeds(&self) -> &Feeds {
        self.feeds.as_ref().unwrap()
    }

    fn writer(&self) -> FeedKey {
        self.feeds().create(Timestamp(1), None).unwrap()
    }

    fn append(&self, feed: FeedKey) -> Result<(), AppendError> {
        let from = self.feeds().head(&feed).map_or(0, |head| head.head.length);
        let blocks = (from..from + 3).map(block).collect();
        self.feeds().append(vec![Append { feed, blocks }]).map(drop)
    }

    /// Bytes in the journal.
    fn end(&self) -> usize {
        self.disk.content(SEGMENT).len()
    }

    /// Closes, flips a bit, and opens again, with what was derived or without. Returns how many damaged places were found.
    fn hurt(&mut self, at: usize, derived: bool) -> usize {
        self.feeds = None;
        let mut bytes = self.disk.content(SEGMENT);
        bytes[at] ^= 4;
        self.disk.put(SEGMENT, bytes);
        if !derived {
            return self.open_without_derived();
        }
        // After a clean close only what is new is looked through.
        assert_eq!(self.open(), 0);
        self.feeds().verify(&mut |_, _| {}).unwrap();
        self.open()
    }
}

#[test]
fn feeds_that_lost_nothing_go_on() {
    for derived in [true, false] {
        let mut world = World::new();
        let (hurt, sound, before) = (world.writer(), world.writer(), world.writer());
        world.append(before).unwrap();
        world.append(sound).unwrap();
        let at = world.end() + 60;
        world.append(hurt).unwrap();
        world.append(sound).unwrap();
        world.append(hurt).unwrap();
        assert_eq!(world.feeds().settle_damage().unwrap(), []);
        assert_eq!(world.hurt(at, derived), 1);
        for feed in [hurt, sound, before] {
            assert!(matches!(world.append(feed), Err(AppendError::Damaged(_))));
        }
        let mut given_up = world.feeds().settle_damage().unwrap();
        given_up.sort();
        let mut expected = vec![hurt, before];
        expected.sort();
        assert_eq!(given_up, expected, "of one, blocks may be missing at its end");
        assert_eq!(world.feeds().settle_damage().unwrap(), []);
        for round in 0..3 {
            world.append(sound).unwrap();
            for feed in [hurt, before] {
                assert!(matches!(world.append(feed), Err(AppendError::Behind(_))));
            }
            let next = world.feeds().create(Timestamp(2), Some(hurt)).unwrap();
            world.append(next).unwrap();
            let infos = world.feeds().list();
            let behind = |feed| infos.iter().any(|info| info.feed == feed && info.given_up && !info.writable);
            assert_eq!([hurt, before, sound].map(behind), [true, true, false]);
            let damaged = if round == 0 { world.open() } else { world.open_without_derived() };
            assert_eq!(damaged, 1, "it is still told");
        }
    }
}

#[test]
fn more_damage_must_be_settled_anew() {
    let mut world = World::new();
    let feed = world.writer();
    let first = world.end() + 60;
    world.append(world.writer()).unwrap();
    world.append(feed).unwrap();
    assert_eq!(world.hurt(first, true), 1);
    world.feeds().settle_damage().unwrap();
    world.append(feed).unwrap();
    let second = world.end() + 60;
    world.append(feed).unwrap();
    world.append(feed).unwrap();
    assert_eq!(world.hurt(second, false), 2);
    assert!(matches!(world.append(feed), Err(AppendError::Damaged(_))));
    assert_eq!(world.feeds().settle_damage().unwrap(), [feed]);
}
