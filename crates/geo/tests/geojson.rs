//! GeoJSON in and out.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{Coord, Extent, Timestamp};
use kappadb_geo::geojson::{from_geojson, from_text, to_geojson, to_record, to_text};
use kappadb_geo::{
    Body, Edit, Element, ElementKind, Feature, GeoJsonError, Geometry, GeometryError, Member, Meta, Part,
    Shape, WayNode, put,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn with(id: &str, geometry: &str, properties: &str) -> String {
    format!(r#"{{"type":"Feature",{id}"geometry":{geometry},"properties":{properties}}}"#)
}

const POINT: &str = r#"{"type":"Point","coordinates":[24.9352,60.1642]}"#;

fn read(geometry: &str) -> Result<Feature, GeoJsonError> {
    from_text(&with("", geometry, "{}"))
}

fn id_of(id: &str) -> String {
    from_text(&with(&format!("\"id\":{id},"), POINT, "{}")).unwrap().id
}

fn geometry(feature: &Feature) -> &Geometry {
    match &feature.body {
        Body::Free(free) => &free.geometry,
        Body::Osm(_) => panic!("a free feature"),
    }
}

#[test]
fn numbers_and_strings_that_look_alike_are_one_id() {
    assert_eq!((id_of("7"), id_of("\"7\"")), ("7".to_owned(), "7".to_owned()));
    assert_eq!(id_of("1.0"), "1.0");
    assert_eq!(id_of("12345678901234567890123"), "12345678901234567890123");
    assert_eq!(id_of("\"n1\""), "g:n1");
    assert_eq!(id_of("\"\\u006e1\""), "g:n1");
    assert_eq!(id_of("\"g:n1\""), "g:n1");
    for bad in ["true", "[1]", "{}"] {
        let result = from_text(&with(&format!("\"id\":{bad},"), POINT, "{}"));
        assert_eq!(result, Err(GeoJsonError::IdType { found: bad.to_owned() }));
    }
    assert!(matches!(from_text(&with("\"id\":\"\",", POINT, "{}")), Err(GeoJsonError::Id(_))));
}

#[test]
fn without_an_id_the_content_names_it() {
    let id = id_of("null");
    assert!(id.starts_with("h:") && id.len() == 66, "{id}");
    assert_eq!(id, read(POINT).unwrap().id);
    let spaced = r#"{"properties": {  } , "geometry": {"coordinates":[24.9352, 60.1642], "type":"Point"}, "type":"Feature"}"#;
    assert_eq!(from_text(spaced).unwrap().id, id);
    assert_ne!(from_text(&with("", POINT, r#"{"a":1}"#)).unwrap().id, id);
    let again = from_text(&to_text(&read(POINT).unwrap())).unwrap();
    assert_eq!(again.id, id);
}

#[test]
fn properties_stay_as_they_were_written() {
    let properties = r#"{"z":1.10,"a":[1e3,"\u00e9 \/ x"],"big":123456789012345678901234567890,"z":null}"#;
    let feature = from_text(&with("\"id\":1,", POINT, &properties.replace(',', " ,\n "))).unwrap();
    let Body::Free(free) = &feature.body else { panic!() };
    assert_eq!(free.properties, properties);
    assert_eq!(
        to_text(&feature),
        with(
            "\"id\":\"1\",",
            &POINT.replace(
                r#""type":"Point","coordinates":[24.9352,60.1642]"#,
                r#""coordinates":[24.9352,60.1642],"type":"Point""#
            ),
            properties
        )
    );
    let missing = from_text(&format!(r#"{{"type":"Feature","geometry":{POINT}}}"#)).unwrap();
    assert!(to_text(&missing).ends_with(r#""properties":null}"#));
}

#[test]
fn coordinates_are_rounded_and_heights_dropped() {
    let feature = read(r#"{"type":"Point","coordinates":[24.93520004,60.16419996,17.5,1]}"#).unwrap();
    assert_eq!(
        geometry(&feature),
        &Geometry::Single(Part::Point(Coord { lon: 249_352_000, lat: 601_642_000 }))
    );
}

#[test]
fn nested_collections_are_flattened() {
    let inner = format!(r#"{{"type":"GeometryCollection","geometries":[{POINT}]}}"#);
    let feature =
        read(&format!(r#"{{"type":"GeometryCollection","geometries":[{inner},{POINT}]}}"#)).unwrap();
    assert!(matches!(geometry(&feature), Geometry::Collection(parts) if parts.len() == 2));
    let one = read(&inner).unwrap();
    assert!(matches!(geometry(&one), Geometry::Collection(parts) if parts.len() == 1));
    assert_eq!(to_geojson(&one)["geometry"]["type"], "GeometryCollection");
}

#[test]
fn bad_features_say_what_is_wrong() {
    let wrong = |text: &str| from_text(text).unwrap_err();
    assert!(matches!(wrong("{"), GeoJsonError::NotJson { .. }));
    assert_eq!(wrong("{}"), GeoJsonError::NotAFeature { found: "null".to_owned() });
    assert_eq!(wrong(POINT), GeoJsonError::NotAFeature { found: "\"Point\"".to_owned() });
    assert_eq!(wrong(&with("", "null", "{}")), GeoJsonError::NoGeometry);
    assert_eq!(wrong(r#"{"type":"Feature"}"#), GeoJsonError::NoGeometry);
    assert_eq!(wrong(&with("", POINT, "[]")), GeoJsonError::Properties);
    assert_eq!(wrong(&with("", POINT, "5")), GeoJsonError::Properties);
    let wrong = |text: &str| read(text).unwrap_err();
    assert_eq!(
        wrong(r#"{"type":"Circle"}"#),
        GeoJsonError::UnknownGeometry { found: "\"Circle\"".to_owned() }
    );
    assert!(matches!(wrong(r#"{"type":"Point","coordinates":[1,91]}"#), GeoJsonError::OffTheMap(_)));
    for bad in [
        r#"{"type":"Point"}"#,
        r#"{"type":"Point","coordinates":[1]}"#,
        r#"{"type":"Point","coordinates":["1",2]}"#,
        r#"{"type":"Polygon","coordinates":[[1,2]]}"#,
        r#"{"type":"LineString","coordinates":7}"#,
        r#"{"type":"GeometryCollection"}"#,
    ] {
        assert!(matches!(wrong(bad), GeoJsonError::Coordinates { .. }), "{bad}");
    }
    let line = r#"{"type":"LineString","coordinates":[[1,2]]}"#;
    assert_eq!(wrong(line), GeoJsonError::Geometry(GeometryError::ShortLine(1)));
    let ring = r#"{"type":"Polygon","coordinates":[[[0,0],[0,1],[1,1],[1,0]]]}"#;
    assert_eq!(wrong(ring), GeoJsonError::Geometry(GeometryError::OpenRing));
    assert_eq!(wrong(r#"{"type":"MultiPoint","coordinates":[]}"#), GeoJsonError::Nowhere);
    let deep = format!(
        "{}{POINT}{}",
        r#"{"type":"GeometryCollection","geometries":["#.repeat(9_000),
        "]}".repeat(9_000)
    );
    assert!(matches!(wrong(&deep), GeoJsonError::NotJson { .. }));
}

#[test]
fn a_multipolygon_cut_at_the_antimeridian_is_two_boxes() {
    let cut = r#"{"type":"MultiPolygon","coordinates":[[[[170,0],[180,0],[180,5],[170,0]]],[[[-180,0],[-170,0],[-180,5],[-180,0]]]]}"#;
    let expected: Extent = "170,0,-170,5".parse().unwrap();
    assert_eq!(read(cut).unwrap().extent(), expected);
    let world = r#"{"type":"Polygon","coordinates":[[[-180,-90],[180,-90],[180,90],[-180,90],[-180,-90]]]}"#;
    assert_eq!(read(world).unwrap().extent(), "-180,-90,180,90".parse().unwrap());
}

fn way(tags: &[(&str, &str)], nodes: &[(i64, Option<(i32, i32)>)]) -> Feature {
    let nodes = nodes
        .iter()
        .map(|&(id, at)| WayNode { at: at.map(|(lon, lat)| Coord { lon, lat }), ..WayNode::new(id) })
        .collect();
    let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Feature { id: "w1".to_owned(), body: Body::Osm(Element { shape: Shape::Way(nodes), tags, meta: None }) }
}

#[test]
fn closed_ways_are_polygons_if_their_tags_say_so() {
    let ring = [(1, Some((0, 0))), (2, Some((0, 10))), (3, Some((10, 10))), (1, Some((0, 0)))];
    let kind = |tags: &[(&str, &str)], nodes: &[_]| to_geojson(&way(tags, nodes))["geometry"]["type"].clone();
    assert_eq!(kind(&[("building", "yes")], &ring), "Polygon");
    assert_eq!(kind(&[("highway", "service"), ("area", "yes")], &ring), "Polygon");
    assert_eq!(kind(&[("highway", "service")], &ring), "LineString");
    assert_eq!(kind(&[("building", "yes"), ("area", "no")], &ring), "LineString");
    assert_eq!(kind(&[("natural", "coastline")], &ring), "LineString");
    assert_eq!(kind(&[("building", "yes")], &ring[..3]), "LineString");
    let part = [ring[0], (9, None), ring[2], ring[0]];
    assert_eq!(kind(&[("building", "yes")], &part), "LineString");
    assert_eq!(kind(&[("building", "yes")], &[ring[0], (9, None)]), "Point");
}

#[test]
fn osm_elements_tell_where_they_come_from() {
    let meta = Meta {
        version: 3,
        edit: Edit { time: Some(Timestamp(5_000)), changeset: 0, uid: 7, user: "Ada".to_owned() },
    };
    let members = vec![Member { kind: ElementKind::Way, id: 8, role: "outer".to_owned() }];
    let shape = Shape::Relation { members, extent: "179,1,-179,2".parse().unwrap() };
    let tags = vec![("type".to_owned(), "multipolygon".to_owned())];
    let relation =
        Feature { id: "r9".to_owned(), body: Body::Osm(Element { shape, tags, meta: Some(meta) }) };
    let expected = json!({
        "type": "Feature", "id": "r9", "bbox": [179.0, 1.0, -179.0, 2.0], "geometry": null,
        "properties": {
            "type": "multipolygon", "@version": 3, "@time": 5000, "@uid": 7, "@user": "Ada",
            "@members": [{ "type": "way", "ref": 8, "role": "outer" }],
        },
    });
    assert_eq!(to_geojson(&relation), expected);
    assert_eq!(to_geojson(&way(&[], &[(4, Some((1, 1))), (5, None)]))["properties"]["@nodes"], json!([4, 5]));
}

#[test]
fn a_record_of_a_sequence_starts_with_a_separator_and_ends_with_a_line_end() {
    let feature = read(POINT).unwrap();
    assert_eq!(to_record(&feature), format!("\u{1e}{}\n", to_text(&feature)));
    let odd = from_text(&with("\"id\":1,", POINT, r#"{"a":"\u001e\n"}"#)).unwrap();
    assert_eq!(to_record(&odd).matches(['\u{1e}', '\n']).count(), 2, "none within a record");
}

fn geometries() -> impl Strategy<Value = Value> {
    let position = || (-180.0..=180.0f64, -90.0..=90.0f64).prop_map(|(lon, lat)| json!([lon, lat]));
    let line = || prop::collection::vec(position(), 2..5);
    let ring = || {
        prop::collection::vec(position(), 3..6).prop_map(|mut ring| {
            ring.push(ring[0].clone());
            ring
        })
    };
    let rings = || prop::collection::vec(ring(), 1..3);
    let simple = prop_oneof![
        position().prop_map(|at| json!({ "type": "Point", "coordinates": at })),
        line().prop_map(|at| json!({ "type": "MultiPoint", "coordinates": at })),
        line().prop_map(|at| json!({ "type": "LineString", "coordinates": at })),
        prop::collection::vec(line(), 1..3)
            .prop_map(|at| json!({ "type": "MultiLineString", "coordinates": at })),
        rings().prop_map(|at| json!({ "type": "Polygon", "coordinates": at })),
        prop::collection::vec(rings(), 1..3)
            .prop_map(|at| json!({ "type": "MultiPolygon", "coordinates": at })),
    ];
    simple.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 1..3)
            .prop_map(|all| json!({ "type": "GeometryCollection", "geometries": all }))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(geometry in geometries(), name in ".{0,8}", id in "[a-z0-9]{0,3}") {
        let id = if id.is_empty() { Value::Null } else { Value::from(id) };
        let value = json!({ "type": "Feature", "id": id, "geometry": geometry, "properties": { "name": name } });
        let feature = from_geojson(value).unwrap();
        prop_assert!(put(&feature).is_ok());
        let text = to_text(&feature);
        prop_assert!(!text.contains('\n'));
        // Another implementation takes it too.
        prop_assert!(text.parse::<geojson::GeoJson>().is_ok());
        prop_assert_eq!(from_text(&text), Ok(feature));
    }

    #[test]
    fn noise_never_panics(text in "[\\[\\]{}\",:a-z0-9\\-. ]{0,60}") {
        let _ = from_text(&text);
        let _ = from_text(&with("\"id\":1,", &text, "{}"));
        let _ = from_text(&with("", POINT, &text));
    }
}
