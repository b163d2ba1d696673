//! The five properties for keys and values, over whole replicas with random histories: careless and hostile writers,
//! conflicts, deletes, arrivals out of order, restarts.

use kappadb::{Database, Source};
use kappadb_core::{EntryId, StoredBlock};
use kappadb_query::Selector;
use kappadb_sim::{Random, enough, seeds};
use kappadb_tests::kv::{self, KEYS, KvWorld, kv_entries};
use kappadb_tests::model::{self, Entries};
use kappadb_tests::replica::{NOW, Replica};
use kappadb_tests::world::Mix;
use kappadb_view_kv::{KeyRange, ScanOptions};

const HONEST: Mix =
    Mix { hostile: 0, careless: 0, deletes: 20, restarts: 4, clears: 0, copies: 0, detached: 0 };
const CARELESS: Mix =
    Mix { hostile: 0, careless: 30, deletes: 20, restarts: 4, clears: 0, copies: 0, detached: 0 };
const HOSTILE: Mix =
    Mix { hostile: 30, careless: 20, deletes: 20, restarts: 4, clears: 0, copies: 0, detached: 0 };

fn worlds(offset: u64, count: u64) -> impl Iterator<Item = (u64, KvWorld)> {
    let mixes = [(1_000, HONEST), (2_000, CARELESS), (3_000, HOSTILE)];
    mixes.into_iter().flat_map(move |(base, mix)| {
        seeds(base + offset..base + offset + count)
            .map(move |seed| (seed, KvWorld::new(seed, 2 + seed % 3, 45, mix)))
    })
}

fn scanned(entries: &Entries, range: &KeyRange, options: &ScanOptions) -> Vec<(Vec<u8>, EntryId)> {
    let mut all = model::values(entries, NOW.0, |key| range.contains(key));
    if options.backwards {
        all.reverse();
    }
    let limit = options.limit.unwrap_or(usize::MAX);
    let beyond = |key: &Vec<u8>| match &options.after {
        Some(after) if options.backwards => key < after,
        Some(after) => key > after,
        None => true,
    };
    all.into_iter().filter(|(key, _)| beyond(key)).take(limit).collect()
}

/// Property 1: the same set of entries in another order, in other batches, with other restarts: the same heads, winners
/// and scans, and those of the plain model.
#[test]
fn order_does_not_matter() {
    for (seed, mut world) in worlds(0, 8) {
        let who = world.pick();
        let copy = shuffled_copy(&world.replicas[who], seed);
        let entries = kv_entries(&world.replicas[who]);
        for replica in [&world.replicas[who], &copy] {
            let expected = model::of_keys(&entries, |_| true);
            assert_eq!(replica.heads(&KeyRange::ALL, &KEYS), expected, "seed {seed}");
        }
        for _ in 0..8 {
            let range = world.range();
            let limit = Some(world.random.below(5) as usize).filter(|limit| *limit < 4);
            let after =
                Some(KEYS[world.random.below(7) as usize].to_vec()).filter(|_| world.random.chance(50));
            let options = ScanOptions { limit, backwards: world.random.chance(50), after };
            let expected = scanned(&entries, &range, &options);
            for (replica, page) in [(&world.replicas[who], usize::MAX), (&copy, 1), (&copy, 2)] {
                let found = replica.scan(&range, &options, page);
                assert_eq!(found, expected, "seed {seed}, {range:?}, {options:?}, pages of {page}");
            }
        }
    }
}

/// Takes all that `from` holds, block by block, in random order, with restarts between.
fn shuffled_copy(from: &Replica, seed: u64) -> Replica {
    let mut random = Random::new(seed ^ 0xc0b1);
    let mut copy = Replica::new(seed ^ 0xc0b1);
    let mut blocks: Vec<_> = from.entries().into_keys().collect();
    random.shuffle(&mut blocks);
    for id in blocks {
        copy.fetch(from, id.feed, &[id.seq].into_iter().collect());
        if random.chance(3) {
            copy.reopen();
        }
    }
    copy
}

fn union(world: &KvWorld, who: usize, peer: usize) -> Entries {
    let mut union = kv_entries(&world.replicas[who]);
    union.extend(kv_entries(&world.replicas[peer]));
    union
}

/// Property 2 for keys, prefixes and ranges: after a question was completed the own answer is that over the union of what
/// both hold, whatever was held before, also if the peer is sparse.
#[test]
fn sparse_equivalence() {
    for (seed, mut world) in worlds(100, 15) {
        for _ in 0..6 {
            let (who, peer, question) = (world.pick(), world.pick(), world.question());
            let union = union(&world, who, peer);
            world.replicas[who].ask_kv(&world.replicas[peer], &question);
            let wanted = |key: &[u8]| question.matches_places(Some(key), &Default::default());
            let mut found = world.replicas[who].heads(&KeyRange::ALL, &KEYS);
            found.retain(|key, _| wanted(key));
            assert_eq!(found, model::of_keys(&union, wanted), "seed {seed}, {question:?}");
        }
    }
}

/// `who` changes its mind about some feeds of others.
fn drop_some(world: &mut KvWorld, who: usize) {
    for (owner, feed) in world.feeds.clone().into_iter().enumerate() {
        let feeds = world.replicas[who].feeds();
        if owner != who && world.random.chance(30) {
            match feeds.is_dropped(&feed) {
                true => feeds.allow_feed(&feed).expect("allow"),
                false => feeds.drop_feed(&feed).expect("drop"),
            }
        }
    }
}

/// Property 2 with feeds that were dropped, others by the asker than by the peer: the answer is that over what both hold, without what
/// the asker dropped.
#[test]
fn sparse_equivalence_without_dropped_feeds() {
    for (seed, mut world) in worlds(150, 10) {
        for _ in 0..6 {
            let (who, peer, question) = (world.pick(), world.pick(), world.question());
            drop_some(&mut world, who);
            drop_some(&mut world, peer);
            let mut union = union(&world, who, peer);
            let dropped = world.replicas[who].dropped();
            union.retain(|id, _| !dropped.contains(&id.feed));
            world.replicas[who].ask_kv(&world.replicas[peer], &question);
            let wanted = |key: &[u8]| question.matches_places(Some(key), &Default::default());
            let mut found = world.replicas[who].heads(&KeyRange::ALL, &KEYS);
            found.retain(|key, _| wanted(key));
            assert_eq!(found, model::of_keys(&union, wanted), "seed {seed}, {question:?}");

            let (range, backwards) = (world.range(), world.random.chance(50));
            let limit = 1 + world.random.below(3) as u32;
            let options = ScanOptions { limit: Some(limit as usize), backwards, after: None };
            kv::ask_first(&world.replicas[who], &world.replicas[peer], &range, limit, backwards);
            let found = world.replicas[who].scan(&range, &options, usize::MAX);
            assert_eq!(found, scanned(&union, &range, &options), "seed {seed}, {range:?}, {options:?}");
        }
    }
}

/// Property 2 for limited scans, both ways.
#[test]
fn sparse_equivalence_of_limited_scans() {
    let (mut asked, mut spared) = (0, 0);
    for (seed, mut world) in worlds(200, 15) {
        for _ in 0..6 {
            let (who, peer, range) = (world.pick(), world.pick(), world.range());
            let (limit, backwards) = (1 + world.random.below(3) as u32, world.random.chance(50));
            let union = union(&world, who, peer);
            let options = ScanOptions { limit: Some(limit as usize), backwards, after: None };
            kv::ask_first(&world.replicas[who], &world.replicas[peer], &range, limit, backwards);
            let expected = scanned(&union, &range, &options);
            let found = world.replicas[who].scan(&range, &options, usize::MAX);
            assert_eq!(found, expected, "seed {seed}, {range:?}, {options:?}");
            asked += 1;
            spared += usize::from(kv_entries(&world.replicas[who]).len() < union.len());
        }
    }
    assert!(spared * 4 > asked, "limits spared next to nothing: {spared} of {asked}");
}

/// Property 2 for histories: every version that either holds.
#[test]
fn a_history_is_that_of_both() {
    for (seed, mut world) in worlds(300, 6) {
        for key in KEYS {
            let (who, peer) = (world.pick(), world.pick());
            let union = union(&world, who, peer);
            world.replicas[who].ask_kv(&world.replicas[peer], &Selector::versions([key]));
            let asker = &world.replicas[who];
            asker.kv().ready().expect("ready");
            let found = asker.kv().read(|index| index.read().history(key)).expect("view").expect("history");
            let expected = union.iter().filter(|(_, header)| header.key.as_deref() == Some(key));
            assert!(found.iter().map(|v| v.id).eq(expected.map(|(id, _)| *id)), "seed {seed}, {key:?}");
        }
    }
}

/// Property 4: a bundle that was changed anywhere is refused and leaves nothing behind.
#[test]
fn nothing_unverified_is_kept() {
    let mut refused = 0;
    for (seed, mut world) in worlds(400, 10) {
        let peer = world.pick();
        let feed = world.feeds[peer];
        let held = world.replicas[peer].feeds().held(&feed);
        let some: kappadb_core::RangeSet = held.iter().filter(|_| world.random.chance(50)).collect();
        if some.is_empty() {
            continue;
        }
        let mut bundle = world.replicas[peer].bundle(feed, &some);
        let at = world.random.below(bundle.blocks.len() as u64) as usize;
        let mut bytes = bundle.blocks[at].bytes.to_vec();
        let byte = world.random.below(bytes.len() as u64) as usize;
        bytes[byte] ^= 1 << world.random.below(8);
        bundle.blocks[at] = StoredBlock { bytes: bytes.into(), ..bundle.blocks[at].clone() };
        let victim = Replica::new(seed ^ 0xbad);
        let definition = world.replicas[peer].feeds().definition(&feed).expect("definition");
        victim.feeds().define(&definition).expect("define");
        assert!(victim.feeds().put(bundle).is_err(), "seed {seed}");
        assert!(victim.heads(&KeyRange::ALL, &KEYS).is_empty(), "seed {seed}");
        refused += 1;
    }
    assert!(enough(refused > 15), "only {refused} cases were tried");
}

/// Property 5: without any derived data the answers are the same, and so are those of rows kept up and made anew.
#[test]
fn the_log_is_the_truth() {
    for (seed, mut world) in worlds(500, 8) {
        for replica in &mut world.replicas {
            let look = |replica: &Replica| {
                let scan = |backwards| ScanOptions { backwards, ..ScanOptions::default() };
                let scans = [false, true].map(|way| replica.scan(&KeyRange::ALL, &scan(way), 2));
                (replica.heads(&KeyRange::ALL, &KEYS), scans, replica.feeds().list())
            };
            let before = look(replica);
            assert_eq!(replica.views().verify().expect("verify"), Vec::<String>::new(), "seed {seed}");
            replica.rebuild();
            assert_eq!(look(replica), before, "seed {seed}");
        }
    }
}

/// Asks for some keys, for those with a prefix, for the first of a range or for all; which keys the answer speaks of.
async fn ask(database: &Database, random: &mut Random) -> (bool, Vec<String>) {
    let kv = database.kv();
    let key = |n: u64| format!("k{n:02}");
    let all: Vec<String> = (0..30).map(key).collect();
    let everything = ScanOptions::default();
    match random.below(6) {
        0 => {
            let answer = kv.scan(&KeyRange::ALL, &everything).from(Source::Peers).await.expect("ask");
            (answer.is_complete(), all)
        }
        1 => {
            let keys: Vec<String> = (0..4).map(|_| key(random.below(30))).collect();
            (kv.get_all(&keys).from(Source::Peers).await.expect("ask").is_complete(), keys)
        }
        2 | 3 => {
            let prefix = format!("k{}", random.below(3));
            let range = KeyRange::prefix(prefix.as_str());
            let answer = kv.scan(&range, &everything).from(Source::Peers).await.expect("ask");
            (answer.is_complete(), all.into_iter().filter(|key| key.starts_with(&prefix)).collect())
        }
        _ => {
            let options = ScanOptions { limit: Some(3), backwards: random.chance(50), after: None };
            let answer = kv.scan(&KeyRange::ALL, &options).from(Source::Peers).await.expect("ask");
            let is_complete = answer.is_complete();
            let text = |key: Vec<u8>| String::from_utf8(key).expect("text");
            let found: Vec<String> = answer.into_iter().map(|item| text(item.key)).collect();
            let last = found.last().filter(|_| found.len() == 3).cloned();
            let within = |key: &String| match (&last, options.backwards) {
                (None, _) => true,
                (Some(last), true) => key >= last,
                (Some(last), false) => key <= last,
            };
            (is_complete, all.into_iter().filter(within).collect())
        }
    }
}

/// Property 3: "complete" is never said of an answer that lacks something that the peer knows to exist, also if the peer is
/// sparse itself.
#[tokio::test(flavor = "multi_thread")]
async fn truthful_completion() {
    let (mut complete, mut partial) = (0, 0);
    for seed in seeds(0..4) {
        let (dir, mut random) = (tempfile::tempdir().expect("temp dir"), Random::new(seed));
        let writer = Database::builder(dir.path().join("writer")).create().await.expect("create");
        let server = writer.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
        let relay = Database::builder(dir.path().join("relay")).join(&server.ticket()).await.expect("join");
        let relayed = relay.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
        let asker = Database::builder(dir.path().join("asker")).join(&relayed.ticket()).await.expect("join");
        let mut log = Vec::<(String, Option<String>)>::new();
        for step in 0..60 {
            let key = format!("k{:02}", random.below(30));
            match random.below(10) {
                0..6 => {
                    writer.kv().put(key.as_str(), step.to_string()).await.expect("put");
                    log.push((key, Some(step.to_string())));
                }
                6 => {
                    if writer.kv().delete(key.as_str()).await.expect("delete").is_some() {
                        log.push((key, None));
                    }
                }
                7 => drop(ask(&relay, &mut random).await),
                _ => {
                    let heard =
                        relay.status().await.expect("status").feeds.first().map_or(0, |feed| feed.length);
                    let (is_complete, keys) = ask(&asker, &mut random).await;
                    if !is_complete {
                        partial += 1;
                        continue;
                    }
                    complete += 1;
                    for key in keys {
                        let found = asker.kv().get(&key).await.expect("get").one();
                        let known = log[..heard as usize].iter().rev().find(|(of, _)| *of == key);
                        let known = known.and_then(|(_, value)| value.as_deref());
                        assert_eq!(
                            found.as_ref().and_then(|v| v.text()),
                            known,
                            "seed {seed}, step {step}, {key}"
                        );
                    }
                }
            }
        }
    }
    assert!(enough(complete > 3 && partial > 3), "{complete} complete, {partial} not");
}
