//! Pictures.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{Coord, Extent};
use kappadb_geo::geojson::from_text;
use kappadb_geo::svg::{OSM_ATTRIBUTION, Shape, around, render, render_with};
use kappadb_geo::{Body, Element, Feature, Shape as ElementShape, WayNode};

fn way(tags: &[(&str, &str)]) -> Feature {
    let at = |lon, lat| Some(Coord { lon: 249_400_000 + lon, lat: 601_700_000 + lat });
    let nodes = [at(0, 0), at(20_000, 0), at(20_000, 10_000), at(0, 0)];
    let nodes = nodes.into_iter().zip([1, 2, 3, 1]).map(|(at, id)| WayNode { id, at }).collect();
    let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Feature {
        id: "w1".to_owned(),
        body: Body::Osm(Element { shape: ElementShape::Way(nodes), tags, meta: None }),
    }
}

fn free(geometry: &str) -> Feature {
    from_text(&format!(r#"{{"type":"Feature","geometry":{geometry},"properties":null}}"#)).unwrap()
}

fn shape(feature: Feature, fetched: bool) -> Shape {
    Shape { feature, fetched }
}

#[test]
fn classes_and_colours_follow_tags_and_state() {
    let shapes = [
        shape(way(&[("highway", "primary")]), true),
        shape(way(&[("building", "yes")]), false),
        shape(way(&[("natural", "water")]), true),
        shape(way(&[("leisure", "park")]), false),
        shape(free(r#"{"type":"Point","coordinates":[24.94,60.17]}"#), true),
    ];
    let svg = render(&around(&shapes).unwrap(), &shapes);
    for class in ["\"road on\"", "\"building\"", "\"water on\"", "\"green\"", "\"point on\""] {
        assert_eq!(svg.matches(&format!("<path class={class}")).count(), 1, "{class}");
    }
    assert_eq!(svg.matches("<path").count(), 5);
    assert!(svg.contains(OSM_ATTRIBUTION));
    // Areas lie under lines under points.
    let at = |class: &str| svg.find(&format!("<path class=\"{class}")).unwrap();
    assert!(at("green") < at("building") && at("building") < at("road") && at("road") < at("point"));
}

#[test]
fn the_picture_has_the_shape_of_the_place() {
    // At 60 degrees north a degree of longitude is half as long as one of latitude.
    let svg = render(&"24,59.5,26,60.5".parse().unwrap(), &[]);
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 1000\">"), "{svg}");
    assert!(!svg.contains(OSM_ATTRIBUTION));
}

#[test]
fn a_view_across_the_antimeridian_is_drawn_in_one_piece() {
    let line = free(r#"{"type":"LineString","coordinates":[[179,0],[-179,0]]}"#);
    let svg = render(&"178,-1,-178,1".parse().unwrap(), &[shape(line, true)]);
    assert!(svg.contains("M250.0 250.0L750.0 250.0"), "{svg}");
}

#[test]
fn views_of_no_area_and_of_nothing_are_pictures_too() {
    for view in [Extent::NOWHERE, "24,60,24,60".parse().unwrap(), "0,90,0,90".parse().unwrap()] {
        let svg = render(&view, &[shape(free(r#"{"type":"Point","coordinates":[24,60]}"#), true)]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
    assert_eq!(around(&[]), None);
}

#[test]
fn text_is_escaped() {
    let svg = render_with(&Extent::NOWHERE, &[], "<script>&");
    assert!(svg.contains("&lt;script&gt;&amp;") && !svg.contains("<script>"));
}
