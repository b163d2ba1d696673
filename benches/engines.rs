//! Which line of sled holds the derived data: 0.34.7 or 1.0 alpha, on kappadb's own access patterns.
//!
//! `cargo bench -p kappadb-benches --bench engines`. Each engine runs in its own process, so that memory is its own.
//!
//! - rows: keyed rows of a view: random 20-byte keys, 80-byte values, sorted within batches of 1,000
//! - nodes: a feed's index: ascending 12-byte keys, 40-byte values, batches of 1,000
//! - pages: a map run: ascending keys, 4 KiB values, batches of 64
//!
//! then random gets of each, a flush, and opening again.

use kappadb_benches::{disk_bytes, peak_memory_mib, timed};
use kappadb_sim::Random;
use std::path::Path;

const ROWS: u64 = 500_000;
const PAGES: u64 = 20_000;

trait Engine: Sized {
    fn open(dir: &Path) -> Self;
    fn apply(&self, batch: Vec<(Vec<u8>, Vec<u8>)>);
    fn get(&self, key: &[u8]) -> bool;
    fn flush(&self);
}

struct Old(sled034::Db);

struct New<const FANOUT: usize>(sled::Db<FANOUT>);

/// The verbs that both lines share, word for word.
macro_rules! verbs {
    ($line:ident) => {
        fn apply(&self, rows: Vec<(Vec<u8>, Vec<u8>)>) {
            let mut batch = $line::Batch::default();
            rows.into_iter().for_each(|(k, v)| batch.insert(k, v));
            self.0.apply_batch(batch).expect("apply");
        }
        fn get(&self, key: &[u8]) -> bool {
            self.0.get(key).expect("get").is_some()
        }
        fn flush(&self) {
            self.0.flush().expect("flush");
        }
    };
}

impl Engine for Old {
    fn open(dir: &Path) -> Self {
        let config = sled034::Config::new().path(dir).cache_capacity(64 << 20).flush_every_ms(Some(500));
        Old(config.open().expect("open"))
    }
    verbs!(sled034);
}

impl<const FANOUT: usize> Engine for New<FANOUT> {
    fn open(dir: &Path) -> Self {
        let config = sled::Config::new().path(dir).cache_capacity_bytes(64 << 20).flush_every_ms(Some(500));
        New(config.open().expect("open"))
    }
    verbs!(sled);
}

fn row_key(n: u64) -> Vec<u8> {
    let mut random = Random::new(n);
    let mut key = vec![1];
    (0..3).for_each(|_| key.extend(random.draw().to_be_bytes()));
    key.truncate(20);
    key
}

fn ascending(tag: u8, n: u64) -> Vec<u8> {
    [&[tag, 0, 0, 1][..], &n.to_be_bytes()].concat()
}

fn load<E: Engine>(engine: &E, count: u64, batch: u64, key: impl Fn(u64) -> Vec<u8>, value: usize) -> f64 {
    let body = |n: u64| {
        let mut random = Random::new(n);
        (0..value.div_ceil(8)).flat_map(|_| random.draw().to_le_bytes()).take(value).collect::<Vec<u8>>()
    };
    let batches = (0..count).step_by(usize::try_from(batch).expect("small")).map(|from| {
        let mut rows: Vec<_> = (from..count.min(from + batch)).map(|n| (key(n), body(n))).collect();
        rows.sort();
        rows
    });
    let batches: Vec<_> = batches.collect();
    count as f64 / timed(|| batches.into_iter().for_each(|rows| engine.apply(rows))).1
}

fn gets<E: Engine>(engine: &E, count: u64, key: impl Fn(u64) -> Vec<u8>) -> f64 {
    let mut random = Random::new(7);
    let tries = 100_000;
    let hit = || (0..tries).filter(|_| engine.get(&key(random.below(count)))).count();
    let (hits, seconds) = timed(hit);
    assert_eq!(hits, tries);
    tries as f64 / seconds
}

fn run<E: Engine>(name: &str) {
    let dir = tempfile::tempdir().expect("temp dir");
    let engine = E::open(dir.path());
    let loads = [
        load(&engine, ROWS, 1_000, row_key, 80),
        load(&engine, ROWS, 1_000, |n| ascending(2, n), 40),
        load(&engine, PAGES, 64, |n| ascending(3, n), 4_000),
    ];
    let ((), flush) = timed(|| engine.flush());
    let reads = [
        gets(&engine, ROWS, row_key),
        gets(&engine, ROWS, |n| ascending(2, n)),
        gets(&engine, PAGES, |n| ascending(3, n)),
    ];
    drop(engine);
    let data = ROWS * (20 + 80) + ROWS * (12 + 40) + PAGES * (12 + 4_000);
    let disk = disk_bytes(dir.path()) as f64 / data as f64;
    let (engine, reopen) = timed(|| E::open(dir.path()));
    assert!(engine.get(&row_key(5)));
    let k = |rates: [f64; 3]| rates.map(|r| format!("{:.0}", r / 1000.0)).join(" / ");
    println!(
        "{name:24} load k/s {:>18} | gets k/s {:>18} | flush {flush:5.2} s | reopen {reopen:5.2} s | disk {disk:4.2} | peak {} MiB",
        k(loads),
        k(reads),
        peak_memory_mib()
    );
}

fn main() {
    type Case = (&'static str, fn(&str));
    let cases: [Case; 4] = [
        ("sled 0.34.7", run::<Old>),
        ("sled 1.0 alpha, leaf 64", run::<New<64>>),
        ("sled 1.0 alpha, leaf 256", run::<New<256>>),
        ("sled 1.0 alpha, leaf 1024", run::<New<1024>>),
    ];
    match std::env::var("KAPPADB_ENGINE").ok() {
        Some(wanted) => cases.iter().filter(|(name, _)| *name == wanted).for_each(|(name, run)| run(name)),
        None => {
            println!("{:24} rows / nodes / pages", "");
            let program = std::env::current_exe().expect("this program");
            for (name, _) in cases {
                let status = std::process::Command::new(&program).env("KAPPADB_ENGINE", name).status();
                assert!(status.expect("start").success(), "{name} failed");
            }
        }
    }
}
