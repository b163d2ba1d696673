//! Writes by one task and by many at once: how many a second, and how long each takes.
//!
//! `cargo bench -p kappadb-benches --bench writes [-- SECONDS]`

use kappadb::{Database, geojson};
use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
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

    fn at(&self, share: f64) -> f64 {
        let at = (self.each.len() as f64 * share) as usize;
        self.each.get(at).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.each.len() as f64 / self.seconds;
        write!(f, "{rate:8.0}/s, median {:7.3} ms, p99 {:7.3} ms", self.at(0.5), self.at(0.99))
    }
}

/// Has tasks write for a while, each with numbers of its own.
async fn writes<F>(tasks: u64, time: Duration, write: impl Fn(u64) -> F + Send + Sync + 'static) -> Times
where
    F: Future<Output = ()> + Send,
{
    let (write, begun) = (Arc::new(write), Instant::now());
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let write = write.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for n in (task..).step_by(tasks as usize) {
                    let start = Instant::now();
                    write(n).await;
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                    if begun.elapsed() > time {
                        break;
                    }
                }
                times
            })
        })
        .collect();
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

async fn all(dir: &Path, time: Duration) {
    let database = Database::builder(dir.join("db")).create().await.expect("create");
    for tasks in TASKS {
        let kv = database.kv();
        let put = move |n| {
            let kv = kv.clone();
            async move {
                kv.put(format!("{tasks}/{n}"), [b'v'; 100]).await.expect("put");
            }
        };
        println!("  kv put, {tasks:2} tasks    {}", writes(tasks, time, put).await);
        let map = database.map();
        let put = move |n| {
            let map = map.clone();
            async move {
                map.put(cafe(n)).await.expect("put");
            }
        };
        println!("  map put, {tasks:2} tasks   {}", writes(tasks, time, put).await);
        let chat = database.chat();
        let post = move |n| {
            let chat = chat.clone();
            async move {
                chat.post("bench", &format!("the message {n} of {tasks}")).await.expect("post");
            }
        };
        println!("  chat post, {tasks:2} tasks {}", writes(tasks, time, post).await);
    }
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
