//! Following: how long it takes until a watcher elsewhere tells of what was written, and what questions and idle sessions cost.
//!
//! `cargo bench -p kappadb-benches --bench live [-- WRITES FEEDS]`. Each replica has a folder of its own; they talk over TCP on loopback, encrypted, and each
//! write is durable before it is told.

use kappadb::{Database, Extent, Interest, KvWatcher, Server, Source, geojson};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For so long nothing is done.
const IDLE: Duration = Duration::from_secs(10);
/// Other feeds in the database, with one entry each, unless said otherwise.
const FEEDS: usize = 1_000;

/// Values that are fetched while small questions are asked, and the bytes of each.
const BULK: usize = 1_000;
const VALUE: usize = 100_000;
/// Points of a map on which a box is moved.
const POINTS: u32 = 250_000;

struct Replica {
    database: Database,
    _dir: TempDir,
}

impl Replica {
    async fn new() -> Replica {
        let dir = tempfile::tempdir().expect("a folder");
        let database = Database::builder(dir.path().join("db")).create().await.expect("a database");
        Replica { database, _dir: dir }
    }

    async fn joined(server: &Server) -> Replica {
        let dir = tempfile::tempdir().expect("a folder");
        let builder = Database::builder(dir.path().join("db"));
        Replica { database: builder.join(&server.ticket()).await.expect("joined"), _dir: dir }
    }

    async fn serve(&self) -> Server {
        self.database.serve(([127, 0, 0, 1], 0).into()).await.expect("serving")
    }

    /// Bytes of all of its sessions.
    fn bytes(&self) -> u64 {
        self.database.peers().states().iter().map(|peer| peer.bytes_received + peer.bytes_sent).sum()
    }
}

/// Waits until a watcher tells of a key.
async fn told(watcher: &mut KvWatcher, key: &str) {
    while let Some(change) = watcher.next().await {
        if change.expect("a change").key == key.as_bytes() {
            return;
        }
    }
}

/// Writes at one replica until the watcher of another tells of it: from the call of each write, and from its return.
async fn latency(what: &str, writes: usize, writer: &Database, watcher: &mut KvWatcher) {
    let (mut all, mut after) = (Vec::new(), Vec::new());
    for n in 0..writes + 20 {
        let key = format!("k{n}");
        let begun = Instant::now();
        writer.kv().put(key.clone(), "a value of some length, as people write them").await.expect("written");
        let written = Instant::now();
        told(watcher, &key).await;
        // The first ones open files and sessions.
        if n >= 20 {
            all.push(begun.elapsed().as_secs_f64() * 1e3);
            after.push(written.elapsed().as_secs_f64() * 1e3);
        }
    }
    for (since, mut times) in [("the write was begun", all), ("it was durable", after)] {
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        println!("{what}, since {since}: median {:6.1} ms, p99 {:6.1} ms", at(50), at(99));
    }
}

async fn question(reader: &Replica, what: &str, key: &str) {
    let begun = Instant::now();
    let asked = reader.database.kv().get(key).from(Source::Peers).await.expect("an answer").asked;
    let bytes = asked.bytes_received + asked.bytes_sent;
    println!(
        "{what}: {:.1} ms, {bytes} bytes, {} round trips, complete {}",
        begun.elapsed().as_secs_f64() * 1e3,
        asked.round_trips,
        asked.complete
    );
}

/// Small questions while all of a database flows through the same session.
async fn beside_bulk() {
    let hub = Replica::new().await;
    for n in 0..BULK {
        let value: Vec<u8> = (0..VALUE).map(|at| (at * 31 + n * 7 + (at >> 8) * n) as u8).collect();
        hub.database.kv().put(format!("large {n}"), value).await.expect("written");
    }
    hub.database.kv().put("small", "v").await.expect("written");
    let server = hub.serve().await;
    let reader = Replica::joined(&server).await;
    let _ = reader.database.kv().get("nothing").from(Source::Peers).await.expect("a session");
    let (database, begun) = (reader.database.clone(), Instant::now());
    let flows =
        tokio::spawn(async move { database.replicate(&Interest::Everything).from(Source::Peers).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut times = Vec::new();
    for n in 0.. {
        if flows.is_finished() {
            break;
        }
        let asked = Instant::now();
        let key = if n == 0 { "small".to_owned() } else { format!("absent {n}") };
        let _ = reader.database.kv().get(key).from(Source::Peers).await.expect("an answer");
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = flows.await.expect("it ends").expect("all came");
    let took = begun.elapsed().as_secs_f64();
    let first = times.first().copied().unwrap_or_default();
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!(
        "{} MB in {took:.1} s; a small question meanwhile: the first {first:.1} ms, median {:.1} ms, p99 {:.1} ms, of {}",
        BULK * VALUE / 1_000_000,
        at(50),
        at(99),
        times.len()
    );
}

/// A box of a map, and the same moved by a tenth of its width.
async fn pan() {
    let hub = Replica::new().await;
    let point = |n: u32| {
        let (x, y) = (n % 500, n / 500);
        let (lon, lat) = (f64::from(x) * 0.001, f64::from(y) * 0.001);
        let text = format!(
            r#"{{"type":"Feature","id":"p{n}","properties":{{"name":"a place"}},"geometry":{{"type":"Point","coordinates":[{lon},{lat}]}}}}"#
        );
        geojson::from_text(&text).expect("a feature")
    };
    for start in (0..POINTS).step_by(1_000) {
        hub.database.map().put_all((start..start + 1_000).map(point).collect()).await.expect("written");
    }
    let server = hub.serve().await;
    let reader = Replica::joined(&server).await;
    for (what, west) in
        [("a box of 2,500 of them, cold", 0.1), ("moved by a tenth", 0.105), ("back again", 0.1)]
    {
        let area: Extent = format!("{west},0.1,{},0.1495", west + 0.0495).parse().expect("a box");
        let begun = Instant::now();
        let answer = reader.database.map().query(&area, None).from(Source::Peers).await.expect("an answer");
        println!(
            "of {POINTS} points, {what}: {:.1} ms, {} hits, {} blocks, {} bytes, {} round trips, complete {}",
            begun.elapsed().as_secs_f64() * 1e3,
            answer.items.len(),
            answer.asked.blocks_fetched,
            answer.asked.bytes_received + answer.asked.bytes_sent,
            answer.asked.round_trips,
            answer.asked.complete
        );
    }
}

async fn run(writes: usize, feeds: usize) {
    let hub = Replica::new().await;
    let server = hub.serve().await;
    let all = hub.database.follow(&Interest::Everything);
    let reader = Replica::joined(&server).await;
    let mut watcher = reader.database.kv().watch_prefix("k").live();
    println!("{writes} writes one after the other, values of 44 bytes");
    latency("one hop", writes, &hub.database, &mut watcher).await;
    let writer = Replica::joined(&server).await;
    let _writes = writer.database.follow(&Interest::Key("nothing".to_owned()));
    latency("through a hub", writes, &writer.database, &mut watcher).await;
    let before = reader.bytes();
    tokio::time::sleep(IDLE).await;
    println!("idle: {} bytes in {} s", reader.bytes() - before, IDLE.as_secs());
    for n in 0..feeds {
        let name = format!("w{n}");
        hub.database.new_writer(&name).await.expect("a writer");
        let one = hub.database.with_writer(&name).await.expect("a writer");
        one.kv().put(format!("other {n}"), "v").await.expect("written");
    }
    // Who follows everything tells each peer what it holds, which is no part of a question.
    drop(all);
    println!("{feeds} other feeds, of which the asker has nothing");
    let stranger = Replica::joined(&server).await;
    question(&stranger, "an absent key, cold", "no such key").await;
    question(&stranger, "another on the open session", "nor this one").await;
    question(&stranger, "one that is there", "other 7").await;
    question(&stranger, "that one again", "other 7").await;
    beside_bulk().await;
    pan().await;
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (writes, feeds) = (numbers.next().unwrap_or(300), numbers.next().unwrap_or(FEEDS));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(writes, feeds));
}
