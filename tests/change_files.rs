//! Change files of OpenStreetMap applied to a map that is held: create, modify, delete, with OSM's versions.

use kappadb::{Database, Extent, Feature, ImportOptions, ImportReport, Map};
use kappadb_geo::{Body, Element, Shape};
use std::path::PathBuf;
use tempfile::TempDir;

struct World {
    dir: TempDir,
    database: Database,
    files: u32,
}

impl World {
    /// A street of two ways with a lamp, a pub beside it, and a route of both ways.
    async fn new() -> World {
        let dir = tempfile::tempdir().expect("temp dir");
        let database = Database::builder(dir.path().join("db")).create().await.expect("create");
        let mut world = World { dir, database, files: 0 };
        let report = world
            .import(
                r#"<osm version="0.6">
                <node id="1" version="1" lat="1" lon="1"/>
                <node id="2" version="1" lat="1" lon="2"><tag k="highway" v="street_lamp"/></node>
                <node id="3" version="1" lat="1" lon="3"/>
                <node id="4" version="3" lat="1.5" lon="1.5"><tag k="amenity" v="pub"/></node>
                <way id="1" version="2"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way>
                <way id="2" version="1"><nd ref="2"/><nd ref="3"/><tag k="highway" v="path"/></way>
                <relation id="1" version="1"><member type="way" ref="1" role=""/><member type="way" ref="2" role=""/>
                    <tag k="type" v="route"/></relation>
                </osm>"#,
            )
            .await;
        assert_eq!((report.nodes, report.ways, report.relations, report.blocks), (2, 2, 1, 5));
        world
    }

    fn map(&self) -> Map {
        self.database.map()
    }

    async fn import(&mut self, text: &str) -> ImportReport {
        self.files += 1;
        let file: PathBuf = self.dir.path().join(format!("{}.xml", self.files));
        std::fs::write(&file, format!("<?xml version='1.0' encoding='UTF-8'?>\n{text}")).expect("write");
        self.map().import(&file, ImportOptions::default(), |_| ()).await.expect("import")
    }

    async fn element(&self, id: &str) -> Option<Element> {
        let found = self.map().get(id).await.expect("get").one()?;
        let feature: Feature = found.versions.into_iter().find_map(|version| version.feature)?;
        match feature.body {
            Body::Osm(element) => Some(element),
            Body::Free(_) => None,
        }
    }

    /// The ids of what touches a box.
    async fn at(&self, bbox: &str) -> Vec<String> {
        let extent: Extent = bbox.parse().expect("a box");
        let hits = self.map().query(&extent, None).await.expect("query").items;
        hits.into_iter().map(|hit| hit.id).collect()
    }

    /// Degrees of a way's nodes.
    async fn path(&self, id: &str) -> Vec<(f64, f64)> {
        let Some(Element { shape: Shape::Way(nodes), .. }) = self.element(id).await else { panic!("{id}") };
        nodes.iter().map(|node| node.at.expect("a position").degrees()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_modify_and_delete_are_applied_and_again_without_effect() {
    let mut world = World::new().await;
    let change = r#"<osmChange version="0.6">
        <create><node id="9" version="1" lat="5" lon="5"><tag k="shop" v="books"/></node></create>
        <modify><node id="4" version="4" lat="1.6" lon="1.6"><tag k="amenity" v="bar"/></node></modify>
        <delete><way id="2" version="2"/></delete>
        </osmChange>"#;
    let report = world.import(change).await;
    assert_eq!(
        (report.blocks, report.deletes, report.older, report.skipped),
        (5, 1, 0, 0),
        "n3 stays behind, the route is shorter"
    );
    assert_eq!(world.at("5,5,5,5").await, ["n9"]);
    assert_eq!(world.element("n4").await.expect("there").tag("amenity"), Some("bar"));
    assert_eq!(world.element("w2").await, None);

    let again = world.import(change).await;
    assert_eq!((again.blocks, again.unchanged, again.older), (0, 3, 0));
    // What comes late does not undo what came after it, not even a delete.
    let late = r#"<osmChange version="0.6">
        <modify><node id="4" version="3" lat="0" lon="0"><tag k="amenity" v="cafe"/></node>
                <way id="2" version="1"><nd ref="2"/><nd ref="3"/><tag k="highway" v="path"/></way></modify>
        </osmChange>"#;
    let report = world.import(late).await;
    assert_eq!((report.blocks, report.older), (0, 2));
    assert_eq!(world.element("w2").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moves_takes_its_ways_and_their_relations_along() {
    let mut world = World::new().await;
    assert_eq!(world.at("1,3,4,4").await, Vec::<String>::new());
    let report = world
        .import(
            r#"<osmChange version="0.6"><modify>
            <node id="2" version="2" lat="3.5" lon="2"><tag k="highway" v="street_lamp"/></node>
            <node id="3" version="2" lat="1" lon="3.5"/>
            </modify></osmChange>"#,
        )
        .await;
    assert_eq!((report.blocks, report.skipped), (4, 0), "the lamp, two ways, the route around them");
    assert_eq!(world.path("w1").await, [(1.0, 1.0), (2.0, 3.5)]);
    assert_eq!(world.path("w2").await, [(2.0, 3.5), (3.5, 1.0)]);
    assert_eq!(world.at("1,3,4,4").await, ["n2", "r1", "w1", "w2"]);
    assert_eq!(world.at("3.4,1,3.4,1").await, ["r1", "w2"]);
    assert_eq!(world.element("w1").await.expect("there").meta.expect("meta").version, 2, "not edited itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_does_not_know_of_a_way_is_filled_in() {
    let mut world = World::new().await;
    let report = world
        .import(
            r#"<osmChange version="0.6">
            <create>
                <way id="7" version="1"><nd ref="3"/><nd ref="2"/><nd ref="50"/><tag k="highway" v="steps"/></way>
                <way id="8" version="1"><nd ref="77"/><nd ref="78"/></way>
            </create>
            <modify><way id="1" version="3"><nd ref="1"/><nd ref="2"/><nd ref="3"/></way></modify>
            <create><node id="50" version="1" lat="2" lon="2"/></create>
            </osmChange>"#,
        )
        .await;
    assert_eq!(report.skipped, 0);
    assert!(world.element("w8").await.is_some(), "nobody knows where it is, but it is there");
    assert_eq!(world.path("w7").await, [(3.0, 1.0), (2.0, 1.0), (2.0, 2.0)]);
    assert_eq!(world.path("w1").await, [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]);
    assert_eq!(world.element("n50").await, None, "a node without tags is no feature by itself");
    let referrers = world.map().referrers(&["n3".to_owned()]).await.expect("referrers").items;
    assert_eq!(referrers.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["w1", "w2", "w7"]);
}
