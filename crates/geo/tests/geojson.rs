//! GeoJSON in and out.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{Coord, Extent, Timestamp};
use kappadb_geo::geojson::{from_geojson, from_text, from_text_by_id, to_geojson, to_record, to_text};
use kappadb_geo::{
    Body, Edit, Element, ElementKind, Feature, Free, GeoJsonError, Geometry, GeometryError, Member, Meta,
    Part, Shape, WayNode, decode, put,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

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
    assert_eq!((id_of("7"), id_of("\"7\"")), ("g:7".to_owned(), "g:7".to_owned()));
    for (written, id) in [
        ("7.0", "g:7"),
        ("70e-1", "g:7"),
        ("1e3", "g:1000"),
        ("-0.0", "g:0"),
        ("-0", "g:0"),
        ("-3", "g:-3"),
        ("7.5", "7.5"),
    ] {
        assert_eq!(id_of(written), id);
    }
    assert_eq!(id_of("\"7.0\""), "7.0", "a text is as it is written");
    assert_eq!(id_of("1e300"), "1e300");
    assert_eq!(id_of("12345678901234567890123"), "g:12345678901234567890123");
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
            "\"id\":\"g:1\",",
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

fn free(feature: &Feature) -> &Free {
    match &feature.body {
        Body::Free(free) => free,
        Body::Osm(_) => panic!("a free feature"),
    }
}

/// Reads a feature, has it through a block, and writes it.
fn again(text: &str) -> String {
    let feature = from_text(text).unwrap();
    let payload = put(&feature).unwrap().payload;
    assert_eq!(decode(&feature.id, &payload).unwrap(), feature);
    let written = to_text(&feature);
    assert_eq!(from_text(&written).unwrap(), feature);
    written
}

#[test]
fn heights_survive() {
    let geometry = r#"{"type":"LineString","coordinates":[[1.00000004,2,333.5],[2,3,444.25]]}"#;
    let feature = read(geometry).unwrap();
    let line = vec![Coord { lon: 10_000_000, lat: 20_000_000 }, Coord { lon: 20_000_000, lat: 30_000_000 }];
    assert_eq!(free(&feature).geometry, Geometry::Single(Part::LineString(line)));
    assert_eq!(again(&with("\"id\":\"a\",", geometry, "{}")), with("\"id\":\"a\",", geometry, "{}"));
    let flat = read(r#"{"type":"Point","coordinates":[24.93520004,60.16419996]}"#).unwrap();
    assert_eq!(
        free(&flat).geometry,
        Geometry::Single(Part::Point(Coord { lon: 249_352_000, lat: 601_642_000 }))
    );
    assert_eq!(free(&flat).written, "", "nothing more than that");
}

#[test]
fn other_members_survive() {
    let members = r#""bbox":[1,2,1,2],"title":"keep me","when":{"start":"2020"}"#;
    let geometry = r#"{"coordinates":[1.5,2.5],"type":"Point"}"#;
    let text = format!(r#"{{"type":"Feature","id":"a","geometry":{geometry},"properties":{{}},{members}}}"#);
    assert_eq!(again(&text), text);
    let inside = r#"{"type":"Point","coordinates":[1,2],"bbox":[1,2,1,2],"note":"x"}"#;
    assert_eq!(again(&with("\"id\":\"a\",", inside, "{}")), with("\"id\":\"a\",", inside, "{}"));
    let deep = format!(r#""x":{}{},"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(from_text(&with(&deep, POINT, "{}")), Err(GeoJsonError::Member { name: "x".to_owned() }));
}

#[test]
fn a_feature_without_a_place_is_kept() {
    let text = with("\"id\":\"a\",", "null", r#"{"n":1}"#);
    assert_eq!(free(&from_text(&text).unwrap()).geometry, Geometry::Null);
    assert_eq!(again(&text), text);
    for nowhere in
        [r#"{"coordinates":[],"type":"MultiPoint"}"#, r#"{"geometries":[],"type":"GeometryCollection"}"#]
    {
        assert!(read(nowhere).unwrap().extent().boxes().is_empty());
        assert_eq!(again(&with("\"id\":\"a\",", nowhere, "{}")), with("\"id\":\"a\",", nowhere, "{}"));
    }
}

#[test]
fn a_geometry_by_itself_is_a_feature() {
    let feature = from_text(POINT).unwrap();
    assert_eq!(free(&feature), free(&from_text(&with("", POINT, "null")).unwrap()));
    assert!(feature.id.starts_with("h:"));
}

#[test]
fn coordinates_of_another_system_are_refused_by_name() {
    let with_crs = |name: &str| {
        let crs = format!(r#""crs":{{"type":"name","properties":{{"name":"{name}"}}}},"#);
        from_text(&with(&crs, POINT, "{}"))
    };
    for known in [
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "EPSG:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "http://www.opengis.net/def/crs/EPSG/0/4326",
    ] {
        assert!(with_crs(known).is_ok(), "{known}");
    }
    for other in ["urn:ogc:def:crs:EPSG::3857", "EPSG:25832", "EPSG:14326"] {
        assert_eq!(with_crs(other), Err(GeoJsonError::Crs { name: other.to_owned() }));
    }
    assert!(from_text(&with("\"crs\":null,", POINT, "{}")).is_ok());
    assert!(matches!(
        from_text(&with("\"crs\":{\"type\":\"link\"},", POINT, "{}")),
        Err(GeoJsonError::Crs { .. })
    ));
}

#[test]
fn what_was_written_must_be_the_geometry() {
    let Body::Free(good) = read(r#"{"type":"Point","coordinates":[1,2,3]}"#).unwrap().body else { panic!() };
    let with = |free: Free| put(&Feature { id: "a".to_owned(), body: Body::Free(free) });
    assert!(with(good.clone()).is_ok());
    for written in [
        r#"{"type":"Point","coordinates":[1,3,3]}"#,
        r#"{"type":"Point","coordinates":[1,2]}"#,
        "null",
        "x",
        " ",
    ] {
        assert!(with(Free { written: written.to_owned(), ..good.clone() }).is_err(), "{written}");
    }
    for foreign in ["{}", "null", "[1]", r#"{"id":1}"#, r#"{"geometry":null}"#, r#"{ "a":1}"#] {
        assert!(with(Free { foreign: foreign.to_owned(), ..good.clone() }).is_err(), "{foreign}");
    }
}

#[test]
fn nested_collections_are_flattened_and_survive() {
    let inner = format!(r#"{{"type":"GeometryCollection","geometries":[{POINT}]}}"#);
    let outer = format!(r#"{{"type":"GeometryCollection","geometries":[{inner},{POINT}]}}"#);
    let feature = read(&outer).unwrap();
    assert!(matches!(geometry(&feature), Geometry::Collection(parts) if parts.len() == 2));
    assert_eq!(again(&with("\"id\":\"a\",", &outer, "{}")), with("\"id\":\"a\",", &outer, "{}"));
    let one = read(&inner).unwrap();
    assert!(matches!(geometry(&one), Geometry::Collection(parts) if parts.len() == 1));
    assert_eq!(free(&one).written, "");
    assert_eq!(to_geojson(&one)["geometry"]["type"], "GeometryCollection");
}

#[test]
fn bad_features_say_what_is_wrong() {
    let wrong = |text: &str| from_text(text).unwrap_err();
    assert!(matches!(wrong("{"), GeoJsonError::NotJson { .. }));
    assert_eq!(wrong("{}"), GeoJsonError::NotAFeature { found: "null".to_owned() });
    assert_eq!(
        wrong(r#"{"type":"FeatureCollection","features":[]}"#),
        GeoJsonError::NotAFeature { found: "\"FeatureCollection\"".to_owned() }
    );
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
            "type": "multipolygon", "@type": "relation", "@id": 9, "@version": 3, "@time": 5000, "@uid": 7, "@user": "Ada",
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

/// A way of everything that can be said of one.
fn full_way() -> Feature {
    let edit = |uid, user: &str| Edit { time: Some(Timestamp(1)), changeset: 5, uid, user: user.to_owned() };
    let (ada, nobody) = (Arc::new(edit(1, "Ada")), Arc::new(Edit::default()));
    let node = |id, lon, lat, version, edit: Option<&Arc<Edit>>| WayNode {
        at: Some(Coord { lon, lat }),
        version,
        edit: edit.cloned(),
        ..WayNode::new(id)
    };
    // Clockwise, so that it is turned to be a polygon.
    let nodes = vec![
        node(1, 0, 0, 2, Some(&ada)),
        node(-2, 0, 10, 1, None),
        node(i64::MAX, 10, 10, 0, Some(&nobody)),
        node(4, 10, 0, 7, Some(&ada)),
        node(1, 0, 0, 2, Some(&ada)),
    ];
    let tags = [("@odd", "1"), ("a\"b", "\n"), ("building", "yes")];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let meta = Some(Meta { version: 9, edit: edit(2, "Bo") });
    Feature { id: "w10".to_owned(), body: Body::Osm(Element { shape: Shape::Way(nodes), tags, meta }) }
}

#[test]
fn an_element_is_the_same_element_when_it_is_read_in_again() {
    let feature = full_way();
    assert_eq!(from_text(&to_text(&feature)), Ok(feature.clone()));
    assert_eq!(from_geojson(to_geojson(&feature)), Ok(feature.clone()), "whatever the order of its members");
    let Body::Osm(element) = &feature.body else { panic!() };
    let Shape::Way(nodes) = &element.shape else { panic!() };
    let with = |tags: &[(String, String)], nodes: Vec<WayNode>| {
        let element = Element { shape: Shape::Way(nodes), tags: tags.to_vec(), meta: None };
        Feature { id: "w-1".to_owned(), body: Body::Osm(element) }
    };
    let mut unplaced = nodes.clone();
    unplaced[1].at = None;
    for nodes in [Vec::new(), nodes[..1].to_vec(), unplaced, vec![WayNode::new(3); 4]] {
        for tags in [&[][..], &element.tags] {
            let feature = with(tags, nodes.clone());
            assert_eq!(from_text(&to_text(&feature)), Ok(feature));
        }
    }
    let members = vec![Member { kind: ElementKind::Node, id: -8, role: "\u{e9} \"".to_owned() }];
    for (members, extent) in [(members, "179,1,-179,2".parse().unwrap()), (Vec::new(), Extent::NOWHERE)] {
        let element = Element { shape: Shape::Relation { members, extent }, tags: Vec::new(), meta: None };
        let relation = Feature { id: "r9".to_owned(), body: Body::Osm(element) };
        assert_eq!(from_text(&to_text(&relation)), Ok(relation));
    }
}

#[test]
fn an_area_is_wound_as_geojson_has_it_and_its_nodes_keep_their_order() {
    let feature = full_way();
    let value = to_geojson(&feature);
    let ring = value["geometry"]["coordinates"][0].clone();
    assert_eq!(ring, json!([[0.0, 0.0], [1e-6, 0.0], [1e-6, 1e-6], [0.0, 1e-6], [0.0, 0.0]]));
    assert_eq!(value["properties"]["@nodes"], json!([1, -2, i64::MAX, 4, 1]));
    // A program that turned it again has moved no node.
    let mut turned = value;
    let mut ring: Vec<Value> = ring.as_array().unwrap().clone();
    ring.reverse();
    turned["geometry"]["coordinates"][0] = Value::from(ring);
    assert_eq!(from_geojson(turned), Ok(feature));
}

#[test]
fn what_programs_make_of_an_element_is_understood() {
    let feature = full_way();
    let mut value = to_geojson(&feature);
    let Value::Object(properties) = &mut value["properties"] else { panic!() };
    for list in ["@nodes", "@edits", "@node_edits", "@node_versions"] {
        let text = properties[list].to_string();
        properties.insert(list.to_owned(), Value::from(text));
    }
    properties.insert("shop".to_owned(), Value::Null);
    // A table numbers its rows.
    value["id"] = json!(17);
    assert_eq!(from_geojson(value.clone()), Ok(feature.clone()));
    value["id"] = Value::Null;
    value["properties"]["levels"] = json!(3);
    let Body::Osm(mut element) = feature.body else { panic!() };
    element.tags.push(("levels".to_owned(), "3".to_owned()));
    assert_eq!(from_geojson(value).unwrap().body, Body::Osm(element));
}

#[test]
fn an_element_that_does_not_say_what_it_is_made_of_is_refused() {
    let line = r#"{"type":"LineString","coordinates":[[0,0],[1,1]]}"#;
    let of = |geometry: &str, properties: &str| from_text(&with("\"id\":\"w1\",", geometry, properties));
    let refused = of(line, r#"{"@type":"way","@id":1,"highway":"path"}"#);
    assert_eq!(refused, Err(GeoJsonError::Unsaid { what: "@nodes" }));
    let longer = of(line, r#"{"@type":"way","@nodes":[1,2,3]}"#);
    assert_eq!(longer, Err(GeoJsonError::Misfit { nodes: 3, positions: 2 }));
    let other = of(line, r#"{"@type":"way","@id":2,"@nodes":[1,2]}"#);
    assert!(matches!(other, Err(GeoJsonError::TwoIds { .. })), "{other:?}");
    for bad in [
        r#"{"@type":"lake"}"#,
        r#"{"@type":"way","@nodes":5}"#,
        r#"{"@type":"way","@nodes":[1,2],"@node_versions":[1]}"#,
        r#"{"@type":"way","@nodes":[1,2],"@node_edits":[1,0]}"#,
    ] {
        assert!(matches!(of(line, bad), Err(GeoJsonError::Property { .. })), "{bad}");
    }
    let list = of(line, r#"{"@type":"way","@nodes":[1,2],"a":[]}"#);
    assert_eq!(list, Err(GeoJsonError::TagValue { key: "a".to_owned() }));
}

#[test]
fn an_id_alone_names_an_element_only_for_who_means_it() {
    let text = with("\"id\":\"n1\",", POINT, r#"{"shop":"x"}"#);
    assert_eq!(from_text(&text).unwrap().id, "g:n1");
    let node = from_text_by_id(&text).unwrap();
    assert_eq!(node.id, "n1");
    assert!(matches!(&node.body, Body::Osm(element) if element.tag("shop") == Some("x")));
    assert_eq!(from_text_by_id(&with("\"id\":\"7\",", POINT, "{}")).unwrap().id, "g:7");
    let way = from_text_by_id(&with("\"id\":\"w1\",", POINT, "{}"));
    assert_eq!(way, Err(GeoJsonError::Unsaid { what: "@nodes" }));
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
