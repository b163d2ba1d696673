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

/// True if a place, in half units, lies within a ring. On its edge either may be said.
pub(crate) fn is_inside(ring: &[Coord], (lon, lat): (i128, i128)) -> bool {
    let mut is_inside = false;
    for (a, b) in ring.iter().zip(ring.iter().skip(1)) {
        let [(a_lon, a_lat), (b_lon, b_lat)] =
            [a, b].map(|at| (2 * i128::from(at.lon), 2 * i128::from(at.lat)));
        let is_across = (a_lat > lat) != (b_lat > lat);
        // Which side of the line through a and b, seen upwards.
        let side = (b_lon - a_lon) * (lat - a_lat) - (lon - a_lon) * (b_lat - a_lat);
        if is_across && (side > 0) == (b_lat > a_lat) {
            is_inside = !is_inside;
        }
    }
    is_inside
}
