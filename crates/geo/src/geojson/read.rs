use super::element::{self, Said, Source};
use super::{GeoJsonError, Read};
use crate::feature::{Body, Feature, Free};
use crate::geometry::{Geometry, Part};
use crate::id::{ElementKind, Rows};
use crate::{body, id, json};
use kappadb_core::Coord;
use serde_json::{Number, Value};

/// The members of a Feature, each as it was written, so that `1.0` stays `1.0`.
#[derive(Default)]
struct FeatureText<'a> {
    id: Option<&'a str>,
    geometry: Option<&'a str>,
    bbox: Option<&'a str>,
    properties: Option<&'a str>,
    /// All others, and the `bbox`.
    foreign: Vec<(String, &'a str)>,
}

impl<'a> FeatureText<'a> {
    fn of(text: &'a str) -> Read<Self> {
        let members =
            json::parse_members(text).map_err(|e| GeoJsonError::NotJson { reason: e.to_string() })?;
        let (mut parts, mut kind) = (FeatureText::default(), None);
        for (name, raw) in members {
            match name.as_str() {
                "type" => kind = Some(raw),
                "id" if raw != "null" => parts.id = Some(raw),
                "id" => {}
                "geometry" => parts.geometry = Some(raw),
                "properties" => parts.properties = Some(raw),
                _ => {
                    if name == "bbox" {
                        parts.bbox = Some(raw);
                    }
                    parts.foreign.push((name, raw));
                }
            }
        }
        let name: Option<String> = kind.and_then(|raw| serde_json::from_str(raw).ok());
        match name.as_deref() {
            Some("Feature") => Ok(parts),
            // A geometry by itself is one of which nothing is said.
            Some(name) if is_geometry(name) => {
                Ok(FeatureText { geometry: Some(text), ..FeatureText::default() })
            }
            _ => Err(GeoJsonError::NotAFeature { found: kind.unwrap_or("null").to_owned() }),
        }
    }
}

fn is_geometry(name: &str) -> bool {
    const SINGLE: [&str; 6] =
        ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"];
    name == COLLECTION || SINGLE.contains(&name)
}

const COLLECTION: &str = "GeometryCollection";
/// Names that are a Feature's own.
const OWN: [&str; 4] = ["type", "id", "geometry", "properties"];

/// Reads the text of one Feature. It is an element of OpenStreetMap if its properties say so.
pub fn from_text(text: &str) -> Read<Feature> {
    read(text, None, false)
}

/// The same for one of a file's, in which whole numbers as ids are those of `rows`.
pub fn from_text_of(text: &str, rows: &Rows) -> Read<Feature> {
    read(text, Some(rows), false)
}

/// The same; an id such as `n1` names that element, whatever the properties say: for somebody who changes just this.
pub fn from_text_by_id(text: &str) -> Read<Feature> {
    read(text, None, true)
}

fn read(text: &str, rows: Option<&Rows>, by_id: bool) -> Read<Feature> {
    let parts = FeatureText::of(text)?;
    let properties = parts.properties.map_or_else(|| "null".to_owned(), json::minify);
    if !json::is_properties(&properties) {
        return Err(GeoJsonError::Properties);
    }
    let own_id = parts.id.map(text_of_id).transpose()?;
    if (by_id || properties.contains("\"@type\""))
        && let Some(feature) = read_element(&parts, own_id.as_deref(), &properties, by_id)?
    {
        return Ok(feature);
    }
    let (geometry, written) = read_free(parts.geometry.ok_or(GeoJsonError::NoGeometry)?)?;
    let body = Body::Free(Free { geometry, written, properties, foreign: read_foreign(&parts.foreign)? });
    let id = match own_id {
        None => id::of_content(&body::encode(&body)),
        Some(text) => rows.and_then(|rows| rows.id(&text)).unwrap_or_else(|| id::free(&text))?,
    };
    Ok(Feature { id, body })
}

/// The id that a Feature's text says, for people to find it by, however bad the rest of it is.
pub fn id_of_text(text: &str) -> Option<String> {
    text_of_id(FeatureText::of(text).ok()?.id?).ok()
}

fn parse(raw: &str) -> Read<Value> {
    serde_json::from_str(raw).map_err(|e| GeoJsonError::NotJson { reason: e.to_string() })
}

/// A geometry, and how it was written if that says more.
fn read_free(raw: &str) -> Read<(Geometry, String)> {
    let value = parse(raw)?;
    if value.is_null() {
        return Ok((Geometry::Null, String::new()));
    }
    let mut found = Vec::new();
    let collection = read_geometry(&value, &mut found)?;
    let geometry = match found.pop() {
        Some(part) if !collection => Geometry::Single(part),
        last => Geometry::Collection(found.into_iter().chain(last).collect()),
    };
    geometry.check()?;
    let written = if says_more(&value, false) { json::minify(raw) } else { String::new() };
    if json::is_sound(&written) || written.is_empty() {
        Ok((geometry, written))
    } else {
        Err(GeoJsonError::Member { name: "geometry".to_owned() })
    }
}

/// True if a geometry says more than where it is on the ground.
fn says_more(value: &Value, inside: bool) -> bool {
    let is_collection = value.get("type").is_some_and(|kind| kind == COLLECTION);
    let known = if is_collection { "geometries" } else { "coordinates" };
    let others = value.as_object().into_iter().flatten();
    let has_others = others.map(|(name, _)| name).any(|name| name != "type" && name != known);
    let parts = value.get("geometries").and_then(Value::as_array);
    let is_deeper = is_collection
        && (inside || parts.is_some_and(|parts| parts.iter().any(|part| says_more(part, true))));
    has_others || is_deeper || value.get("coordinates").is_some_and(has_heights)
}

fn has_heights(coordinates: &Value) -> bool {
    match coordinates.as_array() {
        Some(position) if position.first().is_some_and(Value::is_number) => position.len() > 2,
        Some(list) => list.iter().any(has_heights),
        None => false,
    }
}

/// True if this is how a geometry may be kept as it was written, beside what is read of it.
pub(crate) fn says(written: &str, geometry: &Geometry) -> bool {
    matches!(read_free(written), Ok((read, more)) if read == *geometry && more == written)
}

/// A feature's other members as one text.
fn read_foreign(members: &[(String, &str)]) -> Read<String> {
    if members.is_empty() {
        return Ok(String::new());
    }
    members.iter().filter(|(name, _)| name == "crs").try_for_each(|(_, raw)| check_crs(raw))?;
    let text = json::minify(&json::object(members));
    match members.first() {
        Some((name, _)) if !json::is_sound(&text) => Err(GeoJsonError::Member { name: name.clone() }),
        _ => Ok(text),
    }
}

/// True if these may be a feature's other members.
pub(crate) fn is_foreign(text: &str) -> bool {
    let members = json::members(text);
    json::is_properties(text)
        && !members.is_empty()
        && members.iter().all(|(name, _)| !OWN.contains(&name.as_str()))
}

/// Refuses a coordinate reference system, as the GeoJSON of 2008 names it in `crs`, that is not WGS 84 in degrees.
pub fn check_crs(raw: &str) -> Read<()> {
    let value = parse(raw)?;
    let name = value.pointer("/properties/name").and_then(Value::as_str);
    let is_known = name.is_some_and(|name| {
        let name = name.to_ascii_uppercase();
        let last = name.rsplit([':', '/']).next();
        last == Some("CRS84") || last == Some("4326") && name.contains("EPSG")
    });
    if value.is_null() || is_known {
        return Ok(());
    }
    Err(GeoJsonError::Crs { name: name.map_or_else(|| raw.chars().take(60).collect(), str::to_owned) })
}

/// None if it is no element.
fn read_element(
    text: &FeatureText<'_>,
    id: Option<&str>,
    properties: &str,
    by_id: bool,
) -> Read<Option<Feature>> {
    let said = Said::of(properties);
    let Some((kind, number)) = said.names(id, by_id)? else { return Ok(None) };
    let mut parts = Vec::new();
    let value = |raw: Option<&str>| raw.map_or(Ok(Value::Null), parse);
    let (geometry, bbox) = (value(text.geometry)?, value(text.bbox)?);
    // Where a relation is its members say.
    if kind != ElementKind::Relation && !geometry.is_null() {
        read_geometry(&geometry, &mut parts)?;
    }
    let element = element::read(kind, &Source { bbox: &bbox, parts, said })?;
    Ok(Some(Feature { id: id::osm(kind, number), body: Body::Osm(element) }))
}

/// Reads one Feature from a parsed value. A value no longer knows how its properties were written (order, form of
/// numbers); [`from_text`] does.
pub fn from_geojson(value: Value) -> Read<Feature> {
    from_text(&value.to_string())
}

/// Numbers and strings that look alike are one id, and so are `7` and `7.0`.
fn text_of_id(raw: &str) -> Read<String> {
    match serde_json::from_str(raw) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Number(number)) => Ok(whole(raw, &number).unwrap_or_else(|| raw.to_owned())),
        _ => Err(GeoJsonError::IdType { found: raw.to_owned() }),
    }
}

/// A number that is written with a point or an exponent, and is whole, as people write it.
fn whole(raw: &str, number: &Number) -> Option<String> {
    /// From here on doubles pass over whole numbers.
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < LIMIT)?;
    // Zero has one sign.
    raw.contains(['.', 'e', 'E', '-']).then(|| format!("{:.0}", value + 0.0))
}

/// Appends the parts of a geometry to `found`; true if it is a collection. The parser bounds the depth.
fn read_geometry(value: &Value, found: &mut Vec<Part>) -> Read<bool> {
    let kind = value.get("type").unwrap_or(&Value::Null);
    if kind == COLLECTION {
        let wanted = "its \"geometries\", an array of geometries";
        let inner = value.get("geometries").and_then(Value::as_array);
        let inner = inner.ok_or(GeoJsonError::Coordinates { of: "GeometryCollection", wanted })?;
        inner.iter().try_for_each(|geometry| read_geometry(geometry, found).map(drop))?;
        return Ok(true);
    }
    let at = value.get("coordinates").unwrap_or(&Value::Null);
    found.push(match kind.as_str() {
        Some("Point") => Part::Point(position("Point", at)?),
        Some("MultiPoint") => Part::MultiPoint(path("MultiPoint", at)?),
        Some("LineString") => Part::LineString(path("LineString", at)?),
        Some("MultiLineString") => Part::MultiLineString(paths("MultiLineString", at)?),
        Some("Polygon") => Part::Polygon(paths("Polygon", at)?),
        Some("MultiPolygon") => {
            let of = "MultiPolygon";
            Part::MultiPolygon(list(of, "an array of arrays of rings", at, |rings| paths(of, rings))?)
        }
        _ => return Err(GeoJsonError::UnknownGeometry { found: kind.to_string() }),
    });
    Ok(false)
}

fn list<T>(
    of: &'static str,
    wanted: &'static str,
    value: &Value,
    read: impl Fn(&Value) -> Read<T>,
) -> Read<Vec<T>> {
    value.as_array().ok_or(GeoJsonError::Coordinates { of, wanted })?.iter().map(read).collect()
}

fn paths(of: &'static str, value: &Value) -> Read<Vec<Vec<Coord>>> {
    list(of, "an array of arrays of positions", value, |path_value| path(of, path_value))
}

fn path(of: &'static str, value: &Value) -> Read<Vec<Coord>> {
    list(of, "an array of positions", value, |at| position(of, at))
}

fn position(of: &'static str, value: &Value) -> Read<Coord> {
    let wanted = "positions of two numbers at least, longitude and latitude";
    let number =
        |i: usize| value.get(i).and_then(Value::as_f64).ok_or(GeoJsonError::Coordinates { of, wanted });
    Ok(Coord::from_degrees(number(0)?, number(1)?)?)
}
