//! The laws that the rules obey, on arbitrary versions: those that no honest writer would make, too.

mod port;

use kappadb_core::limits::{MAX_CONTEXT_FEEDS, MAX_CONTEXT_IDS, MAX_PAST_PLACES};
use kappadb_core::{EntryId, FeedKey, FeedName, GeoBox, Seq, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Header, Kind, Moment, Places, encode_block, space};
use kappadb_sim::Random;
use port::{Span, feed, id, places};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::{BTreeMap, BTreeSet};

fn within(a: Span, b: Span) -> bool {
    match (a, b) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => b.0 <= a.0 && a.1 <= b.1,
    }
}

/// An entry as `model_check.py` sees it, and its predicates, written down once more without the crate's code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    feed: u8,
    seq: u64,
    ctx: BTreeMap<u8, u64>,
    ids: BTreeSet<(u8, u64)>,
    depth: u32,
    ext: Span,
    ever: Span,
}

impl Model {
    fn names(&self, e: &Model) -> bool {
        self.ctx.get(&e.feed).is_some_and(|&s| s >= e.seq) || self.ids.contains(&(e.feed, e.seq))
    }

    fn replaces(&self, e: &Model) -> bool {
        (self.feed, self.seq) != (e.feed, e.seq)
            && self.names(e)
            && self.depth > e.depth
            && within(e.ext, self.ever)
    }

    fn dominates(&self, f: &Model) -> bool {
        self.replaces(f)
            && f.ctx.iter().all(|(k, s)| self.ctx.get(k).is_some_and(|own| own >= s))
            && f.ids.is_subset(&self.ids)
            && within(f.ever, self.ever)
    }

    /// The same for the crate. With `own`, the writer's own feed is named by `Context::own`, else in the vector.
    fn version(&self, own: bool) -> Version {
        let vector = self
            .ctx
            .iter()
            .filter(|(f, _)| !own || **f != self.feed)
            .map(|(f, s)| (feed(*f).name(), *s))
            .collect();
        let ids = self.ids.iter().map(|&(f, s)| id(f, s)).collect();
        Version {
            id: id(self.feed, self.seq),
            kind: Kind { space: space::MAP, code: 0 },
            time: Timestamp(0),
            context: Context { own: self.ctx.get(&self.feed).copied().filter(|_| own), vector, ids },
            depth: self.depth,
            places: places(self.ext),
            past: places(self.ever),
        }
    }
}

/// Small numbers and few ids, so that versions are often related.
fn models() -> impl Strategy<Value = Model> {
    let span = |weights: [u32; 4]| {
        let spans = [(5, 5), (3, 6), (1, 9), (0, 20)].map(|s| Just(Some(s)));
        prop::strategy::Union::new_weighted(weights.into_iter().zip(spans).chain([(1, Just(None))]).collect())
    };
    let (ext, ever) = (span([4, 2, 2, 1]), span([1, 2, 2, 4]));
    let ctx = prop::collection::btree_map(0u8..3, 0u64..4, 0..5);
    let few = prop::collection::btree_set((0u8..3, 0u64..4), 1..3);
    let ids = prop::option::weighted(0.3, few).prop_map(Option::unwrap_or_default);
    ((0u8..3, 0u64..4), ctx, ids, 0u32..6, ext, ever)
        .prop_map(|((feed, seq), ctx, ids, depth, ext, ever)| Model { feed, seq, ctx, ids, depth, ext, ever })
}

fn versions(n: usize) -> impl Strategy<Value = Vec<Version>> {
    // One version for an id: a feed has one block at a place.
    let unique = |models: Vec<(Model, bool)>| {
        let by_id: BTreeMap<_, _> =
            models.iter().map(|(m, own)| ((m.feed, m.seq), m.version(*own))).collect();
        by_id.into_values().collect()
    };
    prop::collection::vec((models(), any::<bool>()), 0..n).prop_map(unique)
}

fn inserted<'a>(all: impl Iterator<Item = &'a Version>) -> (Vec<Version>, Vec<Version>) {
    let (mut active, mut gone) = (Vec::new(), Vec::new());
    all.for_each(|v| gone.extend(rules::insert(&mut active, v.clone())));
    gone.sort_by_key(|v| v.id);
    (active, gone)
}

proptest! {
    #[test]
    fn rules_agree_with_the_model(f in models(), e in models(), own in any::<(bool, bool)>()) {
        let (fv, ev) = (f.version(own.0), e.version(own.1));
        prop_assert_eq!(rules::replaces(&fv, &ev), f.replaces(&e));
        prop_assert_eq!(rules::makes_redundant(&fv, &ev), f.dominates(&e));
    }

    #[test]
    fn rules_agree_with_the_model_in_contexts_of_many_feeds(
        f in models(),
        e in models(),
        known in prop::collection::btree_map(any::<u8>(), 0u64..4, 130..250),
        more in prop::collection::btree_map(any::<u8>(), 0u64..5, 0..3),
        own in any::<(bool, bool)>(),
    ) {
        // One knows what the other does, and a little more or less: as successors of a key with many writers do.
        let e = Model { ctx: e.ctx.into_iter().chain(known.clone()).collect(), ..e };
        let f = Model { ctx: f.ctx.into_iter().chain(known).chain(more).collect(), ..f };
        let (fv, ev) = (f.version(own.0), e.version(own.1));
        prop_assert_eq!(rules::replaces(&fv, &ev), f.replaces(&e));
        prop_assert_eq!(rules::makes_redundant(&fv, &ev), f.dominates(&e));
        prop_assert_eq!(rules::makes_redundant(&ev, &fv), e.dominates(&f));
    }

    #[test]
    fn redundancy_is_transitive_and_passes_replacement_on(all in versions(14)) {
        for (g, f) in all.iter().flat_map(|g| all.iter().map(move |f| (g, f))) {
            prop_assert!(!(rules::replaces(g, f) && rules::replaces(f, g)));
            for e in all.iter().filter(|_| rules::makes_redundant(g, f)) {
                prop_assert!(!rules::replaces(f, e) || rules::replaces(g, e));
                prop_assert!(!rules::makes_redundant(f, e) || rules::makes_redundant(g, e));
            }
        }
    }

    #[test]
    fn order_of_insertion_does_not_matter(all in versions(16), seed in any::<u64>()) {
        let (active, gone) = inserted(all.iter());
        let mut other = all.clone();
        Random::new(seed).shuffle(&mut other);
        prop_assert_eq!(&inserted(other.iter()), &(active.clone(), gone.clone()));
        prop_assert_eq!(inserted(other.iter().chain(&active)).0, active.clone(), "twice is once");
        let replaced = |e: &&Version| all.iter().any(|f| rules::replaces(f, e));
        prop_assert_eq!(rules::heads(&all), all.iter().filter(|e| !replaced(e)).collect::<Vec<_>>());
        prop_assert_eq!(rules::heads(&active), rules::heads(&all));
        prop_assert_eq!(active.len() + gone.len(), all.len());
    }

    #[test]
    fn a_cover_contains_its_parts_in_any_order(
        spans in prop::collection::vec((0i32..1000, 0i32..60, 0i32..1000, 0i32..60), 0..30),
        windows in prop::collection::vec((0u8..4, 0i64..1000, 0i64..50), 0..30),
        seed in any::<u64>(),
    ) {
        let boxes = spans.iter().map(|&(w, dx, s, dy)| GeoBox { west: w, south: s, east: w + dx, north: s + dy });
        let window = |&(c, from, n): &(u8, i64, i64)| Moment { channel: vec![c], from, to: from + n };
        let mut parts: Vec<Places> = boxes.map(|b| Places::new(vec![b], Vec::new())).collect();
        parts.extend(windows.iter().map(|w| Places::new(Vec::new(), vec![window(w)])));
        let cover = Places::covering(&parts);
        prop_assert!(cover.extents.len() <= MAX_PAST_PLACES && cover.moments.len() <= MAX_PAST_PLACES);
        prop_assert!(parts.iter().all(|p| cover.contains(p)));
        Random::new(seed).shuffle(&mut parts);
        prop_assert_eq!(Places::covering(&parts), cover);
    }

    #[test]
    fn a_successor_replaces_what_it_is_told_to_and_its_writers_last(
        all in versions(16),
        writer in 0u8..3,
        seed in any::<u64>(),
    ) {
        // A head that names what its writer cannot have seen may name its successor, too; that does no harm.
        let (active, _) = inserted(all.iter());
        let picked: Vec<_> = Random::new(seed).some(&rules::heads(&active), 60).into_iter().map(|v| v.id).collect();
        let links = rules::succeed(&active, &picked, &feed(writer));
        let mut header = Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0));
        links.apply_to(&mut header);
        prop_assert!(encode_block(&header, b"").is_ok());
        let next = Version::from_header(id(writer, 1000), &header);
        let last = active.iter().map(|v| v.id).filter(|id| id.feed == feed(writer)).max();
        for v in active.iter().filter(|v| picked.contains(&v.id) || Some(v.id) == last) {
            prop_assert!(rules::makes_redundant(&next, v));
        }
        let explicit = rules::succeed_explicit(&active, &picked);
        explicit.apply_to(&mut header);
        let next = Version::from_header(id(writer, 1000), &header);
        prop_assert!(active.iter().all(|v| rules::replaces(&next, v) == picked.contains(&v.id)));
    }
}

/// The generator above makes each relation often enough for the laws to mean something.
#[test]
fn the_relations_are_not_rare() {
    let (mut replaced, mut redundant) = (0, 0);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..2000 {
        let mut next = || models().new_tree(&mut runner).unwrap().current();
        let (f, e) = (next(), next());
        replaced += u32::from(f.replaces(&e));
        redundant += u32::from(f.dominates(&e));
    }
    assert!(replaced > 100 && redundant > 30, "{replaced} {redundant}");
}

fn wide(n: u16) -> Vec<Version> {
    let version = |i: u16| {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&i.to_be_bytes());
        let mut version = Model {
            feed: 0,
            seq: 5,
            ctx: BTreeMap::new(),
            ids: Default::default(),
            depth: u32::from(i),
            ext: Some((i.into(), i.into())),
            ever: None,
        }
        .version(false);
        version.id.feed = FeedKey(key);
        version
    };
    (0..n).map(version).collect()
}

#[test]
fn links_stay_within_the_limits_however_many_heads_there_are() {
    let heads = wide(5000);
    let picked: Vec<_> = heads.iter().map(|v| v.id).collect();
    let mut header = Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0));
    rules::succeed(&heads, &picked, &FeedKey([9; 32])).apply_to(&mut header);
    assert_eq!(header.context.vector.len(), MAX_CONTEXT_FEEDS);
    assert_eq!(header.past.extents.len(), MAX_PAST_PLACES);
    assert_eq!(header.depth, 5000);
    assert!(heads.iter().all(|v| header.past.contains(&v.places)));
    assert!(encode_block(&header, b"").is_ok());
    let links = rules::succeed_explicit(&heads, &picked);
    assert_eq!(links.context.ids.len(), MAX_CONTEXT_IDS);
}

/// The put of a key by `writer` in place of all heads of `active`, which is then what is active.
fn put(active: &mut Vec<Version>, writer: EntryId) -> Version {
    let heads: Vec<_> = rules::heads(active).iter().map(|v| v.id).collect();
    let mut header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(0));
    rules::succeed(active, &heads, &writer.feed).apply_to(&mut header);
    assert!(encode_block(&header, b"v").is_ok());
    let put = Version::from_header(writer, &header);
    rules::insert(active, put.clone());
    put
}

#[test]
fn a_thousand_writers_of_one_key_leave_one_version() {
    let writers = wide(1000);
    let mut active = Vec::new();
    for (seq, writer) in (0..2).flat_map(|seq| writers.iter().map(move |v| (seq, v))) {
        let put = put(&mut active, EntryId { seq, ..writer.id });
        assert_eq!(active, [put], "the others are redundant");
    }
    let Context { own, vector, ids } = &active[0].context;
    assert_eq!((*own, vector.len(), ids.len()), (Some(0), 999, 0));
    // Whoever still has what one of them wrote in the first round, and learns of the last alone, knows that it is replaced.
    let first = Version { id: EntryId { seq: 0, ..writers[7].id }, ..writers[7].clone() };
    let first = Version { depth: 7, places: Places::NOWHERE, ..first };
    assert_eq!(rules::heads(&[first, active[0].clone()]), [&active[0]]);
}

#[test]
fn a_thousand_writers_who_wrote_at_the_same_time_are_a_conflict_that_one_put_ends() {
    let writers = wide(1000);
    let mut active = Vec::new();
    for (seq, writer) in (0..2).zip(&writers) {
        put(&mut active, EntryId { seq, ..writer.id });
    }
    let known = active.clone();
    for writer in &writers {
        let mut seen = known.clone();
        let put = put(&mut seen, EntryId { seq: 7, ..writer.id });
        rules::insert(&mut active, put);
    }
    assert_eq!(rules::heads(&active).len(), 1000);
    let put = put(&mut active, id(9, 9));
    assert_eq!((active.len(), put.context.vector.len()), (1, 1000));
}

/// Beyond the limit a put replaces less than it knows of: what it replaces is not redundant then, but it is no head either.
#[test]
fn more_writers_than_a_context_can_name_leave_more_to_look_at_and_no_conflict() {
    let writers = wide(u16::try_from(MAX_CONTEXT_FEEDS).unwrap() + 4);
    let (all, last) = writers.split_at(MAX_CONTEXT_FEEDS);
    let mut active = all.to_vec();
    for (n, writer) in last.iter().enumerate() {
        let put = put(&mut active, writer.id);
        assert_eq!(rules::heads(&active), [&put]);
        assert!(put.context.vector.len() <= MAX_CONTEXT_FEEDS && active.len() <= n + 1);
    }
    assert!(active.len() > 1, "or the limit was not met");
}

#[test]
fn the_replaced_heads_feeds_are_kept_before_those_behind_them() {
    let mut heads = wide(5000);
    let mut head = heads.pop().unwrap();
    head.context.vector = heads.iter().map(|v| (v.id.feed.name(), v.id.seq)).collect();
    let links = rules::succeed(&[head.clone()], &[head.id], &FeedKey([9; 32]));
    assert_eq!(links.context.up_to(&FeedKey([9; 32]), &head.id.feed), Some(5));
}

#[test]
fn sixteen_thousand_blind_versions_of_one_key_are_all_heads_and_one_put_replaces_them() {
    let mut active: Vec<Version> = wide(1).into_iter().cycle().take(16_000).collect();
    for (v, seq) in active.iter_mut().zip(0..) {
        v.id.seq = seq;
    }
    let heads: Vec<_> = rules::heads(&active).iter().map(|v| v.id).collect();
    assert_eq!(heads.len(), 16_000);
    let mut header = Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0));
    rules::succeed(&active, &heads, &feed(9)).apply_to(&mut header);
    let put = Version::from_header(id(9, 0), &header);
    assert_eq!(rules::heads(&[active.clone(), vec![put.clone()]].concat()), [&put]);
    assert_eq!(rules::insert(&mut active, put.clone()).len(), 16_000);
    assert_eq!(active, [put]);
}

#[test]
fn the_greatest_depth_there_is_is_nobody_elses() {
    let mut versions = wide(2);
    (versions[0].depth, versions[1].depth) = (u32::MAX, 3);
    let all: Vec<_> = versions.iter().map(|v| v.id).collect();
    assert_eq!(rules::succeed(&versions, &all, &feed(9)).depth, u32::MAX / 2);
    assert_eq!(rules::succeed(&versions, &all[..1], &feed(9)).depth, u32::MAX / 2);
    versions[1].depth = u32::MAX / 2;
    assert_eq!(rules::succeed(&versions, &all, &feed(9)).depth, u32::MAX / 2 + 1);
}

#[test]
fn what_is_named_beyond_what_there_is_is_not_passed_on() {
    let mut versions = wide(1);
    let (liar, writer) = (versions[0].id.feed, feed(9));
    let named = [(feed(1), 9), (feed(2), 1_000_000_000), (feed(3), 7), (writer, 1_000_000_000)];
    let mut vector: Vec<_> = named.iter().map(|(feed, seq)| (feed.name(), *seq)).collect();
    vector.sort_unstable();
    versions[0].context.vector = vector;
    let lengths = [(feed(1), 20), (feed(2), 5), (writer, 3), (liar, 6)];
    let length =
        |name: &FeedName| lengths.iter().find(|(feed, _)| feed.name() == *name).map_or(0, |(_, n)| *n);
    let links = rules::succeed(&versions, &[versions[0].id], &writer).within(&writer, length);
    let up_to = |feed| links.context.up_to(&writer, &feed);
    assert_eq!([up_to(feed(1)), up_to(feed(2)), up_to(feed(3))], [Some(9), Some(4), None]);
    assert_eq!((up_to(writer), up_to(liar)), (Some(2), Some(versions[0].id.seq)));
}

/// Who knows less of a feed cuts what it takes over; who knows more makes good for it.
#[test]
fn what_one_writer_cut_off_becomes_redundant_with_the_next_who_knows_more() {
    let full = |_: &FeedName| 100;
    let mut versions = wide(1);
    versions[0].context.vector = vec![(feed(200).name(), 50)];
    let write = |versions: &[Version], writer: u8, known: &dyn Fn(&FeedName) -> u64| {
        let heads: Vec<_> = rules::heads(versions).iter().map(|v| v.id).collect();
        let mut header = Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0));
        rules::succeed(versions, &heads, &feed(writer)).within(&feed(writer), known).apply_to(&mut header);
        Version::from_header(id(writer, 0), &header)
    };
    let sparse = write(&versions, 8, &|name| if *name == feed(200).name() { 0 } else { 100 });
    assert!(rules::insert(&mut versions, sparse).is_empty() && versions.len() == 2);
    let next = write(&versions, 9, &full);
    assert_eq!(rules::insert(&mut versions, next).len(), 2);
}

#[test]
fn the_winner_is_the_latest_that_is_due_and_never_the_deepest() {
    let mut versions = wide(3);
    for (v, time) in versions.iter_mut().zip([10, 10, 99]) {
        v.time = Timestamp(time);
    }
    let heads: Vec<&Version> = versions.iter().collect();
    assert_eq!(
        rules::winner(&heads, Timestamp(50)).map(|v| v.id),
        Some(versions[1].id),
        "a tie: the greater feed"
    );
    assert_eq!(rules::winner(&heads, Timestamp(99)).map(|v| v.id), Some(versions[2].id));
    assert_eq!(rules::winner(&[], Timestamp(99)), None);
}

#[test]
fn a_value_does_not_vanish_because_its_writers_clock_is_ahead() {
    let mut versions = wide(3);
    for (v, time) in versions.iter_mut().zip([70, 90, 80]) {
        v.time = Timestamp(time);
    }
    let heads: Vec<&Version> = versions.iter().collect();
    let shown = |heads: &[&Version], now| rules::winner(heads, Timestamp(now)).map(|v| v.time.0);
    assert_eq!(shown(&heads[..1], 10), Some(70), "the only one, whatever its time");
    assert_eq!(shown(&heads, 10), Some(90), "none is due: the greatest of all");
    assert_eq!(shown(&heads, 75), Some(70), "what is not due loses against what is");
    assert_eq!(shown(&heads, i64::MAX), Some(90));
}

#[test]
fn moments_of_too_many_channels_are_dropped_not_blurred() {
    let moment = |c: u8| Places::new(Vec::new(), vec![Moment { channel: vec![c], from: 0, to: 1 }]);
    let parts: Vec<Places> = (0..20).map(moment).collect();
    let cover = Places::covering(parts.iter().rev());
    assert_eq!(cover.moments.len(), MAX_PAST_PLACES);
    assert!(parts[..MAX_PAST_PLACES].iter().all(|p| cover.contains(p)));
    assert!(!cover.contains(&parts[MAX_PAST_PLACES]));
    assert!(cover.contains(&places(None)));
}

/// Versions of one writer that name others of them, and have an id of their own in their contexts, so that none makes another redundant.
fn naming_each_other(n: u64, shape: impl Fn(u64) -> (Seq, u32)) -> Vec<Version> {
    let model = |seq| {
        let (named, depth) = shape(seq);
        let context = Context { own: Some(named), vector: Vec::new(), ids: vec![id(7, 1_000_000 + seq)] };
        Version { id: id(1, seq), context, depth, places: Places::NOWHERE, ..wide(1).remove(0) }
    };
    (0..n).map(model).collect()
}

#[test]
fn sixteen_thousand_versions_that_name_each_other_are_looked_up_and_not_compared_in_pairs() {
    let n = 16_000;
    type Shape<'a> = (&'a str, &'a dyn Fn(u64) -> (Seq, u32), Vec<Seq>);
    let less = |seq: Seq| u32::try_from(n - seq).unwrap();
    let more = |seq: Seq| u32::try_from(seq).unwrap();
    let shapes: [Shape<'_>; 4] = [
        ("each the one before", &|seq| (seq.saturating_sub(1), more(seq)), vec![n - 1]),
        ("each all to come, and less deep", &|seq| (Seq::MAX, less(seq)), vec![0]),
        ("each the one before, and less deep", &|seq| (seq.saturating_sub(1), less(seq)), (0..n).collect()),
        ("each the first", &|seq| (0, more(seq)), (1..n).collect()),
    ];
    for (shape, of, expected) in shapes {
        let versions = naming_each_other(n, of);
        let heads: Vec<_> = rules::heads(&versions).iter().map(|v| v.id.seq).collect();
        assert_eq!(heads, expected, "{shape}");
    }
}
