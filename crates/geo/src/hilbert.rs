use kappadb_core::{Coord, Extent, GeoBox};

/// The place of an extent's centre on a Hilbert curve over the whole map: things that are near each other have near
/// numbers mostly, so that a box is few ranges of a feed written in this order. 0 for nowhere.
pub fn hilbert(extent: &Extent) -> u64 {
    let Some(Coord { lon, lat }) = center(extent) else { return 0 };
    let from = |zero: i32, value: i32| u32::try_from(i64::from(value) - i64::from(zero)).unwrap_or_default();
    fast_hilbert::xy2h(from(GeoBox::WORLD.west, lon), from(GeoBox::WORLD.south, lat), 32)
}

fn center(extent: &Extent) -> Option<Coord> {
    match extent.boxes() {
        [] => None,
        [one] => Some(one.center()),
        [east, .., west] => {
            // The western hemisphere's part continues the other one beyond +180 degrees.
            let world = i64::from(GeoBox::WORLD.east) * 2;
            let lon = (i64::from(east.west) + i64::from(west.east) + world).div_euclid(2);
            let lon = if lon > world / 2 { lon - world } else { lon };
            Coord::from_units(lon, east.hull(west).center().lat.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn center_of(text: &str) -> Coord {
        center(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_centre_of_two_boxes_lies_on_their_side_of_the_world() {
        assert_eq!(center_of("170,0,-160,2"), Coord { lon: -1_750_000_000, lat: 10_000_000 });
        assert_eq!(center_of("160,0,-170,2"), Coord { lon: 1_750_000_000, lat: 10_000_000 });
        assert_eq!(center_of("10,0,20,2"), Coord { lon: 150_000_000, lat: 10_000_000 });
    }

    #[test]
    fn corners_of_the_map_have_places_of_their_own() {
        let corners = ["-180,-90,-180,-90", "180,-90,180,-90", "-180,90,-180,90", "180,90,180,90"];
        let mut places: Vec<u64> = corners.iter().map(|c| hilbert(&c.parse().unwrap())).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 4);
        assert_eq!(hilbert(&Extent::NOWHERE), 0);
    }

    #[test]
    fn neighbours_are_near() {
        let at = |text: &str| hilbert(&text.parse().unwrap());
        let (a, b, far) =
            (at("24.94,60.17,24.94,60.17"), at("24.9401,60.17,24.9401,60.17"), at("-70,-30,-70,-30"));
        assert!(a.abs_diff(b) < a.abs_diff(far) / 1_000);
    }
}
