//! Where something is: one box, or two across the antimeridian.

use super::{Coord, GeoBox, GeoError, MAX_LAT, MAX_LON};
use std::fmt;
use std::str::FromStr;

/// One box, or two across the antimeridian (the western hemisphere's part second), or none. Kept sorted by west.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    boxes: Vec<GeoBox>,
}

impl Extent {
    /// Nowhere.
    pub const NOWHERE: Extent = Extent { boxes: Vec::new() };

    /// The boxes: none, one, or two.
    pub fn boxes(&self) -> &[GeoBox] {
        &self.boxes
    }

    /// From degrees. West greater than east crosses the antimeridian.
    pub fn from_degrees(west: f64, south: f64, east: f64, north: f64) -> Result<Extent, GeoError> {
        let low = Coord::from_degrees(west, south)?;
        let high = Coord::from_degrees(east, north)?;
        if low.lat > high.lat {
            return Err(GeoError::UpsideDown { south, north });
        }
        Ok(Extent::from_corners(low, high))
    }

    /// The box from the south-west corner `low` to the north-east corner `high` (`low.lat <= high.lat`); two boxes if
    /// it crosses the antimeridian.
    pub fn from_corners(low: Coord, high: Coord) -> Extent {
        let part = |west, east| GeoBox { west, south: low.lat, east, north: high.lat };
        let boxes = if low.lon <= high.lon {
            vec![part(low.lon, high.lon)]
        } else {
            vec![part(low.lon, MAX_LON), part(-MAX_LON, high.lon)]
        };
        Extent { boxes }
    }

    /// The extent of a line or ring of positions, read in order: a step of more than half the world goes the short
    /// way, across the antimeridian. Nowhere if empty.
    pub fn of_path(path: impl IntoIterator<Item = Coord>) -> Extent {
        let mut unwrapped: Option<(i64, i64, i64)> = None; // last, min, max longitude, unwrapped
        let (mut south, mut north) = (MAX_LAT, -MAX_LAT);
        for at in path {
            (south, north) = (south.min(at.lat), north.max(at.lat));
            let world = 2 * i64::from(MAX_LON);
            unwrapped = Some(match unwrapped {
                None => (at.lon.into(), at.lon.into(), at.lon.into()),
                Some((last, min, max)) => {
                    let mut lon = i64::from(at.lon) + (last - i64::from(at.lon)).div_euclid(world) * world;
                    if last - lon > world / 2 {
                        lon += world;
                    }
                    (lon, min.min(lon), max.max(lon))
                }
            });
        }
        match unwrapped {
            None => Extent::NOWHERE,
            Some((_, min, max)) => Extent::from_unwrapped(min, max, south, north),
        }
    }

    fn from_unwrapped(min: i64, max: i64, south: i32, north: i32) -> Extent {
        let world = 2 * i64::from(MAX_LON);
        let whole = max - min >= world;
        let wrap = |lon: i64| {
            let r = (lon + i64::from(MAX_LON)).rem_euclid(world) - i64::from(MAX_LON);
            i32::try_from(r).unwrap_or_default()
        };
        let inside = |lon: i64| i32::try_from(lon).ok().filter(|l| l.abs() <= MAX_LON);
        let (west, east) = match (inside(min), inside(max)) {
            _ if whole => (-MAX_LON, MAX_LON),
            (Some(west), Some(east)) => (west, east),
            _ => (wrap(min), wrap(max)),
        };
        Extent::from_corners(Coord { lon: west, lat: south }, Coord { lon: east, lat: north })
    }

    /// The smallest extent of at most two boxes, one per side of the antimeridian, around all of `parts`. If none of
    /// them crosses it, one box.
    pub fn around<'a>(parts: impl IntoIterator<Item = &'a Extent>) -> Extent {
        let (mut first, mut second): (Option<GeoBox>, Option<GeoBox>) = (None, None);
        let join = |to: &mut Option<GeoBox>, b: &GeoBox| *to = Some(to.map_or(*b, |t| t.hull(b)));
        let parts: Vec<&Extent> = parts.into_iter().collect();
        let crossing = parts.iter().any(|p| p.boxes.len() == 2);
        for b in parts.iter().flat_map(|p| &p.boxes) {
            // Beside a part that crosses, boxes of the western hemisphere belong to the second box.
            if crossing && b.center().lon < 0 { join(&mut second, b) } else { join(&mut first, b) }
        }
        Extent { boxes: first.into_iter().chain(second).collect() }
    }

    /// True if they share a point; touching counts, and longitudes +180 and -180 are the same meridian.
    pub fn intersects(&self, other: &Extent) -> bool {
        let meets = |a: &GeoBox, b: &GeoBox| {
            let rows = a.south <= b.north && b.south <= a.north;
            let wrap = (a.east == MAX_LON && b.west == -MAX_LON) || (b.east == MAX_LON && a.west == -MAX_LON);
            a.intersects(b) || (rows && wrap)
        };
        self.boxes.iter().any(|a| other.boxes.iter().any(|b| meets(a, b)))
    }

    /// The boxes to look up in an index of plain boxes so that nothing that [`Extent::intersects`] accepts is
    /// missed: those of this extent, and the other name of the antimeridian where one of them touches it.
    pub fn search_boxes(&self) -> Vec<GeoBox> {
        let mut out = self.boxes.clone();
        for b in &self.boxes {
            if b.east == MAX_LON {
                out.push(GeoBox { west: -MAX_LON, east: -MAX_LON, ..*b });
            }
            if b.west == -MAX_LON {
                out.push(GeoBox { west: MAX_LON, east: MAX_LON, ..*b });
            }
        }
        out
    }

    /// True if every point of `other` is in one of this extent's boxes.
    pub fn contains(&self, other: &Extent) -> bool {
        other.boxes.iter().all(|b| self.boxes.iter().any(|a| a.contains(b)))
    }
}

impl From<GeoBox> for Extent {
    fn from(b: GeoBox) -> Self {
        Extent { boxes: vec![b] }
    }
}

impl FromStr for Extent {
    type Err = GeoError;
    /// `west,south,east,north` in degrees.
    fn from_str(text: &str) -> Result<Self, GeoError> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|t| t.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[west, south, east, north]) => Extent::from_degrees(west, south, east, north),
            _ => Err(GeoError::NotABox(text.to_owned())),
        }
    }
}

/// As `west,south,east,north` in degrees, readable by [`Extent::from_str`].
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.boxes.as_slice() {
            [] => f.write_str("nowhere"),
            [one] => one.fmt(f),
            [first, .., last] => GeoBox { east: last.east, ..*first }.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(text: &str) -> Extent {
        text.parse().unwrap()
    }

    #[test]
    fn west_greater_than_east_is_two_boxes() {
        let fiji = extent("177,-20,-178,-15");
        assert_eq!(fiji.boxes().len(), 2);
        assert!(fiji.intersects(&extent("179,-17,179,-17")));
        assert!(fiji.intersects(&extent("-179,-17,-179,-17")));
        assert!(!fiji.intersects(&extent("0,-17,1,-16")));
    }

    #[test]
    fn both_names_of_the_antimeridian_are_one_place() {
        let (east, west) = (extent("180,0,180,0"), extent("-180,0,-180,0"));
        assert!(east.intersects(&west));
        let found = east.search_boxes().iter().any(|b| b.intersects(&west.boxes()[0]));
        assert!(found);
    }

    #[test]
    fn touching_counts_and_poles_work() {
        assert!(extent("0,0,1,1").intersects(&extent("1,1,2,2")));
        assert!(extent("-180,90,180,90").intersects(&extent("5,90,5,90")));
        assert!(!extent("0,0,1,1").intersects(&extent("1.0000001,0,2,2")));
    }

    #[test]
    fn bad_boxes_say_why() {
        assert!(matches!("1,2,3".parse::<Extent>(), Err(GeoError::NotABox(_))));
        assert!(matches!("1,nan,3,4".parse::<Extent>(), Err(GeoError::OffTheMap { .. })));
        assert!(matches!("1,5,3,4".parse::<Extent>(), Err(GeoError::UpsideDown { .. })));
        assert!(matches!("1,5,3,94".parse::<Extent>(), Err(GeoError::OffTheMap { .. })));
    }

    #[test]
    fn extents_are_written_as_they_are_read() {
        for text in ["24.93,60.16,24.95,60.18", "177,-20,-178,-15"] {
            assert_eq!(extent(text).to_string(), text);
        }
    }

    #[test]
    fn a_path_goes_the_short_way() {
        let c = |lon: f64, lat: f64| Coord::from_degrees(lon, lat).unwrap();
        assert_eq!(Extent::of_path([c(179.0, 1.0), c(-179.0, 2.0)]), extent("179,1,-179,2"));
        assert_eq!(Extent::of_path([c(-179.0, 1.0), c(179.0, 2.0)]), extent("179,1,-179,2"));
        assert_eq!(Extent::of_path([c(-10.0, 1.0), c(10.0, 2.0), c(0.0, -3.0)]), extent("-10,-3,10,2"));
        assert_eq!(Extent::of_path([c(180.0, 1.0)]), extent("180,1,180,1"));
        assert_eq!(Extent::of_path([]), Extent::NOWHERE);
        let around = [c(-90.0, 0.0), c(30.0, 0.0), c(150.0, 0.0), c(-90.0, 0.0)];
        assert_eq!(Extent::of_path(around), extent("-180,0,180,0"));
    }
}
