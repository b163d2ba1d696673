//! Which runs are to be merged into one.

use crate::run::Run;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Runs of similar size that are merged, and what a run is larger than the next when there is time to tidy.
const TIER: u64 = 4;

/// The ids of the runs to merge next; of one, if too much of it is dead. While much arrives, an item is copied once a tier: whenever
/// [`TIER`] runs are within a factor of that. When `idle`, until every run is that factor larger than all smaller ones together, so that a
/// query has few to visit.
pub fn due(runs: &[Run], limit: usize, idle: bool) -> Vec<u32> {
    if let Some(stale) = runs.iter().find(|run| run.is_stale()) {
        return vec![stale.id];
    }
    let sizes: Vec<(u64, u32)> = runs.iter().map(|run| (run.items(), run.id)).collect();
    let full = full_tier(&sizes, limit as u64);
    if full.is_empty() && idle { tail(sizes) } else { full }
}

/// The runs of the lowest tier that is full.
fn full_tier(sizes: &[(u64, u32)], limit: u64) -> Vec<u32> {
    let mut tiers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (items, id) in sizes {
        let tier = (items / limit.max(1)).checked_ilog(TIER).unwrap_or(0);
        tiers.entry(tier).or_default().push(*id);
    }
    tiers.into_values().find(|tier| tier.len() as u64 >= TIER).unwrap_or_default()
}

/// The first run that is not much larger than all smaller ones together, and these.
fn tail(mut sizes: Vec<(u64, u32)>) -> Vec<u32> {
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
            let full = full_tier(sizes, limit);
            let due = if full.is_empty() && idle { tail(sizes.clone()) } else { full };
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
