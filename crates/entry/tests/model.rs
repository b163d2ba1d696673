//! The port of `model_check.py`: random histories with holes, by honest, evicting, importing and hostile writers. A
//! sparse replica asks a peer and must then answer as if it held the union. The writers and the rules are the
//! crate's own; the naive rules beside them must fail, or this test could not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod port;

use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Kind, space};
use kappadb_sim::{Random, seeds};
use port::{Span, feed, id, places};
use std::collections::BTreeSet;

const HISTORIES: u64 = 1200;

#[derive(Debug, Clone)]
struct Entry {
    key: u64,
    tag: u64,
    version: Version,
    links: Vec<EntryId>,
}

type Rule = fn(&Entry, &Entry) -> bool;

fn replaces(f: &Entry, e: &Entry) -> bool {
    f.key == e.key && rules::replaces(&f.version, &e.version)
}

fn dominates(f: &Entry, e: &Entry) -> bool {
    f.key == e.key && rules::makes_redundant(&f.version, &e.version)
}

/// Version vectors alone.
fn naive(f: &Entry, e: &Entry) -> bool {
    let (f_id, e_id) = (&f.version.id, &e.version.id);
    f_id != e_id && f.key == e.key && f.version.context.names(&f_id.feed, e_id)
}

/// Links to direct ancestors alone.
fn linked(f: &Entry, e: &Entry) -> bool {
    f.links.contains(&e.version.id)
}

fn heads(set: &[Entry], rule: Rule) -> Vec<Entry> {
    set.iter().filter(|e| !set.iter().any(|f| rule(f, e))).cloned().collect()
}

fn add(to: &[Entry], more: &[Entry]) -> Vec<Entry> {
    let mut out = to.to_vec();
    more.iter().for_each(|e| {
        if !out.iter().any(|have| have.version.id == e.version.id) {
            out.push(e.clone());
        }
    });
    out
}

#[derive(Clone, Copy)]
struct Writers {
    /// Chances in percent: to forget half of what is held; to name explicit ids; to lie.
    evict: u64,
    ids: u64,
    hostile: u64,
}

struct World {
    rng: Random,
    writers: Writers,
    held: Vec<Vec<Entry>>,
    seqs: Vec<u64>,
    out: Vec<Entry>,
}

fn history(rng: Random, writers: Writers) -> (Vec<Entry>, Random) {
    let mut world = World { rng, writers, held: Vec::new(), seqs: Vec::new(), out: Vec::new() };
    let (w, k, n) = (world.rng.between(1, 5), world.rng.between(1, 4), world.rng.between(3, 40));
    world.held.resize_with(usize::try_from(w).unwrap(), Vec::new);
    world.seqs.resize(world.held.len(), 0);
    for _ in 0..n {
        let writer = usize::try_from(world.rng.between(0, w)).unwrap();
        let key = world.rng.between(0, k);
        world.gossip(writer);
        world.write(writer, key);
    }
    (world.out, world.rng)
}

impl World {
    /// The writer learns of a few entries, holes allowed, and may forget even its own.
    fn gossip(&mut self, writer: usize) {
        let mut news = self.out.clone();
        self.rng.shuffle(&mut news);
        news.truncate(usize::try_from(self.rng.between(0, 4)).unwrap());
        self.held[writer] = add(&self.held[writer], &news);
        if self.rng.chance(self.writers.evict) {
            self.held[writer] = self.rng.some(&self.held[writer].clone(), 50);
        }
    }

    fn write(&mut self, writer: usize, key: u64) {
        let name = u8::try_from(writer).unwrap();
        let mine: Vec<Entry> = self.held[writer].iter().filter(|e| e.key == key).cloned().collect();
        let mut links = Vec::new();
        for head in heads(&mine, replaces) {
            if self.rng.chance(80) || head.version.id.feed == feed(name) {
                links.push(head.version.id); // partial merges allowed
            }
        }
        links.extend(mine.iter().map(|e| e.version.id).filter(|id| id.feed == feed(name)).max());
        let versions: Vec<Version> = mine.into_iter().map(|e| e.version).collect();
        let made = match self.rng.chance(self.writers.ids) {
            true => rules::succeed_explicit(&versions, &links),
            false => rules::succeed(&versions, &links, &feed(name)),
        };
        let x = i32::try_from(self.rng.between(0, 100)).unwrap();
        let to = x + i32::try_from(self.rng.between(0, 8)).unwrap();
        let ext = if self.rng.chance(15) { None } else { Some((x, to)) };
        let mut version = Version {
            id: id(name, self.seqs[writer]),
            kind: Kind { space: space::MAP, code: 0 },
            time: Timestamp(0),
            context: made.context,
            depth: made.depth,
            places: places(ext),
            past: made.past,
        };
        if writer == 0 && self.rng.chance(self.writers.hostile) {
            self.lie(&mut version);
        }
        self.seqs[writer] += 1;
        let entry = Entry { key, tag: self.rng.between(0, 2), version, links };
        self.out.push(entry.clone());
        self.held[writer].push(entry);
    }

    /// Claims a past and a future that it never saw.
    fn lie(&mut self, version: &mut Version) {
        let feeds = u8::try_from(self.seqs.len()).unwrap();
        let claims = (0..feeds).filter_map(|f| {
            Some((feed(f).name(), choice(&mut self.rng, [None, Some(3), Some(1_000_000_000)])?))
        });
        version.context = Context { own: None, vector: claims.collect(), ids: version.context.ids.clone() };
        version.depth = u32::try_from(self.rng.between(0, 12)).unwrap();
        let b = i32::try_from(self.rng.between(0, 100)).unwrap();
        version.past = places(choice(&mut self.rng, [None, Some((b, b + 20)), Some((0, 120))]));
    }
}

fn choice<T: Copy>(rng: &mut Random, of: [T; 3]) -> T {
    of[usize::try_from(rng.between(0, 3)).unwrap()]
}

fn hit(a: Span, b: Span) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a.0 <= b.1 && b.0 <= a.1)
}

fn at(e: &Entry, q: Span) -> bool {
    e.version.places.extents.iter().any(|b| hit(Some((b.west, b.east)), q))
}

fn was_at(e: &Entry, q: Span) -> bool {
    e.version.past.extents.iter().any(|b| hit(Some((b.west, b.east)), q))
}

#[derive(Clone, Copy)]
struct Scheme {
    rule: Rule,
    keep: Rule,
    relay: bool,
    tag: Option<u64>,
    filter_erasers: bool,
}

const OURS: Scheme =
    Scheme { rule: replaces, keep: dominates, relay: false, tag: None, filter_erasers: false };

impl Scheme {
    fn serve(&self, set: &[Entry], q: Span) -> Vec<Entry> {
        let left = heads(set, self.keep).into_iter().filter(|e| at(e, q) || was_at(e, q));
        left.filter(|e| !self.filter_erasers || Some(e.tag) == self.tag).collect()
    }

    fn answer(&self, set: &[Entry], q: Span) -> BTreeSet<EntryId> {
        let hits = heads(set, self.rule).into_iter().filter(|e| at(e, q));
        hits.filter(|e| self.tag.is_none_or(|tag| tag == e.tag)).map(|e| e.version.id).collect()
    }

    /// Whether the replica of this seed answers, after it asked, otherwise than the union would.
    fn differs(&self, seed: u64, writers: Writers) -> bool {
        let (all, mut rng) = history(Random::new(seed), writers);
        let (replica, peer) = (rng.some(&all, 40), rng.some(&all, 60));
        let x = i32::try_from(rng.between(0, 100)).unwrap();
        let to = x + i32::try_from(rng.between(0, 30)).unwrap();
        let (q, wide) = (Some((x, to)), Some((x - 5, to + 5)));
        let (got, whole) = if self.relay {
            // The answering peer is sparse itself: it only asked for a wider box before.
            let middle = rng.some(&all, 30);
            let served = add(&middle, &self.serve(&peer, wide));
            (self.serve(&served, q), add(&add(&replica, &peer), &middle))
        } else {
            (self.serve(&peer, q), add(&replica, &peer))
        };
        self.answer(&add(&replica, &got), q) != self.answer(&whole, q)
    }

    fn differences(&self, writers: Writers) -> usize {
        (0..HISTORIES).filter(|&seed| self.differs(seed, writers)).count()
    }
}

const HONEST: Writers = Writers { evict: 0, ids: 0, hostile: 0 };
const EVICTING: Writers = Writers { evict: 30, ..HONEST };
const IMPORTING: Writers = Writers { ids: 30, ..HONEST };
const HOSTILE: Writers = Writers { hostile: 50, ..HONEST };
const ALL: Writers = Writers { evict: 30, ids: 30, hostile: 50 };

#[test]
fn the_rule_answers_as_the_union_with_honest_writers() {
    assert_eq!(OURS.differences(HONEST), 0);
}

#[test]
fn the_rule_answers_as_the_union_with_evicting_writers() {
    assert_eq!(OURS.differences(EVICTING), 0);
}

#[test]
fn the_rule_answers_as_the_union_with_explicit_ids() {
    assert_eq!(OURS.differences(IMPORTING), 0);
}

#[test]
fn the_rule_answers_as_the_union_with_a_hostile_writer() {
    assert_eq!(OURS.differences(HOSTILE), 0);
}

#[test]
fn the_rule_answers_as_the_union_through_a_sparse_relay() {
    assert_eq!(Scheme { relay: true, ..OURS }.differences(ALL), 0);
}

#[test]
fn a_tag_filter_on_answers_does_no_harm() {
    assert_eq!(Scheme { tag: Some(1), ..OURS }.differences(ALL), 0);
}

#[test]
fn a_tag_filter_on_erasers_does() {
    assert!(Scheme { tag: Some(1), filter_erasers: true, ..OURS }.differences(HONEST) > 20);
}

#[test]
fn links_to_direct_ancestors_are_not_enough() {
    assert!(Scheme { rule: linked, keep: linked, ..OURS }.differences(HONEST) > 20);
}

#[test]
fn version_vectors_alone_are_enough_for_careful_honest_writers_only() {
    let vectors = Scheme { rule: naive, keep: naive, ..OURS };
    assert_eq!(vectors.differences(HONEST), 0);
    for writers in [EVICTING, IMPORTING, HOSTILE] {
        assert!(vectors.differences(writers) > 0);
    }
}

/// Keeping only versions that nothing makes redundant, in whatever order they come, loses no head and no eraser.
#[test]
fn the_kept_set_is_the_non_redundant_one_and_has_the_same_heads() {
    for seed in seeds(0..HISTORIES) {
        let (all, mut rng) = history(Random::new(seed), ALL);
        let mut all: Vec<Version> = all.into_iter().filter(|e| e.key == 0).map(|e| e.version).collect();
        rng.shuffle(&mut all);
        let mut active = Vec::new();
        all.iter().for_each(|v| drop(rules::insert(&mut active, v.clone())));
        all.sort_by_key(|v| v.id);
        let redundant = |v: &&Version| !all.iter().any(|f| rules::makes_redundant(f, v));
        assert_eq!(active, all.iter().filter(redundant).cloned().collect::<Vec<_>>(), "history {seed}");
        assert_eq!(rules::heads(&active), rules::heads(&all), "history {seed}");
    }
}
