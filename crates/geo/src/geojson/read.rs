use super::GeoJsonError;
use crate::feature::{Body, Feature, Free};
use crate::geometry::{Geometry, Part};
use crate::{body, id, json};
use kappadb_core::Coord;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

type Read<T> = Result<T, GeoJsonError>;

/// The members that are kept. `id` and `properties` as text, so that `1.0` stays `1.0`.
#[derive(Deserialize)]
struct FeatureText<'a> {
    #[serde(rename = "type", default)]
    kind: Value,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    geometry: Value,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// Reads the text of one Feature.
pub fn from_text(text: &str) -> Read<Feature> {
    let parts: FeatureText<'_> =
        serde_json::from_str(text).map_err(|e| GeoJsonError::NotJson { reason: e.to_string() })?;
    if parts.kind != "Feature" {
        return Err(GeoJsonError::NotAFeature { found: parts.kind.to_string() });
    }
    let mut found = Vec::new();
    let collection = read_geometry(&parts.geometry, &mut found)?;
    let geometry = match found.pop() {
        Some(part) if !collection => Geometry::Single(part),
        last => Geometry::Collection(found.into_iter().chain(last).collect()),
    };
    geometry.check()?;
    if geometry.extent().boxes().is_empty() {
        return Err(GeoJsonError::Nowhere);
    }
    let properties = parts.properties.map_or_else(|| "null".to_owned(), |raw| json::minify(raw.get()));
    if !json::is_properties(&properties) {
        return Err(GeoJsonError::Properties);
    }
    let body = Body::Free(Free { geometry, properties });
    let id = match parts.id.filter(|raw| raw.get() != "null") {
        Some(raw) => read_id(raw)?,
        None => id::of_content(&body::encode(&body)),
    };
    Ok(Feature { id, body })
}

/// Reads one Feature from a parsed value. A value no longer knows how its properties were written (order, form of
/// numbers); [`from_text`] does.
pub fn from_geojson(value: Value) -> Read<Feature> {
    from_text(&value.to_string())
}

/// Numbers and strings that look alike are one id.
fn read_id(raw: &RawValue) -> Read<String> {
    let text = match serde_json::from_str(raw.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Number(_)) => raw.get().to_owned(),
        _ => return Err(GeoJsonError::IdType { found: raw.get().to_owned() }),
    };
    Ok(id::free(&text)?)
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
