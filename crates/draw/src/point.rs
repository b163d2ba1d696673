//! What points of OpenStreetMap look like: places by their names, points of interest by small symbols, trees.

use crate::label::{Face, Symbol};
use crate::style::Rgb;
use kappadb_geo::Element;

/// A point with a symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoiLook {
    pub(crate) symbol: Symbol,
    pub(crate) face: Face,
    /// The lesser comes first.
    pub(crate) priority: u8,
}

const CUP: &str =
    "M-2.3-1.7H1.2V.6A1.4 1.4 0 0 1-.2 2h-.7A1.4 1.4 0 0 1-2.3.6ZM1.2-1.1h.6a.8.8 0 0 1 0 1.6h-.6";
const FORK: &str = "M-1.3-2.6V2.6M-2.2-2.6V-.9H-.4V-2.6M1.5 2.6V-2.6C.4-2 .4 0 1.5.4";
const GLASS: &str = "M-2-2.3H2L0 .2ZM0 .2V2.3M-1.2 2.3H1.2";
const BAG: &str = "M-1.9-.9H1.9L2.3 2.3H-2.3ZM-1-.9a1 1.3 0 0 1 2 0";
const BED: &str = "M-2.6-1.8V2M-2.6.9H2.6V2M2.6.9C2.6-.6.6-.9-.8-.6";
const CROSS: &str = "M0-2.4V2.4M-2.4 0H2.4";
const BUS: &str = "M-2-2.2H2V1.4H-2ZM-2-.4H2M-1.2 1.4V2.4M1.2 1.4V2.4";
const STAR: &str = "M0-2.6L.8-.9 2.6-.7 1.3.6 1.6 2.4 0 1.5-1.6 2.4-1.3.6-2.6-.7-.8-.9Z";
const HOUSE: &str = "M-2.5-.9L0-2.5 2.5-.9ZM-1.7-.3V1.8M0-.3V1.8M1.7-.3V1.8M-2.5 2.3H2.5";
const PARK: &str = "M-1 2.5V-2.4H.4A1.4 1.4 0 0 1 .4.4H-1";
const MASK: &str = "M-2-2H2V.3C2 1.8.9 2.4 0 2.4S-2 1.8-2 .3ZM-.9-.7V-.6M.9-.7V-.6M-.9.9Q0 1.6.9.9";

const FOOD: Rgb = Rgb(0xc9_7136);
const SHOP: Rgb = Rgb(0x9b_6aa8);
const CULTURE: Rgb = Rgb(0x8a_5a3c);
const TRANSPORT: Rgb = Rgb(0x3b_6ea8);
const HEALTH: Rgb = Rgb(0xc0_4a55);
const LODGING: Rgb = Rgb(0x4b_7f95);
const CIVIC: Rgb = Rgb(0x6b_6f7a);
const NATURE: Rgb = Rgb(0x5c_8a4a);

/// What it is, its colour, its symbol, how early it comes, and from how many units a metre on.
type Sort = (Rgb, &'static str, u8, f64);

/// How a point of interest looks; none for what a map does not show.
pub(crate) fn poi(element: &Element, per_metre: f64) -> Option<PoiLook> {
    let of = |key: &str, sort: fn(&str) -> Option<Sort>| element.tag(key).and_then(sort);
    let (colour, glyph, priority, from) = of("railway", railway)
        .or_else(|| of("tourism", tourism))
        .or_else(|| of("amenity", amenity))
        .or_else(|| of("historic", historic))
        .or_else(|| of("highway", |v| (v == "bus_stop").then_some((TRANSPORT, "", 85, 1.1))))
        .or_else(|| of("aeroway", |v| (v == "aerodrome").then_some((TRANSPORT, STAR, 15, 0.005))))
        .or_else(|| of("natural", |v| (v == "peak").then_some((NATURE, STAR, 45, 0.02))))
        .or_else(|| {
            of("office", |v| matches!(v, "government" | "diplomatic").then_some((CIVIC, HOUSE, 75, 1.2)))
        })
        .or_else(|| of("shop", shop))?;
    let large = if per_metre >= 1.0 { 5.6 } else { 4.2 };
    let radius = if glyph.is_empty() { large * 0.5 } else { large };
    let symbol = Symbol { radius, colour, glyph };
    (per_metre >= from).then_some(PoiLook { symbol, face: face(colour, priority), priority })
}

/// Names that come early are a little larger.
fn face(colour: Rgb, priority: u8) -> Face {
    match priority {
        0..=49 => Face::new(11.0, colour).bold(),
        50..=60 => Face::new(9.5, colour),
        _ => Face::new(9.0, colour),
    }
}

fn railway(value: &str) -> Option<Sort> {
    match value {
        "station" | "halt" => Some((TRANSPORT, BUS, 10, 0.03)),
        "subway_entrance" => Some((TRANSPORT, BUS, 80, 0.9)),
        "tram_stop" => Some((TRANSPORT, "", 82, 0.6)),
        _ => None,
    }
}

fn tourism(value: &str) -> Option<Sort> {
    match value {
        "museum" | "gallery" => Some((CULTURE, HOUSE, 50, 0.3)),
        "attraction" | "zoo" | "theme_park" | "viewpoint" => Some((CULTURE, STAR, 52, 0.3)),
        "hotel" | "hostel" | "guest_house" | "motel" => Some((LODGING, BED, 64, 0.6)),
        "artwork" => Some((CULTURE, "", 86, 1.1)),
        _ => None,
    }
}

fn amenity(value: &str) -> Option<Sort> {
    match value {
        "theatre" | "cinema" | "arts_centre" | "opera_house" | "concert_hall" => {
            Some((CULTURE, MASK, 54, 0.4))
        }
        "place_of_worship" => Some((CULTURE, CROSS, 55, 0.4)),
        "library" | "townhall" | "courthouse" | "community_centre" => Some((CIVIC, HOUSE, 56, 0.5)),
        "university" | "college" | "school" => Some((CIVIC, HOUSE, 57, 0.4)),
        "hospital" => Some((HEALTH, CROSS, 40, 0.1)),
        "pharmacy" | "clinic" | "doctors" | "dentist" => Some((HEALTH, CROSS, 73, 0.9)),
        "police" | "fire_station" | "post_office" | "embassy" | "bank" => Some((CIVIC, HOUSE, 74, 0.9)),
        "marketplace" => Some((SHOP, BAG, 58, 0.4)),
        "ferry_terminal" | "bus_station" => Some((TRANSPORT, BUS, 48, 0.2)),
        "restaurant" | "food_court" => Some((FOOD, FORK, 70, 0.8)),
        "fast_food" => Some((FOOD, FORK, 78, 0.9)),
        "cafe" | "ice_cream" => Some((FOOD, CUP, 71, 0.8)),
        "bar" | "pub" | "nightclub" | "biergarten" => Some((FOOD, GLASS, 72, 0.8)),
        "parking" => Some((TRANSPORT, PARK, 83, 0.9)),
        "fountain" => Some((LODGING, "", 84, 0.9)),
        _ => None,
    }
}

fn historic(value: &str) -> Option<Sort> {
    match value {
        "castle" | "fort" | "ruins" | "archaeological_site" => Some((CULTURE, HOUSE, 53, 0.2)),
        "memorial" | "monument" => Some((CULTURE, STAR, 76, 0.7)),
        _ => None,
    }
}

fn shop(value: &str) -> Option<Sort> {
    match value {
        "no" | "vacant" => None,
        "mall" | "department_store" => Some((SHOP, BAG, 51, 0.4)),
        "supermarket" => Some((SHOP, BAG, 68, 0.7)),
        _ => Some((SHOP, BAG, 79, 1.2)),
    }
}

/// How the name of a place looks, and how early it comes; none if it is too small to be named here.
pub(crate) fn place(element: &Element, per_metre: f64) -> Option<(Face, u8)> {
    let ink = Rgb(0x57_4f48);
    let (size, priority, from, until) = match element.tag("place")? {
        "continent" | "ocean" => (24.0, 0, 0.0, 0.000_2),
        "country" | "sea" => (20.0, 1, 0.000_01, 0.002),
        "state" | "region" | "province" => (16.0, 3, 0.000_1, 0.005),
        "city" => (19.0, 2, 0.000_3, 0.3),
        "town" => (16.0, 4, 0.002, 0.6),
        "village" | "borough" => (14.0, 6, 0.01, 1.0),
        "suburb" | "island" => (15.0, 7, 0.02, 1.6),
        "quarter" | "neighbourhood" | "hamlet" | "islet" => (12.0, 8, 0.05, 2.5),
        "locality" | "isolated_dwelling" | "farm" => (10.0, 46, 0.1, 3.0),
        "square" => return Some((Face::new(10.0, Rgb(0x6b_6257)).italic(), 34)).filter(|_| per_metre > 0.2),
        _ => return None,
    };
    let face = Face::new(size, ink).bold();
    (from..until).contains(&per_metre).then_some((face, priority))
}

/// The name of a water without an outline, such as a bay.
pub(crate) fn water(element: &Element) -> Option<Face> {
    let face = Face::new(12.0, Rgb(0x35_6f93)).italic();
    matches!(element.tag("natural"), Some("bay" | "strait" | "water" | "cape")).then_some(face)
}
