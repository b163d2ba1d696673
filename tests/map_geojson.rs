//! GeoJSON that the program writes is a backup, and what somebody edits in it are edits of these elements.

use kappadb::export::{ExportFormat, Selection};
use kappadb::osm::{Element, Shape};
use kappadb::{Body, Database, Feature, ImportOptions, ImportReport, geojson};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

/// Two paths that share a crossing, which has tags, and a corner; a relation of both; a node by itself.
const TOWN: &str = r#"<osm version="0.6">
<node id="1" version="3" timestamp="2020-01-01T00:00:00Z" changeset="4" uid="5" user="Ada" lat="60.1" lon="24.90"><tag k="crossing" v="marked"/></node>
<node id="2" version="2" timestamp="2020-01-01T00:00:01Z" changeset="4" uid="5" user="Ada" lat="60.1" lon="24.92"/>
<node id="3" version="1" lat="60.2" lon="24.92"/><node id="4" version="1" lat="60.2" lon="24.90"/>
<node id="50" version="1" lat="60.12" lon="24.95"/>
<way id="10" version="2" user="Bo" uid="6"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way>
<way id="11" version="1"><nd ref="2"/><nd ref="3"/><nd ref="1"/><nd ref="9"/></way>
<way id="12" version="1"><nd ref="1"/><nd ref="4"/><nd ref="3"/><nd ref="2"/><nd ref="1"/><tag k="building" v="yes"/></way>
<relation id="20" version="1"><member type="way" ref="10" role="a"/><member type="node" ref="77" role=""/></relation></osm>"#;

struct World {
    dir: TempDir,
    database: Database,
    files: u32,
}

impl World {
    async fn new(base: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path().join("db")).create().await.unwrap();
        let mut world = World { dir, database, files: 0 };
        world.import(base).await;
        world
    }

    async fn import(&mut self, text: &str) -> ImportReport {
        self.files += 1;
        let file = self.dir.path().join(self.files.to_string());
        std::fs::write(&file, text).unwrap();
        self.database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap()
    }

    async fn feature(&self, id: &str) -> Feature {
        let found = self.database.map().get(id).await.unwrap().one().unwrap_or_else(|| panic!("no {id}"));
        assert!(!found.is_conflict());
        found.versions.into_iter().find_map(|version| version.feature).unwrap()
    }

    async fn element(&self, id: &str) -> Element {
        let Body::Osm(element) = self.feature(id).await.body else { panic!("{id} is an element") };
        element
    }

    /// The feature as `map get` prints it, as somebody has changed it.
    async fn edited(&self, id: &str, edit: impl FnOnce(&mut Value)) -> String {
        let mut value = geojson::to_geojson(&self.feature(id).await);
        edit(&mut value);
        value.to_string()
    }

    async fn put(&self, text: &str) {
        self.database.map().put(geojson::from_text_by_id(text).unwrap()).await.unwrap();
    }

    /// Degrees of a way's nodes, latitude first.
    async fn path(&self, id: &str) -> Vec<Option<(f64, f64)>> {
        let Shape::Way(nodes) = self.element(id).await.shape else { panic!("{id} is a way") };
        nodes.iter().map(|node| node.at.map(|at| (at.degrees().1, at.degrees().0))).collect()
    }

    async fn all(&self) -> BTreeMap<String, Feature> {
        let (map, mut all) = (self.database.map(), BTreeMap::new());
        let hits = map.list("", None, usize::MAX).await.unwrap().items;
        for found in map.load(&hits).await.unwrap().items {
            let feature = found.versions.into_iter().find_map(|version| version.feature).unwrap();
            all.insert(found.id, feature);
        }
        all
    }

    async fn export(&self, format: ExportFormat, file: &Path) {
        let out = std::io::BufWriter::new(File::create(file).unwrap());
        let report = self.database.map().export(Selection::Everything, format, out).await.unwrap();
        assert_eq!(report.left_out, 0);
    }
}

fn collection(features: &[String]) -> String {
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","))
}

async fn is_the_same_after(world: &World, format: ExportFormat) {
    let file = world.dir.path().join("backup");
    world.export(format, &file).await;
    let mut copy = World::new("<osm/>").await;
    let report = copy.import(&std::fs::read_to_string(&file).unwrap()).await;
    assert_eq!(report.skipped, 0, "{:?}", report.skips);
    let (expected, found) = (world.all().await, copy.all().await);
    assert!(found.keys().eq(expected.keys()), "the same ids");
    for (id, feature) in expected {
        assert_eq!(found.get(&id), Some(&feature), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_as_geojson_is_a_backup() {
    for base in [TOWN.to_owned(), collection(&[note()])] {
        let world = World::new(&base).await;
        for format in [ExportFormat::GeoJson, ExportFormat::Ndjson, ExportFormat::GeoJsonSeq] {
            is_the_same_after(&world, format).await;
        }
    }
}

fn note() -> String {
    r#"{"type":"Feature","id":"n1","geometry":{"type":"Point","coordinates":[1.0,2.0]},"properties":{"a":[1]}}"#.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_map_get_prints_and_map_put_reads_edits_that_element() {
    let world = World::new(TOWN).await;
    let before = world.element("n1").await;
    world.put(&world.edited("n1", |n1| n1["properties"]["crossing"] = json!("no")).await).await;
    let after = world.element("n1").await;
    assert_eq!(after.tag("crossing"), Some("no"));
    assert_eq!((after.shape, after.meta), (before.shape, before.meta));
    assert!(world.all().await.keys().all(|id| !id.starts_with("g:")));
    // Written by hand, without what the program says besides.
    let text = r#"{"type":"Feature","id":"n1","geometry":{"type":"Point","coordinates":[24.9,60.3]},"properties":{"a":"b"}}"#;
    world.put(text).await;
    assert_eq!(world.element("n1").await.version(), 3);
    assert_eq!(world.element("n1").await.tag("a"), Some("b"));
    assert_eq!(world.path("w10").await[0], Some((60.3, 24.9)), "its ways follow");
}

/// The end of w10, where w11 begins.
fn move_corner(w10: &mut Value) {
    w10["geometry"]["coordinates"][1] = json!([24.93, 60.15]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corner_that_is_moved_in_one_way_is_moved_in_all() {
    for by_hand in [true, false] {
        let mut world = World::new(TOWN).await;
        let text = world.edited("w10", move_corner).await;
        if by_hand {
            world.put(&text).await;
        } else {
            let report = world.import(&text).await;
            assert_eq!(report.skipped, 0, "{:?}", report.skips);
        }
        for (way, place) in [("w10", 1), ("w11", 0), ("w12", 3)] {
            assert_eq!(world.path(way).await[place], Some((60.15, 24.93)), "{way} {by_hand}");
        }
        assert_eq!(world.path("w11").await[3], None, "what is not known stays so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_moved_in_a_way_keeps_its_tags() {
    for by_hand in [true, false] {
        let mut world = World::new(TOWN).await;
        let text = world.edited("w10", |w10| w10["geometry"]["coordinates"][0] = json!([24.91, 60.11])).await;
        if by_hand {
            world.put(&text).await;
        } else {
            world.import(&text).await;
        }
        let n1 = world.element("n1").await;
        assert_eq!((n1.tag("crossing"), n1.version()), (Some("marked"), 3));
        let Shape::Node(at) = n1.shape else { panic!("n1 is a node") };
        assert_eq!(at.degrees(), (24.91, 60.11));
        assert_eq!(world.path("w12").await[4], Some((60.11, 24.91)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_from_before_undoes_nothing() {
    let mut world = World::new(TOWN).await;
    let file = world.dir.path().join("before");
    world.export(ExportFormat::GeoJson, &file).await;
    let before = std::fs::read_to_string(&file).unwrap();
    let edited = world.edited("n1", |n1| n1["properties"]["crossing"] = json!("no")).await;
    world.put(&edited).await;
    world.put(&world.edited("w10", move_corner).await).await;
    world.database.map().delete("w12").await.unwrap();
    let expected = world.all().await;
    let report = world.import(&before).await;
    assert_eq!((report.blocks, report.skipped), (0, 0), "{report:?}");
    assert_eq!(world.all().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_that_disagree_about_a_node_are_told() {
    let mut world = World::new(TOWN).await;
    let file = world.dir.path().join("before");
    world.export(ExportFormat::Ndjson, &file).await;
    let moved = world.edited("w10", move_corner).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| if line.contains(r#""id":"w10""#) { moved.as_str() } else { line });
    let report = world.import(&lines.collect::<Vec<_>>().join("\n")).await;
    assert_eq!(report.skipped, 1, "{:?}", report.skips);
    assert_eq!(report.skips[0].id.as_deref(), Some("n2"));
    let place = world.path("w10").await[1];
    assert_eq!((world.path("w11").await[0], world.path("w12").await[3]), (place, place), "one place");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_geojson_cannot_say_stays_as_it_was() {
    let mut world = World::new(TOWN).await;
    let expected = world.all().await;
    let drop_nodes = |w10: &mut Value| {
        w10["properties"].as_object_mut().unwrap().remove("@nodes");
    };
    let longer = |w10: &mut Value| {
        w10["geometry"]["coordinates"].as_array_mut().unwrap().push(json!([1, 2]));
    };
    for text in [world.edited("w10", drop_nodes).await, world.edited("w10", longer).await] {
        let report = world.import(&text).await;
        assert_eq!((report.skipped, report.blocks), (1, 0));
        assert!(geojson::from_text_by_id(&text).is_err());
    }
    assert_eq!(world.all().await, expected);
    // A table that has no room for metadata, and a column for every tag.
    let text = world
        .edited("w10", |w10| {
            let properties = w10["properties"].as_object_mut().unwrap();
            properties.retain(|name, _| {
                !name.starts_with('@') || ["@type", "@id", "@nodes"].contains(&name.as_str())
            });
            properties.insert("surface".to_owned(), json!("gravel"));
            properties.insert("building".to_owned(), Value::Null);
        })
        .await;
    world.import(&text).await;
    let (w10, before) = (world.element("w10").await, expected["w10"].clone());
    let Body::Osm(before) = before.body else { panic!("an element") };
    assert_eq!((&w10.shape, &w10.meta), (&before.shape, &before.meta));
    assert_eq!((w10.tag("surface"), w10.tag("building")), (Some("gravel"), None));
}

/// Two ways around a square with a hole, and a boundary of which a way is not in the file.
const LAKE: &str = r#"<osm version="0.6">
<node id="1" lat="0" lon="0"/><node id="2" lat="0" lon="9"/><node id="3" lat="9" lon="9"/><node id="4" lat="9" lon="0"/>
<node id="5" lat="3" lon="3"/><node id="6" lat="3" lon="6"/><node id="7" lat="6" lon="6"/>
<way id="10"><nd ref="1"/><nd ref="4"/><nd ref="3"/></way><way id="11"><nd ref="1"/><nd ref="2"/><nd ref="3"/></way>
<way id="12"><nd ref="5"/><nd ref="6"/><nd ref="7"/><nd ref="5"/></way>
<relation id="20"><member type="way" ref="12" role="inner"/><member type="way" ref="10" role="outer"/><member type="way" ref="11" role="outer"/>
<tag k="type" v="multipolygon"/><tag k="natural" v="water"/></relation>
<relation id="21"><member type="way" ref="10" role="outer"/><member type="way" ref="99" role="outer"/><tag k="type" v="boundary"/></relation>
<relation id="22"><member type="way" ref="10" role=""/><tag k="type" v="route"/></relation></osm>"#;

#[tokio::test(flavor = "multi_thread")]
async fn multipolygons_have_their_area_in_geojson() {
    let world = World::new(LAKE).await;
    let (file, map) = (world.dir.path().join("out"), world.database.map());
    let out = File::create(&file).unwrap();
    let report = map.export(Selection::Everything, ExportFormat::GeoJson, out).await.unwrap();
    assert_eq!((report.features, report.without_area), (6, 1));
    let all: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let features = all["features"].as_array().unwrap();
    let geometry =
        |id: &str| features.iter().find(|feature| feature["id"] == id).unwrap()["geometry"].clone();
    let outer = json!([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0], [0.0, 0.0]]);
    let lake = geometry("r20");
    assert_eq!(lake["type"], "Polygon");
    let rings = lake["coordinates"].as_array().unwrap();
    assert_eq!((rings.len(), &rings[1]), (2, &json!([[3.0, 3.0], [6.0, 6.0], [6.0, 3.0], [3.0, 3.0]])));
    assert_eq!(rings[0], outer, "counterclockwise");
    assert_eq!((geometry("r21"), geometry("r22")), (Value::Null, Value::Null));
    // By its id, too; and it reads back as the relation that it is.
    let found = map.get("r20").await.unwrap().one().unwrap();
    let texts = map.texts(&found).await.unwrap();
    let text: Value = serde_json::from_str(&texts.list[0]).unwrap();
    assert_eq!((&text["geometry"], texts.without_area), (&lake, false));
    assert_eq!(geojson::from_text(&texts.list[0]).as_ref(), Ok(&world.feature("r20").await));
    // Its ways move, and so does it.
    world.put(&world.edited("w11", |w11| w11["geometry"]["coordinates"][1] = json!([12, 0])).await).await;
    let texts = map.texts(&map.get("r20").await.unwrap().one().unwrap()).await.unwrap();
    assert!(texts.list[0].contains("[12.0,0.0]"), "{}", texts.list[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nowhere_and_what_has_no_form_is_kept_or_counted() {
    let world = World::new(
        r#"<osm version="0.6"><node id="50" version="1" lat="60.12" lon="24.95"/>
<way id="10" version="1"><tag k="note" v="of nothing"/></way>
<relation id="20" version="1"><member type="way" ref="99" role=""/><tag k="type" v="route"/></relation></osm>"#,
    )
    .await;
    world.put(r#"{"type":"Feature","id":"mine","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}"#).await;
    let (file, map) = (world.dir.path().join("out"), world.database.map());
    for (format, features, no_form) in [
        (ExportFormat::GeoJson, 4, 0),
        (ExportFormat::Ndjson, 4, 0),
        (ExportFormat::GeoJsonSeq, 4, 0),
        (ExportFormat::OsmXml, 3, 1),
    ] {
        let out = File::create(&file).unwrap();
        let report = map.export(Selection::Everything, format, out).await.unwrap();
        assert_eq!((report.features, report.no_form, report.left_out), (features, no_form, 0), "{format:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        let has = |xml: &str, json: &str| text.contains(xml) || text.contains(json);
        assert!(has(r#"<node id="50""#, r#""id":"n50""#), "{text}");
        assert!(has(r#"<way id="10""#, r#""id":"w10""#), "{text}");
        assert!(has(r#"<relation id="20""#, r#""id":"r20""#), "{text}");
    }
}
