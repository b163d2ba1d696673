//! Replicas that serve, follow, come and go: what is followed arrives wherever there is a way, whatever happens in between.

use kappadb_sim::{enough, seeds};
use kappadb_tests::swarm::{Seen, Swarm};

const STEPS: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_end_everybody_has_what_it_follows_and_nothing_else_and_no_answer_claims_too_much() {
    let mut all = Seen::default();
    for seed in seeds(0..8) {
        let mut swarm = Swarm::new(seed).await;
        for _ in 0..STEPS {
            swarm.advance().await;
        }
        match swarm.settle().await {
            Ok(Seen { asked, complete, pairs }) => {
                all = Seen {
                    asked: all.asked + asked,
                    complete: all.complete + complete,
                    pairs: all.pairs + pairs,
                };
            }
            Err(why) => panic!("{why}"),
        }
        swarm.close().await;
    }
    assert!(enough(all.pairs > 40 && all.complete > all.asked / 4), "{all:?}");
}
