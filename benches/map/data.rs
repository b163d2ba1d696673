//! What is put on the map: points, rectangles and clusters, and boxes that hold about a hundred of them.

use kappadb_core::{Coord, EntryId, Extent, FeedKey, GeoBox, Timestamp};
use kappadb_entry::{Entry, Header, Kind, Places, space};
use kappadb_sim::Random;
use kappadb_view::Arrived;

/// One unit short of the antimeridian, on both sides of which kappadb alone looks.
const LON: i64 = 1_799_999_999;
const LAT: i64 = 900_000_000;
pub const QUERIES: usize = 2_000;

/// A kind of map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Points anywhere.
    Points,
    /// Rectangles anywhere, as many between 1 and 2 m as between 8 and 16 km.
    Rectangles,
    /// Points around a thousand towns, the denser the nearer.
    Clusters,
}

impl Data {
    pub const ALL: [Data; 3] = [Data::Points, Data::Rectangles, Data::Clusters];

    /// `count` boxes.
    pub fn boxes(self, count: u64) -> Vec<GeoBox> {
        let mut random = Random::new(11);
        let towns: Vec<(i64, i64)> =
            (0..1_000).map(|_| (within(&mut random, LON), within(&mut random, LAT))).collect();
        let one = |_| match self {
            Data::Points => square(within(&mut random, LON), within(&mut random, LAT), 0),
            Data::Rectangles => {
                let side = 90u64 << random.below(14);
                square(within(&mut random, LON), within(&mut random, LAT), (side + random.below(side)) as i64)
            }
            Data::Clusters => {
                let (x, y) = towns[random.below(1_000) as usize];
                let reach = 1 << (12 + random.below(10));
                square(x + within(&mut random, reach), y + within(&mut random, reach), 0)
            }
        };
        (0..count).map(one).collect()
    }
}

fn within(random: &mut Random, edge: i64) -> i64 {
    random.below(2 * edge as u64) as i64 - edge
}

/// Part of the map, `side` units wide.
fn square(west: i64, south: i64, side: i64) -> GeoBox {
    let clamp = |value: i64, edge: i64| i32::try_from(value.clamp(-edge, edge)).expect("on the map");
    GeoBox {
        west: clamp(west, LON),
        south: clamp(south, LAT),
        east: clamp(west + side, LON),
        north: clamp(south + side, LAT),
    }
}

/// Boxes around some of these, each grown until it has about a hundred.
pub fn queries(data: Data, all: &[GeoBox], found: impl Fn(&GeoBox) -> usize) -> Vec<GeoBox> {
    let mut random = Random::new(12);
    let start = if data == Data::Clusters { 1 << 9 } else { 1 << 18 };
    let around = |_| {
        let at = all[random.below(all.len() as u64) as usize].center();
        let (x, y) = (i64::from(at.lon), i64::from(at.lat));
        let sides = (0..).map(|step| (start as f64 * 1.05f64.powi(step)) as i64);
        let boxes = sides.map(|side| square(x - side / 2, y - side / 2, side));
        boxes.take(400).find(|b| found(b) >= 95).unwrap_or(GeoBox::WORLD)
    };
    (0..QUERIES).map(around).collect()
}

/// The entry that puts number `n` there.
pub fn arrived(bbox: GeoBox, n: u64) -> Arrived {
    let header = Header {
        key: Some(format!("n{n}").into_bytes()),
        places: Places::on_map(&Extent::from(bbox)),
        ..Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0))
    };
    let id = EntryId { feed: FeedKey([1; 32]), seq: n };
    Arrived { lseq: n, id, entry: Entry { header, payload: None } }
}

/// The corners as a coordinate pair.
pub fn corners(b: &GeoBox) -> (Coord, Coord) {
    (Coord { lon: b.west, lat: b.south }, Coord { lon: b.east, lat: b.north })
}
