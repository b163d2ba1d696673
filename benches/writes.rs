//! Writes by one task and by many at once: how many a second, and how long each takes.
//!
//! `cargo bench -p kappadb-benches --bench writes [-- SECONDS]`

use kappadb::{Database, Durability, Write, geojson};
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Tasks that write at once.
const TASKS: [u64; 2] = [1, 64];

/// Milliseconds of each write, ascending, and how long they took together.
struct Times {
    each: Vec<f64>,
    seconds: f64,
}

impl Times {
    fn new(mut each: Vec<f64>, seconds: f64) -> Times {
        each.sort_by(f64::total_cmp);
        Times { each, seconds }
    }

    fn rate(&self) -> f64 {
        self.each.len() as f64 / self.seconds
    }

    fn at(&self, share: f64) -> f64 {
        let at = (self.each.len() as f64 * share) as usize;
        self.each.get(at).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rate, median, p99) = (self.rate(), self.at(0.5), self.at(0.99));
        write!(f, "{rate:8.0}/s, median {median:7.3} ms, p99 {p99:7.3} ms")
    }
}

/// Has so many tasks write for a while.
async fn writes<F>(tasks: u64, time: Duration, write: impl Fn() -> F + Clone + Send + 'static) -> Times
where
    F: Future<Output = ()> + Send,
{
    let begun = Instant::now();
    let one = || {
        let write = write.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < time {
                let start = Instant::now();
                write().await;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            times
        })
    };
    let tasks: Vec<_> = (0..tasks).map(|_| one()).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("a task"));
    }
    Times::new(all, begun.elapsed().as_secs_f64())
}

/// Adds 300 bytes to a file and has them on the disk, again and again.
fn fsyncs(dir: &Path, time: Duration) -> Times {
    let mut file = File::create(dir.join("fsync")).expect("a file");
    let (mut each, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < time {
        let start = Instant::now();
        file.write_all(&[7; 300]).expect("written");
        file.sync_data().expect("synced");
        each.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Times::new(each, begun.elapsed().as_secs_f64())
}

fn cafe(n: u64) -> kappadb::Feature {
    let (lon, lat) = (n % 3600, n / 3600 % 1700);
    let text = format!(
        r#"{{"type":"Feature","id":"cafe/{n}","properties":{{"amenity":"cafe"}},"geometry":{{"type":"Point","coordinates":[{},{}]}}}}"#,
        lon as f64 / 10.0 - 180.0,
        lat as f64 / 10.0 - 85.0
    );
    geojson::from_text(&text).expect("a feature")
}

/// One kind of write in each durability, by one task and by many.
async fn each<T, E>(
    what: &str,
    time: Duration,
    write: impl Fn() -> Write<T, E> + Clone + Send + Sync + 'static,
) where
    T: Send + 'static,
    E: std::fmt::Debug + Send + 'static,
{
    for (name, durability) in [
        ("now", Durability::Now),
        ("100 ms", Durability::Interval(Duration::from_millis(100))),
        ("buffered", Durability::Buffered),
    ] {
        let mut rates = Vec::new();
        for tasks in TASKS {
            let write = write.clone();
            let write = move || {
                let write = write().durability(durability);
                async move { drop(write.await.expect("a write")) }
            };
            let times = writes(tasks, time, write).await;
            println!("  {what:9} {name:8} {tasks:2} tasks {times}");
            rates.push(times.rate());
        }
        println!("  {what:9} {name:8} 64 tasks write {:.1} x as much as one", rates[1] / rates[0]);
    }
}

async fn all(dir: &Path, time: Duration) {
    let database = Database::builder(dir.join("db")).create().await.expect("create");
    let (kv, map, chat) = (database.kv(), database.map(), database.chat());
    let count = Arc::new(AtomicU64::new(0));
    let next = move || count.fetch_add(1, Ordering::Relaxed);
    let n = next.clone();
    each("kv put", time, move || kv.put(format!("key {}", n()), [b'v'; 100])).await;
    let n = next.clone();
    each("map put", time, move || map.put(cafe(n()))).await;
    each("chat post", time, move || chat.post("bench", &format!("the message {}", next()))).await;
    database.close().await.expect("close");
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(3.0);
    let time = Duration::from_secs_f64(seconds);
    let dir = tempfile::tempdir().expect("a folder");
    println!("{seconds} s each, on disk; goal: 64 tasks 10 x one, p99 under 50 ms");
    println!("  one fsync of 300 B  {}", fsyncs(dir.path(), time));
    all(dir.path(), time).await;
}
