//! What was written does not stay in memory. Alone in its process, since it measures that.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_store::*;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MIB: usize = 1 << 20;

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Noise, so that it is as long on the disk.
fn value(n: u64) -> Vec<u8> {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    (0..128).flat_map(|_| next().to_le_bytes()).collect()
}

#[test]
fn what_was_written_does_not_stay_in_memory_and_is_read_all_the_while() {
    let dir = tempfile::tempdir().unwrap();
    let options = SledOptions { cache_bytes: 4 * MIB, flush_every: Duration::from_millis(20) };
    let store = SledStore::open(dir.path(), options).unwrap();
    let (tree, before) = (store.tree("t").unwrap(), resident());
    let (rows, ended) = (128 * 1024u64, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = 0u64;
            while !ended.load(Ordering::Acquire) {
                for (row, n) in prefix_range(&*tree, &[]).zip(0u64..).take(2_000) {
                    let (key, found) = row.unwrap();
                    assert_eq!((&key[..], &found[..]), (&n.to_be_bytes()[..], &value(n)[..]));
                    read += 1;
                }
            }
            read
        });
        for from in (0..rows).step_by(256) {
            let mut batch = Batch::new();
            (from..from + 256).for_each(|n| batch.put(n.to_be_bytes().to_vec(), value(n)));
            tree.apply(&batch).unwrap();
            // As fast as the flusher is, and no faster: what waits for it is in memory in any case.
            if from % 4_096 == 0 {
                store.flush().unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        ended.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
    let grown = resident().saturating_sub(before);
    assert!(grown < 80 * MIB, "{} MiB for {} MiB of rows", grown / MIB, rows / 1024);
    let read = prefix_range(&*tree, &[]).map(|row| row.unwrap().0);
    assert!(read.eq((0..rows).map(|n| n.to_be_bytes().to_vec())));
    drop(tree);
    drop(store);
    let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    assert_eq!(prefix_range(&*store.tree("t").unwrap(), &[]).count() as u64, rows);
}
