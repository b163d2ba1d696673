//! The bundled piece of Helsinki over a real connection: 200 boxes against a scan of the file's features that shares no
//! code with the index, and what a fresh replica then holds.

use kappadb::{Coord, Database, Extent, GeoBox, ImportOptions, Source};
use kappadb_geo::Feature;
use kappadb_sim::Random;
use std::collections::BTreeSet;
use std::path::Path;

const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cli/data/helsinki-centre.osm.pbf");
const BOXES: usize = 200;

/// The features of the file with their boxes, read without any database.
fn features(scratch: &Path) -> Vec<(String, Vec<GeoBox>)> {
    let import = kappadb_import::read(Path::new(EXTRACT), &kappadb_import::Ids::Keep, scratch, &mut |_| ())
        .expect("read");
    let features = import.items().expect("items").filter_map(|item| item.expect("item").into_feature());
    features.map(|f: Feature| (f.id.clone(), f.extent().boxes().to_vec())).collect()
}

/// Where nodes are that have neither tags nor a way: they are told with a box, and are no answer to it.
fn bare(scratch: &Path) -> Vec<Coord> {
    let mut import =
        kappadb_import::read(Path::new(EXTRACT), &kappadb_import::Ids::Keep, scratch, &mut |_| ())
            .expect("read");
    let mut bare = Vec::new();
    let each = import.each_bare(&mut |said| {
        bare.extend(said.node.at.filter(|_| !said.is_carried));
        Ok::<_, kappadb_import::ImportError>(())
    });
    each.expect("nodes");
    bare
}

/// The ids of the features that touch the box, by looking at all of them.
fn scan(features: &[(String, Vec<GeoBox>)], b: &GeoBox) -> Vec<String> {
    let touches =
        |f: &GeoBox| f.west <= b.east && f.east >= b.west && f.south <= b.north && f.north >= b.south;
    let mut ids: Vec<String> =
        features.iter().filter(|(_, boxes)| boxes.iter().any(touches)).map(|(id, _)| id.clone()).collect();
    ids.sort();
    ids
}

/// Boxes around random features, with anything from one to 10,000 of them inside.
fn boxes(features: &[(String, Vec<GeoBox>)]) -> Vec<GeoBox> {
    let mut random = Random::new(17);
    let mut out = Vec::new();
    while out.len() < BOXES {
        let center = random.pick(features).1[0].center();
        // From a metre to two kilometres, small ones as often as large ones.
        let half = 10i32.pow(random.below(4) as u32 + 1) * (1 + random.below(20) as i32);
        let b = GeoBox {
            west: center.lon - half,
            south: center.lat - half,
            east: center.lon + half,
            north: center.lat + half,
        };
        if (1..=10_000).contains(&scan(features, &b).len()) {
            out.push(b);
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_boxes_are_exact_and_fetch_just_what_is_in_them() {
    let scratch = tempfile::tempdir().expect("temp dir");
    let (features, bare) = (features(scratch.path()), bare(scratch.path()));
    let full = Database::builder(scratch.path().join("full")).create().await.expect("create");
    full.map().import(EXTRACT, ImportOptions::default(), |_| ()).await.expect("import");
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");

    let mut sizes = BTreeSet::new();
    for (round, b) in boxes(&features).into_iter().enumerate() {
        let (expected, extent) = (scan(&features, &b), Extent::from(b));
        sizes.insert(expected.len());
        let ids = |hits: Vec<kappadb::Hit>| hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>();
        assert_eq!(ids(full.map().query(&extent, None).await.expect("query").items), expected, "full, {b}");

        let fresh = Database::builder(scratch.path().join(format!("fresh{round}")));
        let fresh = fresh.join(&server.ticket()).await.expect("join");
        let answer = fresh.map().query(&extent, None).from(Source::Peers).await.expect("ask");
        assert!(answer.is_complete() && answer.asked.failures.is_empty(), "{b}");
        assert_eq!(ids(fresh.map().query(&extent, None).await.expect("query").items), expected, "fresh, {b}");
        let held: u64 = fresh.status().await.expect("status").feeds.iter().map(|feed| feed.held).sum();
        let is_here = |at: &&Coord| extent.intersects(&GeoBox::point(**at).into());
        let blocks = (expected.len() + bare.iter().filter(is_here).count()) as u64;
        assert_eq!((held, answer.asked.blocks_fetched), (blocks, blocks), "{b}");
        fresh.close().await.expect("close");
    }
    assert!(sizes.len() > 50 && sizes.last() > Some(&1_000), "the boxes are too much alike: {sizes:?}");
    server.stop().await;
    full.close().await.expect("close");
}
