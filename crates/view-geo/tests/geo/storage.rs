//! What the index costs at rest, what an opening reads, and what it does with rows that are damaged.

use crate::common::{Rig, at, feed, id, put};
use bytes::Bytes;
use kappadb_core::{Extent, GeoBox};
use kappadb_entry::{Places, rules};
use kappadb_store::{Batch, MemoryStore, Rows, SledOptions, SledStore, Store, StoreError, Tree};
use kappadb_view::{Arrived, Index, View};
use kappadb_view_geo::MapView;
use proptest::prelude::*;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const RUNS: u8 = 4;
const PAGES: u8 = 5;
const DEAD: u8 = 6;

/// Counts the rows that are read.
struct Counting {
    tree: Arc<dyn Tree>,
    read: AtomicUsize,
}

impl Counting {
    fn over(tree: Arc<dyn Tree>) -> Arc<Counting> {
        Arc::new(Counting { tree, read: AtomicUsize::new(0) })
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
}

/// A square field of points, ten units apart.
fn field(side: i32) -> Vec<Arrived> {
    let cells = (0..side).flat_map(|x| (0..side).map(move |y| (10 * x, 10 * y)));
    let point =
        |(n, (x, y)): (u64, (i32, i32))| put(id(0, n), &format!("n{n:06}"), Places::on_map(&at(x, y, x, y)));
    (0..).zip(cells).map(point).collect()
}

fn rows_of(tree: &dyn Tree, prefix: u8) -> Vec<(Bytes, Bytes)> {
    kappadb_store::prefix_range(tree, &[prefix]).collect::<Result<_, _>>().expect("reads")
}

#[test]
fn opening_does_not_read_what_is_packed() {
    let tree = Counting::over(MemoryStore::new().tree("map").expect("tree"));
    let mut rig = Rig::over(500, tree.clone());
    field(90).chunks(250).for_each(|batch| drop(rig.hold(batch)));
    let stats = rig.index.stats();
    assert!(stats.memory < 500 && stats.runs.iter().map(|run| run.items).sum::<u64>() > 7_500);

    tree.take();
    rig.reopen();
    let opened = tree.take();
    assert!(opened <= stats.memory + stats.runs.len() + 10, "opening read {opened} rows");

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
        let runs = rig.index.stats().runs;
        let tiers = 1 + (n / 16usize).checked_ilog2().unwrap_or(0) as usize / 2;
        assert!(runs.len() <= 3 * tiers, "{} runs after {n} points", runs.len());
    }
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 1_024);
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
    }
    let last = i32::try_from((moves - 1) * 1_000).expect("small");
    assert_eq!(rig.answer(&at(last, last, last + 999, last + 999)).len(), 60);
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 60);
    rig.check();

    // Each feature has one box where it is and at most eight where it was.
    let stats = rig.index.stats();
    let items: u64 = stats.runs.iter().map(|run| run.items).sum();
    let dead: u64 = stats.runs.iter().map(|run| run.dead).sum();
    assert!(items <= 3 * 9 * features, "{items} boxes in {} runs", stats.runs.len());
    assert_eq!(rows_of(&*rig.tree, DEAD).len() as u64, dead, "no mark outlives its run");
    let pages: usize = rows_of(&*rig.tree, PAGES).iter().map(|(_, page)| page.len()).sum();
    assert!(pages as u64 <= 60 * items, "{pages} bytes of pages for {items} boxes");
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
        for run in rig.index.stats().runs {
            assert!(run.dead <= run.entries / 4, "{run:?}");
            assert_eq!(run.items, 9 * run.entries);
        }
        rig.check();
    }
    let left = [RUNS, PAGES, DEAD].map(|prefix| rows_of(&*rig.tree, prefix).len());
    assert_eq!(left, [0, 0, 0]);
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

#[test]
fn on_disk_it_is_the_same() {
    let dir = tempfile::tempdir().expect("folder");
    let points = field(40);
    {
        let store = SledStore::open(dir.path(), SledOptions::default()).expect("opens");
        let mut rig = Rig::over(100, store.tree("map").expect("tree"));
        points.chunks(90).for_each(|batch| drop(rig.hold(batch)));
        rig.withdraw(&points[..700]);
        store.flush().expect("flushes");
    }
    let store = SledStore::open(dir.path(), SledOptions::default()).expect("opens again");
    let rig = Rig::over(100, store.tree("map").expect("tree"));
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), 900);
    rig.check();
}

fn packed() -> Rig {
    let mut rig = Rig::new(64);
    field(20).chunks(30).for_each(|batch| drop(rig.hold(batch)));
    let some = field(20);
    rig.withdraw(&some[..9]);
    rig
}

#[test]
fn a_lost_page_asks_for_a_rebuild() {
    let mut rig = packed();
    let mut batch = Batch::new();
    for (key, _) in rows_of(&*rig.tree, PAGES).iter().filter(|(key, _)| key[5] == 0) {
        batch.delete(key.clone());
    }
    rig.tree.apply(&batch).expect("applies");
    rig.reopen();
    let error = rig.index.query(&GeoBox::WORLD.into(), None).expect_err("pages are gone");
    assert!(error.wants_rebuild(), "{error}");
}

#[test]
fn boxes_that_nothing_accounts_for_are_noticed() {
    let (rig, other) = (packed(), packed());
    let mut batch = Batch::new();
    // A mark of death too many, and one too few.
    let (mark, _) = rows_of(&*other.tree, DEAD).first().expect("a mark").clone();
    batch.delete(mark);
    rig.tree.apply(&batch).expect("applies");
    let index = rig.view.open(rig.tree.clone()).expect("opens");
    assert_eq!(index.check().expect("checks").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Rows of our own are as foreign as a peer's bytes once a disk has had them.
    #[test]
    fn damaged_rows_never_panic(
        prefix in 2..=6u8,
        pick in any::<prop::sample::Index>(),
        damage in prop_oneof![
            (any::<prop::sample::Index>(), 1..=255u8).prop_map(Damage::Flip),
            any::<prop::sample::Index>().prop_map(Damage::Cut),
            prop::collection::vec(any::<u8>(), 0..60).prop_map(Damage::Noise),
            Just(Damage::Delete),
        ],
    ) {
        let rig = packed();
        let rows = rows_of(&*rig.tree, prefix);
        prop_assume!(!rows.is_empty());
        let (key, value) = pick.get(&rows).clone();
        let mut batch = Batch::new();
        match damage {
            Damage::Flip((at, by)) if !value.is_empty() => {
                let mut value = value.to_vec();
                let at = at.index(value.len());
                value[at] ^= by;
                batch.put(key, value);
            }
            Damage::Cut(at) => batch.put(key, value.slice(..at.index(value.len() + 1))),
            Damage::Noise(noise) => batch.put(key, noise),
            _ => batch.delete(key),
        }
        rig.tree.apply(&batch).expect("applies");
        match MapView::with_memory(64).open(rig.tree.clone()) {
            Err(error) => prop_assert!(error.wants_rebuild(), "{}", error),
            Ok(index) => {
                for extent in [GeoBox::WORLD.into(), at(30, 30, 90, 90)] {
                    if let Err(error) = index.query(&extent, None) {
                        prop_assert!(error.wants_rebuild(), "{}", error);
                    }
                }
                let mut rig = Rig { index, ..rig };
                for batch in field(20).chunks(50) {
                    let changes: Vec<_> = batch.iter().map(kappadb_view::Change::Withdraw).collect();
                    if let Err(error) = rig.try_apply(&changes) {
                        prop_assert!(error.wants_rebuild(), "{}", error);
                        break;
                    }
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Flip((prop::sample::Index, u8)),
    Cut(prop::sample::Index),
    Noise(Vec<u8>),
    Delete,
}
