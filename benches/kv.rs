//! Keys and values: taking 100,000 puts over 20,000 keys in, getting, scanning, cold and warm; where a value should lie; and a new
//! peer that resolves 100 of 20,000 keys over TCP and Noise.
//!
//! `cargo bench -p kappadb-benches --bench kv`

use kappadb::view::{Change, Index, Notice, Overlay, Selector, Tree, View, ViewError};
use kappadb::{Database, EntryId, KeyRange, Kv, KvOp, ScanOptions, Source, Timestamp};
use kappadb_benches::{disk_bytes, peak_memory_mib, timed};
use kappadb_sim::Random;
use kappadb_store::{Batch, Op, SledOptions, SledStore, Store};
use kappadb_view_kv::{KvIndex, KvView};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const KEYS: u64 = 20_000;
const ROUNDS: u64 = 5;
const NOW: Timestamp = Timestamp(i64::MAX);

fn key(n: u64) -> Vec<u8> {
    format!("key/{n:06}").into_bytes()
}

/// The key-value view once more, under another name: indexes everything anew.
struct Again;

struct AgainIndex(KvIndex);

impl View for Again {
    type Index = AgainIndex;

    fn name(&self) -> &str {
        "kv-again"
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<AgainIndex, ViewError> {
        Ok(AgainIndex(KvView.open(rows)?))
    }
}

impl Index for AgainIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        self.0.apply(changes, rows)
    }

    fn matches(
        &self,
        selector: &Selector,
        without: &BTreeSet<kappadb::FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        self.0.matches(selector, without)
    }
}

/// Every key put `ROUNDS` times, in another order each time, in batches of 1,000.
async fn fill(kv: &Kv, value: &[u8]) -> f64 {
    let (mut random, start) = (Random::new(1), Instant::now());
    let mut keys: Vec<u64> = (0..KEYS).collect();
    for _ in 0..ROUNDS {
        random.shuffle(&mut keys);
        for part in keys.chunks(1_000) {
            let ops = part.iter().map(|n| KvOp::put(key(*n), value)).collect();
            kv.batch(ops).await.expect("batch");
        }
    }
    start.elapsed().as_secs_f64()
}

/// The work itself: as many random rows of 60 bytes written to the same engine in batches of 1,000, and read.
fn reference(dir: &Path, value: &[u8]) {
    let store = SledStore::open(dir, SledOptions::default()).expect("open");
    let tree = store.tree("rows").expect("tree");
    let (mut random, mut keys) = (Random::new(1), (0..KEYS).collect::<Vec<_>>());
    let ((), seconds) = timed(|| {
        for _ in 0..ROUNDS {
            random.shuffle(&mut keys);
            for part in keys.chunks(1_000) {
                let put = |n: &u64| Op::Put(key(*n).into(), value.to_vec().into());
                tree.apply(&part.iter().map(put).collect::<Batch>()).expect("apply");
            }
        }
    });
    println!("the engine alone, {} B a row: {:.0} puts/s", value.len(), (KEYS * ROUNDS) as f64 / seconds);
    let ((), seconds) = timed(|| keys.iter().for_each(|n| drop(tree.get(&key(*n)).expect("get"))));
    println!("  {:.0} gets/s", KEYS as f64 / seconds);
}

async fn puts_and_gets(dir: &Path, value: &[u8]) {
    let database = Database::builder(dir).create().await.expect("create");
    let kv = database.kv();
    let puts = (KEYS * ROUNDS) as f64;
    let seconds = fill(&kv, value).await;
    database.ready().await.expect("ready");
    println!("values of {} B", value.len());
    println!("  put, batches of 1,000, each durable: {:.0}/s", puts / seconds);
    let start = Instant::now();
    let again = database.view(Again).await.expect("register");
    again.ready().expect("ready");
    println!("  index from the log: {:.0} puts/s", puts / start.elapsed().as_secs_f64());
    let mut random = Random::new(2);
    let wanted: Vec<Vec<u8>> = (0..KEYS).map(|_| key(random.below(KEYS))).collect();
    let ((), seconds) = timed(|| {
        for key in &wanted {
            assert!(again.read(|index| index.0.read().contains(key, NOW)).expect("view").expect("winner"));
        }
    });
    println!("  which entry wins: {:.0} keys/s", wanted.len() as f64 / seconds);
    gets("warm", &kv, &wanted).await;
    // Every handle holds the folder.
    drop((kv, again));
    database.close().await.expect("close");
    let start = Instant::now();
    let database = Database::builder(dir).open().await.expect("open");
    database.ready().await.expect("ready");
    println!("  opened again in {:.3} s", start.elapsed().as_secs_f64());
    gets("cold, the first 1,000", &database.kv(), &wanted[..1_000]).await;
    gets("cold, the others", &database.kv(), &wanted[1_000..]).await;
    scan(&database.kv()).await;
    let disk = disk_bytes(dir);
    println!("  {:.0} B on disk a put; peak memory {} MiB", disk as f64 / puts, peak_memory_mib());
    database.close().await.expect("close");
}

async fn gets(how: &str, kv: &Kv, wanted: &[Vec<u8>]) {
    let start = Instant::now();
    for key in wanted {
        assert!(kv.get(key).await.expect("get").one().is_some());
    }
    println!("  get, {how}: {:.0}/s", wanted.len() as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    for keys in wanted.chunks(1_000) {
        assert!(kv.get_all(keys).await.expect("get").items.iter().all(Option::is_some));
    }
    println!("  get_all of 1,000, {how}: {:.0}/s", wanted.len() as f64 / start.elapsed().as_secs_f64());
}

async fn scan(kv: &Kv) {
    for backwards in [false, true] {
        let mut options = ScanOptions { limit: Some(1_000), backwards, after: None };
        let (start, mut found) = (Instant::now(), 0);
        loop {
            let page = kv.scan(&KeyRange::ALL, &options).await.expect("scan");
            found += page.items.len();
            options.after = page.next;
            if options.after.is_none() {
                break;
            }
        }
        let way = if backwards { "backwards" } else { "forwards" };
        println!("  scan {way}, pages of 1,000: {:.0} keys/s", found as f64 / start.elapsed().as_secs_f64());
    }
}

async fn sparse(dir: &Path) {
    println!("100 of {KEYS} keys on a new peer; goal: 15 ms, 100 blocks, 250 B a key");
    let full = Database::builder(dir.join("full")).create().await.expect("create");
    fill(&full.kv(), &[7; 100]).await;
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
    let mut random = Random::new(3);
    for round in 0..5 {
        let wanted: Vec<Vec<u8>> =
            (0..100).map(|n| key(n * (KEYS / 100) + random.below(KEYS / 100))).collect();
        let peer =
            Database::builder(dir.join(format!("peer{round}"))).join(&server.ticket()).await.expect("join");
        let start = Instant::now();
        let answer = peer.kv().get_all(&wanted).from(Source::Peers).await.expect("ask");
        for key in &wanted {
            assert!(peer.kv().get(key).await.expect("get").one().is_some());
        }
        let millis = start.elapsed().as_secs_f64() * 1e3;
        let held: u64 = peer.status().await.expect("status").feeds.iter().map(|feed| feed.held).sum();
        assert!(answer.is_complete() && held == 100, "{answer:?}, {held} held");
        println!(
            "  {millis:.1} ms, {} round trips, {} blocks, {} B a key received, 100 of them the value",
            answer.asked.round_trips,
            answer.asked.blocks_fetched,
            answer.asked.bytes_received / 100
        );
        peer.close().await.expect("close");
    }
    server.stop().await;
    full.close().await.expect("close");
}

#[tokio::main]
async fn main() {
    println!("goals: index 300,000 puts/s, get 300,000 keys/s");
    for len in [16, 100, 1_000] {
        let dir = tempfile::tempdir().expect("temp dir");
        reference(&dir.path().join("reference"), &vec![7; len]);
        puts_and_gets(&dir.path().join("db"), &vec![7; len]).await;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    sparse(dir.path()).await;
}
