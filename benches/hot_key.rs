//! A key that a thousand people write, one after the other: what a put costs, how large the journal gets, and what a newcomer
//! fetches to read it over TCP and Noise. Then a member who writes 10,000 versions of a key that name nothing.
//!
//! `cargo bench -p kappadb-benches --bench hot_key [-- WRITERS ROUNDS [MOST_PUTS]]`

use kappadb::view::{Draft, Kind, space};
use kappadb::{Database, Source};
use kappadb_benches::{disk_bytes, peak_memory_mib};
use std::path::Path;
use std::time::Instant;

const HOT: &str = "hot";
const FLOODED: &str = "flooded";
const BLIND: usize = 10_000;

/// Milliseconds of several runs.
struct Times(Vec<f64>);

impl Times {
    fn at(&self, share: f64) -> f64 {
        let at = (self.0.len() as f64 * share) as usize;
        self.0[at.min(self.0.len() - 1)]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (median, p99, most) = (self.at(0.5), self.at(0.99), self.at(1.0));
        write!(f, "median {median:.2} ms, p99 {p99:.2} ms, most {most:.2} ms")
    }
}

/// One put through each handle after the other, `rounds` times.
async fn puts(handles: &[Database], key: &str, rounds: usize, most: usize) -> Times {
    let mut times = Vec::new();
    for n in 0..(rounds * handles.len()).min(most) {
        let start = Instant::now();
        handles[n % handles.len()].kv().put(key, [b'v', n as u8]).await.expect("put");
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Times(times)
}

async fn newcomer(dir: &Path, ticket: &str, key: &str) {
    let ticket = ticket.parse().expect("ticket");
    for round in 0..3 {
        let peer = Database::builder(dir.join(format!("{key}-{round}"))).join(&ticket).await.expect("join");
        let start = Instant::now();
        let answer = peer.kv().get_all([key]).from(Source::Peers).await.expect("ask");
        let value = peer.kv().get(key).await.expect("get").one().expect("a value");
        let millis = start.elapsed().as_secs_f64() * 1e3;
        assert!(answer.is_complete(), "{answer:?}");
        println!(
            "    {millis:.1} ms, {} blocks, {} B received, {} heads",
            answer.asked.blocks_fetched,
            answer.asked.bytes_received,
            value.heads.len()
        );
        peer.close().await.expect("close");
    }
}

/// Versions that name nothing, as only a member who means harm writes them.
async fn flood(database: &Database) {
    let version = Draft {
        key: Some(FLOODED.into()),
        payload: b"!".to_vec(),
        ..Draft::new(Kind { space: space::KV, code: 0 })
    };
    let start = Instant::now();
    for _ in 0..10 {
        database.write(vec![version.clone(); BLIND / 10]).await.expect("write");
    }
    let heads = database.kv().get(FLOODED).await.expect("get").one().expect("a value").heads.len();
    println!("  written and indexed in {:.2} s, {heads} heads", start.elapsed().as_secs_f64());
}

async fn flooded(dir: &Path, database: &Database, ticket: &str) {
    println!("{BLIND} versions of another key by one member, that name nothing");
    let all = [database.clone()];
    println!("  put of a third key before: {}", puts(&all, "third", 200, 200).await);
    flood(database).await;
    println!("  put of a third key after: {}", puts(&all, "third", 200, 200).await);
    println!("  a newcomer's get of the third key");
    newcomer(dir, ticket, "third").await;
    println!("  a newcomer's get of the flooded key");
    newcomer(dir, ticket, FLOODED).await;
    println!("  put of the flooded key, which ends it: {}", puts(&all, FLOODED, 1, 1).await);
    println!("  the next: {}", puts(&all, FLOODED, 100, 100).await);
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (writers, rounds, most) = (number(0, 1_000), number(1, 10), number(2, usize::MAX));
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("db");
    let database = Database::builder(&path).create().await.expect("create");
    let mut handles = Vec::new();
    for n in 0..writers {
        let name = format!("w{n}");
        database.new_writer(&name).await.expect("writer");
        handles.push(database.with_writer(&name).await.expect("writer"));
    }
    println!("{writers} writers, {rounds} rounds on one key; goals: put 2 ms, a newcomer's get 10 blocks");
    println!("  put of a key of one's own: {}", puts(&handles[..1], "own", 200, 200).await);
    let journal = disk_bytes(&path.join("journal"));
    let start = Instant::now();
    let times = puts(&handles, HOT, rounds, most).await;
    println!("  put of the hot key: {times}, {:.1} s in all", start.elapsed().as_secs_f64());
    println!("  put of a key of one's own: {}", puts(&handles[..1], "own", 200, 200).await);
    let journal = disk_bytes(&path.join("journal")) - journal;
    let each = journal / times.0.len() as u64;
    println!(
        "  journal {:.1} MB, {each} B a put; on disk {:.1} MB in all",
        journal as f64 / 1e6,
        disk_bytes(&path) as f64 / 1e6
    );
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
    let ticket = server.ticket().to_string();
    println!("  a newcomer's get");
    newcomer(dir.path(), &ticket, HOT).await;
    flooded(dir.path(), &database, &ticket).await;
    println!("  peak memory {} MiB", peak_memory_mib());
    server.stop().await;
    drop(handles);
    database.close().await.expect("close");
}
