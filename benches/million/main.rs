//! A million keys with values of 100 B that come in random order, in durable batches of 1,000: kappadb beside redb, SQLite and fjall.
//!
//! `cargo bench -p kappadb-benches --bench million [-- COUNT [ENGINE]]`. Each step of each engine runs in a process of its own, so that memory is its own.

mod data;
mod kappa;
mod others;

use kappadb_benches::{disk_bytes, peak_memory_mib, timed};
use std::path::Path;
use std::process::Command;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

trait Engine: Sized {
    fn open(dir: &Path) -> Self;

    /// Durable when it returns.
    fn apply(&mut self, rows: Rows);

    /// Gets one after the other; how many there are.
    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize;

    fn scan(&mut self) -> usize;

    /// Waits until all that was written can be asked for.
    fn settle(&mut self) {}

    fn verify(&mut self) {
        println!("  does not verify");
    }

    /// Makes what is derived anew, in so many seconds.
    fn rebuild(_dir: &Path) -> Option<f64> {
        None
    }

    /// What only this one can do.
    fn more(&mut self, _keys: &[Vec<u8>], _few: &[Vec<u8>]) {}

    fn close(self) {}
}

fn load<E: Engine>(dir: &Path, count: u64) {
    let order = data::arrival(count);
    let mut engine = E::open(dir);
    let ((), seconds) = timed(|| {
        for part in order.chunks(data::BATCH) {
            engine.apply(part.iter().map(|n| (data::key(*n), data::value(*n))).collect());
        }
        engine.settle();
    });
    println!("  load {seconds:.1} s");
    let ((), seconds) = timed(|| engine.close());
    println!("  close {seconds:.2} s; {:.0} B a key on disk", disk_bytes(dir) as f64 / count as f64);
}

fn gets<E: Engine>(dir: &Path, count: u64) {
    let (mut engine, seconds) = timed(|| E::open(dir));
    println!("  open {seconds:.3} s");
    let wanted: Vec<Vec<u8>> = data::wanted(count, 100_000).into_iter().map(data::key).collect();
    let few: Vec<Vec<u8>> = (0..100_000).filter_map(|n| wanted.get(n % 1_000).cloned()).collect();
    for (how, keys) in [("cold", &wanted), ("warm", &wanted), ("of 1,000 keys", &few)] {
        let (found, seconds) = timed(|| engine.get_all(keys));
        assert_eq!(found, keys.len());
        println!("  get one after the other, {how}: {:.0}/s", found as f64 / seconds);
    }
    engine.more(&wanted, &few);
    engine.close();
}

fn scan<E: Engine>(dir: &Path, count: u64) {
    let mut engine = E::open(dir);
    for how in ["first", "again"] {
        let (found, seconds) = timed(|| engine.scan());
        assert_eq!(found as u64, count);
        println!("  scan of all, {how}: {seconds:.2} s");
    }
    engine.close();
}

fn verify<E: Engine>(dir: &Path, _count: u64) {
    let mut engine = E::open(dir);
    let ((), seconds) = timed(|| engine.verify());
    println!("  verify {seconds:.1} s");
    engine.close();
}

fn rebuild<E: Engine>(dir: &Path, count: u64) {
    if let Some(seconds) = E::rebuild(dir) {
        println!("  rebuild {seconds:.1} s, {:.0} keys/s", count as f64 / seconds);
    }
}

type Step = fn(&Path, u64);

fn steps<E: Engine>() -> [(&'static str, Step); 5] {
    [
        ("load", load::<E>),
        ("get", gets::<E>),
        ("scan", scan::<E>),
        ("verify", verify::<E>),
        ("rebuild", rebuild::<E>),
    ]
}

fn main() {
    let engines = [
        ("kappadb", steps::<kappa::Kappa>()),
        ("redb", steps::<others::Redb>()),
        ("SQLite", steps::<others::Sqlite>()),
        ("fjall", steps::<others::Fjall>()),
    ];
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let arg = |n: usize| args.get(n).map(String::as_str);
    let count: u64 = arg(0).map_or(1_000_000, |count| count.parse().expect("a number of keys"));
    let engines = engines.into_iter().filter(|(name, _)| arg(1).is_none_or(|wanted| wanted == *name));
    if let (Some(step), Some(dir)) = (arg(2), arg(3)) {
        let steps = engines.flat_map(|(_, steps)| steps).filter(|(name, _)| *name == step);
        steps.for_each(|(_, run)| run(Path::new(dir), count));
        println!("  peak memory of the process: {} MiB", peak_memory_mib());
        return;
    }
    let program = std::env::current_exe().expect("this program");
    for (engine, steps) in engines {
        let dir = tempfile::tempdir().expect("temp dir");
        println!("{engine}, {count} keys");
        for (step, _) in steps {
            let mut run = Command::new(&program);
            let run = run.args([&count.to_string(), engine, step]).arg(dir.path());
            assert!(run.status().expect("start").success(), "{engine} failed to {step}");
        }
    }
}
