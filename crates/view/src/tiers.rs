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

/// How many of the newest runs to merge next, of runs given by their sizes, the newest first: for those whose order of age must be kept, so that only
/// neighbours are merged. The same rules as those of [`due`]. 0 if nothing is due.
pub fn newest_due(sizes: &[u64], limit: u64, idle: bool) -> usize {
    let tier = |items: &u64| (items / limit.max(1)).checked_ilog(TIER).unwrap_or(0);
    let highest = sizes.iter().map(tier).max().unwrap_or(0);
    let full = (0..=highest).find_map(|at| {
        let up_to = sizes.iter().take_while(|items| tier(items) <= at);
        let of_it = up_to.clone().filter(|items| tier(items) == at).count();
        (of_it as u64 >= TIER).then(|| up_to.count())
    });
    let much_larger = |count: &usize| {
        let (last, newer) = sizes.get(..*count).and_then(<[u64]>::split_last).unwrap_or((&0, &[]));
        *last >= TIER.saturating_mul(sum(newer.iter()))
    };
    let tail = || (2..=sizes.len()).rev().find(|count| !much_larger(count));
    full.or_else(|| if idle { tail() } else { None }).unwrap_or(0)
}

/// What a damaged row says of a size may be anything.
fn sum<'a>(sizes: impl Iterator<Item = &'a u64>) -> u64 {
    sizes.fold(0, |sum, items| sum.saturating_add(*items))
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
    let mut smaller = sum(sizes.iter().map(|(items, _)| items));
    for (at, (items, _)) in sizes.iter().enumerate() {
        smaller = smaller.saturating_sub(*items);
        if smaller > 0 && *items < TIER.saturating_mul(smaller) {
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

    #[test]
    fn of_runs_in_the_order_of_age_neighbours_are_merged_and_few_stay() {
        for idle in [false, true] {
            let (mut sizes, mut copied) = (Vec::new(), 0);
            for n in 1..=4_096u32 {
                sizes.insert(0, 100);
                loop {
                    let count = newest_due(&sizes, 100, idle);
                    if count == 0 {
                        break;
                    }
                    let items: u64 = sizes.drain(..count).sum();
                    copied += items;
                    sizes.insert(0, items);
                }
                let tiers = n.ilog(4) as usize + 1;
                assert!(sizes.len() <= if idle { tiers } else { 3 * tiers }, "{n}: {sizes:?}");
            }
            let share = copied as f64 / (4_096.0 * 100.0);
            assert!(share < if idle { 20.0 } else { 9.0 }, "each item is copied {share} times");
        }
    }
}
