//! Features one by one, as people look at them and edit them.

use crate::common::Db;
use serde_json::{Value, json};

const STREET: &str = r#"<osm version="0.6"><node id="1" version="1" lat="60.1" lon="24.9"/><node id="2" version="1" lat="60.1" lon="24.95"/>
<way id="10" version="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way></osm>"#;

fn street() -> Db {
    let db = Db::init();
    db.feed(&["map", "import", "-"], STREET);
    db
}

#[test]
fn a_corner_of_a_way_is_shown_and_edited() {
    let db = street();
    let (text, told) = db.ends(0, &["map", "get", "n2"]);
    assert!(told.contains("n2 has no tags and is a corner of w10"), "{told}");
    let mut node: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&node["geometry"]["coordinates"], &node["properties"]["@version"]),
        (&json!([24.95, 60.1]), &json!(1))
    );
    node["geometry"]["coordinates"] = json!([24.95, 60.3]);
    node["properties"]["barrier"] = json!("gate");
    db.feed(&["map", "put"], &node.to_string());
    assert!(db.ok(&["map", "get", "w10"]).contains("[24.95,60.3]"));
    let (_, told) = db.ends(0, &["map", "get", "n2"]);
    assert_eq!(told, "", "it is a feature now");
    assert!(db.lacks(&["map", "get", "n9"]).contains(r#"there is no feature "n9" here"#));
    let (_, told) = db.ends(0, &["--json", "map", "get", "n1"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), json!({ "carried_by": ["w10"] }));
}

#[test]
fn what_was_deleted_is_told_from_what_is_not_held_here() {
    let db = street();
    let file = db.path().with_extension("osc");
    std::fs::write(&file, r#"<osmChange version="0.6"><delete><node id="2" version="2"/></delete><create><relation id="5" version="1">
        <member type="way" ref="10" role=""/><member type="way" ref="99" role=""/></relation></create></osmChange>"#).unwrap();
    db.ok(&["map", "import", file.to_str().unwrap()]);
    assert!(db.lacks(&["map", "get", "n2"]).contains("any more: it was deleted"));
    for args in [&["map", "expand", "r5"][..], &["map", "export", "--bbox", "24,60,25,61", "--osm-api"]] {
        let (_, told) = db.ends(0, args);
        assert!(told.contains("1 element deleted: n2"), "{args:?}: {told}");
        assert!(!told.contains("not held here: n"), "{args:?}: {told}");
    }
    assert!(db.ends(0, &["map", "expand", "r5"]).1.contains("1 element not held here: w99"));
    let (_, told) = db.ends(0, &["map", "export", "--format", "osm"]);
    assert!(told.contains("1 element deleted: n2"), "{told}");
    assert!(db.fails(&["map", "delete", "n1"]).contains("n1 is a corner of w10"));
}

#[test]
fn what_has_no_place_is_found_by_tag_and_in_the_list_of_all() {
    let db = street();
    db.feed(
        &["map", "import", "-"],
        r#"{"type":"Feature","id":"idea","geometry":null,"properties":{"shop":"some day"}}"#,
    );
    assert_eq!(db.ok(&["map", "query", "--tag", "shop"]), "idea\n");
    assert_eq!(db.ok(&["map", "query"]), "idea\nw10\n");
    let (page, told) = db.ends(0, &["--json", "map", "query", "--limit", "1"]);
    let next = serde_json::from_str::<Value>(&told).unwrap()["next"].as_str().unwrap().to_owned();
    assert!(page.contains("idea"));
    assert_eq!(db.ok(&["map", "query", "--after", &next]), "w10\n");
    assert_eq!(db.json(&["map", "query", "--kind", "free", "--format", "count"])["count"], 1);
    for args in [&["--largest"][..], &["--format", "svg"], &["--osm-api"]] {
        db.ends(2, &[&["map", "query"], args].concat());
    }
}

#[test]
fn row_numbers_are_told_and_what_is_left_out_of_xml_is_named_with_line_and_byte() {
    let db = street();
    let layer = db.path().with_extension("geojson");
    std::fs::write(
        &layer,
        r#"{"type":"Feature","id":0,"geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}"#,
    )
    .unwrap();
    let layer = layer.to_str().unwrap();
    let (_, told) = db.ends(0, &["map", "import", layer]);
    assert!(
        told.contains("1 feature with placeholders or row numbers for ids got ids of their own"),
        "{told}"
    );
    assert_eq!(db.ok(&["map", "query", "--kind", "free"]).len(), "f:0123456789abcdef:0\n".len());
    db.ok(&["map", "import", "--ids", "keep", layer]);
    assert!(db.ok(&["map", "get", "g:0"]).contains(r#""id":"g:0""#));
    let bad = db.path().with_extension("osm");
    std::fs::write(&bad, "<osm>\n<node id='1' lat='91' lon='0'/></osm>").unwrap();
    let (_, told) = db.ends(1, &["--json", "map", "import", bad.to_str().unwrap()]);
    let told: Value =
        serde_json::from_str(told.lines().find(|line| line.contains("reason")).unwrap()).unwrap();
    assert_eq!((&told["feature"], &told["line"], &told["byte"]), (&json!("n1"), &json!(2), &json!(6)));
}
