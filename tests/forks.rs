//! The five properties where writers sign two histories: folders that are copied and written on in both places, found out about
//! at any time, in any order.

use kappadb_core::{FeedKey, Seq};
use kappadb_sim::{Random, enough, seeds};
use kappadb_tests::model;
use kappadb_tests::replica::{Replica, boxes, without};
use kappadb_tests::world::{Mix, World};
use std::collections::BTreeMap;

const FORKING: Mix =
    Mix { hostile: 0, careless: 20, deletes: 15, restarts: 4, clears: 6, copies: 8, detached: 12 };

/// Every other one with writers that lie.
fn world(seed: u64) -> World {
    let mix = Mix { hostile: 25 * (seed % 2), ..FORKING };
    let mut world = World::new(seed, 3);
    (0..70).for_each(|_| world.advance(mix));
    world
}

/// The asker tells what it knows, is told what the peer knows, and compares histories, until both leave out the same.
fn agree(asker: &Replica, peer: &Replica) {
    for _ in 0..10 {
        asker.tell(peer);
        peer.tell(asker);
        asker.compare(peer);
        if asker.excluded() == peer.excluded() {
            return;
        }
    }
    panic!("{:?} and {:?} remain", asker.excluded(), peer.excluded());
}

/// Each replica answers as the plain model does from what it holds and counts, now and after everything derived was thrown away.
#[test]
fn what_forked_is_left_out_in_any_order_and_after_a_rebuild() {
    let mut forks = 0;
    for seed in seeds(7_000..7_016) {
        let mut world = world(seed);
        for who in 0..world.replicas.len() {
            for _ in 0..4 {
                let extent = world.extent();
                let expected = model::answer(&world.replicas[who].counting(), &boxes(&extent));
                assert_eq!(world.replicas[who].answer(&extent), expected, "seed {seed}, {who}, {extent:?}");
            }
            let (extent, excluded) = (world.extent(), world.replicas[who].excluded());
            let before = world.replicas[who].answer(&extent);
            world.replicas[who].rebuild();
            assert_eq!(world.replicas[who].excluded(), excluded, "seed {seed}, {who}");
            assert_eq!(world.replicas[who].answer(&extent), before, "rebuilt, seed {seed}, {who}");
            forks += excluded.len();
        }
    }
    assert!(enough(forks > 5), "only {forks} forks");
}

/// Whatever of the evidence and the entries comes first, and whatever was held of either history: the same answers.
#[test]
fn evidence_and_entries_may_come_in_any_order() {
    let mut told = 0;
    for seed in seeds(7_100..7_120) {
        let mut world = world(seed);
        let forks = |who: &usize| world.replicas[*who].excluded().len();
        let who = (0..world.replicas.len()).max_by_key(forks).expect("replicas");
        let excluded = world.replicas[who].excluded();
        let mut random = Random::new(seed);
        let copy = Replica::new(seed ^ 0xf0f0);
        let held = world.replicas[who].feeds().list().into_iter();
        let mut parts: Vec<(FeedKey, Option<Seq>)> = held
            .flat_map(|info| {
                world.replicas[who]
                    .feeds()
                    .held(&info.feed)
                    .iter()
                    .map(move |seq| (info.feed, Some(seq)))
                    .collect::<Vec<_>>()
            })
            .collect();
        parts.extend(excluded.keys().map(|feed| (*feed, None)));
        random.shuffle(&mut parts);
        for (feed, seq) in parts {
            match seq {
                Some(seq) => copy.fetch(&world.replicas[who], feed, &[seq].into_iter().collect()),
                None => world.replicas[who].tell(&copy),
            }
        }
        assert_eq!(copy.excluded(), excluded, "seed {seed}");
        told += excluded.len();
        for _ in 0..6 {
            let extent = world.extent();
            assert_eq!(copy.answer(&extent), world.replicas[who].answer(&extent), "seed {seed}, {extent:?}");
        }
    }
    assert!(enough(told > 5), "only {told} forked");
}

/// Property 2: once two leave out the same forks, the asker's answer is that over the union of what both hold and count.
#[test]
fn sparse_equivalence_over_forks() {
    let mut forks = 0;
    for seed in seeds(7_200..7_220) {
        let mut world = world(seed);
        for _ in 0..6 {
            let (who, peer, extent) = (world.pick_replica(), world.pick_replica(), world.extent());
            let (asker, answerer) = (&world.replicas[who], &world.replicas[peer]);
            agree(asker, answerer);
            let union = union(asker, answerer, &asker.excluded());
            asker.ask(answerer, &extent);
            if asker.excluded() != answerer.excluded() {
                // It learnt of a fork meanwhile, and asks again.
                agree(asker, answerer);
                asker.ask(answerer, &extent);
            }
            let expected = model::answer(&without(union, &asker.excluded()), &boxes(&extent));
            assert_eq!(asker.answer(&extent), expected, "seed {seed}, {who} asks {peer}, {extent:?}");
            forks += asker.excluded().len();
        }
    }
    assert!(enough(forks > 5), "only {forks} forks");
}

/// What two hold and count: up to the forks it is one history.
fn union(asker: &Replica, peer: &Replica, excluded: &BTreeMap<FeedKey, Seq>) -> model::Entries {
    let mut union = without(peer.entries(), excluded);
    for (id, header) in without(asker.entries(), excluded) {
        let same = union.insert(id, header.clone()).is_none_or(|other| other == header);
        assert!(same, "two entries count as {id}");
    }
    union
}
