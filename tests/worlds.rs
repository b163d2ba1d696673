//! Whole replicas on one thread, in a world that a number decides: the histories of `swarm.rs`, with parted networks, frozen machines and lost power.

use kappadb_sim::{Traffic, World, enough, seeds};
use kappadb_tests::swarm::{Seen, Swarm};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::available_parallelism;

/// Names the environment variable that says how many worlds are tried.
const WORLDS: &str = "KAPPADB_WORLDS";

fn history(seed: u64) -> (Seen, Traffic) {
    World::run(seed, async |world| {
        let network = world.network().clone();
        let seen = Swarm::in_world(world, seed).await.live().await;
        (seen, network.traffic())
    })
}

#[test]
fn in_the_end_everybody_has_what_it_follows_whatever_breaks() {
    let count = std::env::var(WORLDS).ok().map_or(200, |count| count.parse().expect("a number of worlds"));
    let (left, all) = (Mutex::new(seeds(0..count)), Mutex::new((Seen::default(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let next = || left.lock().expect("seeds").next();
                while let Some(seed) = next() {
                    let lived = catch_unwind(AssertUnwindSafe(|| history(seed)));
                    let (seen, failed) = &mut *all.lock().expect("what was seen");
                    match lived {
                        Ok((more, _)) => seen.add(more),
                        Err(_) => failed.push(seed),
                    }
                }
            });
        }
    });
    let (seen, failed) = all.into_inner().expect("what was seen");
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
    assert!(enough(seen.is_much()), "{seen:?}");
}

#[test]
fn the_same_number_gives_the_same_history_to_the_byte() {
    for seed in seeds(0..5) {
        assert_eq!(history(seed).1, history(seed).1, "seed {seed}");
    }
}
