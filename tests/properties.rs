//! The five properties that always hold, on the map view. Each is a test by name; a history is a seed.

use kappadb_core::{Extent, GeoBox, StoredBlock};
use kappadb_query::Selector;
use kappadb_sim::{Random, seeds};
use kappadb_tests::model;
use kappadb_tests::replica::{Replica, boxes, content};
use kappadb_tests::world::{KEYS, Mix, World};

const HONEST: Mix =
    Mix { hostile: 0, careless: 0, deletes: 15, restarts: 4, clears: 8, copies: 0, detached: 12 };
const CARELESS: Mix =
    Mix { hostile: 0, careless: 30, deletes: 15, restarts: 4, clears: 8, copies: 0, detached: 12 };
const HOSTILE: Mix =
    Mix { hostile: 30, careless: 20, deletes: 15, restarts: 4, clears: 8, copies: 0, detached: 12 };

fn world(seed: u64, mix: Mix) -> World {
    let mut world = World::new(seed, 2 + seed % 3);
    for _ in 0..40 {
        world.advance(mix);
    }
    world
}

fn mixes() -> [(u64, Mix); 3] {
    [(1_000, HONEST), (2_000, CARELESS), (3_000, HOSTILE)]
}

/// Property 1: the same set of entries in another order, in other batches, with other restarts: the same answers, and
/// those of the plain model.
#[test]
fn order_does_not_matter() {
    for (base, mix) in mixes() {
        for seed in seeds(base..base + 12) {
            let mut world = world(seed, mix);
            let who = world.pick_replica();
            let copy = shuffled_copy(&world.replicas[who], seed);
            let entries = world.replicas[who].entries();
            for _ in 0..12 {
                let extent = world.extent();
                let expected = model::answer(&entries, &boxes(&extent));
                assert_eq!(world.replicas[who].answer(&extent), expected, "seed {seed}, {extent:?}");
                assert_eq!(copy.answer(&extent), expected, "copy, seed {seed}, {extent:?}");
            }
        }
    }
}

/// Takes all that `from` holds, block by block or in runs, in random order, with restarts between.
fn shuffled_copy(from: &Replica, seed: u64) -> Replica {
    let mut random = Random::new(seed ^ 0xc0b1);
    let mut copy = Replica::new(seed ^ 0xc0b1);
    let held = from.feeds().list().into_iter().map(|info| (info.feed, from.feeds().held(&info.feed)));
    let mut parts: Vec<_> =
        held.flat_map(|(feed, held)| held.iter().map(|seq| (feed, seq)).collect::<Vec<_>>()).collect();
    random.shuffle(&mut parts);
    for (feed, seq) in parts {
        copy.fetch(from, feed, &[seq].into_iter().collect());
        if random.chance(3) {
            copy.reopen();
        }
    }
    copy
}

/// Property 2: after a query was completed against a peer, the own answer is that over the union of what both hold,
/// whatever was held before, also if the peer is sparse.
#[test]
fn sparse_equivalence() {
    for (base, mix) in mixes() {
        for seed in seeds(base..base + 25) {
            let mut world = world(seed, mix);
            for _ in 0..6 {
                let (who, peer) = (world.pick_replica(), world.pick_replica());
                let extent = world.extent();
                let mut union = world.replicas[who].entries();
                union.extend(world.replicas[peer].entries());
                let (asker, answerer) = (&world.replicas[who], &world.replicas[peer]);
                asker.ask(answerer, &extent);
                assert_eq!(
                    asker.answer(&extent),
                    model::answer(&union, &boxes(&extent)),
                    "seed {seed}, {extent:?}"
                );
            }
        }
    }
}

/// Property 2 for boxes from a level on: what is below the level, and what replaces it there, is not needed.
#[test]
fn sparse_equivalence_from_a_level_on() {
    let mut spared = 0;
    for (base, mix) in mixes() {
        for seed in seeds(base + 100..base + 115) {
            let mut world = world(seed, mix);
            for _ in 0..6 {
                let (who, peer, extent) = (world.pick_replica(), world.pick_replica(), world.extent());
                let level = *world.random().pick(&[1, 9, 26, 28, 30, 31, 32]);
                let mut union = world.replicas[who].entries();
                union.extend(world.replicas[peer].entries());
                let (asker, answerer) = (&world.replicas[who], &world.replicas[peer]);
                asker.ask_for(answerer, &Selector::from_level(&extent, level));
                let expected = model::answer_from_level(&union, &boxes(&extent), level);
                let own = model::answer_from_level(&asker.entries(), &boxes(&extent), level);
                assert_eq!(own, expected, "seed {seed}, {extent:?} from {level}");
                spared += usize::from(expected.len() < model::answer(&union, &boxes(&extent)).len());
            }
        }
    }
    assert!(spared > 10, "levels made no difference");
}

/// Property 2 for the question who refers to a feature, which is a join of two.
#[test]
fn sparse_equivalence_of_referrers() {
    for (base, mix) in mixes() {
        for seed in seeds(base + 200..base + 215) {
            let mut world = world(seed, mix);
            for target in KEYS {
                let (who, peer) = (world.pick_replica(), world.pick_replica());
                let mut union = world.replicas[who].entries();
                union.extend(world.replicas[peer].entries());
                let (asker, answerer) = (&world.replicas[who], &world.replicas[peer]);
                asker.ask_for(answerer, &Selector::referrers([target]));
                let believed = model::referrers(&asker.entries(), target.as_bytes());
                asker.ask_for(answerer, &Selector::keys(believed.into_keys()));
                let expected = model::referrers(&union, target.as_bytes());
                assert_eq!(asker.referrers(target), expected, "seed {seed}, {target}");
            }
        }
    }
}

/// Property 2 with a feed that both have dropped: the answer is that over the union without it. Taken off the list again
/// it counts again, with what a compaction took away fetched anew.
#[test]
fn sparse_equivalence_without_dropped_feeds() {
    let mut told_apart = 0;
    let everywhere = Extent::from(GeoBox::WORLD);
    for (base, mix) in mixes() {
        for seed in seeds(base + 300..base + 308) {
            let mut world = World::new(seed, 3);
            (0..40).for_each(|_| world.advance(mix));
            let dropped = world.feeds[2];
            let mut wanted = union(&world);
            wanted.retain(|id, _| id.feed != dropped);
            let [asker, peer, _] = &mut world.replicas[..] else { unreachable!("three replicas") };
            asker.feeds().drop_feed(&dropped).expect("drop");
            peer.feeds().drop_feed(&dropped).expect("drop");
            if seed % 2 == 0 {
                asker.compact();
            }
            asker.ask(peer, &everywhere);
            let expected = model::answer(&wanted, &boxes(&everywhere));
            assert_eq!(asker.answer(&everywhere), expected, "dropped, seed {seed}");
            for replica in [&*asker, &*peer] {
                replica.feeds().allow_feed(&dropped).expect("allow");
            }
            let held = union(&world);
            let (asker, peer) = (&world.replicas[0], &world.replicas[1]);
            asker.ask(peer, &everywhere);
            let again = model::answer(&held, &boxes(&everywhere));
            assert_eq!(asker.answer(&everywhere), again, "allowed, seed {seed}");
            told_apart += usize::from(again != expected);
        }
    }
    assert!(told_apart > 0, "dropping made no difference");
}

/// What the first two replicas hold.
fn union(world: &World) -> model::Entries {
    let mut union = world.replicas[0].entries();
    union.extend(world.replicas[1].entries());
    union
}

/// Payloads that lie in blocks of their own read back as they were written, or not at all, whatever of them came, was cleared or was
/// compacted away; and what was missing can be fetched from who has it.
#[test]
fn detached_payloads_are_whole_or_missing() {
    let (mut whole, mut missing, mut mended) = (0, 0, 0);
    for (base, mix) in mixes() {
        for seed in seeds(base + 400..base + 410) {
            let world = world(seed, mix);
            for replica in &world.replicas {
                for (id, header) in replica.entries() {
                    let Some(detached) = header.detached() else { continue };
                    let first = detached.chunks().iter().next().expect("a chunk");
                    let expected = content(&id.feed, first, detached.bytes());
                    let held = replica.feeds().whole(&id.feed).intersection(detached.chunks());
                    let found = replica.detached(&id, &header);
                    assert_eq!(found.is_some(), held == *detached.chunks(), "seed {seed}, {id}");
                    match found {
                        Some(found) => {
                            assert!(found == expected, "seed {seed}, {id}");
                            whole += 1;
                        }
                        None => missing += 1,
                    }
                    let has = |peer: &&Replica| peer.detached(&id, &header).is_some();
                    if let (None, Some(peer)) =
                        (replica.detached(&id, &header), world.replicas.iter().find(has))
                    {
                        replica.fetch(peer, id.feed, detached.chunks());
                        let lacking = detached.chunks().minus(&replica.feeds().held(&id.feed));
                        assert!(lacking.is_empty(), "seed {seed}, {id}");
                        mended += 1;
                    }
                }
            }
        }
    }
    assert!(whole > 40 && missing > 15 && mended > 10, "{whole} whole, {missing} not, {mended} mended");
}

/// Property 4: a bundle that was changed anywhere is refused and leaves nothing behind.
#[test]
fn nothing_unverified_is_kept() {
    let mut refused = 0;
    for seed in seeds(4_000..4_040) {
        let mut world = world(seed, CARELESS);
        let peer = world.pick_replica();
        let feed = world.feeds[peer];
        let held = world.replicas[peer].feeds().held(&feed);
        let some: kappadb_core::RangeSet = held.iter().filter(|_| world.random().chance(50)).collect();
        if some.is_empty() {
            continue;
        }
        let mut bundle = world.replicas[peer].bundle(feed, &some);
        let random = world.random();
        match random.below(4) {
            0 => {
                let at = random.below(bundle.blocks.len() as u64) as usize;
                let mut bytes = bundle.blocks[at].bytes.to_vec();
                let byte = random.below(bytes.len() as u64) as usize;
                bytes[byte] ^= 1 << random.below(8);
                bundle.blocks[at] = StoredBlock { bytes: bytes.into(), ..bundle.blocks[at].clone() };
            }
            1 => bundle.head.head.length += 1,
            2 => bundle.head.signature.0[random.below(64) as usize] ^= 4,
            _ => match bundle.proof.first_mut() {
                Some(node) => node.hash.0[random.below(32) as usize] ^= 1,
                None => bundle.head.head.root_hash.0[5] ^= 1,
            },
        }
        let victim = Replica::new(seed ^ 0xbad);
        let definition = world.replicas[peer].feeds().definition(&feed).expect("definition");
        victim.feeds().define(&definition).expect("define");
        assert!(victim.feeds().put(bundle).is_err(), "seed {seed}");
        victim.feeds().sync().expect("sync");
        assert!(victim.feeds().held(&feed).is_empty() && victim.entries().is_empty(), "seed {seed}");
        refused += 1;
    }
    assert!(refused > 20, "only {refused} cases were tried");
}

/// Property 5: without any derived data the answers are the same.
#[test]
fn the_log_is_the_truth() {
    let mut cleared = 0;
    for (base, mix) in mixes() {
        for seed in seeds(base + 500..base + 510) {
            let mut world = world(seed, mix);
            cleared += world.cleared;
            let extents: Vec<Extent> =
                (0..10).map(|_| world.extent()).chain([GeoBox::WORLD.into()]).collect();
            for replica in &mut world.replicas {
                let before: Vec<_> = extents.iter().map(|e| replica.answer(e)).collect();
                let (entries, lists) = (replica.entries(), replica.feeds().list());
                replica.rebuild();
                assert_eq!(replica.entries(), entries, "seed {seed}");
                assert_eq!(replica.feeds().list(), lists, "seed {seed}");
                let after: Vec<_> = extents.iter().map(|e| replica.answer(e)).collect();
                assert_eq!(before, after, "seed {seed}");
            }
        }
    }
    assert!(cleared > 50, "only {cleared} payloads were cleared");
}
