//! Where a free feature is: the geometries of RFC 7946, without recursion.

use crate::extent;
use kappadb_core::{Coord, Extent};

/// A geometry, or several, or none. A collection in a collection is flattened when it is read: no geometry nests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Geometry {
    /// The feature has no place: GeoJSON's `null`.
    Null,
    /// One geometry.
    Single(Part),
    /// A GeometryCollection.
    Collection(Vec<Part>),
}

/// A geometry that is no collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A position.
    Point(Coord),
    /// Positions.
    MultiPoint(Vec<Coord>),
    /// Two positions at least.
    LineString(Vec<Coord>),
    /// Lines of two positions at least.
    MultiLineString(Vec<Vec<Coord>>),
    /// Closed rings of four positions at least, the outer one first.
    Polygon(Vec<Vec<Coord>>),
    /// Polygons.
    MultiPolygon(Vec<Vec<Vec<Coord>>>),
}

/// A rule of RFC 7946 that a geometry breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A line of less than two positions.
    #[error("a line of {0} positions; it needs 2 (RFC 7946, 3.1.4)")]
    ShortLine(usize),
    /// A ring of less than four positions.
    #[error("a ring of {0} positions; it needs 4 (RFC 7946, 3.1.6)")]
    ShortRing(usize),
    /// A ring whose last position is not its first.
    #[error("a ring that is not closed: its last position must be its first (RFC 7946, 3.1.6)")]
    OpenRing,
}

/// Positions that a line has at least (RFC 7946, 3.1.4).
pub(crate) const MIN_LINE: usize = 2;
/// Positions that a ring has at least (RFC 7946, 3.1.6).
pub(crate) const MIN_RING: usize = 4;

fn check_line(line: &[Coord]) -> Result<(), GeometryError> {
    if line.len() < MIN_LINE { Err(GeometryError::ShortLine(line.len())) } else { Ok(()) }
}

fn check_ring(ring: &[Coord]) -> Result<(), GeometryError> {
    match ring.len() {
        short @ 0..MIN_RING => Err(GeometryError::ShortRing(short)),
        _ if ring.first() != ring.last() => Err(GeometryError::OpenRing),
        _ => Ok(()),
    }
}

impl Part {
    /// Checks the rules of RFC 7946 for lines and rings.
    pub fn check(&self) -> Result<(), GeometryError> {
        match self {
            Part::Point(_) | Part::MultiPoint(_) => Ok(()),
            Part::LineString(line) => check_line(line),
            Part::MultiLineString(lines) => lines.iter().try_for_each(|line| check_line(line)),
            Part::Polygon(rings) => rings.iter().try_for_each(|ring| check_ring(ring)),
            Part::MultiPolygon(polygons) => polygons.iter().flatten().try_for_each(|ring| check_ring(ring)),
        }
    }

    /// The name of its type in GeoJSON.
    pub fn name(&self) -> &'static str {
        match self {
            Part::Point(_) => "Point",
            Part::MultiPoint(_) => "MultiPoint",
            Part::LineString(_) => "LineString",
            Part::MultiLineString(_) => "MultiLineString",
            Part::Polygon(_) => "Polygon",
            Part::MultiPolygon(_) => "MultiPolygon",
        }
    }

    fn extents(&self) -> Vec<Extent> {
        match self {
            Part::Point(at) => vec![Extent::of_path([*at])],
            Part::MultiPoint(points) => points.iter().map(|&at| Extent::of_path([at])).collect(),
            Part::LineString(line) => vec![extent::of_geojson_path(line)],
            Part::MultiLineString(paths) | Part::Polygon(paths) => {
                paths.iter().map(|path| extent::of_geojson_path(path)).collect()
            }
            Part::MultiPolygon(polygons) => {
                polygons.iter().flatten().map(|r| extent::of_geojson_path(r)).collect()
            }
        }
    }
}

impl Geometry {
    /// The geometry's parts; one if it is neither a collection nor null.
    pub fn parts(&self) -> &[Part] {
        match self {
            Geometry::Null => &[],
            Geometry::Single(part) => std::slice::from_ref(part),
            Geometry::Collection(parts) => parts,
        }
    }

    /// Checks the rules of RFC 7946 for lines and rings.
    pub fn check(&self) -> Result<(), GeometryError> {
        self.parts().iter().try_for_each(Part::check)
    }

    /// Where it is. A step of more than half the world is taken the short way, across the antimeridian, unless it goes
    /// from one of that meridian's names to the other.
    pub fn extent(&self) -> Extent {
        let parts: Vec<Extent> = self.parts().iter().flat_map(Part::extents).collect();
        extent::join(&parts)
    }
}
