//! Features as GeoJSON, with what only others say of them.

use crate::error::ReadError;
use crate::views::map::{Edition, Found, MapParts};
use kappadb_geo::id::osm;
use kappadb_geo::{Body, Element, ElementKind, Feature, Part, Shape, WayNode, assemble, geojson, outline};
use std::collections::HashMap;

/// A feature as GeoJSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Texts {
    /// Its one version, or each of those found, marked with the member `kappa:conflict`, if they are in conflict. None that deletes it, or that is
    /// not held here.
    pub list: Vec<String>,
    /// True if it is a multipolygon or boundary whose area is not known here: a way is not held, or the ways make no rings. Then its geometry is
    /// `null`.
    pub without_area: bool,
}

/// The object with one more member in front, all else as it was written.
fn marked(object: &str, version: &Edition) -> String {
    let mark = serde_json::json!({ "id": version.entry.to_string(), "winner": version.winner });
    format!("{{\"kappa:conflict\":{mark},{}", object.trim_start().trim_start_matches('{'))
}

pub(in crate::views::map) fn texts(parts: &MapParts, found: &Found) -> Result<Texts, ReadError> {
    let (conflict, mut texts) = (found.is_conflict(), Texts::default());
    for version in &found.versions {
        let Some(feature) = &version.feature else { continue };
        let outline = outline(feature);
        let area = outline.as_ref().map_or(Ok(None), |outline| area(parts, outline))?;
        texts.without_area |= outline.is_some() && area.is_none();
        let text = geojson::to_text_with(feature, area.as_ref());
        texts.list.push(if conflict { marked(&text, version) } else { text });
    }
    Ok(texts)
}

/// What lies within these ways; none if that is not known here.
fn area(parts: &MapParts, outline: &[i64]) -> Result<Option<Part>, ReadError> {
    let mut ways: HashMap<i64, Vec<WayNode>> = HashMap::new();
    for number in outline {
        let Some(nodes) = nodes_of(parts, *number)? else { return Ok(None) };
        ways.insert(*number, nodes);
    }
    Ok(assemble(outline, |number| ways.get(&number).map(Vec::as_slice)))
}

/// The nodes of the version of a way that is shown by default; none if it is not held here.
fn nodes_of(parts: &MapParts, way: i64) -> Result<Option<Vec<WayNode>>, ReadError> {
    let Some(hit) = parts.feature(&osm(ElementKind::Way, way))? else { return Ok(None) };
    let found = parts.load_feature(&hit)?;
    let shown = found.versions.into_iter().find(|version| version.winner).and_then(|version| version.feature);
    Ok(match shown {
        Some(Feature { body: Body::Osm(Element { shape: Shape::Way(nodes), .. }), .. }) => Some(nodes),
        _ => None,
    })
}
