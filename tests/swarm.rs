//! Replicas that serve, follow, come and go: what is followed arrives wherever there is a way, whatever happens in between.

use kappadb_sim::{enough, seeds};
use kappadb_tests::swarm::{Seen, Swarm};

const STEPS: u64 = 60;

async fn history(seed: u64) -> Seen {
    let mut swarm = Swarm::over_tcp(seed).await;
    for _ in 0..STEPS {
        swarm.advance().await;
    }
    let seen = match swarm.settle().await {
        Ok(seen) => seen,
        Err(why) => panic!("seed {seed}: {why}"),
    };
    swarm.close().await;
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_end_everybody_has_what_it_follows_and_nothing_else_and_no_answer_claims_too_much() {
    // Side by side: most of the time they wait.
    let histories: Vec<_> = seeds(0..12).map(|seed| tokio::spawn(history(seed))).collect();
    let mut all = Seen::default();
    for seen in histories {
        let Seen { asked, complete, pairs } = seen.await.expect("a history that ends well");
        all.asked += asked;
        all.complete += complete;
        all.pairs += pairs;
    }
    assert!(enough(all.pairs > 100 && all.complete > all.asked / 4), "{all:?}");
}
