use super::element::{self, Said, Source};
use super::{GeoJsonError, Read};
use crate::feature::{Body, Feature, Free};
use crate::geometry::{Geometry, Part};
use crate::id::ElementKind;
use crate::{body, id, json};
use kappadb_core::Coord;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The members that are kept. `id` and `properties` as text, so that `1.0` stays `1.0`.
#[derive(Deserialize)]
struct FeatureText<'a> {
    #[serde(rename = "type", default)]
    kind: Value,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    geometry: Value,
    #[serde(default)]
    bbox: Value,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// Reads the text of one Feature. It is an element of OpenStreetMap if its properties say so.
pub fn from_text(text: &str) -> Read<Feature> {
    read(text, false)
}

/// The same; an id such as `n1` names that element, whatever the properties say: for somebody who changes just this.
pub fn from_text_by_id(text: &str) -> Read<Feature> {
    read(text, true)
}

fn read(text: &str, by_id: bool) -> Read<Feature> {
    let parts: FeatureText<'_> =
        serde_json::from_str(text).map_err(|e| GeoJsonError::NotJson { reason: e.to_string() })?;
    if parts.kind != "Feature" {
        return Err(GeoJsonError::NotAFeature { found: parts.kind.to_string() });
    }
    let properties = parts.properties.map_or_else(|| "null".to_owned(), |raw| json::minify(raw.get()));
    if !json::is_properties(&properties) {
        return Err(GeoJsonError::Properties);
    }
    let own_id = parts.id.filter(|raw| raw.get() != "null").map(text_of_id).transpose()?;
    if (by_id || properties.contains("\"@type\""))
        && let Some(feature) = read_element(&parts, own_id.as_deref(), &properties, by_id)?
    {
        return Ok(feature);
    }
    let geometry = read_free(&parts.geometry)?;
    let body = Body::Free(Free { geometry, properties });
    let id = own_id.map_or_else(|| Ok(id::of_content(&body::encode(&body))), |text| id::free(&text))?;
    Ok(Feature { id, body })
}

fn read_free(value: &Value) -> Read<Geometry> {
    let mut found = Vec::new();
    let collection = read_geometry(value, &mut found)?;
    let geometry = match found.pop() {
        Some(part) if !collection => Geometry::Single(part),
        last => Geometry::Collection(found.into_iter().chain(last).collect()),
    };
    geometry.check()?;
    if geometry.extent().boxes().is_empty() {
        return Err(GeoJsonError::Nowhere);
    }
    Ok(geometry)
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
    // Where a relation is its members say.
    if kind != ElementKind::Relation && !text.geometry.is_null() {
        read_geometry(&text.geometry, &mut parts)?;
    }
    let element = element::read(kind, &Source { bbox: &text.bbox, parts, said })?;
    Ok(Some(Feature { id: id::osm(kind, number), body: Body::Osm(element) }))
}

/// Reads one Feature from a parsed value. A value no longer knows how its properties were written (order, form of
/// numbers); [`from_text`] does.
pub fn from_geojson(value: Value) -> Read<Feature> {
    from_text(&value.to_string())
}

/// Numbers and strings that look alike are one id.
fn text_of_id(raw: &RawValue) -> Read<String> {
    match serde_json::from_str(raw.get()) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Number(_)) => Ok(raw.get().to_owned()),
        _ => Err(GeoJsonError::IdType { found: raw.get().to_owned() }),
    }
}

/// Appends the parts of a geometry to `found`; true if it is a collection. The parser bounds the depth.
fn read_geometry(value: &Value, found: &mut Vec<Part>) -> Read<bool> {
    if value.is_null() {
        return Err(GeoJsonError::NoGeometry);
    }
    let kind = value.get("type").unwrap_or(&Value::Null);
    if kind == "GeometryCollection" {
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
