//! Replicas that serve, follow, come and go: what is followed arrives wherever there is a way, whatever happens in between.

use kappadb_sim::{enough, seeds};
use kappadb_tests::swarm::{Seen, Swarm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_end_everybody_has_what_it_follows_and_nothing_else_and_no_answer_claims_too_much() {
    // Side by side: most of the time they wait.
    let live = async |seed| Swarm::over_tcp(seed).await.live().await;
    let histories: Vec<_> = seeds(0..12).map(|seed| tokio::spawn(live(seed))).collect();
    let mut all = Seen::default();
    for seen in histories {
        all.add(seen.await.expect("a history that ends well"));
    }
    assert!(enough(all.is_much()), "{all:?}");
}
