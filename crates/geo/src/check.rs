//! The rules for a feature. Whoever writes one looks them up in the feature itself, and need not read again what was written.

use crate::body::WHAT;
use crate::feature::{Body, Element, Feature, Free, Shape};
use crate::geometry::{Geometry, Part};
use crate::{FeatureError, extent, geojson, id, json};
use kappadb_core::codec::DecodeError;
use kappadb_core::limits::MAX_FEATURE_ITEMS;
use kappadb_core::{Coord, GeoBox};

type Checked = Result<(), &'static str>;

/// The rules that the format alone does not enforce.
pub(crate) fn check(feature: &Feature) -> Result<(), FeatureError> {
    let id = || feature.id.clone();
    id::check(&feature.id)?;
    let kind = match &feature.body {
        Body::Osm(element) => Some(element.shape.kind()),
        Body::Free(_) => None,
    };
    if id::parse_osm(&feature.id).map(|(kind, _)| kind) != kind {
        return Err(FeatureError::WrongKind { id: id() });
    }
    if let Body::Free(free) = &feature.body {
        free.geometry.check().map_err(|source| FeatureError::Geometry { id: id(), source })?;
    }
    Ok(())
}

/// All rules: public fields may hold what the format forbids, such as a position off the map. What passes, and is not too large, can be read by
/// everyone.
pub(crate) fn check_all(feature: &Feature) -> Result<(), FeatureError> {
    check(feature)?;
    let checked = match &feature.body {
        Body::Osm(element) => check_element(element),
        Body::Free(free) => check_free(free),
    };
    checked.map_err(|reason| FeatureError::Body {
        id: feature.id.clone(),
        source: DecodeError::Malformed { what: WHAT, reason: reason.to_owned() },
    })
}

fn ensure(rule: bool, reason: &'static str) -> Checked {
    if rule { Ok(()) } else { Err(reason) }
}

pub(crate) const TOO_MANY: &str = "more items in a list than a feature may have";
pub(crate) const BAD_EXTENT: &str = "boxes that are no extent";
pub(crate) const BAD_PROPERTIES: &str = "properties that are neither a JSON object nor null";
pub(crate) const BAD_WRITTEN: &str = "a geometry that is not the one that was written";
pub(crate) const BAD_FOREIGN: &str = "members that are no foreign ones";
const OFF_THE_MAP: &str = "a position off the map";

fn check_list<T>(items: &[T]) -> Checked {
    ensure(items.len() <= MAX_FEATURE_ITEMS, TOO_MANY)
}

fn check_path<'a>(path: impl IntoIterator<Item = &'a Coord>) -> Checked {
    ensure(path.into_iter().all(Coord::is_valid), OFF_THE_MAP)
}

fn check_element(element: &Element) -> Checked {
    check_list(&element.tags)?;
    match &element.shape {
        Shape::Node(at) => check_path([at]),
        Shape::Way(nodes) => {
            check_list(nodes)?;
            check_path(nodes.iter().filter_map(|node| node.at.as_ref()))
        }
        Shape::Relation { members, extent } => {
            check_list(members)?;
            let boxes = extent.boxes();
            ensure(boxes.iter().all(GeoBox::is_valid) && extent::from_boxes(boxes).is_some(), BAD_EXTENT)
        }
    }
}

fn check_free(free: &Free) -> Checked {
    let Free { geometry, written, properties, foreign } = free;
    if let Geometry::Collection(parts) = geometry {
        check_list(parts)?;
    }
    geometry.parts().iter().try_for_each(check_part)?;
    ensure(json::is_properties(properties), BAD_PROPERTIES)?;
    ensure(written.is_empty() || geojson::says(written, geometry), BAD_WRITTEN)?;
    ensure(foreign.is_empty() || geojson::is_foreign(foreign), BAD_FOREIGN)
}

fn check_part(part: &Part) -> Checked {
    match part {
        Part::Point(at) => check_path([at]),
        Part::MultiPoint(path) | Part::LineString(path) => check_path(path),
        Part::MultiLineString(paths) | Part::Polygon(paths) => check_path(paths.iter().flatten()),
        Part::MultiPolygon(polygons) => {
            check_list(polygons)?;
            check_path(polygons.iter().flatten().flatten())
        }
    }
}
