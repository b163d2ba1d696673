//! What areas of OpenStreetMap look like.

use crate::label::Face;
use crate::style::{Rgb, Stage, Style};
use kappadb_geo::geojson::is_area;
use kappadb_geo::{Element, Shape};

/// How an area is drawn and what its name looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AreaLook {
    pub(crate) stage: Stage,
    pub(crate) style: Style,
    pub(crate) face: Option<Face>,
    /// Of the name: the lesser comes first.
    pub(crate) priority: u8,
    /// How much wider than the area its name may be.
    pub(crate) slack: f64,
}

impl AreaLook {
    fn new(stage: Stage, fill: u32) -> AreaLook {
        AreaLook { stage, style: Style::area(Rgb(fill)), face: None, priority: 60, slack: 1.2 }
    }

    fn edged(self, edge: u32, width: f64) -> AreaLook {
        AreaLook { style: self.style.edged(Rgb(edge), width), ..self }
    }

    fn named(self, face: Face, priority: u8) -> AreaLook {
        AreaLook { face: Some(face), priority, ..self }
    }
}

/// The colour of what is not built on and nothing else either.
pub(crate) const GROUND: Rgb = Rgb(0xf4_f0e8);
pub(crate) const WATER: Rgb = Rgb(0xa9_cfe3);
pub(crate) const SHORE: Rgb = Rgb(0x86_b4cf);
const WATER_NAME: Face = Face::new(12.0, Rgb(0x35_6f93)).italic();
const GREEN_NAME: Face = Face::new(11.0, Rgb(0x46_6b36)).italic();
const SQUARE_NAME: Face = Face::new(10.0, Rgb(0x6b_6257)).italic();
const LAND_NAME: Face = Face::new(10.0, Rgb(0x86_7d72));
const BUILDING_NAME: Face = Face::new(9.0, Rgb(0x7a_6653));

/// True for a way that is drawn as an area; multipolygons are areas in any case.
pub(crate) fn is_drawn_area(element: &Element) -> bool {
    let Shape::Way(nodes) = &element.shape else { return false };
    let ring = nodes.len() >= 4
        && nodes.iter().all(|n| n.at.is_some())
        && nodes.first().map(|n| n.id) == nodes.last().map(|n| n.id);
    let customary = element.tag("area") != Some("no")
        && (matches!(element.tag("man_made"), Some("pier" | "bridge" | "breakwater" | "groyne"))
            || matches!(element.tag("waterway"), Some("riverbank" | "dock"))
            || ["railway", "public_transport", "highway"].iter().any(|k| element.tag(k) == Some("platform")));
    is_area(element) || (ring && customary)
}

/// How an area with these tags looks; none if it is not drawn.
pub(crate) fn look(element: &Element) -> Option<AreaLook> {
    if underground(element) {
        return None;
    }
    building(element)
        .or_else(|| water(element))
        .or_else(|| paved(element))
        .or_else(|| leisure(element))
        .or_else(|| natural(element))
        .or_else(|| land(element))
        .or_else(|| grounds(element))
}

/// True for what lies below ground, or inside a building.
pub(crate) fn underground(element: &Element) -> bool {
    element.tag("location") == Some("underground")
        || matches!(element.tag("tunnel"), Some("yes" | "building_passage"))
        || element.tag("indoor").is_some_and(|v| v != "no")
        || layer(element) < 0 && element.tag("natural").is_none() && element.tag("waterway").is_none()
}

/// Above (positive) or below the ground, -5 to 5.
pub(crate) fn layer(element: &Element) -> i8 {
    element.tag("layer").and_then(|v| v.parse::<i8>().ok()).unwrap_or(0).clamp(-5, 5)
}

fn building(element: &Element) -> Option<AreaLook> {
    let named = |look: AreaLook| AreaLook { slack: 0.95, ..look.named(BUILDING_NAME, 70) };
    let kind = element.tag("building").or_else(|| element.tag("building:part")).filter(|v| *v != "no")?;
    let part = element.tag("building").is_none();
    Some(match kind {
        "roof" | "carport" | "canopy" => {
            let look = AreaLook::new(Stage::Building, 0xe6_ddd0).edged(0xcd_c0af, 0.5);
            AreaLook { style: look.style.opacity(0.75), ..look }
        }
        _ if part => AreaLook::new(Stage::Building, 0xd9_ccbb).edged(0xc8_b8a4, 0.4),
        "church" | "cathedral" | "chapel" | "mosque" | "synagogue" | "temple" | "public" | "civic"
        | "train_station" | "university" | "school" | "museum" | "government" => {
            named(AreaLook::new(Stage::Building, 0xd0_bda6).edged(0xb0_997e, 0.7))
        }
        _ => named(AreaLook::new(Stage::Building, 0xdd_d0c0).edged(0xc0_b09c, 0.6)),
    })
}

fn water(element: &Element) -> Option<AreaLook> {
    let wet = AreaLook::new(Stage::Water, WATER.0).edged(SHORE.0, 0.7);
    match (element.tag("natural"), element.tag("waterway"), element.tag("landuse")) {
        (Some("water"), ..) | (_, Some("riverbank" | "dock"), _) | (.., Some("basin" | "reservoir")) => {
            Some(wet.named(WATER_NAME, 22))
        }
        (Some("bay" | "strait"), ..) => None,
        (Some("wetland"), ..) => Some(AreaLook::new(Stage::Green, 0xc9_dfce).named(GREEN_NAME, 40)),
        _ if element.tag("leisure") == Some("swimming_pool") => Some(wet),
        _ if element.tag("amenity") == Some("fountain") => Some(wet),
        _ => None,
    }
}

fn paved(element: &Element) -> Option<AreaLook> {
    let pier = || AreaLook::new(Stage::Paved, GROUND.0).edged(0xcb_c3b4, 0.6);
    let square = || AreaLook::new(Stage::Paved, 0xec_e5da).edged(0xd6_ccbd, 0.7).named(SQUARE_NAME, 34);
    if matches!(element.tag("man_made"), Some("pier" | "breakwater" | "groyne" | "quay" | "bridge")) {
        return Some(pier());
    }
    let platform =
        ["railway", "public_transport", "highway"].iter().any(|k| element.tag(k) == Some("platform"));
    match (element.tag("highway"), element.tag("amenity"), element.tag("place")) {
        _ if platform => Some(AreaLook::new(Stage::Paved, 0xd8_d2cc).edged(0xb9_b0a8, 0.5)),
        (Some("pedestrian" | "footway" | "living_street" | "path" | "steps" | "corridor"), ..) => {
            Some(square())
        }
        (Some("service" | "residential" | "unclassified" | "rest_area" | "services"), ..) => {
            Some(AreaLook::new(Stage::Paved, 0xfd_fcfa).edged(0xd8_d0c4, 0.7))
        }
        (_, Some("parking" | "motorcycle_parking" | "bicycle_parking" | "taxi" | "bus_station"), _) => {
            Some(AreaLook::new(Stage::Paved, 0xeb_e7ea).edged(0xd2_ccd4, 0.6))
        }
        (.., Some("square")) => Some(square()),
        _ => None,
    }
}

fn leisure(element: &Element) -> Option<AreaLook> {
    let fill = match element.tag("leisure")? {
        "park" | "garden" | "dog_park" | "common" | "nature_reserve" => 0xcb_e3b6,
        "golf_course" | "miniature_golf" => 0xc3_e2ae,
        "pitch" | "track" => 0xb6_dbb4,
        "playground" => 0xd8_ebc3,
        "stadium" | "sports_centre" => 0xdd_ebd0,
        "marina" => return Some(AreaLook::new(Stage::Water, 0xb5_d6e6)),
        _ => return None,
    };
    let look = AreaLook::new(Stage::Green, fill).named(GREEN_NAME, 30);
    Some(if fill == 0xb6_dbb4 { look.edged(0x94_c194, 0.6) } else { look })
}

fn natural(element: &Element) -> Option<AreaLook> {
    let (stage, fill) = match element.tag("natural")? {
        "wood" => (Stage::Green, 0xb4_d3a0),
        "scrub" | "shrubbery" => (Stage::Green, 0xc0_d9a9),
        "grassland" | "fell" => (Stage::Green, 0xd6_e7c0),
        "heath" => (Stage::Green, 0xdd_e2bd),
        "beach" | "sand" | "shoal" => (Stage::Green, 0xf1_e6be),
        "bare_rock" | "scree" | "shingle" | "rock" | "stone" => (Stage::Green, 0xe0_dcd5),
        "glacier" => (Stage::Green, 0xe8_f4f8),
        _ => return None,
    };
    Some(AreaLook::new(stage, fill).named(GREEN_NAME, 40))
}

fn land(element: &Element) -> Option<AreaLook> {
    let green = |fill| AreaLook::new(Stage::Green, fill).named(GREEN_NAME, 40);
    Some(match element.tag("landuse")? {
        "forest" => green(0xb4_d3a0),
        "grass" | "village_green" | "recreation_ground" | "greenfield" => green(0xd2_e7bd),
        "meadow" => green(0xda_e9c4),
        "flowerbed" | "allotments" | "orchard" | "vineyard" | "plant_nursery" => green(0xcf_e0b0),
        "cemetery" => green(0xc2_d6b6),
        "farmland" | "farmyard" => AreaLook::new(Stage::Land, 0xf2_ead0).named(LAND_NAME, 62),
        "residential" => AreaLook::new(Stage::Land, 0xf0_ebe4),
        "retail" | "commercial" => AreaLook::new(Stage::Land, 0xf5_e9e0),
        "civil" | "civic" | "civic_admin" | "religious" | "education" | "institutional" => {
            AreaLook::new(Stage::Land, 0xf2_ead8)
        }
        "industrial" | "railway" | "port" | "military" | "depot" => {
            AreaLook::new(Stage::Land, 0xea_e6ea).named(LAND_NAME, 62)
        }
        "construction" | "brownfield" | "landfill" | "quarry" => {
            AreaLook::new(Stage::Land, 0xe8_e2d4).named(LAND_NAME, 62)
        }
        _ => return None,
    })
}

fn grounds(element: &Element) -> Option<AreaLook> {
    let named = |fill| AreaLook::new(Stage::Land, fill).named(LAND_NAME, 62);
    match (element.tag("amenity"), element.tag("tourism")) {
        (Some("school" | "university" | "college" | "kindergarten" | "hospital" | "place_of_worship"), _) => {
            Some(named(0xf3_ecd6))
        }
        (Some("grave_yard"), _) => Some(named(0xc2_d6b6)),
        (_, Some("zoo" | "theme_park" | "camp_site" | "attraction")) => Some(named(0xdd_ebcc)),
        _ if element.tag("aeroway").is_some() => Some(named(0xe6_e4e8)),
        _ => None,
    }
}
