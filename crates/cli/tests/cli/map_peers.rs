//! The map with peers that are there, and with some that are not.

use crate::common::{Db, Server};
use serde_json::{Value, json};
use std::path::PathBuf;

const STREET: &str = r#"<osm version="0.6"><node id="1" version="1" lat="60.1" lon="24.9"/><node id="2" version="1" lat="60.1" lon="24.95"/>
<way id="10" version="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way></osm>"#;
const MOVE: &str = r#"<osmChange version="0.6"><modify><node id="2" version="2" lat="60.5" lon="24.95"/></modify></osmChange>"#;

/// A map that a peer serves, one who has joined it, and a file of changes.
struct World {
    full: Db,
    server: Server,
    sparse: Db,
}

impl World {
    fn new() -> World {
        let full = Db::init();
        full.feed(&["map", "import", "-"], STREET);
        let server = Server::start(&full);
        let sparse = Db::join(&server.ticket);
        World { full, server, sparse }
    }

    fn file(&self, text: &str) -> PathBuf {
        let file = self.full.path().with_extension("file");
        std::fs::write(&file, text).unwrap();
        file
    }
}

fn last(told: &str) -> Value {
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

#[test]
fn an_import_asks_who_has_the_rest_of_the_map_unless_it_is_to_ask_nobody() {
    let World { full: _full, server: _server, sparse } = World::new();
    sparse.feed(&["map", "import", "-", "--local"], "<osm/>");
    assert_eq!(sparse.run(&["map", "get", "w10", "--local"]).status.code(), Some(4), "nobody was asked");
    sparse.feed(&["map", "import", "-", "--require-complete"], MOVE);
    assert!(sparse.ok(&["map", "get", "w10", "--local"]).contains("[24.95,60.5]"));
}

#[test]
fn an_import_whose_peer_is_dead_says_of_how_much_that_may_know_more_and_ends_with_3() {
    let world = World::new();
    let file = world.file(MOVE);
    let World { full: _full, server, sparse } = world;
    server.kill();
    let import = ["--json", "map", "import", file.to_str().unwrap()];
    let (out, told) = sparse.ends(3, &[&import[..], &["--require-complete"]].concat());
    assert_eq!((out.as_str(), &last(&told)["complete"]), ("", &json!(false)));
    assert_eq!(
        sparse.json(&["map", "query", "--bbox", "20,60,30,61", "--format", "count", "--local"])["count"],
        0
    );
    let (out, told) = sparse.ends(3, &import);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["taken"], 1, "it is not lost");
    assert!(told.contains(r#"{"touched":1,"unknown":1}"#), "{told}");
    assert_eq!(last(&told)["missing"].as_array().unwrap().len(), 1);
    sparse.ends(0, &[&import[..], &["--local"]].concat());
    // What was left out of the file is worse than what peers may know.
    let bad = file.with_extension("bad");
    std::fs::write(&bad, r#"<osm><node id="1" lat="91" lon="0"/></osm>"#).unwrap();
    sparse.ends(1, &["map", "import", bad.to_str().unwrap()]);
}

#[test]
fn an_export_whose_peer_is_dead_leaves_the_old_file_if_it_must_be_complete_and_says_what_it_is_else() {
    let world = World::new();
    let old = world.file("dear");
    let World { full: _full, server, sparse } = world;
    server.kill();
    for format in ["geojson", "geojsonseq", "ndjson", "osm"] {
        let export = ["map", "export", "--format", format, "--output", old.to_str().unwrap()];
        sparse.ends(3, &[&export[..], &["--require-complete"]].concat());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "dear", "{format}");
    }
    let (_, told) = sparse.ends(3, &["map", "export", "--output", old.to_str().unwrap()]);
    assert!(told.contains("kappa: not complete: peer") && told.contains("0 features written"), "{told}");
    assert!(std::fs::read_to_string(&old).unwrap().starts_with("{\"type\":\"FeatureCollection\""));
}

#[test]
fn an_empty_picture_says_why() {
    let db = Db::init();
    db.feed(&["map", "import", "-"], STREET);
    let draw = |db: &Db, bbox: &str, more: &[&str]| {
        let args = [&["--json", "map", "query", "--format", "svg", "--bbox", bbox], more].concat();
        let output = db.run(&args);
        assert!(String::from_utf8(output.stdout).unwrap().contains("<svg"));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!draw(&db, "24.8,60,25,60.2", &[]).contains("empty"));
    for (bbox, more) in [("1,1,2,2", &[][..]), ("24.8,60,25,60.2", &["--tag", "shop"])] {
        assert_eq!(last(&draw(&db, bbox, more)), json!({ "empty": 0 }), "{bbox}");
        let (_, told) = db.ends(0, &[&["map", "query", "--format", "svg", "--bbox", bbox], more].concat());
        assert!(told.contains("the picture is empty: nothing that is held here touches the box"), "{told}");
    }
    let feed = db.json(&["feed", "list"])["feed"].as_str().unwrap().to_owned();
    db.ok(&["clear", &feed, "0-10", "--force"]);
    let (_, told) = db.ends(0, &["map", "query", "--format", "svg", "--bbox", "24.8,60,25,60.2"]);
    assert!(
        told.contains("the picture is empty: the contents of what was found are not held here"),
        "{told}"
    );
}
