//! What the benches share: a stopwatch, and the process's memory and disk.

use std::future::Future;
use std::time::Instant;

/// Runs `job` once and returns what it gave and the seconds that it took.
pub fn timed<T>(job: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let out = job();
    (out, start.elapsed().as_secs_f64())
}

/// Seconds for which the calling thread was on a processor so far (Linux; 0 elsewhere).
pub fn thread_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0) / 1e9
}

/// Prints the milliseconds of `rounds` runs of `job`, of the first and of the median one, and what the last gave.
pub async fn measure<F: Future<Output = usize>>(name: &str, rounds: usize, mut job: impl FnMut(usize) -> F) {
    let (mut millis, mut found) = (Vec::new(), 0);
    for round in 0..rounds {
        let start = Instant::now();
        found = job(round).await;
        millis.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let first = millis.first().copied().unwrap_or_default();
    millis.sort_by(f64::total_cmp);
    let median = millis.get(rounds / 2).copied().unwrap_or_default();
    println!("  {name:44} {first:9.2} ms first, {median:9.2} ms median of {rounds}, {found} found");
}

/// Greatest resident memory of this process so far, in MiB (Linux; 0 elsewhere).
pub fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) / 1024
}

/// Bytes of the files below `dir`.
pub fn disk_bytes(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
