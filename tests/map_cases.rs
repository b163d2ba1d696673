//! Small files that went wrong, each by what a user saw. The right values are what osmium makes of them, or an editor meant.

use kappadb::export::{ExportFormat, Selection};
use kappadb::osm::{Element, Shape};
use kappadb::{Body, Database, Extent, Feature, Ids, ImportOptions, ImportReport};
use std::fmt::Write as _;
use std::fs::File;
use tempfile::TempDir;

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
        self.with(text, ImportOptions::default()).await
    }

    async fn with(&mut self, text: &str, options: ImportOptions) -> ImportReport {
        self.files += 1;
        let file = self.dir.path().join(self.files.to_string());
        std::fs::write(&file, text).unwrap();
        let report = self.database.map().import(&file, options, |_| ()).await.unwrap();
        assert_eq!(report.skipped, 0, "{:?}", report.skips);
        report
    }

    async fn feature(&self, id: &str) -> Option<Feature> {
        let found = self.database.map().get(id).await.unwrap().one()?;
        found.versions.into_iter().find_map(|version| version.feature)
    }

    async fn element(&self, id: &str) -> Option<Element> {
        match self.feature(id).await?.body {
            Body::Osm(element) => Some(element),
            Body::Free(_) => None,
        }
    }

    /// Degrees of a way's nodes, latitude first.
    async fn path(&self, id: &str) -> Vec<Option<(f64, f64)>> {
        let Some(Element { shape: Shape::Way(nodes), .. }) = self.element(id).await else { panic!("{id}") };
        let degrees = |node: &kappadb_geo::WayNode| node.at.map(|at| (at.degrees().1, at.degrees().0));
        nodes.iter().map(degrees).collect()
    }

    async fn at(&self, bbox: &str) -> Vec<String> {
        let extent: Extent = bbox.parse().unwrap();
        let hits = self.database.map().query(&extent, None).await.unwrap().items;
        hits.into_iter().map(|hit| hit.id).collect()
    }

    async fn exported(&self, format: ExportFormat) -> String {
        let file = self.dir.path().join("out");
        let out = File::create(&file).unwrap();
        self.database.map().export(Selection::Everything, format, out).await.unwrap();
        std::fs::read_to_string(&file).unwrap()
    }
}

/// A path of four nodes, and one that nothing has.
const PATH: &str = r#"<osm version="0.6"><node id="1" version="1" lat="60.1" lon="24.90"/>
<node id="2" version="1" lat="60.1" lon="24.92"/><node id="3" version="1" lat="60.1" lon="24.94"/>
<node id="4" version="1" lat="60.1" lon="24.96"/><node id="50" version="1" lat="60.12" lon="24.90"/>
<way id="10" version="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><tag k="highway" v="path"/></way></osm>"#;

fn change(text: &str) -> String {
    format!(r#"<osmChange version="0.6">{text}</osmChange>"#)
}

fn way(id: i64, version: u32, nodes: &[i64]) -> String {
    let nodes: String = nodes.iter().map(|id| format!(r#"<nd ref="{id}"/>"#)).collect();
    format!(r#"<way id="{id}" version="{version}">{nodes}<tag k="highway" v="path"/></way>"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_came_in_one_file_are_in_the_way_of_the_next() {
    let mut world = World::new(PATH).await;
    world
        .import(&change(
            r#"<create><node id="100" version="1" lat="60.2" lon="24.90"/><node id="101" version="1" lat="60.2" lon="24.95"/></create>"#,
        ))
        .await;
    assert_eq!(
        world.at("24.8,60.15,25,60.25").await,
        Vec::<String>::new(),
        "they are not shown by themselves"
    );
    world.import(&change(&format!("<create>{}</create>", way(20, 1, &[100, 101])))).await;
    assert_eq!(world.path("w20").await, [Some((60.2, 24.90)), Some((60.2, 24.95))]);
    assert_eq!(world.at("24.8,60.15,25,60.25").await, ["w20"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_of_a_free_node_of_the_base_map_is_a_line() {
    let mut world = World::new(PATH).await;
    let report = world.import(&change(&format!("<create>{}</create>", way(21, 1, &[50, 1])))).await;
    assert_eq!((report.taken, report.skipped), (1, 0));
    assert_eq!(world.path("w21").await, [Some((60.12, 24.90)), Some((60.1, 24.90))]);
    assert!(world.exported(ExportFormat::Ndjson).await.contains(r#""id":"w21","geometry":{"coordinates""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_split_over_two_files_keeps_its_nodes() {
    for together in [false, true] {
        let mut world = World::new(PATH).await;
        let first = format!("<modify>{}</modify>", way(10, 2, &[1, 2]));
        let second = format!("<create>{}</create>", way(11, 1, &[2, 3, 4]));
        if together {
            world.import(&change(&(first + &second))).await;
        } else {
            world.import(&change(&first)).await;
            world.import(&change(&second)).await;
        }
        assert_eq!(world.path("w11").await, [Some((60.1, 24.92)), Some((60.1, 24.94)), Some((60.1, 24.96))]);
        assert_eq!(world.path("w10").await, [Some((60.1, 24.90)), Some((60.1, 24.92))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_hundred_ways_that_are_split_in_one_file_keep_their_nodes() {
    let (mut base, mut split) = (String::from("<osm>"), String::new());
    for n in 0..1_500i64 {
        for node in 0..4 {
            let (id, lon) = (10 * n + node + 1, 0.001 * n as f64 + 0.0001 * node as f64);
            write!(base, r#"<node id="{id}" version="1" lat="1" lon="{lon:.7}"/>"#).unwrap();
        }
        let node = |at: i64| 10 * n + at + 1;
        split += &format!("<modify>{}</modify>", way(n + 1, 2, &[node(0), node(1)]));
        split += &format!("<create>{}</create>", way(n + 5_001, 1, &[node(1), node(2), node(3)]));
    }
    (0..1_500i64).for_each(|n| base += &way(n + 1, 1, &[10 * n + 1, 10 * n + 2, 10 * n + 3, 10 * n + 4]));
    let mut world = World::new(&(base + "</osm>")).await;
    world.import(&change(&split)).await;
    for n in 0..1_500 {
        assert!(world.path(&format!("w{}", n + 5_001)).await.iter().all(Option::is_some), "way {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_was_deleted_is_restored_where_it_was() {
    let mut world = World::new(PATH).await;
    world.import(&change(r#"<delete><way id="10" version="2"/></delete>"#)).await;
    let text = world.exported(ExportFormat::OsmXml).await;
    for id in [1, 2, 3, 4, 50] {
        assert!(
            text.contains(&format!(r#"<node id="{id}" version="1" lat="#)),
            "{id} is there still: {text}"
        );
    }
    world.import(&change(&format!("<modify>{}</modify>", way(10, 3, &[1, 2, 3, 4])))).await;
    assert!(world.path("w10").await.iter().all(Option::is_some));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_diff_that_is_applied_again_moves_no_node_back() {
    let mut world = World::new(PATH).await;
    let to = |version: u32, lat: f64| {
        change(&format!(r#"<modify><node id="2" version="{version}" lat="{lat}" lon="24.92"/></modify>"#))
    };
    world.import(&to(2, 60.2)).await;
    world.import(&to(3, 60.3)).await;
    let report = world.import(&to(2, 60.2)).await;
    assert_eq!((report.blocks, report.older), (0, 1));
    assert_eq!(world.path("w10").await[1], Some((60.3, 24.92)));
    // A base map again, and an extract from before.
    let report = world.import(PATH).await;
    assert_eq!(report.blocks, 0);
    assert_eq!(world.path("w10").await[1], Some((60.3, 24.92)));
}

const SHOP: &str =
    r#"<osm><node id="7" version="2" lat="60.1" lon="24.9"><tag k="shop" v="x"/></node></osm>"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_comes_before_what_it_deletes_holds() {
    let mut world = World::new("<osm/>").await;
    world.import(&change(r#"<delete><node id="7" version="3" lat="0" lon="0"/></delete>"#)).await;
    let report = world.import(SHOP).await;
    assert_eq!((report.blocks, report.older), (0, 1));
    assert_eq!(world.element("n7").await, None);
    // The same where the delete names the version that it ends.
    let mut world = World::new(SHOP).await;
    world.import(&change(r#"<delete><node id="7" version="2" lat="60.1" lon="24.9"/></delete>"#)).await;
    assert_eq!(world.element("n7").await, None);
    assert_eq!(world.import(SHOP).await.blocks, 0);
    assert_eq!(world.element("n7").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_versions_in_one_change_file_the_highest_counts_wherever_it_stands() {
    let mut world = World::new("<osm/>").await;
    world
        .import(&change(
            r#"<modify><node id="7" version="3" lat="60.1" lon="24.9"><tag k="shop" v="three"/></node></modify>
            <create><node id="7" version="1" lat="60.1" lon="24.9"><tag k="shop" v="one"/></node></create>"#,
        ))
        .await;
    assert_eq!(world.element("n7").await.unwrap().tag("shop"), Some("three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editors_change_that_carries_the_version_it_began_from_is_taken() {
    let mut world = World::new(SHOP).await;
    let edit = change(
        r#"<modify><node id="7" version="2" lat="60.1" lon="24.9"><tag k="shop" v="y"/></node></modify>"#,
    );
    assert_eq!(world.import(&edit).await.taken, 1);
    assert_eq!(world.element("n7").await.unwrap().tag("shop"), Some("y"));
    assert_eq!(world.import(&edit).await.unchanged, 1);
    // The base map again does not undo it.
    assert_eq!(world.import(SHOP).await.blocks, 0);
    assert_eq!(world.element("n7").await.unwrap().tag("shop"), Some("y"));
    assert_eq!(world.with(SHOP, ImportOptions { force: true, ..ImportOptions::default() }).await.taken, 1);
    assert_eq!(world.element("n7").await.unwrap().tag("shop"), Some("x"));
}

const STREET: &str = r#"<osm version="0.6"><node id="1" version="1" lat="60.1" lon="24.9"><tag k="shop" v="bakery"/></node>
<node id="2" version="1" lat="60.1" lon="24.95"/>
<way id="10" version="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="path"/></way>
<relation id="5" version="1"><member type="way" ref="10" role=""/><member type="relation" ref="6" role=""/></relation>
<relation id="6" version="1"><member type="relation" ref="5" role=""/></relation>
<relation id="7" version="1"><member type="relation" ref="6" role=""/></relation></osm>"#;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_were_moved_in_an_editor_without_their_way_take_it_along_and_all_relations_above() {
    let mut world = World::new(STREET).await;
    world
        .import(
            r#"<osm version="0.6" generator="JOSM"><node id="2" action="modify" version="1" lat="60.3" lon="24.95"/>
            <node id="1" action="modify" version="1" lat="60.4" lon="24.9"><tag k="shop" v="bakery"/></node></osm>"#,
        )
        .await;
    assert_eq!(world.path("w10").await, [Some((60.4, 24.9)), Some((60.3, 24.95))]);
    assert_eq!(world.at("24,60.35,25,60.45").await, ["n1", "r5", "r6", "r7", "w10"]);
    assert_eq!(world.at("24,60.05,25,60.15").await, Vec::<String>::new(), "nothing is left behind");
    let text = world.exported(ExportFormat::OsmXml).await;
    assert!(text.contains(r#"<node id="2" version="1" lat="60.3000000""#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_moved_by_hand_takes_its_way_along() {
    let world = World::new(STREET).await;
    let mut node = world.feature("n1").await.unwrap();
    let Body::Osm(Element { shape, .. }) = &mut node.body else { panic!() };
    *shape = Shape::Node(kappadb::Coord { lon: 249_000_000, lat: 604_000_000 });
    world.database.map().put(node).await.unwrap();
    assert_eq!(world.path("w10").await, [Some((60.4, 24.9)), Some((60.1, 24.95))]);
    assert_eq!(world.at("24,60.35,25,60.45").await, ["n1", "r5", "r6", "r7", "w10"]);
    world.database.map().delete("w10").await.unwrap();
    let text = world.exported(ExportFormat::OsmXml).await;
    assert!(text.contains(r#"<node id="2" version="1""#), "{text}");
    assert!(!text.contains("<way"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_tags_in_a_newer_extract_has_none_anywhere() {
    let mut world = World::new(STREET).await;
    let newer = STREET.replace(
        r#"<node id="1" version="1" lat="60.1" lon="24.9"><tag k="shop" v="bakery"/></node>"#,
        r#"<node id="1" version="2" lat="60.2" lon="24.9"/>"#,
    );
    world.import(&newer).await;
    assert_eq!(world.path("w10").await, [Some((60.2, 24.9)), Some((60.1, 24.95))]);
    assert_eq!(world.at("24,60.15,25,60.25").await, ["r5", "r6", "r7", "w10"]);
    for format in [ExportFormat::OsmXml, ExportFormat::Ndjson] {
        assert!(!world.exported(format).await.contains("bakery"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbours_extract_with_a_clipped_way_takes_nothing_away_and_the_whole_one_fills_it_in() {
    let clipped = |text: &str| text.replace(r#"<node id="4" version="1" lat="60.1" lon="24.96"/>"#, "");
    let short = PATH.replace(r#"<nd ref="3"/><nd ref="4"/>"#, "");
    let whole = [24.90, 24.92, 24.94, 24.96].map(|lon| Some((60.1, lon)));
    for other in [clipped(PATH), short] {
        let mut world = World::new(PATH).await;
        world.import(&other).await;
        assert_eq!(world.path("w10").await, whole);
        let mut world = World::new(&other).await;
        world.import(PATH).await;
        assert_eq!(world.path("w10").await, whole);
    }
}

const POINTS: &str = r#"{"type":"FeatureCollection","features":[
{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[1,1]},"properties":{"n":1}},
{"type":"Feature","id":"b","geometry":{"type":"Point","coordinates":[2,2]},"properties":{"n":1}}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_base_layer_that_is_imported_again_undoes_neither_a_correction_nor_a_deletion() {
    let mut world = World::new(POINTS).await;
    world.import(&POINTS.replace(r#"{"n":1}"#, r#"{"n":2}"#)).await;
    world.database.map().delete("b").await.unwrap();
    let report = world.import(POINTS).await;
    assert_eq!((report.blocks, report.older), (0, 2));
    assert_eq!(world.feature("b").await, None);
    let report = world.with(POINTS, ImportOptions { force: true, ..ImportOptions::default() }).await;
    assert_eq!(report.taken, 2);
    assert!(world.feature("b").await.is_some());
}

fn drawing(lat: f64, tag: &str) -> String {
    format!(
        r#"<osm version="0.6" generator="JOSM"><node id="-1" action="modify" visible="true" lat="{lat}" lon="24.9"><tag k="natural" v="{tag}"/></node>
<node id="-2" action="modify" lat="{lat}" lon="24.95"/><way id="-3" action="modify"><nd ref="-1"/><nd ref="-2"/><nd ref="7"/><tag k="highway" v="path"/></way>
<relation id="-4" action="modify"><member type="way" ref="-3" role=""/><member type="node" ref="-1" role="x"/><tag k="type" v="site"/></relation></osm>"#
    )
}

#[tokio::test]
async fn new_elements_of_two_editors_files_do_not_overwrite_each_other() {
    let mut world = World::new(PATH).await;
    let (anna, bert) = (drawing(60.3, "tree"), drawing(10.3, "rock"));
    for text in [&anna, &bert] {
        assert_eq!(world.import(text).await.renamed, 4);
    }
    for (lat, tag) in [(60.3, "tree"), (10.3, "rock")] {
        let ids = world.at(&format!("24.8,{},25,{}", lat - 0.01, lat + 0.01)).await;
        assert_eq!(ids.len(), 3, "{ids:?}");
        let [node, relation, way] = &ids[..] else { panic!("{ids:?}") };
        assert_eq!(world.element(node).await.unwrap().tag("natural"), Some(tag));
        assert_eq!(world.path(way).await, [Some((lat, 24.9)), Some((lat, 24.95)), None]);
        let Shape::Way(nodes) = world.element(way).await.unwrap().shape else { panic!("{way}") };
        assert_eq!((format!("n{}", nodes[0].id), nodes[2].id), (node.clone(), 7));
        assert!(nodes[0].id < -(1 << 62));
        let Shape::Relation { members, .. } = world.element(relation).await.unwrap().shape else { panic!() };
        assert_eq!(
            [format!("w{}", members[0].id), format!("n{}", members[1].id)],
            [way.clone(), node.clone()]
        );
    }
    let again = world.import(&anna).await;
    assert_eq!((again.taken, again.blocks), (0, 0), "the same file has the same ids");
    // They are no placeholders any more: an export comes back as the same elements.
    let export = world.exported(ExportFormat::OsmXml).await;
    let back = world.import(&export).await;
    assert_eq!((back.renamed, back.blocks), (0, 0));
}

#[tokio::test]
async fn a_drawing_that_is_saved_again_goes_on_under_its_name() {
    let mut world = World::new(PATH).await;
    let named = || ImportOptions { ids: Ids::Named("anna".to_owned()), ..ImportOptions::default() };
    world.with(&drawing(60.3, "tree"), named()).await;
    world.with(&drawing(60.4, "rock"), named()).await;
    assert!(world.at("24.8,60.29,25,60.31").await.is_empty());
    assert_eq!(world.at("24.8,60.39,25,60.41").await.len(), 3);
    let keep = || ImportOptions { ids: Ids::Keep, ..ImportOptions::default() };
    assert_eq!(world.with(&drawing(60.5, "tree"), keep()).await.renamed, 0);
    assert_eq!(world.element("n-1").await.unwrap().tag("natural"), Some("tree"));
}

fn layer(ids: &str, lat: f64) -> String {
    let feature = |id: &str| {
        format!(
            r#"{{"type":"Feature","id":{id},"geometry":{{"type":"Point","coordinates":[5,{lat}]}},"properties":{{"id":{id}}}}}"#
        )
    };
    let features: Vec<String> = ids.split(' ').map(feature).collect();
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn row_numbers_of_two_layers_do_not_overwrite_each_other() {
    let mut world = World::new("<osm/>").await;
    for (ids, lat) in [("0 1 2", 1.0), ("0 1", 2.0), (r#""0" "1""#, 3.0)] {
        let report = world.import(&layer(ids, lat)).await;
        assert_eq!((report.taken, report.renamed), (report.features, report.features), "{ids}");
        assert_eq!(world.import(&layer(ids, lat)).await.blocks, 0, "the same file again");
    }
    for (lat, count) in [(1, 3), (2, 2), (3, 2)] {
        assert_eq!(world.at(&format!("4,{lat},6,{lat}")).await.len(), count);
    }
    // Texts are names that somebody gave.
    assert_eq!(world.import(&layer(r#""007" "a1" "1.5""#, 4.0)).await.renamed, 0);
    assert_eq!(world.at("4,4,6,4").await, ["007", "1.5", "a1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_numbers_of_collections_in_one_file_do_not_overwrite_each_other() {
    let mut world = World::new("<osm/>").await;
    let text = [1.0, 2.0, 3.0].map(|lat| format!("\u{1e}{}\n", layer("0 1", lat))).concat();
    assert_eq!(world.import(&text).await.taken, 6);
    let text = [4.0, 5.0].map(|lat| layer("0 1", lat)).join("\n");
    assert_eq!(world.import(&text).await.taken, 4);
    assert_eq!(world.at("4,0,6,6").await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_saved_again_goes_on_under_its_name() {
    let mut world = World::new("<osm/>").await;
    let named = |ids: Ids| ImportOptions { ids, ..ImportOptions::default() };
    let trees = || named(Ids::Named("trees".to_owned()));
    world.with(&layer("0 1", 1.0), trees()).await;
    world.with(&layer("0 1", 2.0), trees()).await;
    // As lines, too.
    let lines =
        layer("0", 3.0).replace(r#"{"type":"FeatureCollection","features":["#, "").replace("}]}", "}\n");
    world.with(&lines, trees()).await;
    assert_eq!((world.at("4,0,6,1.5").await.len(), world.at("4,1.5,6,4").await.len()), (0, 2));
    assert_eq!(world.with(&layer("7 8", 5.0), named(Ids::Keep)).await.renamed, 0);
    assert_eq!(world.at("4,5,6,5").await, ["g:7", "g:8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_with_row_numbers_comes_back_as_the_same_features_and_edits_in_it_are_edits() {
    let mut world = World::new("<osm/>").await;
    world.import(&layer("0 1", 1.0)).await;
    world.with(&layer("7", 2.0), ImportOptions { ids: Ids::Keep, ..ImportOptions::default() }).await;
    let put = kappadb::geojson::from_text_by_id(
        r#"{"type":"Feature","id":9,"geometry":{"type":"Point","coordinates":[5,3]},"properties":{}}"#,
    );
    world.database.map().put(put.unwrap()).await.unwrap();
    for format in [ExportFormat::GeoJson, ExportFormat::Ndjson, ExportFormat::GeoJsonSeq] {
        let text = world.exported(format).await;
        let report = world.import(&text).await;
        assert_eq!((report.features, report.blocks, report.renamed), (4, 0, 0), "{format:?}");
    }
    let edited = world.exported(ExportFormat::GeoJson).await.replace("[5.0,1.0]", "[5.0,8.0]");
    assert_eq!(world.import(&edited).await.taken, 2);
    assert_eq!((world.at("4,8,6,8").await.len(), world.at("4,0,6,9").await.len()), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_deleted_while_a_way_has_it_is_nowhere_as_osmium_leaves_it() {
    let mut world = World::new(PATH).await;
    let delete = change(r#"<delete><node id="2" version="2"/></delete>"#);
    world.import(&delete).await;
    let left = [Some((60.1, 24.90)), None, Some((60.1, 24.94)), Some((60.1, 24.96))];
    assert_eq!(world.path("w10").await, left);
    assert_eq!(world.import(&delete).await.blocks, 0, "the same again");
    let map = world.database.map();
    let mut out = world.dir.path().join("out");
    for (format, node, way) in [
        (ExportFormat::OsmXml, r#"<node id="2""#, r#"<nd ref="2"/>"#),
        (ExportFormat::Ndjson, r#""id":"n2""#, r#""@nodes":[1,2,3,4]"#),
    ] {
        out.set_extension(format!("{format:?}"));
        let file = File::create(&out).unwrap();
        let report = map.export(Selection::Everything, format, file).await.unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(!text.contains(node) && text.contains(way), "{text}");
        assert_eq!(report.missing, Vec::<String>::new());
        assert_eq!(report.gone, if format == ExportFormat::OsmXml { vec!["n2"] } else { vec![] });
    }
    let expanded = map.expand("w10").await.unwrap().one().unwrap();
    assert_eq!((expanded.missing, expanded.gone), (vec![], vec!["n2".to_owned()]));
    let answer = map.osm_query(&"24.8,60,25,60.2".parse().unwrap()).await.unwrap().one().unwrap();
    assert_eq!((answer.missing, answer.gone), (vec![], vec!["n2".to_owned()]));
    assert_eq!(map.carried("n2").await.unwrap().one(), None);
    // The base map again does not bring it back, and neither does another way that was drawn before.
    world.import(PATH).await;
    world.import(&change(&format!("<create>{}</create>", way(20, 1, &[2, 1])))).await;
    assert_eq!((world.path("w10").await[1], world.path("w20").await[0]), (None, None));
    // Somebody undoes it.
    world.import(&change(r#"<modify><node id="2" version="3" lat="60.2" lon="24.92"/></modify>"#)).await;
    assert_eq!(world.path("w10").await[1], Some((60.2, 24.92)));
    assert_eq!(world.path("w20").await[0], Some((60.2, 24.92)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_and_the_delete_of_its_node_in_one_file_leave_the_same() {
    let mut world = World::new(PATH).await;
    let text =
        format!(r#"<modify>{}</modify><delete><node id="2" version="2"/></delete>"#, way(10, 2, &[1, 2]));
    world.import(&change(&text)).await;
    assert_eq!(world.path("w10").await, [Some((60.1, 24.90)), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_way_is_not_deleted_by_hand() {
    let world = World::new(STREET).await;
    let map = world.database.map();
    let error = map.delete("n1").await.unwrap_err().to_string();
    assert!(error.contains("n1 is a corner of w10"), "{error}");
    map.delete("w10").await.unwrap();
    map.delete("n1").await.unwrap();
    assert_eq!(world.element("n1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_only_ways_have_is_shown_and_edited() {
    let world = World::new(PATH).await;
    let map = world.database.map();
    let kappadb::CarriedNode { mut node, ways } = map.carried("n2").await.unwrap().one().unwrap();
    assert_eq!((node.id.as_str(), ways.as_slice()), ("n2", ["w10".to_owned()].as_slice()));
    let Body::Osm(element) = &mut node.body else { panic!() };
    assert_eq!(element.version(), 1);
    element.shape = Shape::Node(kappadb::Coord { lon: 249_200_000, lat: 605_000_000 });
    element.tags.push(("barrier".to_owned(), "gate".to_owned()));
    map.put(node).await.unwrap();
    assert_eq!(world.path("w10").await[1], Some((60.5, 24.92)));
    assert_eq!(world.element("n2").await.unwrap().tag("barrier"), Some("gate"));
    assert_eq!(map.carried("n9").await.unwrap().one(), None);
    assert_eq!(
        map.expand("w10").await.unwrap().one().unwrap().missing,
        Vec::<String>::new(),
        "the way says where they are"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_without_a_place_is_found_by_tag_and_listed() {
    let mut world = World::new(PATH).await;
    world
        .import(
            r#"{"type":"Feature","id":"idea","geometry":null,"properties":{"shop":"some day"}}
{"type":"Feature","id":"here","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}"#,
        )
        .await;
    world.import(r#"<osm><way id="77"><tag k="shop" v="gone"/></way></osm>"#).await;
    let map = world.database.map();
    let ids = |page: kappadb::Answer<kappadb::Hit, kappadb::Cursor>| {
        page.into_iter().map(|hit| hit.id).collect::<Vec<_>>()
    };
    let shops = kappadb::Filter { tags: vec!["shop".parse().unwrap()], ..kappadb::Filter::default() };
    assert_eq!(ids(map.find_anywhere(&shops, None, None).await.unwrap()), ["idea", "w77"]);
    let all = kappadb::Filter::default();
    assert_eq!(ids(map.find_anywhere(&all, None, None).await.unwrap()), ["here", "idea", "w10", "w77"]);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = map.find_anywhere(&all, after.as_ref(), Some(1)).await.unwrap();
        after = page.next.clone();
        listed.extend(ids(page));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, ["here", "idea", "w10", "w77"], "page by page");
    let first = map.find_anywhere(&shops, None, Some(1)).await.unwrap();
    let second = map.find_anywhere(&shops, first.next.as_ref(), Some(1)).await.unwrap();
    assert!(first.next.is_some() && second.next.is_none(), "the last that passes is told to be the last");
    assert_eq!([ids(first), ids(second)], [["idea"], ["w77"]]);
}
