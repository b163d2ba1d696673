//! What the index costs at rest, what an opening reads, and that it answers the same on disk.

use crate::common::{DEAD, FILES, RUNS, Rig, at, feed, field, files_of, id, put, rows_of};
use bytes::Bytes;
use kappadb_core::{Extent, GeoBox};
use kappadb_entry::{Places, rules};
use kappadb_sim::Random;
use kappadb_store::{
    Batch, FileId, MemoryStore, NewFile, Rows, SledOptions, SledStore, Store, StoreError, StoredFile, Tree,
};
use kappadb_view::{Arrived, Change};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the rows, and the pieces of files, that are read.
struct Counting {
    tree: Arc<dyn Tree>,
    read: Arc<AtomicUsize>,
}

struct CountingFile {
    file: Arc<dyn StoredFile>,
    read: Arc<AtomicUsize>,
}

impl StoredFile for CountingFile {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read(&self, at: u64, len: usize) -> Result<Bytes, StoreError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.file.read(at, len)
    }
}

impl Counting {
    fn over(tree: Arc<dyn Tree>) -> Arc<Counting> {
        Arc::new(Counting { tree, read: Arc::default() })
    }

    fn take(&self) -> usize {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl Tree for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.tree.get(key)
    }

    fn range<'a>(&'a self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Rows<'a> {
        let rows = self.tree.range(from, to);
        Box::new(rows.inspect(|_| {
            self.read.fetch_add(1, Ordering::Relaxed);
        }))
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.tree.apply(batch)
    }

    fn new_file(&self, id: FileId) -> Result<Box<dyn NewFile>, StoreError> {
        self.tree.new_file(id)
    }

    fn open_file(&self, id: FileId) -> Result<Option<Arc<dyn StoredFile>>, StoreError> {
        let file = self.tree.open_file(id)?;
        Ok(file.map(|file| Arc::new(CountingFile { file, read: self.read.clone() }) as _))
    }

    fn files(&self, group: u16) -> Result<Vec<u64>, StoreError> {
        self.tree.files(group)
    }
}

#[test]
fn opening_does_not_read_what_is_packed() {
    let tree = Counting::over(MemoryStore::new().tree("map").expect("tree"));
    let mut rig = Rig::over(500, tree.clone());
    field(90).chunks(250).for_each(|batch| drop(rig.hold(batch)));
    rig.keep_up(false);
    let stats = rig.index.stats();
    assert!(stats.memory < 500 && stats.runs.iter().map(|run| run.items).sum::<u64>() > 7_500);

    tree.take();
    rig.reopen();
    let opened = tree.take();
    assert!(opened <= 8 + 6 * stats.runs.len(), "opening read {opened} rows");

    assert_eq!(rig.answer(&at(300, 300, 340, 340)).len(), 25);
    let asked = tree.take();
    assert!((1..=12 * stats.runs.len()).contains(&asked), "a small box read {asked} pages");
    assert_eq!(rig.answer(&at(300, 300, 340, 340)).len(), 25);
    assert_eq!(tree.take(), 0, "pages are cached, and plain hits need no other row");
    rig.check();
}

#[test]
fn runs_are_merged_by_four() {
    let mut rig = Rig::new(16);
    for (n, entry) in (1..).zip(&field(32)) {
        rig.hold([entry]);
        rig.keep_up(false);
        let runs = rig.index.stats().runs;
        let tiers = 1 + (n / 16usize).checked_ilog2().unwrap_or(0) as usize / 2;
        assert!(runs.len() <= 3 * tiers, "{} runs after {n} points", runs.len());
    }
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 1_024);
    rig.check();
    rig.hold([&put(id(1, 0), "more", Places::on_map(&at(5, 5, 5, 5)))]);
    rig.keep_up(true);
    assert!(rig.index.stats().runs.len() <= 2, "when nothing arrives, one large run and little beside");
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 1_025);
    rig.check();
}

/// Pages of a merged run may still be in the cache when the next run is written.
#[test]
fn the_number_of_a_merged_run_is_not_used_again() {
    let points = field(12);
    let mut rig = Rig::new(4);
    for (n, entry) in (1..).zip(&points) {
        rig.hold([entry]);
        assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), n);
        rig.keep_up(n % 2 == 0);
        assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), n);
    }
}

/// The same few features move again and again.
fn walks(features: u64, moves: u64) -> Vec<Arrived> {
    let mut out: Vec<Arrived> = Vec::new();
    for round in 0..moves {
        for n in 0..features {
            let x = i32::try_from(round * 1_000 + n).expect("small");
            let name = format!("n{n}");
            let mut entry = put(id(0, round * features + n), &name, Places::on_map(&at(x, x, x, x)));
            let last = out.len().checked_sub(usize::try_from(features).expect("few")).map(|i| &out[i]);
            if let Some(last) = last {
                let known = rules::Version::from_header(last.id, &last.entry.header);
                rules::succeed(&[known], &[last.id], &feed(0)).apply_to(&mut entry.entry.header);
            }
            out.push(entry);
        }
    }
    out
}

#[test]
fn moving_about_leaves_no_heap_of_dead_boxes() {
    let (features, moves) = (60, 40);
    let mut rig = Rig::new(50);
    for batch in walks(features, moves).chunks(7) {
        rig.hold(batch);
        rig.keep_up(false);
    }
    let last = i32::try_from((moves - 1) * 1_000).expect("small");
    assert_eq!(rig.answer(&at(last, last, last + 999, last + 999)).len(), 60);
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 60);
    rig.check();

    // Each feature has one box where it is and at most eight where it was.
    let stats = rig.index.stats();
    let items: u64 = stats.runs.iter().map(|run| run.items).sum();
    assert!(stats.runs.iter().all(|run| run.dead * 4 <= run.items), "{stats:?}");
    assert!(items <= 3 * 9 * features, "{items} boxes in {} runs", stats.runs.len());
    let living: BTreeSet<_> =
        rows_of(&*rig.tree, Some(RUNS)).iter().map(|(key, _)| key.slice(3..11)).collect();
    let dead = rows_of(&*rig.tree, Some(DEAD));
    assert!(dead.iter().all(|(key, _)| living.contains(&key[1..9])), "nothing outlives its run");
    let files = files_of(&*rig.tree, FILES[1]);
    assert_eq!(files.len(), living.len(), "nor does its file");
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes as u64 <= 60 * items, "{bytes} bytes of files for {items} boxes");
}

/// Entries of several boxes each, all packed into one run, are taken out bit by bit.
#[test]
fn a_run_that_dies_is_written_anew_and_ends_as_nothing() {
    let past = Places::new((0..8).map(|n| at(n, n, n, n).boxes()[0]).collect(), Vec::new());
    let mut entries = field(20);
    entries.iter_mut().for_each(|entry| entry.entry.header.past = past.clone());
    let mut rig = Rig::new(9 * 400);
    rig.hold(&entries);
    for batch in entries.chunks(10) {
        rig.withdraw(batch);
        rig.keep_up(false);
        assert!(rig.index.stats().runs.iter().all(|run| run.dead * 4 <= run.items && run.items % 9 == 0));
        rig.check();
    }
    let left = [RUNS, DEAD].map(|prefix| rows_of(&*rig.tree, Some(prefix)).len());
    assert_eq!((left, files_of(&*rig.tree, FILES[1]).len()), ([0, 0], 0));
}

/// Every batch fills the memory, so that there is always something to pack.
#[test]
fn a_run_that_dies_is_written_anew_while_others_are_packed() {
    let points = field(40);
    let (large, small) = points.split_at(1_000);
    let mut rig = Rig::new(10);
    rig.hold(large);
    for (gone, new) in large.chunks(20).zip(small.chunks(10)) {
        let changes: Vec<_> = gone.iter().map(Change::Withdraw).chain(new.iter().map(Change::Hold)).collect();
        rig.try_apply(&changes).expect("applies");
        rig.keep_up(false);
        assert!(rig.index.stats().runs.iter().all(|run| run.dead * 4 <= run.items));
    }
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 500);
    rig.check();
}

#[test]
fn a_box_as_large_as_the_world_is_found_again_without_a_scan() {
    let tree = Counting::over(MemoryStore::new().tree("map").expect("tree"));
    let mut rig = Rig::over(500, tree.clone());
    let world = put(id(1, 0), "world", Places::on_map(&Extent::from(GeoBox::WORLD)));
    rig.hold([&world]);
    field(70).chunks(250).for_each(|batch| drop(rig.hold(batch)));
    rig.reopen();
    tree.take();
    rig.withdraw([&world]);
    let read = tree.take();
    assert!(read <= 12 * rig.index.stats().runs.len(), "{read} rows read");
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 4_900);
    rig.check();
}

/// Against a scan of all points. With this memory it is packed six times, and merged once.
#[test]
fn a_hundred_thousand_points_in_batches_of_a_thousand_on_disk() {
    const MEMORY: usize = 16_384;
    let dir = tempfile::tempdir().expect("folder");
    let mut random = Random::new(28);
    let mut within = |edge: u32| {
        let units = random.below(u64::from(edge) * 2 + 1).cast_signed() - i64::from(edge);
        i32::try_from(units).expect("on the map")
    };
    let (lon, lat) = (1_800_000_000, 900_000_000);
    let points: Vec<(i32, i32)> = (0..100_000).map(|_| (within(lon), within(lat))).collect();
    let entries = points
        .iter()
        .zip(0..)
        .map(|(&(x, y), n)| put(id(0, n), &format!("n{n:06}"), Places::on_map(&at(x, y, x, y))));
    let entries: Vec<Arrived> = entries.collect();
    {
        let store = SledStore::open(dir.path(), SledOptions::default()).expect("opens");
        let mut rig = Rig::over(MEMORY, store.tree("map").expect("tree"));
        for batch in entries.chunks(1_000) {
            rig.hold(batch);
            rig.keep_up(false);
        }
        rig.withdraw(&entries[40_000..41_000]);
        store.flush().expect("flushes");
    }
    let store = SledStore::open(dir.path(), SledOptions::default()).expect("opens again");
    let rig = Rig::over(MEMORY, store.tree("map").expect("tree"));
    rig.check();
    for side in [0, 1, 3, 10, 30, 90, 180] {
        for _ in 0..4 {
            let (x, y) = (within(lon), within(lat));
            let (east, north) = (x.saturating_add(side * 10_000_000), y.saturating_add(side * 5_000_000));
            let (east, north) = (east.min(1_800_000_000), north.min(900_000_000));
            let inside = |&(px, py): &(i32, i32)| x <= px && px <= east && y <= py && py <= north;
            let held = points.iter().enumerate().filter(|(n, _)| !(40_000..41_000).contains(n));
            let expected: Vec<String> =
                held.filter(|(_, at)| inside(at)).map(|(n, _)| format!("n{n:06}")).collect();
            let found: Vec<String> = rig.answer(&at(x, y, east, north)).into_keys().collect();
            assert!(found == expected, "{} found, {} expected", found.len(), expected.len());
        }
    }
    assert_eq!(rig.index.count(&GeoBox::WORLD.into()).expect("counts"), 99_000);
}
