//! Map features.

use crate::{Seeds, named, out};
use kappadb_core::Timestamp;
use kappadb_geo::{Body, Edit, Feature, Meta, Shape, delete as delete_entry, geojson, put};
use std::collections::BTreeMap;
use std::path::Path;

/// A few real features of each sort, small ones, and free ones.
pub(crate) fn features() -> Vec<Feature> {
    let extract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cli/data/helsinki-centre.osm.pbf");
    let mut import = kappadb_import::read(&extract, &kappadb_import::Ids::Keep, &std::env::temp_dir(), &mut |_| ()).expect("the extract");
    let mut few: BTreeMap<u8, Vec<Feature>> = BTreeMap::new();
    for feature in
        import.items().expect("the extract").filter_map(|item| item.expect("an item").into_feature())
    {
        let Body::Osm(element) = &feature.body else { continue };
        let sort = match &element.shape {
            Shape::Node(_) => 0,
            Shape::Way(nodes) if nodes.len() > 8 => continue,
            Shape::Way(_) => 1,
            Shape::Relation { members, .. } if members.len() > 6 => continue,
            Shape::Relation { .. } => 2,
        };
        let few = few.entry(sort).or_default();
        if few.len() < 3 {
            few.push(feature);
        }
    }
    let free = FREE.iter().map(|text| geojson::from_text(text).expect("a feature"));
    few.into_values().flatten().chain(free).collect()
}

pub(crate) const FREE: [&str; 7] = [
    r#"{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[24.94,60.17,12]},"properties":{"a":1.0}}"#,
    r#"{"type":"Feature","id":"n1","geometry":{"type":"LineString","coordinates":[[179.5,-17],[-179.5,-16.25]]},"properties":null}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[1e0,0],[1,1],[0,0]],[[0.1,0.1],[0.2,0.1],[0.2,0.2],[0.1,0.1]]]},"properties":{"name":"\u00e5 \"b\"","deep":[{"x":[]}]}}"#,
    r#"{"type":"Feature","id":"m","geometry":{"type":"MultiPoint","coordinates":[[-180,90],[180,-90]]},"properties":{}}"#,
    r#"{"type":"Feature","id":"ml","geometry":{"type":"MultiLineString","coordinates":[[[1,2],[3,4]],[[5,6],[7,8]]]},"properties":{}}"#,
    r#"{"type":"Feature","id":"mp","geometry":{"type":"MultiPolygon","coordinates":[[[[170,0],[180,0],[180,5],[170,0]]],[[[-180,0],[-170,0],[-180,5],[-180,0]]]]},"properties":{"area":false}}"#,
    r#"{"type":"Feature","id":"gc","bbox":[0,0,9,9],"geometry":{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[0,0]},{"type":"GeometryCollection","geometries":[{"type":"LineString","coordinates":[[1,1],[9,9]]}]}]},"properties":{"k":null}}"#,
];

pub(crate) fn text_of(feature: &Feature) -> (String, Vec<u8>) {
    (feature.id.replace(':', "_"), geojson::to_text(feature).into_bytes())
}

pub(crate) fn file_name(feature: &Feature) -> String {
    feature.id.replace(':', "_").chars().take(12).collect()
}

pub(crate) fn feature(features: &[Feature]) -> Seeds {
    let seed = |feature: &Feature| {
        let payload = put(feature).expect("a feature").payload;
        named(&file_name(feature), out().chunk(feature.id.as_bytes()).bytes(payload))
    };
    features.iter().map(seed).collect()
}

pub(crate) fn geojson(features: &[Feature]) -> Seeds {
    features.iter().filter(|feature| matches!(feature.body, Body::Free(_))).map(text_of).collect()
}

pub(crate) fn delete(features: &[Feature]) -> Seeds {
    let edits = features.iter().filter_map(|feature| match &feature.body {
        Body::Osm(element) => Some((file_name(feature), element.meta.clone()?)),
        Body::Free(_) => None,
    });
    let named =
        Meta { version: 7, edit: Edit { time: Some(Timestamp(5_000)), changeset: 9, uid: 3, user: "Åsa".to_owned() } };
    let edits = edits.take(2).chain([("named".to_owned(), named), ("unknown".to_owned(), Meta::default())]);
    edits.map(|(name, edit)| (name, delete_entry("n1", Some(&edit)).expect("an edit").payload)).collect()
}

pub(crate) fn filter() -> Seeds {
    let filters = ["a=1.0", "name!=x", "!k", "deep", "area=false", "node"];
    let seeds = filters.iter().zip(FREE);
    seeds.map(|(filter, text)| named(filter, out().chunk(filter.as_bytes()).bytes(text))).collect()
}
