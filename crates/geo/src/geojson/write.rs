use super::element;
use crate::feature::{Body, Element, Feature, Free, Shape, WayNode};
use crate::geometry::{Geometry, Part};
use crate::ring;
use kappadb_core::Coord;
use serde_json::{Value, json};

/// A feature as one line of GeoJSON.
pub fn to_text(feature: &Feature) -> String {
    to_text_with(feature, None)
}

/// The same with the geometry of what is made of others: a relation does not say by itself where it is.
pub fn to_text_with(feature: &Feature, assembled: Option<&Part>) -> String {
    let id = Value::from(feature.id.as_str());
    let (bbox, geometry, properties) = match &feature.body {
        Body::Free(free) => return free_text(&id, free),
        Body::Osm(element) => {
            let geometry = assembled.map_or_else(|| shape(element), part);
            (bbox(element), geometry, element::properties(&feature.id, element))
        }
    };
    let bbox = bbox.map_or_else(String::new, |bbox| format!(r#""bbox":{bbox},"#));
    format!(r#"{{"type":"Feature","id":{id},{bbox}"geometry":{geometry},"properties":{properties}}}"#)
}

/// Its other members come last.
fn free_text(id: &Value, free: &Free) -> String {
    let Free { geometry: place, written, properties, foreign } = free;
    let place = if written.is_empty() { geometry(place).to_string() } else { written.clone() };
    let members = foreign.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let members = members.map_or_else(String::new, |members| format!(",{members}"));
    format!(r#"{{"type":"Feature","id":{id},"geometry":{place},"properties":{properties}{members}}}"#)
}

/// A feature as one record of a GeoJSON text sequence (RFC 8142), which programs call GeoJSONSeq: the separator U+001E before
/// it, a line end after it. Newline-delimited GeoJSON is [`to_text`] and a line end.
pub fn to_record(feature: &Feature) -> String {
    format!("\u{1e}{}\n", to_text(feature))
}

/// A feature as a GeoJSON value. Members of its properties may change order, and numbers their form; [`to_text`] keeps
/// them as they were written.
pub fn to_geojson(feature: &Feature) -> Value {
    serde_json::from_str(&to_text(feature)).unwrap_or_default()
}

fn position(at: &Coord) -> Value {
    let (lon, lat) = at.degrees();
    json!([lon, lat])
}

fn path(path: &[Coord]) -> Value {
    path.iter().map(position).collect()
}

fn paths(paths: &[Vec<Coord>]) -> Value {
    paths.iter().map(|line| path(line)).collect()
}

fn part(part: &Part) -> Value {
    let coordinates = match part {
        Part::Point(at) => position(at),
        Part::MultiPoint(at) | Part::LineString(at) => path(at),
        Part::MultiLineString(at) | Part::Polygon(at) => paths(at),
        Part::MultiPolygon(at) => at.iter().map(|polygon| paths(polygon)).collect(),
    };
    json!({ "type": part.name(), "coordinates": coordinates })
}

fn geometry(geometry: &Geometry) -> Value {
    match geometry {
        Geometry::Null => Value::Null,
        Geometry::Single(single) => part(single),
        Geometry::Collection(parts) => {
            json!({ "type": "GeometryCollection", "geometries": parts.iter().map(part).collect::<Value>() })
        }
    }
}

fn shape(element: &Element) -> Value {
    match &element.shape {
        Shape::Node(at) => part(&Part::Point(*at)),
        Shape::Relation { .. } => Value::Null,
        Shape::Way(nodes) => {
            let mut line: Vec<Coord> = nodes.iter().filter_map(|node| node.at).collect();
            match line.as_slice() {
                [] => Value::Null,
                [only] => part(&Part::Point(*only)),
                _ if is_area(element) => {
                    ring::wind(&mut line, true);
                    part(&Part::Polygon(vec![line]))
                }
                _ => part(&Part::LineString(line)),
            }
        }
    }
}

/// Of a relation west, south, east, north (RFC 7946, 5), if anything of it is anywhere.
fn bbox(element: &Element) -> Option<Value> {
    let Shape::Relation { extent, .. } = &element.shape else { return None };
    let (first, last) = (extent.boxes().first()?, extent.boxes().last()?);
    let both = first.hull(last);
    let (west, south) = Coord { lon: first.west, lat: both.south }.degrees();
    let (east, north) = Coord { lon: last.east, lat: both.north }.degrees();
    Some(json!([west, south, east, north]))
}

/// Keys that make a closed way an area, unless `area=no`. The customary ones; the full list of the editors is longer.
const AREA_KEYS: [&str; 14] = [
    "building",
    "building:part",
    "landuse",
    "leisure",
    "natural",
    "amenity",
    "shop",
    "tourism",
    "historic",
    "office",
    "place",
    "aeroway",
    "military",
    "water",
];
/// Values that mean a line even so.
const LINES: [(&str, &str); 5] = [
    ("natural", "coastline"),
    ("natural", "cliff"),
    ("natural", "tree_row"),
    ("leisure", "track"),
    ("leisure", "slipway"),
];

/// True for a way that is closed, located whole, and tagged as an area.
pub fn is_area(element: &Element) -> bool {
    let Shape::Way(nodes) = &element.shape else { return false };
    is_ring(nodes)
        && match element.tag("area") {
            Some("yes") => true,
            Some("no") => false,
            _ => element.tags.iter().any(|(key, value)| {
                AREA_KEYS.contains(&key.as_str())
                    && value != "no"
                    && !LINES.contains(&(key.as_str(), value.as_str()))
            }),
        }
}

fn is_ring(nodes: &[WayNode]) -> bool {
    let ends = (nodes.first(), nodes.last());
    nodes.len() >= 4
        && matches!(ends, (Some(a), Some(b)) if a.id == b.id)
        && nodes.iter().all(|node| node.at.is_some())
}
