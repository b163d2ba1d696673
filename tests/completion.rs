//! Property 3, truthful completion: "complete" is never said of an answer that might lack something that a peer that
//! took part knows to exist. Real databases, real connections, random histories.

use kappadb::{Coord, Database, Extent, GeoBox, Server, Source, geojson};
use kappadb_sim::{Random, enough, seeds};
use kappadb_tests::house::asks;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// What was ever written: feed (hex) → by seq, the id and where it is from then on (nowhere: deleted).
type Log = BTreeMap<String, Vec<(String, Option<Coord>)>>;

struct Node {
    database: Database,
    server: Server,
    /// Whom it asks.
    peer: Option<usize>,
    written: u64,
}

async fn node(dir: &Path, ask: Option<(usize, &Node)>) -> Node {
    // Who knows whom is the test's own business.
    let builder = Database::builder(dir).introductions(false);
    let database = match ask {
        None => builder.create().await.expect("create"),
        Some((_, peer)) => builder.join(&peer.server.ticket()).await.expect("join"),
    };
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
    Node { database, server, peer: ask.map(|(n, _)| n), written: 0 }
}

/// A small grid, so that boxes and points meet often.
fn coord(random: &mut Random) -> Coord {
    Coord { lon: random.below(6) as i32 * 10_000_000, lat: random.below(6) as i32 * 10_000_000 }
}

fn extent(random: &mut Random) -> Extent {
    let (a, b) = (coord(random), coord(random));
    GeoBox {
        west: a.lon.min(b.lon),
        south: a.lat.min(b.lat),
        east: a.lon.max(b.lon),
        north: a.lat.max(b.lat),
    }
    .into()
}

/// Puts, moves or deletes one of the writer's own features; ids are never shared, so the latest write is the state.
async fn write(node: &mut Node, name: usize, log: &mut Log, random: &mut Random) {
    let id = format!("{name}-{}", random.below(8));
    let feed = node.database.writer().await.expect("writer").to_string();
    let mine = log.entry(feed).or_default();
    let alive = mine.iter().rev().find(|(known, _)| *known == id).is_some_and(|(_, at)| at.is_some());
    if alive && random.chance(25) {
        node.database.map().delete(&id).await.expect("delete");
        mine.push((id, None));
    } else {
        let at = coord(random);
        let (lon, lat) = at.degrees();
        let feature = json!({"type": "Feature", "id": id, "properties": {}, "geometry": {"type": "Point", "coordinates": [lon, lat]}});
        node.database.map().put(geojson::from_geojson(feature).expect("feature")).await.expect("put");
        mine.push((id, Some(at)));
    }
    node.written += 1;
}

/// How long each feed is as far as this replica knows.
async fn lengths(node: &Node) -> BTreeMap<String, u64> {
    node.database
        .status()
        .await
        .expect("status")
        .feeds
        .into_iter()
        .map(|feed| (feed.feed, feed.length))
        .collect()
}

/// The answer over all entries below the given lengths.
fn truth(log: &Log, lengths: &BTreeMap<String, u64>, extent: &Extent) -> Vec<String> {
    let mut state = BTreeMap::new();
    for (feed, length) in lengths {
        let entries = log.get(feed).map(Vec::as_slice).unwrap_or_default();
        state.extend(entries.iter().take(*length as usize).cloned());
    }
    let inside = |at: &Coord| Extent::from(GeoBox::point(*at)).intersects(extent);
    state.into_iter().filter(|(_, at)| at.as_ref().is_some_and(inside)).map(|(id, _)| id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn truthful_completion() {
    let (mut complete, mut incomplete) = (0, 0);
    for seed in seeds(0..14) {
        let scratch = tempfile::tempdir().expect("temp dir");
        let mut random = Random::new(seed);
        let first = node(&scratch.path().join("0"), None).await;
        let second = node(&scratch.path().join("1"), Some((0, &first))).await;
        let third = node(&scratch.path().join("2"), Some((1, &second))).await;
        let fourth = node(&scratch.path().join("3"), Some((1, &second))).await;
        let mut nodes = [first, second, third, fourth];
        let mut log = Log::new();
        for _ in 0..60 {
            let who = random.below(4) as usize;
            if random.chance(45) {
                write(&mut nodes[who], who, &mut log, &mut random).await;
                continue;
            }
            if nodes[who].peer.is_none() {
                continue;
            }
            let extent = if random.chance(15) { GeoBox::WORLD.into() } else { extent(&mut random) };
            let mut known = BTreeMap::new();
            for (other, node) in nodes.iter().enumerate() {
                if other != who && !asks(&nodes[who].database, &node.server) {
                    continue;
                }
                for (feed, length) in lengths(node).await {
                    let best = known.entry(feed).or_default();
                    *best = length.max(*best);
                }
            }
            let answer =
                nodes[who].database.map().query(&extent, None).from(Source::Peers).await.expect("ask");
            assert!(answer.asked.failures.is_empty(), "seed {seed}: {:?}", answer.asked.failures);
            let hits = nodes[who].database.map().query(&extent, None).await.expect("query").items;
            let ids: Vec<String> = hits.into_iter().map(|hit| hit.id).collect();
            if answer.is_complete() {
                assert_eq!(ids, truth(&log, &known, &extent), "seed {seed}: said to be complete, {extent}");
                complete += 1;
            } else {
                incomplete += 1;
            }
        }
        for Node { database, server, .. } in nodes {
            server.stop().await;
            database.close().await.expect("close");
        }
    }
    assert!(
        enough(complete > 20 && incomplete > 10),
        "{complete} complete, {incomplete} not: neither may be rare"
    );
}
