//! Replicas that hold a part of the map, or nothing of it yet, and import what touches the rest of it.

use kappadb::osm::{Element, Shape};
use kappadb::{Body, Database, Extent, Feature, Ids, ImportOptions, Server, Source};
use kappadb_geo::WayNode;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tempfile::TempDir;

const BASE: &str = r#"<osm version="0.6"><node id="1" version="1" lat="60.1" lon="24.90"/>
<node id="2" version="1" lat="60.1" lon="24.92"/><node id="3" version="1" lat="60.1" lon="24.94"/>
<node id="7" version="2" lat="60.3" lon="24.3"><tag k="shop" v="bakery"/></node>
<way id="10" version="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><tag k="highway" v="path"/></way>
<relation id="5" version="1"><member type="way" ref="10" role=""/><tag k="type" v="route"/></relation>
<relation id="6" version="1"><member type="relation" ref="5" role=""/><tag k="type" v="route"/></relation></osm>"#;

/// Somebody with the whole map, and somebody who has just joined.
struct World {
    dir: TempDir,
    full: Database,
    server: Option<Server>,
    sparse: Database,
}

impl World {
    async fn new(base: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let full = Database::builder(dir.path().join("full")).create().await.unwrap();
        import(&dir, &full, base).await;
        let server = full.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let sparse = Database::builder(dir.path().join("sparse")).patience(Duration::from_secs(60));
        let sparse = sparse.join(&server.ticket()).await.unwrap();
        World { dir, full, server: Some(server), sparse }
    }

    /// The sparse one asks and imports; how much was touched, how much of that is not known.
    async fn ask_and_import(&self, text: &str) -> (u64, u64) {
        let file = self.dir.path().join("file");
        std::fs::write(&file, text).unwrap();
        let map = self.sparse.map();
        let (read, asked) =
            map.touched_by_import(map.read_import(&file, &Ids::New).await.unwrap()).await.unwrap();
        assert_eq!(asked.asked.complete, asked.unknown == 0, "{:?}", asked.asked);
        map.apply_import(read, false, |_| ()).await.unwrap();
        (asked.touched, asked.unknown)
    }

    /// Degrees of a way's nodes, latitude first.
    async fn path(&self, id: &str) -> Vec<Option<(f64, f64)>> {
        let Some(Element { shape: Shape::Way(nodes), .. }) = element(&self.sparse, id).await else {
            panic!("{id}")
        };
        let degrees = |node: &WayNode| node.at.map(|at| (at.degrees().1, at.degrees().0));
        nodes.iter().map(degrees).collect()
    }

    async fn at(&self, bbox: &str) -> Vec<String> {
        let extent: Extent = bbox.parse().unwrap();
        let hits = self.sparse.map().query(&extent, None).await.unwrap().items;
        hits.into_iter().map(|hit| hit.id).collect()
    }

    async fn stop_the_peer(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}

async fn import(dir: &TempDir, database: &Database, text: &str) {
    let file = dir.path().join("base");
    std::fs::write(&file, text).unwrap();
    database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap();
}

async fn feature(database: &Database, id: &str) -> Option<Feature> {
    let found = database.map().get(id).await.unwrap().one()?;
    assert!(!found.is_conflict(), "{id}");
    found.versions.into_iter().find_map(|version| version.feature)
}

async fn element(database: &Database, id: &str) -> Option<Element> {
    match feature(database, id).await?.body {
        Body::Osm(element) => Some(element),
        Body::Free(_) => None,
    }
}

fn change(text: &str) -> String {
    format!(r#"<osmChange version="0.6">{text}</osmChange>"#)
}

const MOVE: &str = r#"<modify><node id="2" version="2" lat="60.5" lon="24.92"/></modify>"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_only_a_peer_has_follows_its_node_and_all_relations_above() {
    let world = World::new(BASE).await;
    assert_eq!(world.ask_and_import(&change(MOVE)).await, (1, 0));
    assert_eq!(world.path("w10").await, [Some((60.1, 24.90)), Some((60.5, 24.92)), Some((60.1, 24.94))]);
    assert_eq!(world.at("24.8,60.4,25,60.6").await, ["r5", "r6", "w10"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_split_where_nothing_of_it_is_held_keeps_its_nodes() {
    let world = World::new(BASE).await;
    let text = r#"<modify><way id="10" version="2"><nd ref="1"/><nd ref="2"/></way></modify>
        <create><way id="11" version="1"><nd ref="2"/><nd ref="3"/></way></create>"#;
    assert_eq!(world.ask_and_import(&change(text)).await, (2, 0));
    assert_eq!(world.path("w10").await, [Some((60.1, 24.90)), Some((60.1, 24.92))]);
    assert_eq!(world.path("w11").await, [Some((60.1, 24.92)), Some((60.1, 24.94))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_loses_a_node_leaves_it_behind_where_nothing_of_either_is_held() {
    let world = World::new(BASE).await;
    let text = r#"<modify><way id="10" version="2"><nd ref="1"/><nd ref="2"/></way></modify>"#;
    world.ask_and_import(&change(text)).await;
    assert!(element(&world.sparse, "n3").await.is_some());
    assert!(element(&world.sparse, "n2").await.is_none(), "a way has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relation_whose_members_only_a_peer_has_is_where_they_are() {
    let world = World::new(BASE).await;
    let text = r#"<create><relation id="8" version="1"><member type="relation" ref="6" role=""/>
        <member type="node" ref="7" role=""/></relation></create>"#;
    world.ask_and_import(&change(text)).await;
    assert!(world.at("24.29,60.29,24.31,60.31").await.contains(&"r8".to_owned()));
    assert!(world.at("24.93,60.09,24.95,60.11").await.contains(&"r8".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_extract_and_what_was_corrected_do_not_come_back_through_a_replica_that_holds_nothing() {
    let layer = |n: u32| {
        format!(
            r#"{{"type":"Feature","id":"a","geometry":{{"type":"Point","coordinates":[1,1]}},"properties":{{"n":{n}}}}}"#
        )
    };
    let world = World::new(BASE).await;
    import(&world.dir, &world.full, &layer(1)).await;
    import(&world.dir, &world.full, &layer(2)).await;
    world.ask_and_import(&layer(1)).await;
    assert!(
        matches!(feature(&world.sparse, "a").await.unwrap().body, Body::Free(free) if free.properties == r#"{"n":2}"#)
    );
    world.ask_and_import(&BASE.replace(r#"version="2" lat="60.3""#, r#"version="1" lat="60.9""#)).await;
    assert_eq!(world.at("24.2,60.8,24.4,61").await, Vec::<String>::new());
    assert_eq!(world.at("24.29,60.29,24.31,60.31").await, ["n7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_that_is_silent_may_know_is_counted_and_the_edit_is_taken() {
    let mut world = World::new(BASE).await;
    world.stop_the_peer().await;
    assert_eq!(world.ask_and_import(&change(MOVE)).await, (1, 1));
    assert!(element(&world.sparse, "n2").await.is_some(), "kept as what is known of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_by_hand_asks_for_what_it_touches() {
    let world = World::new(BASE).await;
    let map = world.sparse.map();
    let mut node = feature(&world.full, "n7").await.unwrap();
    let Body::Osm(element) = &mut node.body else { panic!() };
    element.tags.push(("name".to_owned(), "x".to_owned()));
    assert!(map.touched_by_put(&node).from(Source::Peers).await.unwrap().is_complete());
    map.put(node).await.unwrap();
    assert_eq!(map.history("n7").await.unwrap().items.len(), 2, "it replaces what the peer has");
    assert!(map.touched_by_delete("w10").from(Source::Peers).await.unwrap().is_complete());
    map.delete("w10").await.unwrap();
    assert_eq!(world.at("24.8,60,25,60.2").await, Vec::<String>::new(), "the relations are nowhere now");
    assert!(feature(&world.sparse, "r6").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_elements_than_are_asked_for_at_once_follow_too() {
    let (mut base, mut text) = (String::from("<osm>"), String::new());
    for n in 1..=1_500 {
        let at = |version, lat| {
            format!(r#"<node id="{n}" version="{version}" lat="{lat}" lon="{}"/>"#, f64::from(n) / 100.0)
        };
        base += &at(1, 1);
        text += &format!("<modify>{}</modify>", at(2, 2));
    }
    (1..1_500).step_by(2).for_each(|n| {
        base += &format!(r#"<way id="{n}" version="1"><nd ref="{n}"/><nd ref="{}"/></way>"#, n + 1)
    });
    let world = World::new(&(base + "</osm>")).await;
    assert_eq!(world.ask_and_import(&change(&text)).await, (1_500, 0));
    assert_eq!(world.at("0,0.9,30,1.1").await, Vec::<String>::new());
    assert_eq!(world.at("0,1.9,30,2.1").await.len(), 750);
}
