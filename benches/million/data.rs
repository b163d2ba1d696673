//! The keys and values that every engine is given, in the same order.

use kappadb_sim::Random;

/// Keys in a durable batch.
pub const BATCH: usize = 1_000;
/// Bytes of a value.
pub const VALUE: usize = 100;

/// Seventeen bytes; some share most of them.
pub fn key(n: u64) -> Vec<u8> {
    format!("user/{:012}", n.wrapping_mul(7_919) % 1_000_000_007).into_bytes()
}

/// Bytes that no engine can make smaller.
pub fn value(n: u64) -> Vec<u8> {
    let mut random = Random::new(n);
    (0..VALUE.div_ceil(8)).flat_map(|_| random.draw().to_le_bytes()).take(VALUE).collect()
}

/// All keys, in an order that has nothing to do with theirs.
pub fn arrival(count: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    Random::new(1).shuffle(&mut order);
    order
}

/// Keys that are asked for, one after the other.
pub fn wanted(count: u64, tries: usize) -> Vec<u64> {
    let mut random = Random::new(2);
    (0..tries).map(|_| random.below(count)).collect()
}
