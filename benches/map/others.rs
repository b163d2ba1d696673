//! The indexes that kappadb's is compared with.

use crate::data::corners;
use geo_index::rtree::sort::HilbertSort;
use geo_index::rtree::{RTree as PackedTree, RTreeBuilder, RTreeIndex};
use kappadb_core::{Coord, GeoBox};
use rstar::{AABB, RTree, RTreeObject};
use rusqlite::{Connection, params};
use std::path::Path;

/// A box in `rstar`.
pub struct Item(GeoBox);

fn envelope(b: &GeoBox) -> AABB<[f64; 2]> {
    let (low, high) = corners(b);
    let point = |c: Coord| [c.lon.into(), c.lat.into()];
    AABB::from_corners(point(low), point(high))
}

impl RTreeObject for Item {
    type Envelope = AABB<[f64; 2]>;
    fn envelope(&self) -> Self::Envelope {
        envelope(&self.0)
    }
}

pub fn rstar_bulk(boxes: &[GeoBox]) -> RTree<Item> {
    RTree::bulk_load(boxes.iter().copied().map(Item).collect())
}

pub fn rstar_one_by_one(boxes: &[GeoBox]) -> RTree<Item> {
    let mut tree = RTree::new();
    boxes.iter().copied().map(Item).for_each(|item| tree.insert(item));
    tree
}

pub fn rstar_count(tree: &RTree<Item>, b: &GeoBox) -> usize {
    tree.locate_in_envelope_intersecting(envelope(b)).count()
}

pub fn packed(boxes: &[GeoBox]) -> PackedTree<i32> {
    let mut builder = RTreeBuilder::<i32>::new(u32::try_from(boxes.len()).expect("fits"));
    for b in boxes {
        builder.add(b.west, b.south, b.east, b.north);
    }
    builder.finish::<HilbertSort>()
}

pub fn packed_count(tree: &PackedTree<i32>, b: &GeoBox) -> usize {
    tree.search(b.west, b.south, b.east, b.north).len()
}

/// SQLite's R*Tree of whole numbers, in a file, with the feature's id beside it, as a database of features would have it.
pub struct Sqlite(Connection);

impl Sqlite {
    pub fn open(path: &Path) -> Sqlite {
        let database = Connection::open(path).expect("opens");
        let setup = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536;
            CREATE VIRTUAL TABLE boxes USING rtree_i32(n, west, east, south, north, +id TEXT);";
        database.execute_batch(setup).expect("sets up");
        Sqlite(database)
    }

    /// One transaction.
    pub fn insert(&mut self, boxes: &[GeoBox], first: u64) {
        let batch = self.0.transaction().expect("begins");
        {
            let mut insert =
                batch.prepare_cached("INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?)").expect("fits");
            for (b, n) in boxes.iter().zip(first..) {
                let n = n.cast_signed();
                insert
                    .execute(params![n, b.west, b.east, b.south, b.north, format!("n{n}")])
                    .expect("inserts");
            }
        }
        batch.commit().expect("commits");
    }

    /// Reads the ids.
    pub fn count(&self, b: &GeoBox) -> usize {
        let query = "SELECT id FROM boxes WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?";
        let mut query = self.0.prepare_cached(query).expect("fits");
        let rows = query.query_map(params![b.east, b.west, b.north, b.south], |row| row.get::<_, String>(0));
        rows.expect("asks").map(|id| id.expect("reads")).filter(|id| !id.is_empty()).count()
    }
}
