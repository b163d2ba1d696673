//! The five properties that always hold, on the map view. Each is a test by name; a history is a seed.

use kappadb_core::{Extent, GeoBox, StoredBlock};
use kappadb_query::Selector;
use kappadb_sim::{Random, enough, seeds};
use kappadb_tests::model;
use kappadb_tests::replica::{Replica, boxes, content};
use kappadb_tests::world::{KEYS, Mix, World};
use std::collections::BTreeSet;

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
    assert!(enough(spared > 10), "levels made no difference");
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

/// Property 2 with feeds that were dropped, others by the asker than by the peer: the answer is that over what both hold, without what
/// the asker dropped. Taken off the list again they count again, with what a compaction took away fetched anew.
#[test]
fn sparse_equivalence_without_dropped_feeds() {
    let mut laid_bare = 0;
    for (base, mix) in mixes() {
        for seed in seeds(base + 300..base + 310) {
            let mut world = World::new(seed, 4);
            (0..70).for_each(|_| world.advance(mix));
            for _ in 0..6 {
                let (who, peer) = (world.pick_replica(), world.pick_replica());
                let extent = if world.random().chance(50) { GeoBox::WORLD.into() } else { world.extent() };
                drop_some(&mut world, who, 40);
                drop_some(&mut world, peer, 15);
                let (asker, answerer) = (&world.replicas[who], &world.replicas[peer]);
                let dropped = asker.dropped();
                let selector = Selector::from(&extent);
                let usual = answerer.matches("map", &selector, &BTreeSet::new());
                let more = answerer.matches("map", &selector, &dropped);
                laid_bare += usize::from(more.iter().any(|(feed, ranges)| {
                    usual.get(feed).is_none_or(|usual| !ranges.minus(usual).is_empty())
                }));
                assert!(more.keys().all(|feed| !dropped.contains(feed)), "seed {seed}");
                let mut union = asker.entries();
                union.extend(answerer.entries());
                union.retain(|id, _| !dropped.contains(&id.feed));
                asker.ask(answerer, &extent);
                let expected = model::answer(&union, &boxes(&extent));
                assert_eq!(asker.answer(&extent), expected, "seed {seed}, {who} asks {peer}, {extent:?}");
            }
        }
    }
    assert!(enough(laid_bare > 5), "dropping laid next to nothing bare: {laid_bare}");
}

/// `who` changes its mind about so many per cent of the feeds of others, and may give the disk back.
fn drop_some(world: &mut World, who: usize, percent: u64) {
    for feed in world.known.clone() {
        if feed == world.feeds[who] || !world.random().chance(percent) {
            continue;
        }
        let replica = &world.replicas[who];
        match replica.feeds().is_dropped(&feed) {
            true => replica.feeds().allow_feed(&feed).expect("allow"),
            false => replica.feeds().drop_feed(&feed).expect("drop"),
        }
    }
    if world.random().chance(20) {
        world.replicas[who].compact();
    }
}

/// The same for the question who refers to a feature.
#[test]
fn sparse_equivalence_of_referrers_without_dropped_feeds() {
    for (base, mix) in mixes() {
        for seed in seeds(base + 350..base + 358) {
            let mut world = world(seed, mix);
            for target in KEYS {
                let (who, peer) = (world.pick_replica(), world.pick_replica());
                drop_some(&mut world, who, 40);
                drop_some(&mut world, peer, 15);
                let (asker, answerer) = (&world.replicas[who], &world.replicas[peer]);
                let dropped = asker.dropped();
                let mut union = asker.entries();
                union.extend(answerer.entries());
                union.retain(|id, _| !dropped.contains(&id.feed));
                asker.ask_for(answerer, &Selector::referrers([target]));
                let believed = model::referrers(&asker.entries(), target.as_bytes());
                asker.ask_for(answerer, &Selector::keys(believed.into_keys()));
                let expected = model::referrers(&union, target.as_bytes());
                assert_eq!(asker.referrers(target), expected, "seed {seed}, {target}");
            }
        }
    }
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
    assert!(
        enough(whole > 40 && missing > 15 && mended > 10),
        "{whole} whole, {missing} not, {mended} mended"
    );
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
    assert!(enough(refused > 20), "only {refused} cases were tried");
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
    assert!(enough(cleared > 50), "only {cleared} payloads were cleared");
}
