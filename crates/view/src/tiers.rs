//! Which runs of a log-structured index are to be merged into one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Runs of similar size that are merged, and what a run is larger than the next when there is time to tidy.
const TIER: u64 = 4;

/// The names of the runs to merge next, of runs given as (items, name); `limit` is the size of a small one. While much arrives, an item is copied
/// once a tier: whenever four runs are within a factor of that. When `idle`, until every run is that factor larger than all smaller ones together,
/// so that a query has few to visit. Empty if nothing is due.
pub fn due<N: Copy + Ord>(runs: &[(u64, N)], limit: u64, idle: bool) -> Vec<N> {
    let full = full_tier(runs, limit);
    if full.is_empty() && idle { tail(runs.to_vec()) } else { full }
}

/// The runs of the lowest tier that is full.
fn full_tier<N: Copy>(sizes: &[(u64, N)], limit: u64) -> Vec<N> {
    let mut tiers: BTreeMap<u32, Vec<N>> = BTreeMap::new();
    for (items, id) in sizes {
        let tier = (items / limit.max(1)).checked_ilog(TIER).unwrap_or(0);
        tiers.entry(tier).or_default().push(*id);
    }
    tiers.into_values().find(|tier| tier.len() as u64 >= TIER).unwrap_or_default()
}

/// The first run that is not much larger than all smaller ones together, and these.
fn tail<N: Copy + Ord>(mut sizes: Vec<(u64, N)>) -> Vec<N> {
    sizes.sort_unstable_by_key(|size| Reverse(*size));
    let mut smaller: u64 = sizes.iter().map(|(items, _)| items).sum();
    for (at, (items, _)) in sizes.iter().enumerate() {
        smaller -= items;
        if smaller > 0 && *items < TIER * smaller {
            return sizes.iter().skip(at).map(|(_, id)| *id).collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left after the merges that are due, and how many items were copied.
    fn settle(sizes: &mut Vec<(u64, u32)>, limit: u64, idle: bool) -> u64 {
        let mut copied = 0;
        loop {
            let due = due(sizes, limit, idle);
            if due.is_empty() {
                return copied;
            }
            let items = sizes.extract_if(.., |(_, id)| due.contains(id)).map(|(items, _)| items).sum();
            copied += items;
            let next = sizes.iter().map(|(_, id)| id + 1).max().unwrap_or(0);
            sizes.push((items, next));
        }
    }

    #[test]
    fn few_runs_stay_and_little_is_copied() {
        for idle in [false, true] {
            let (mut sizes, mut copied) = (Vec::new(), 0);
            for n in 1..=4_096u32 {
                sizes.push((100, 10_000 + n));
                copied += settle(&mut sizes, 100, idle);
                let tiers = n.ilog(4) as usize + 1;
                assert!(sizes.len() <= if idle { tiers } else { 3 * tiers }, "{n}: {sizes:?}");
            }
            let share = copied as f64 / (4_096.0 * 100.0);
            assert!(share < if idle { 20.0 } else { 7.0 }, "each item is copied {share} times");
            settle(&mut sizes, 100, true);
            assert!(sizes.len() <= 6, "{sizes:?}");
        }
    }
}
