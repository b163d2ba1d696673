//! The map index on 1,000,000 points: building and boxes with about 100 hits, beside rstar and geo-index in one run.
//!
//! `cargo bench -p kappadb-benches --bench map`. kappadb's figures are for an index on disk that outlives the process;
//! the other two live in memory.

use geo_index::rtree::sort::HilbertSort;
use geo_index::rtree::{RTreeBuilder, RTreeIndex};
use kappadb_benches::{peak_memory_mib, timed};
use kappadb_core::{Coord, EntryId, Extent, FeedKey, GeoBox, Timestamp};
use kappadb_entry::{Entry, Header, Kind, Places, space};
use kappadb_sim::Random;
use kappadb_store::{Overlay, SledOptions, SledStore, Store};
use kappadb_view::{Arrived, Change, Index, View};
use kappadb_view_geo::{MapView, Query};
use rstar::{AABB, RTree, RTreeObject};

const POINTS: u64 = 1_000_000;
const BATCH: usize = 1_000;
const QUERIES: usize = 2_000;

#[derive(Clone, Copy)]
struct Point(i32, i32);

impl RTreeObject for Point {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        AABB::from_point([self.0.into(), self.1.into()])
    }
}

fn points() -> Vec<Point> {
    let mut random = Random::new(11);
    let mut unit =
        |range: i64| i32::try_from(random.below(range as u64) as i64 - range / 2).expect("in range");
    (0..POINTS).map(|_| Point(unit(3_600_000_000), unit(1_800_000_000))).collect()
}

/// Boxes with about 100 of the points each.
fn boxes() -> Vec<GeoBox> {
    let mut random = Random::new(12);
    let share = (100.0 / POINTS as f64).sqrt();
    let (w, h) = ((3.6e9 * share) as i64, (1.8e9 * share) as i64);
    let boxes = (0..QUERIES).map(|_| {
        let west = random.below((3_600_000_000 - w) as u64) as i64 - 1_800_000_000;
        let south = random.below((1_800_000_000 - h) as u64) as i64 - 900_000_000;
        let low = Coord::from_units(west, south).expect("on the map");
        let high = Coord::from_units(west + w, south + h).expect("on the map");
        GeoBox { west: low.lon, south: low.lat, east: high.lon, north: high.lat }
    });
    boxes.collect()
}

fn report(name: &str, build: f64, mut micros: Vec<f64>, hits: usize) {
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[(micros.len() as f64 * share) as usize];
    println!(
        "{name:44} {:>10.2} M/s | query {:>7.1} us median, {:>7.1} us p99, {:>5.1} hits",
        POINTS as f64 / build / 1e6,
        at(0.5),
        at(0.99),
        hits as f64 / QUERIES as f64
    );
}

fn ask(boxes: &[GeoBox], mut query: impl FnMut(&GeoBox) -> usize) -> (Vec<f64>, usize) {
    let mut hits = 0;
    let micros = boxes.iter().map(|b| {
        let (found, seconds) = timed(|| query(b));
        hits += found;
        seconds * 1e6
    });
    (micros.collect(), hits)
}

fn main() {
    let (points, boxes) = (points(), boxes());

    let (tree, build) = timed(|| RTree::bulk_load(points.clone()));
    let in_tree = |b: &GeoBox| {
        tree.locate_in_envelope_intersecting(AABB::from_corners(
            [b.west.into(), b.south.into()],
            [b.east.into(), b.north.into()],
        ))
        .count()
    };
    let (micros, hits) = ask(&boxes, in_tree);
    report("rstar, in memory, bulk", build, micros, hits);

    let (index, build) = timed(|| {
        let mut builder = RTreeBuilder::<i32>::new(POINTS as u32);
        for p in &points {
            builder.add(p.0, p.1, p.0, p.1);
        }
        builder.finish::<HilbertSort>()
    });
    let (micros, expected) = ask(&boxes, |b| index.search(b.west, b.south, b.east, b.north).len());
    report("geo-index, in memory, static", build, micros, expected);

    let dir = tempfile::tempdir().expect("temp dir");
    let store = SledStore::open(dir.path(), SledOptions::default()).expect("store");
    let tree = store.tree("map").expect("tree");
    let mut index = MapView::default().open(tree.clone()).expect("index");
    let arrivals: Vec<Arrived> = points.iter().zip(0..).map(|(p, n)| arrived(*p, n)).collect();
    let ((), build) = timed(|| {
        for batch in arrivals.chunks(BATCH) {
            let changes: Vec<Change<'_>> = batch.iter().map(Change::Hold).collect();
            let mut rows = Overlay::new(&*tree);
            index.apply(&changes, &mut rows).expect("apply");
            tree.apply(&rows.into_batch()).expect("commit");
        }
        store.flush().expect("flush");
    });
    let query = |b: &GeoBox| index.query(&Extent::from(*b), &Query::default()).expect("query").hits.len();
    drop(ask(&boxes, query));
    let (micros, hits) = ask(&boxes, query);
    assert_eq!(hits, expected, "kappadb and geo-index disagree");
    report("kappadb map view, on disk, batches of 1,000", build, micros, hits);
    println!("{:44} goal 0.3 M/s and 45 us; peak memory {} MiB", "", peak_memory_mib());
    let (reopened, seconds) = timed(|| MapView::default().open(tree.clone()).expect("reopen"));
    println!("{:44} {seconds:.3} s to open the index again", "");
    drop(reopened);
}

fn arrived(point: Point, n: u64) -> Arrived {
    let at = Coord { lon: point.0, lat: point.1 };
    let header = Header {
        key: Some(format!("n{n}").into_bytes()),
        places: Places::on_map(&Extent::from(GeoBox::point(at))),
        ..Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0))
    };
    let id = EntryId { feed: FeedKey([1; 32]), seq: n };
    Arrived { lseq: n, id, entry: Entry { header, payload: None } }
}
