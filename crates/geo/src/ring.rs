//! Rings, and which way they go around.

use kappadb_core::Coord;

/// Twice the area of a ring in square units: above 0 if it goes around counterclockwise.
pub(crate) fn twice_area(ring: &[Coord]) -> i128 {
    let cross =
        |a: &Coord, b: &Coord| i64::from(a.lon) * i64::from(b.lat) - i64::from(b.lon) * i64::from(a.lat);
    ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| i128::from(cross(a, b))).sum()
}

/// Turns a ring, if need be, so that it goes around counterclockwise, as the outer rings of a polygon do (RFC 7946, 3.1.6), or
/// else clockwise.
pub(crate) fn wind(ring: &mut [Coord], counterclockwise: bool) {
    let area = twice_area(ring);
    if (area < 0 && counterclockwise) || (area > 0 && !counterclockwise) {
        ring.reverse();
    }
}
