//! Many databases open in one process: what they cost while nothing is asked of them, and that nothing of it shows.
//!
//! The figures of 200: `KAPPADB_MANY=200 cargo test -p kappadb --test many -- --nocapture`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail loudly, and this one gives figures"
)]

use kappadb::Database;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Descriptors that the process may have.
const DESCRIPTORS: u64 = 1_024;

/// What the process has of the system's.
#[derive(Debug, Clone, Copy)]
struct Cost {
    descriptors: usize,
    threads: usize,
    memory_kib: u64,
    /// Hundredths of a second.
    processor: u64,
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn cost() -> Cost {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    Cost {
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        memory_kib: memory.split_whitespace().next().unwrap().parse().unwrap(),
        processor: ticks.sum(),
    }
}

async fn open(dir: &Path, n: usize) -> Database {
    let builder = Database::builder(dir.join(n.to_string())).state(dir.join("state"));
    builder.open_or_create().await.unwrap()
}

async fn value(database: &Database, key: &str) -> String {
    let entry = database.kv().get(key).await.unwrap().one().unwrap();
    entry.text().unwrap().to_owned()
}

#[tokio::test]
async fn many_databases_of_one_process_cost_little_and_each_is_as_if_it_were_alone() {
    let many: usize = std::env::var("KAPPADB_MANY").map_or(24, |many| many.parse().unwrap());
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum: hard }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (before, begun) = (cost(), Instant::now());
    let mut databases = Vec::new();
    for n in 0..many {
        let database = open(dir.path(), n).await;
        database.kv().put("name", format!("number {n}")).await.unwrap();
        assert_eq!(value(&database, "name").await, format!("number {n}"));
        databases.push(database);
    }
    println!("{many} made in {:?}: {:?}", begun.elapsed(), cost());
    let quiet = settled().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = cost();
    let processor = (after.processor - quiet.processor) * 10;
    println!("before {before:?}\nidle   {after:?}\nprocessor in 5 s of idleness: {processor} ms");
    // Two descriptors for each: what keeps its folder, and its feeds, to this process. And a few engines.
    assert!(after.descriptors < 2 * many + 400, "{after:?}");
    assert!(after.threads < before.threads + 4 * 3 + 4, "{after:?}");
    assert!(after.memory_kib < before.memory_kib + 60_000 + 200 * many as u64, "{after:?}");
    assert!(processor <= 100, "{processor} ms");
    let begun = Instant::now();
    for (n, database) in databases.iter().enumerate() {
        assert_eq!(value(database, "name").await, format!("number {n}"));
        if n % 3 == 0 {
            database.kv().put("later", format!("{n}")).await.unwrap();
        }
    }
    println!("each read in turn, a third of them written: {:?}", begun.elapsed());
    let some = databases.iter().step_by(10);
    let read = some.clone().map(|database| async { value(database, "name").await });
    assert_eq!(futures::future::join_all(read).await.len(), some.count());
    for database in databases.drain(..).step_by(2) {
        database.close().await.unwrap();
    }
    for n in (0..many).step_by(7) {
        let database = open(dir.path(), n).await;
        assert_eq!(value(&database, "name").await, format!("number {n}"));
        assert_eq!(database.kv().get("later").await.unwrap().one().is_some(), n % 3 == 0);
        assert_eq!(database.verify().await.unwrap(), [""; 0]);
        assert!(database.warnings().is_empty());
    }
}

/// What it costs once it does not get less any more.
async fn settled() -> Cost {
    for _ in 0..60 {
        let before = cost();
        tokio::time::sleep(Duration::from_secs(4)).await;
        let now = cost();
        if now.descriptors == before.descriptors && now.threads == before.threads && now.threads < 40 {
            return now;
        }
    }
    cost()
}
