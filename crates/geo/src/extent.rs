//! Extents of things made of several parts.

use kappadb_core::{Coord, Extent, GeoBox};

const EAST: i32 = GeoBox::WORLD.east;
const WEST: i32 = GeoBox::WORLD.west;

/// The extent around all of `parts`. Parts on both sides of the antimeridian that touch it at one latitude are one thing
/// cut in two, as RFC 7946 and OpenStreetMap do it: their extent is two boxes, not one around the world.
pub fn join(parts: &[Extent]) -> Extent {
    let all = Extent::around(parts.iter().chain(&seam(parts)));
    // What goes around the world is one box: a second would only repeat a part of it.
    let around = all.boxes().iter().any(|b| b.west == WEST && b.east == EAST);
    let hull = all.boxes().iter().copied().filter(|_| around).reduce(|a, b| a.hull(&b));
    hull.map_or(all, Extent::from)
}

/// A point on the antimeridian, under both of its names, where parts from either side meet.
fn seam(parts: &[Extent]) -> Option<Extent> {
    let hull = |touches: fn(&&GeoBox) -> bool| {
        let boxes = parts.iter().flat_map(Extent::boxes).filter(|b| b.west != WEST || b.east != EAST);
        boxes.filter(touches).copied().reduce(|a, b| a.hull(&b))
    };
    let (east, west) = (hull(|b| b.east == EAST)?, hull(|b| b.west == WEST)?);
    let lat = east.south.max(west.south);
    let meet = lat <= east.north.min(west.north);
    meet.then(|| Extent::from_corners(Coord { lon: EAST, lat }, Coord { lon: WEST, lat }))
}

/// The extent of these boxes, if they are those of an extent.
pub(crate) fn from_boxes(boxes: &[GeoBox]) -> Option<Extent> {
    let parts: Vec<Extent> = boxes.iter().map(|&b| Extent::from(b)).collect();
    // `join` may only add; it gives back exactly the boxes of every extent that it made.
    Some(join(&parts)).filter(|extent| extent.boxes() == boxes)
}

/// The extent of a GeoJSON line or ring. As [`Extent::of_path`], but a single step from one name of the antimeridian to
/// the other goes around the world, or a box around the world would be a line.
pub(crate) fn of_geojson_path(path: &[Coord]) -> Extent {
    let around = |step: &[Coord]| matches!(step, [a, b] if a.lon.abs() == EAST && a.lon == -b.lon);
    if !path.windows(2).any(around) {
        return Extent::of_path(path.iter().copied());
    }
    let points = path.iter().map(|&at| GeoBox::point(at));
    points.reduce(|a, b| a.hull(&b)).map_or(Extent::NOWHERE, Extent::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(text: &str) -> Extent {
        text.parse().unwrap()
    }

    #[test]
    fn parts_cut_at_the_antimeridian_are_joined() {
        let fiji = join(&[extent("177,-20,180,-15"), extent("-180,-19,-178,-16")]);
        assert_eq!(fiji.boxes().len(), 2);
        assert!(!fiji.intersects(&extent("0,-20,1,-15")));
        assert!(fiji.intersects(&extent("-179,-17,-179,-17")));
        let apart = join(&[extent("177,-20,180,-15"), extent("-180,1,-178,2")]);
        assert_eq!(apart.boxes().len(), 1);
    }

    #[test]
    fn a_box_around_the_world_is_one() {
        let c = |lon: f64, lat: f64| Coord::from_degrees(lon, lat).unwrap();
        let ring = [c(-180.0, -90.0), c(180.0, -90.0), c(180.0, 90.0), c(-180.0, 90.0), c(-180.0, -90.0)];
        assert_eq!(of_geojson_path(&ring), Extent::from(GeoBox::WORLD));
        assert_eq!(of_geojson_path(&[c(179.0, 0.0), c(-179.0, 1.0)]), extent("179,0,-179,1"));
        assert_eq!(of_geojson_path(&[]), Extent::NOWHERE);
    }

    #[test]
    fn boxes_that_no_extent_has_are_refused() {
        let b = |text: &str| extent(text).boxes()[0];
        assert!(from_boxes(&[b("0,0,1,1"), b("2,2,3,3")]).is_none());
        assert!(from_boxes(&[b("-180,0,-170,1"), b("170,0,180,1")]).is_none());
        assert_eq!(from_boxes(&[]), Some(Extent::NOWHERE));
    }

    fn parts() -> impl Strategy<Value = Vec<Extent>> {
        let edge = prop_oneof![Just(-180.0), Just(180.0), -180.0..=180.0f64];
        let part = (edge.clone(), -90.0..0.0f64, edge, 0.0..90.0f64);
        prop::collection::vec(part.prop_map(|(w, s, e, n)| Extent::from_degrees(w, s, e, n).unwrap()), 1..6)
    }

    proptest! {
        #[test]
        fn an_extent_covers_its_parts_and_is_rebuilt_from_its_boxes(parts in parts()) {
            let all = join(&parts);
            for part in &parts {
                prop_assert!(all.contains(part));
            }
            prop_assert!(all.boxes().len() <= 2);
            prop_assert_eq!(from_boxes(all.boxes()), Some(all.clone()));
        }
    }
}
