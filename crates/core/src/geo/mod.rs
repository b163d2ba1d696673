//! Positions and boxes on the map: WGS 84, in whole 1e-7 degrees (OpenStreetMap's own precision, about 1 cm).

mod extent;
mod level;

pub use extent::Extent;

use crate::codec::refuse;
use bincode::de::{BorrowDecoder, Decoder};
use bincode::error::DecodeError;
use bincode::{BorrowDecode, Decode, Encode};
use std::fmt;

const DEGREE: i32 = 10_000_000;
const MAX_LON: i32 = 180 * DEGREE;
const MAX_LAT: i32 = 90 * DEGREE;

/// A position. Longitude in -180..=180 and latitude in -90..=90 degrees, as whole 1e-7 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode)]
pub struct Coord {
    /// 1e-7 degrees east.
    pub lon: i32,
    /// 1e-7 degrees north.
    pub lat: i32,
}

/// A closed box that does not cross the antimeridian: `west <= east`, `south <= north`; touching counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode)]
pub struct GeoBox {
    /// 1e-7 degrees.
    pub west: i32,
    /// 1e-7 degrees.
    pub south: i32,
    /// 1e-7 degrees.
    pub east: i32,
    /// 1e-7 degrees.
    pub north: i32,
}

/// Why numbers or a text are no place on the map.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GeoError {
    /// Longitude outside -180..=180 or latitude outside -90..=90, or not a number.
    #[error("{lon},{lat} is not on the map (longitude -180 to 180, latitude -90 to 90)")]
    OffTheMap {
        /// Degrees.
        lon: f64,
        /// Degrees.
        lat: f64,
    },
    /// South is greater than north.
    #[error("the box's south {south} lies north of its north {north}")]
    UpsideDown {
        /// Degrees.
        south: f64,
        /// Degrees.
        north: f64,
    },
    /// Not four numbers.
    #[error("{0:?} is not a box: write west,south,east,north in degrees, such as 24.93,60.16,24.95,60.18")]
    NotABox(String),
}

fn to_units(degrees: f64) -> Option<i32> {
    let units = (degrees * f64::from(DEGREE)).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (units.abs() <= f64::from(MAX_LON)).then_some(units as i32)
}

fn to_degrees(units: i32) -> f64 {
    f64::from(units) / f64::from(DEGREE)
}

impl Coord {
    /// The position at these degrees, rounded to 1e-7.
    pub fn from_degrees(lon: f64, lat: f64) -> Result<Coord, GeoError> {
        match (to_units(lon), to_units(lat)) {
            (Some(lon), Some(lat)) if lat.abs() <= MAX_LAT => Ok(Coord { lon, lat }),
            _ => Err(GeoError::OffTheMap { lon, lat }),
        }
    }

    /// The position at these 1e-7 degrees, if it is on the map.
    pub fn from_units(lon: i64, lat: i64) -> Option<Coord> {
        let coord = Coord { lon: i32::try_from(lon).ok()?, lat: i32::try_from(lat).ok()? };
        coord.is_valid().then_some(coord)
    }

    /// True if it is on the map: what comes from elsewhere is; public fields may hold anything.
    pub fn is_valid(&self) -> bool {
        (-MAX_LON..=MAX_LON).contains(&self.lon) && (-MAX_LAT..=MAX_LAT).contains(&self.lat)
    }

    /// Degrees `(lon, lat)`.
    pub fn degrees(&self) -> (f64, f64) {
        (to_degrees(self.lon), to_degrees(self.lat))
    }
}

impl GeoBox {
    /// The whole world.
    pub const WORLD: GeoBox = GeoBox { west: -MAX_LON, south: -MAX_LAT, east: MAX_LON, north: MAX_LAT };

    /// The box of one position, of no area.
    pub fn point(at: Coord) -> GeoBox {
        GeoBox { west: at.lon, south: at.lat, east: at.lon, north: at.lat }
    }

    /// True if the boxes share a point; touching counts. +180 and -180 are the same meridian, but only
    /// [`Extent::intersects`] knows that.
    pub fn intersects(&self, other: &GeoBox) -> bool {
        self.west <= other.east
            && other.west <= self.east
            && self.south <= other.north
            && other.south <= self.north
    }

    /// True if `other` lies in this box.
    pub fn contains(&self, other: &GeoBox) -> bool {
        self.west <= other.west
            && other.east <= self.east
            && self.south <= other.south
            && other.north <= self.north
    }

    /// The smallest box around both.
    pub fn hull(&self, other: &GeoBox) -> GeoBox {
        GeoBox {
            west: self.west.min(other.west),
            south: self.south.min(other.south),
            east: self.east.max(other.east),
            north: self.north.max(other.north),
        }
    }

    /// The point in the middle, rounded west and south.
    pub fn center(&self) -> Coord {
        let mid = |a: i32, b: i32| (i64::from(a) + i64::from(b)).div_euclid(2);
        let (lon, lat) = (mid(self.west, self.east), mid(self.south, self.north));
        Coord { lon: i32::try_from(lon).unwrap_or_default(), lat: i32::try_from(lat).unwrap_or_default() }
    }

    /// Area in square 1e-7 degrees, plus the half circumference so that lines and points are told apart too.
    pub fn measure(&self) -> i128 {
        let width = (i128::from(self.east) - i128::from(self.west)).abs();
        let height = (i128::from(self.north) - i128::from(self.south)).abs();
        width * height + width + height
    }

    /// True if it is on the map and not upside down: what comes from elsewhere is; public fields may hold anything.
    pub fn is_valid(&self) -> bool {
        GeoBox::WORLD.contains(self) && self.west <= self.east && self.south <= self.north
    }
}

impl fmt::Display for GeoBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [w, s, e, n] = [self.west, self.south, self.east, self.north].map(to_degrees);
        write!(f, "{w},{s},{e},{n}")
    }
}

impl<C> Decode<C> for Coord {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let coord = Coord { lon: i32::decode(decoder)?, lat: i32::decode(decoder)? };
        if coord.is_valid() { Ok(coord) } else { refuse("a position off the map") }
    }
}

impl<C> Decode<C> for GeoBox {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let mut next = || i32::decode(decoder);
        let b = GeoBox { west: next()?, south: next()?, east: next()?, north: next()? };
        if b.is_valid() { Ok(b) } else { refuse("a box off the map or upside down") }
    }
}

impl<'de, C> BorrowDecode<'de, C> for Coord {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

impl<'de, C> BorrowDecode<'de, C> for GeoBox {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_box_off_the_map_does_not_decode() {
        let bytes = codec::encode(&GeoBox { west: 5, south: 0, east: 4, north: 0 });
        assert!(codec::decode::<GeoBox, 64>("box", &bytes).is_err());
        let bytes = codec::encode(&GeoBox::WORLD);
        assert_eq!(codec::decode::<GeoBox, 64>("box", &bytes), Ok(GeoBox::WORLD));
    }
}
