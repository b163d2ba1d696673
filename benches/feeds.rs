//! Feeds of 100-byte blocks: appending, space, proofs, sparse fetch.
//!
//! `cargo bench -p kappadb-benches --bench feeds`; with `-- serve 10000000` instead, a feed of so many blocks is made, and a
//! process of its own opens and serves it: how long that takes, and in how much memory. With `-- blocks 20`, the sparse fetch alone,
//! as often.

use bytes::Bytes;
use kappadb_benches::{disk_bytes, peak_memory_mib, thread_seconds, timed};
use kappadb_core::{DatabaseId, FeedKey, RangeSet, StoredBlock, Timestamp};
use kappadb_entry::{Bundle, Header, Kind, encode_block, leaf_nodes, space};
use kappadb_feed::{Append, Config, Feeds};
use kappadb_merkle::{Known, Peaks};
use kappadb_sim::Random;
use kappadb_store::{SledOptions, SledStore};
use std::path::Path;
use std::sync::{Arc, Mutex};

const BLOCKS: u64 = 1_000_000;
const BATCH: u64 = 1_000;
/// The blocks among which those fetched sparsely lie.
const SAMPLE: u64 = 100_000;

/// A block of 100 bytes, header included.
fn block(n: u64) -> Bytes {
    let header = Header::new(Kind { space: space::RAW, code: 0 }, Timestamp(1_700_000_000_000));
    let bare = encode_block(&header, &[]).expect("block").len();
    let mut random = Random::new(n);
    let payload: Vec<u8> = (0..100 - bare).map(|_| random.draw().to_le_bytes()[0]).collect();
    encode_block(&header, &payload).expect("block")
}

fn open(dir: &Path) -> Feeds {
    let store = Arc::new(SledStore::open(&dir.join("derived"), SledOptions::default()).expect("store"));
    let random = Mutex::new(Random::new(1));
    let fill = move |bytes: &mut [u8]| random.lock().expect("lock").fill(bytes);
    let config = Config::new(dir, store, DatabaseId([1; 32]), Arc::new(fill));
    Feeds::open(config, &mut |_, _| ()).expect("open").0
}

fn rate(name: &str, goal: &str, count: u64, seconds: f64) {
    println!("{name:58} {:>12.0} /s   goal {goal}", count as f64 / seconds);
}

fn main() {
    let args: Vec<String> = std::env::args().filter(|arg| arg != "--bench").skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", count] => serve(count.parse().expect("a number of blocks")),
        ["served", dir] => served(Path::new(dir)),
        ["blocks", rounds] => blocks_again(rounds.parse().expect("a number of rounds")),
        _ => all(),
    }
}

fn serve(count: u64) {
    let dir = tempfile::tempdir().expect("temp dir");
    let feeds = open(dir.path());
    let feed = feeds.create(Timestamp(0), None).expect("feed");
    for from in (0..count).step_by(BATCH as usize) {
        append(&feeds, feed, (from..from + BATCH).map(block).collect());
        if from % 1_000_000 == 0 {
            feeds.sync().expect("sync");
        }
    }
    feeds.close().expect("close");
    drop(feeds);
    let this = std::env::current_exe().expect("this program");
    let status = std::process::Command::new(this).arg("served").arg(dir.path()).status();
    assert!(status.expect("runs").success());
}

/// The same job again and again, with other blocks and a new receiver each time.
fn blocks_again(rounds: usize) {
    let dir = tempfile::tempdir().expect("temp dir");
    let feeds = open(dir.path());
    let feed = feeds.create(Timestamp(0), None).expect("feed");
    for from in (0..BLOCKS).step_by(BATCH as usize) {
        append(&feeds, feed, (from..from + BATCH).map(block).collect());
    }
    feeds.sync().expect("sync");
    let mut random = Random::new(5);
    let mut times: Vec<[Times; 2]> = Vec::new();
    for _ in 0..rounds {
        let wanted: RangeSet = (0..1_000).map(|_| random.below(SAMPLE)).collect();
        let (_, prove, put) = fetch(&feeds, feed, &wanted);
        times.push([prove, put]);
    }
    for (at, name) in ["prove 1,000 random blocks", "verify, store and sync them"].iter().enumerate() {
        let mut each: Vec<f64> = times.iter().map(|both| both[at].seconds * 1e3).collect();
        each.sort_by(f64::total_cmp);
        let (least, median, most) = (each[0], each[each.len() / 2], each[each.len() - 1]);
        let busy = times.iter().map(|both| both[at].busy * 1e3).sum::<f64>() / rounds as f64;
        println!(
            "{name:58} {median:>12.1} ms    median of {rounds}, from {least:.1} to {most:.1}; {busy:.1} ms of CPU each"
        );
    }
}

/// In a process that has nothing else in memory.
fn served(dir: &Path) {
    let (feeds, seconds) = timed(|| open(dir));
    let info = feeds.list().remove(0);
    println!(
        "{:58} {:>12.3} s     goal 1",
        format!("open {} blocks after a clean close", info.length),
        seconds
    );
    let mut random = Random::new(5);
    let ((), seconds) = timed(|| {
        for _ in 0..1_000 {
            let wanted: RangeSet = (0..10).map(|_| random.below(info.length)).collect();
            drop(feeds.prove(&info.feed, &wanted, &Known::default(), usize::MAX).expect("prove"));
        }
    });
    println!("{:58} {:>12.3} ms", "prove 10 random blocks", seconds);
    println!("{:58} {:>12} MiB   goal 200", "peak memory of opening and serving", peak_memory_mib());
}

fn all() {
    let blocks: Vec<Bytes> = (0..BLOCKS).map(block).collect();

    // The work itself: two hashes a block, one a parent, side by side, nothing else.
    let ((), hashing) = timed(|| {
        let mut peaks = Peaks::new();
        for batch in blocks.chunks(BATCH as usize) {
            let stored: Vec<_> = batch.iter().cloned().map(StoredBlock::whole).collect();
            peaks.extend(&leaf_nodes(&stored).expect("leaves"), &mut |_, _| ()).expect("extend");
        }
    });
    rate("hashing alone", "-", BLOCKS, hashing);

    let dir = tempfile::tempdir().expect("temp dir");
    let feeds = open(dir.path());
    let feed = feeds.create(Timestamp(0), None).expect("feed");
    let ((), seconds) = timed(|| {
        for batch in blocks.chunks(BATCH as usize) {
            append(&feeds, feed, batch.to_vec());
        }
        feeds.sync().expect("sync");
    });
    rate("append, batches of 1,000, durable at the end", "1,000,000 and half of hashing", BLOCKS, seconds);
    println!("{:58} {:>12.2}", "  share of hashing alone", hashing / seconds);

    one_at_a_time();
    many_writers();

    let mut random = Random::new(5);
    let wanted: RangeSet = (0..1_000).map(|_| random.below(SAMPLE)).collect();
    sparse(&feeds, feed, &wanted);
    feeds.close().expect("close");
    drop(feeds);
    let bytes = disk_bytes(dir.path());
    println!("{:58} {:>12.1} B     goal 130", "on disk per 100-byte block", bytes as f64 / BLOCKS as f64);
    let (feeds, seconds) = timed(|| open(dir.path()));
    println!("{:58} {:>12.3} s     goal 1 (10 M blocks)", "open 1 M blocks after a clean close", seconds);
    drop(feeds);
    println!("{:58} {:>12} MiB", "peak memory of this bench (blocks included)", peak_memory_mib());
}

fn append(feeds: &Feeds, feed: FeedKey, blocks: Vec<Bytes>) {
    feeds.append(vec![Append { feed, blocks }]).expect("append");
}

fn one_at_a_time() {
    let dir = tempfile::tempdir().expect("temp dir");
    let feeds = open(dir.path());
    let feed = feeds.create(Timestamp(0), None).expect("feed");
    let ((), seconds) = timed(|| (0..200).for_each(|n| append(&feeds, feed, vec![block(n)])));
    rate("append one at a time", "the disk", 200, seconds);
}

fn many_writers() {
    let dir = tempfile::tempdir().expect("temp dir");
    let feeds = open(dir.path());
    let feed = feeds.create(Timestamp(0), None).expect("feed");
    let ((), seconds) = timed(|| {
        std::thread::scope(|scope| {
            for writer in 0..64 {
                let feeds = &feeds;
                scope.spawn(move || (0..50).for_each(|n| append(feeds, feed, vec![block(writer * 50 + n)])));
            }
        });
    });
    rate("append one at a time, durable now, 64 writers", "one fsync shared", 64 * 50, seconds);
}

/// How long something took, and for how much of it this thread was on a processor.
struct Times {
    seconds: f64,
    busy: f64,
}

fn busy<T>(job: impl FnOnce() -> T) -> (T, Times) {
    let before = thread_seconds();
    let (done, seconds) = timed(job);
    (done, Times { seconds, busy: thread_seconds() - before })
}

/// What a new replica is sent, and how long proving took, and verifying, storing and syncing.
fn fetch(feeds: &Feeds, feed: FeedKey, wanted: &RangeSet) -> (Bundle, Times, Times) {
    let dir = tempfile::tempdir().expect("temp dir");
    let to = open(dir.path());
    to.define(&feeds.definition(&feed).expect("definition")).expect("define");
    let (bundle, prove) = busy(|| feeds.prove(&feed, wanted, &Known::default(), usize::MAX).expect("prove"));
    let sent = bundle.clone();
    let ((), put) = busy(|| {
        to.put(bundle).expect("put");
        to.sync().expect("sync");
    });
    (sent, prove, put)
}

fn sparse(feeds: &Feeds, feed: FeedKey, wanted: &RangeSet) {
    drop(feeds.prove(&feed, wanted, &Known::default(), usize::MAX).expect("warm up"));
    let (bundle, prove, put) = fetch(feeds, feed, wanted);
    let (prove, put) = (prove.seconds, put.seconds);
    let payload: usize = bundle.blocks.iter().map(|b| b.bytes.len()).sum();
    let nodes = bundle.proof.len();
    println!(
        "{:58} {:>12.1} ms    goal 20 (prove {:.1}, verify, store and sync {:.1})",
        "1,000 random blocks of a feed, from feed to feed",
        (prove + put) * 1e3,
        prove * 1e3,
        put * 1e3
    );
    let proof = nodes * 35;
    println!(
        "{:58} {:>12.0} B/block (payload {}, {nodes} nodes)",
        "  size with its one proof",
        (payload + proof) as f64 / 1e3,
        payload / 1_000
    );
}
