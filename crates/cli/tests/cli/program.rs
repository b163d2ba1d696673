//! The contract of the program, command by command.
use crate::common::{Db, EXTRACT, STATION, files};
use serde_json::Value;

const CAFE: &str = r#"{"type": "Feature", "id": "cafe", "properties": {"name": "Kolme"},
    "geometry": {"type": "Point", "coordinates": [24.947, 60.172]}}"#;

#[test]
fn init_prints_the_database_id_once() {
    let db = Db::none();
    let made = db.json(&["init"]);
    assert_eq!(made["database"].as_str().unwrap().len(), 64);
    assert_eq!(made["feed"].as_str().unwrap().len(), 64);
    let error = db.fails(&["init"]);
    assert!(error.contains("already holds a database"), "{error}");
    assert_eq!(db.json(&["status"])["database"], made["database"]);
}

#[test]
fn commands_without_a_database_say_how_to_make_one() {
    let error = Db::none().fails(&["status"]);
    assert!(error.contains("kappa init"), "{error}");
    let output = Db::none().run(&["--json", "status"]);
    let line: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(line["error"].as_str().unwrap().contains("kappa init"));
}

#[test]
fn nonsense_on_the_command_line_exits_with_2() {
    for args in [&["map", "query", "--bbox", "1,2,3"][..], &["map", "query", "--bbox", "0,9,1,8"], &["fly"]] {
        assert_eq!(Db::none().run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_feature_is_put_found_replaced_and_deleted() {
    let db = Db::init();
    assert_eq!(db.feed(&["map", "put", "-"], CAFE).trim(), "cafe");
    assert_eq!(db.ids("24.947,60.172,24.947,60.172"), ["cafe"]);
    db.feed(&["map", "put", "-"], &CAFE.replace("24.947", "-3.5"));
    assert!(db.ids("24.9,60.1,25.0,60.2").is_empty());
    assert_eq!(db.ids("-4,60,-3,61"), ["cafe"]);
    let feature: Value = serde_json::from_str(&db.ok(&["map", "get", "cafe"])).unwrap();
    assert_eq!(feature["properties"]["name"], "Kolme");
    assert_eq!(feature["geometry"]["coordinates"][0], -3.5);
    db.ok(&["map", "delete", "cafe"]);
    assert!(db.ids("-180,-90,180,90").is_empty());
    assert!(db.lacks(&["map", "get", "cafe"]).contains("no feature"));
    assert!(db.lacks(&["map", "delete", "cafe"]).contains("no feature"));
    assert!(db.fails(&["map", "put", EXTRACT]).contains("kappa:"));
}

#[test]
fn importing_the_extract_counts_and_a_second_time_appends_nothing() {
    let db = Db::init();
    let first = db.json(&["map", "import", EXTRACT]);
    assert_eq!(first["nodes"], 8106);
    assert_eq!(first["ways"], 5130);
    // And four nodes without tags that no way has.
    assert_eq!(first["blocks"].as_u64(), first["features"].as_u64().map(|features| features + 4));
    let before = db.json(&["status"]);
    let again = db.json(&["map", "import", EXTRACT]);
    assert_eq!((again["features"].clone(), again["blocks"].as_u64()), (first["features"].clone(), Some(0)));
    assert_eq!(db.json(&["status"])["feeds"], before["feeds"]);
    assert_eq!(before["feeds"][0]["held"], first["blocks"]);
    assert_eq!(db.run(&["verify"]).status.code(), Some(0));
    let all = db.json(&["map", "query", "--bbox", "-180,-90,180,90", "--format", "count"]);
    assert_eq!(all["count"], first["features"]);
}

#[test]
fn query_formats_agree() {
    let db = Db::helsinki();
    let ids = db.ids(STATION);
    assert!(ids.len() > 100, "{}", ids.len());
    let query = |more: &[&str]| db.ok(&[&["map", "query", "--bbox", STATION, "--local"], more].concat());
    assert_eq!(query(&["--format", "count"]).trim(), ids.len().to_string());
    assert_eq!(query(&["--limit", "7"]).lines().collect::<Vec<_>>(), ids[..7].iter().collect::<Vec<_>>());
    let lines = query(&["--format", "ndjson"]);
    let found: Vec<String> = lines
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, ids);
    let collection: Value = serde_json::from_str(&query(&["--format", "geojson"])).unwrap();
    assert_eq!(collection["features"].as_array().unwrap().len(), ids.len());
    let svg = query(&["--format", "svg"]);
    assert!(svg.starts_with("<svg") && svg.contains("OpenStreetMap contributors"));
    let empty: Value =
        serde_json::from_str(&db.ok(&["map", "query", "--bbox", "1,1,1,1", "--format", "geojson"])).unwrap();
    assert_eq!(empty["features"].as_array().unwrap().len(), 0);
}

#[test]
fn a_bad_file_is_an_error_that_leaves_the_database_as_it_was() {
    let db = Db::init();
    let before = db.json(&["status"])["feeds"].clone();
    let whole = std::fs::read(EXTRACT).unwrap();
    let file = db.path().with_extension("file");
    let name = file.to_str().unwrap();
    for content in [
        &whole[..whole.len() - 100],
        &whole[..200],
        b"PNG",
        b"{\"type\": \"FeatureCollection\", \"features\": [",
        b"",
    ] {
        std::fs::write(&file, content).unwrap();
        let error = db.fails(&["map", "import", name]);
        assert!(error.contains("db.file"), "{error}");
        assert_eq!(db.json(&["status"])["feeds"], before);
    }
    assert!(db.fails(&["map", "import", "/nowhere/x.pbf"]).contains("/nowhere/x.pbf"));
}

#[test]
fn bad_features_are_skipped_with_their_place() {
    let db = Db::init();
    let file = db.path().with_extension("ndjson");
    let bad = r#"{"type": "Feature", "id": "x", "properties": null, "geometry": {"type": "Point", "coordinates": [500, 1]}}"#;
    std::fs::write(
        &file,
        format!("{}\n{bad}\n{}\n", CAFE.replace('\n', " "), CAFE.replace('\n', " ").replace("cafe", "a7")),
    )
    .unwrap();
    let output = db.run(&["--json", "map", "import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "something was left out");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["features"].as_u64(), report["skipped"].as_u64()), (Some(2), Some(1)));
    assert_eq!(report["reasons"], serde_json::json!({ "off_the_map": 1 }));
    let told = String::from_utf8(output.stderr).unwrap();
    let told = told.lines().find(|line| line.contains("\"reason\"")).unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    let byte = CAFE.len() as u64 + 1;
    assert_eq!((&told["feature"], &told["line"], &told["byte"]), (&"x".into(), &2.into(), &byte.into()));
    assert_eq!(db.ids("-180,-90,180,90"), ["a7", "cafe"]);
}

#[test]
fn a_map_comes_from_a_pipe_and_says_what_of_it_is_not_kept() {
    let db = Db::init();
    let point = r#"{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[1,2,3]},"properties":{},"title":"x"}"#;
    let text = format!(r#"{{"type":"FeatureCollection","name":"layer","features":[{point}]}}"#);
    let report = db.feed(&["--json", "map", "import", "-"], &text);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["taken"], &report["unkept"]), (&1.into(), &serde_json::json!(["name"])));
    assert_eq!(db.ok(&["map", "get", "a"]).trim(), point);
}

#[test]
fn a_second_server_gets_a_clear_error_and_changes_nothing() {
    let db = Db::init();
    let server = crate::common::Server::start(&db);
    let (_, error) = db.ends(5, &["serve"]);
    let holder = format!("in use by process {} (kappa serve)", server.id());
    assert!(error.contains(&holder), "{error}");
    assert_eq!(db.json(&["status"])["node"], server.id());
    assert!(server.interrupt());
    db.ok(&["status"]);
}

#[test]
fn verify_lists_a_flipped_bit_and_the_rest_stays_readable() {
    let db = Db::helsinki();
    // Comes first by its id, and nothing else is made of it.
    db.feed(&["map", "put"], CAFE);
    let all = db.ids("-180,-90,180,90");
    let (segment, mut bytes) = files(&db.path().join("journal")).into_iter().next().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = db.run(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty());
    let left = db.ids("-180,-90,180,90");
    assert!(left.len() > all.len() / 2, "{} of {} are left", left.len(), all.len());
    let error = db.fails(&["map", "delete", &left[0]]);
    assert!(error.contains("damaged") && error.contains("kappa settle"), "{error}");
    // Its writer goes on in a new feed, and nothing is settled twice.
    let given_up = db.ok(&["settle"]);
    assert!(db.ok(&["feed", "list"]).contains(given_up.trim()), "{given_up}");
    assert_eq!(db.ok(&["settle"]), "");
    db.ok(&["map", "delete", &left[0]]);
    assert_eq!(db.ids("-180,-90,180,90"), left[1..]);
    assert!(db.ok(&["feed", "list"]).lines().count() == 2);
}

#[test]
fn derived_data_that_is_gone_or_damaged_is_made_anew() {
    let db = Db::helsinki();
    let expected = db.ids(STATION);
    let derived = db.path().join("derived");
    std::fs::remove_dir_all(&derived).unwrap();
    assert_eq!(db.ids(STATION), expected);
    for (path, bytes) in files(&derived) {
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_eq!(db.ids(STATION), expected);
    for (path, bytes) in files(&derived) {
        let noise: Vec<u8> = (0..bytes.len()).map(|i| (i * 7919 % 251) as u8).collect();
        std::fs::write(path, noise).unwrap();
    }
    assert_eq!(db.ids(STATION), expected);
    db.ok(&["rebuild"]);
    assert_eq!(db.ids(STATION), expected);
    assert_eq!(db.run(&["verify"]).status.code(), Some(0));
}
