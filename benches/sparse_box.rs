//! A new peer asks for a box of about 100 features, over TCP and Noise, from a database of 13 thousand and of a million
//! features: time and bytes must not depend on the size of the database.
//!
//! `cargo bench -p kappadb-benches --bench sparse_box`

use kappadb::{Database, Extent, ImportOptions, Source};
use kappadb_sim::Random;
use std::io::Write;
use std::path::Path;

/// Newline-delimited GeoJSON of `count` points, as dense as the bundled extract everywhere.
fn write_points(path: &Path, count: u64) {
    let mut random = Random::new(21);
    let side = (count as f64).sqrt() * 1e-4;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("create"));
    for n in 0..count {
        let mut unit = || random.below(1 << 30) as f64 / (1u64 << 30) as f64 * side;
        let (lon, lat) = (10.0 + unit(), 50.0 + unit());
        writeln!(
            file,
            r#"{{"type":"Feature","id":"p{n}","properties":{{"name":"Point {n}"}},"geometry":{{"type":"Point","coordinates":[{lon:.7},{lat:.7}]}}}}"#
        )
        .expect("write");
    }
}

#[tokio::main]
async fn main() {
    println!("goal: 3 round trips at most; time and bytes independent of the size of the database");
    for count in [13_000, 1_000_000] {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("points.ndjson");
        write_points(&file, count);
        let full = Database::builder(dir.path().join("full")).create().await.expect("create");
        let report = full.map().import(&file, ImportOptions::default(), |_| ()).await.expect("import");
        println!("{count} features imported in {:.1} s", report.seconds);
        let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
        for round in 0..5 {
            ask(&dir.path().join(format!("peer{round}")), &full, &server.ticket(), count, round).await;
        }
        server.stop().await;
        full.close().await.expect("close");
    }
}

async fn ask(dir: &Path, full: &Database, ticket: &kappadb::Ticket, count: u64, round: u64) {
    // A box of 10 x 10 mean distances, somewhere else each round.
    let side = (count as f64).sqrt() * 1e-4;
    let (west, south) =
        (10.0 + side * (0.1 + 0.15 * round as f64), 50.0 + side * (0.8 - 0.15 * round as f64));
    let extent = Extent::from_degrees(west, south, west + 1e-3, south + 1e-3).expect("box");
    let peer = Database::builder(dir).join(ticket).await.expect("join");
    let start = std::time::Instant::now();
    let answer = peer.map().query(&extent, None).from(Source::Peers).await.expect("ask");
    let hits = peer.map().query(&extent, None).await.expect("query").items;
    let seconds = start.elapsed().as_secs_f64();
    let expected = full.map().query(&extent, None).await.expect("query").items;
    assert!(answer.is_complete() && hits.iter().map(|h| &h.id).eq(expected.iter().map(|h| &h.id)));
    println!(
        "  box {round}: {:4} features, {:4} blocks, {:6} B received, {} round trips, {:6.1} ms until answered",
        hits.len(),
        answer.asked.blocks_fetched,
        answer.asked.bytes_received,
        answer.asked.round_trips,
        seconds * 1e3
    );
    peer.close().await.expect("close");
}
