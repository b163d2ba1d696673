//! A real map with three editors: the bundled piece of Helsinki, 1,000 random edits by three writers on three replicas
//! that know each other only through questions for boxes; then all three answer 200 boxes alike.

use kappadb::osm::Shape;
use kappadb::{Body, Coord, Database, Extent, Feature, GeoBox, Hit, ImportOptions, Server, Source};
use kappadb_sim::Random;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cli/data/helsinki-centre.osm.pbf");
const EDITS: usize = 1_000;
const BOXES: usize = 200;

struct Editor {
    database: Database,
    server: Server,
}

/// Three replicas, each of which knows the two others. Only the first has imported the extract.
async fn editors(dir: &Path) -> Vec<Editor> {
    let names = ["first", "second", "third"];
    let free = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listeners: Vec<TcpListener> = (0..3).map(free).collect();
    let ports: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().expect("an address")).collect();
    drop(listeners);

    let first = Database::builder(dir.join(names[0])).create().await.expect("create");
    first.map().import(EXTRACT, ImportOptions::default(), |_| ()).await.expect("import");
    let server = first.serve(ports[0]).await.expect("serve");
    let mut tickets = vec![server.ticket()];
    for (name, port) in names.iter().zip(&ports).skip(1) {
        let database = Database::builder(dir.join(name)).join(&tickets[0]).await.expect("join");
        let server = database.serve(*port).await.expect("serve");
        tickets.push(server.ticket());
        server.stop().await;
        database.close().await.expect("close");
    }
    server.stop().await;
    first.close().await.expect("close");

    let mut editors = Vec::new();
    for (own, (name, port)) in names.iter().zip(&ports).enumerate() {
        for (_, ticket) in tickets.iter().enumerate().filter(|(other, _)| *other != own) {
            let joined = Database::builder(dir.join(name)).join(ticket).await.expect("join");
            joined.close().await.expect("close");
        }
        let database = Database::builder(dir.join(name)).open().await.expect("open");
        assert_eq!(database.peers().list().len(), 2);
        let server = database.serve(*port).await.expect("serve");
        editors.push(Editor { database, server });
    }
    editors
}

fn around(at: Coord, half: i32) -> Extent {
    let box_ =
        GeoBox { west: at.lon - half, south: at.lat - half, east: at.lon + half, north: at.lat + half };
    Extent::from(box_)
}

/// Moves, retags, deletes or makes a feature among those that the editor sees in a box.
async fn edit(editor: &Editor, extent: &Extent, random: &mut Random, number: usize) {
    let map = editor.database.map();
    let hits = map.query(extent, None).await.expect("query").items;
    let Some(hit) = (!hits.is_empty()).then(|| random.pick(&hits).clone()) else { return };
    let found = map.load(std::slice::from_ref(&hit)).await.expect("load").items.remove(0);
    let Some(mut feature) = found.versions.into_iter().find_map(|version| version.feature) else { return };
    match random.below(10) {
        0 => drop(map.delete(&feature.id).await),
        1 => {
            feature.id = format!("note/{number}");
            feature.body = kappadb::geojson::from_text(&note(&feature, number)).expect("a note").body;
            map.put(feature).await.expect("put");
        }
        2..=5 => {
            shift(&mut feature, 1 + random.below(200_000) as i32);
            map.put(feature).await.expect("put");
        }
        _ => {
            if let Body::Osm(element) = &mut feature.body {
                element.tags.retain(|(key, _)| key != "check_date");
                element.tags.push(("check_date".to_owned(), format!("day {number}")));
            }
            map.put(feature).await.expect("put");
        }
    }
}

fn note(feature: &Feature, number: usize) -> String {
    let (lon, lat) = feature.extent().boxes()[0].center().degrees();
    format!(
        r#"{{"type":"Feature","id":"note/{number}","properties":{{"n":{number}}},"geometry":{{"type":"Point","coordinates":[{lon},{lat}]}}}}"#
    )
}

/// Moves all positions of a feature east, up to some two kilometres.
fn shift(feature: &mut Feature, by: i32) {
    let Body::Osm(element) = &mut feature.body else { return };
    match &mut element.shape {
        Shape::Node(at) => at.lon += by,
        Shape::Way(nodes) => nodes.iter_mut().filter_map(|node| node.at.as_mut()).for_each(|at| at.lon += by),
        Shape::Relation { .. } => {}
    }
}

async fn answer(editor: &Editor, extent: &Extent) -> Vec<(String, Vec<kappadb::EntryId>)> {
    let answer = editor.database.map().query(extent, None).from(Source::Peers).await.expect("ask");
    assert!(answer.is_complete() && answer.asked.failures.is_empty(), "{answer:?}");
    let hits = editor.database.map().query(extent, None).await.expect("query").items;
    hits.into_iter().map(|Hit { id, heads, .. }| (id, heads)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_editors_who_sync_by_boxes_alone_answer_alike() {
    let dir = tempfile::tempdir().expect("temp dir");
    let editors = editors(dir.path()).await;
    let mut random = Random::new(23);
    let everything =
        editors[0].database.map().query(&Extent::from(GeoBox::WORLD), None).await.expect("query").items;
    let mut center = async || {
        let hit = random.pick(&everything).clone();
        let found = editors[0].database.map().load(&[hit]).await.expect("load").items.remove(0);
        let feature = found.versions.into_iter().find_map(|version| version.feature).expect("a feature");
        feature.extent().boxes()[0].center()
    };
    // A few places that all edit again and again, so that they meet.
    let mut places = Vec::new();
    for _ in 0..40 {
        places.push(center().await);
    }
    let mut random = Random::new(24);
    for number in 0..EDITS {
        let editor = &editors[number % editors.len()];
        let extent = around(*random.pick(&places), 3_000 + random.below(20_000) as i32);
        // Now and then somebody looks before editing; without, the edits are made on what was seen earlier.
        if number < 120 || random.below(4) == 0 {
            let _ = editor.database.map().query(&extent, None).from(Source::Peers).await.expect("ask");
        }
        edit(editor, &extent, &mut random, number).await;
    }
    let (mut conflicts, mut sizes) = (0, BTreeSet::new());
    for _ in 0..BOXES {
        let extent = around(
            *random.pick(&places),
            10i32.pow(2 + random.below(3) as u32) * (1 + random.below(9) as i32),
        );
        let first = answer(&editors[0], &extent).await;
        for editor in &editors[1..] {
            assert_eq!(answer(editor, &extent).await, first, "{extent}");
        }
        conflicts += first.iter().filter(|(_, heads)| heads.len() > 1).count();
        sizes.insert(first.len());
    }
    assert!(conflicts > 10 && sizes.len() > 50, "too tame: {conflicts} conflicts, {} sizes", sizes.len());
    let mut held = Vec::new();
    for Editor { database, server } in editors {
        held.push(database.status().await.expect("status").feeds.iter().map(|feed| feed.held).sum::<u64>());
        assert_eq!(database.verify().await.expect("verify"), Vec::<String>::new());
        server.stop().await;
        database.close().await.expect("close");
    }
    assert!(held[1] < held[0] && held[2] < held[0], "the others stayed sparse: {held:?}");
}
