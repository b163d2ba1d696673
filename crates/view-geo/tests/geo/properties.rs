//! The index against looking at everything, on random histories by several writers, honest and not.

use crate::common::{Model, Rig, extents, feed, heads_of, histories, histories_of};
use kappadb_core::{Extent, GeoBox, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_query::Selector;
use kappadb_view::{Arrived, Notice, ViewError};
use kappadb_view_geo::{Hit, Inside, Query};
use proptest::prelude::*;
use proptest::sample::Index as Pick;
use std::collections::BTreeSet;

/// How entries reach an index: in which order, in what batches, with what done between them.
#[derive(Debug, Clone)]
struct Arrivals {
    order: Vec<Arrived>,
    batches: Vec<Step>,
}

/// A batch, and what is done after it.
#[derive(Debug, Clone)]
struct Step {
    entries: usize,
    reopen: bool,
    /// Pieces of work in the background.
    pieces: usize,
    idle: bool,
}

impl Arrivals {
    fn run(&self, rig: &mut Rig, mut between: impl FnMut(&Rig, &[Arrived])) {
        let (mut done, mut batches) = (0, self.batches.iter().cycle());
        while done < self.order.len() {
            let step = batches.next().expect("some batches");
            let end = (done + step.entries).min(self.order.len());
            rig.hold(&self.order[done..end]);
            done = end;
            if step.reopen {
                rig.reopen();
            }
            for _ in 0..step.pieces {
                rig.work(step.idle);
            }
            between(rig, &self.order[..done]);
        }
    }
}

fn steps(batch: usize) -> impl Strategy<Value = Step> {
    let parts = (1..batch, prop::bool::weighted(0.15), 0..12usize, any::<bool>());
    parts.prop_map(|(entries, reopen, pieces, idle)| Step { entries, reopen, pieces, idle })
}

fn arrivals(len: usize) -> impl Strategy<Value = Arrivals> {
    arrivals_of(histories(len), 9)
}

/// The entries of a history in any order, some again, in batches smaller than `batch`.
fn arrivals_of(
    history: impl Strategy<Value = Vec<Arrived>>,
    batch: usize,
) -> impl Strategy<Value = Arrivals> {
    let order = history.prop_flat_map(|written| Just(written).prop_shuffle());
    let repeats = prop::collection::vec(any::<Pick>(), 0..4);
    let batches = prop::collection::vec(steps(batch), 1..12);
    (order, repeats, batches).prop_map(|(mut order, repeats, batches)| {
        let again: Vec<Arrived> = repeats.iter().map(|pick| pick.get(&order).clone()).collect();
        order.extend(again); // what came before a crash may come again after it
        Arrivals { order, batches }
    })
}

fn assert_equal(rig: &Rig, model: &Model, queries: &[Extent]) {
    for extent in queries {
        let expected = model.answer(extent);
        assert_eq!(rig.answer(extent), expected, "{extent}");
        assert_eq!(rig.serve(&Selector::from(extent)), model.serve_box(extent), "{extent}");
    }
}

/// What is asked by key, and of everything.
fn assert_keys_equal(rig: &Rig, model: &Model) {
    assert_eq!(rig.serve(&Selector::Everything), model.serve(|_, _| true));
    let named = Selector::keys(["n1", "none"]);
    assert_eq!(rig.serve(&named), model.serve(|key, _| key == b"n1"));
    assert_eq!(rig.serve(&Selector::Prefix(b"w".to_vec())), model.serve(|key, _| key.starts_with(b"w")));
    for key in model.keys() {
        let versions = model.versions(key);
        let heads: Vec<Version> = heads_of(&versions).into_iter().cloned().collect();
        assert_eq!(rig.index.heads(key).expect("reads"), heads);
        assert_eq!(rig.index.history(key).expect("reads"), versions);
        for now in [Timestamp(-1), Timestamp(10), Timestamp(100)] {
            let winner =
                heads.iter().max_by_key(|head| (head.time <= now, head.time, head.id.feed, head.id.seq));
            assert_eq!(rig.index.winner(key, now).expect("reads").as_ref(), winner);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Property 1 of the model. Asking between the batches keeps pages in the cache across packing and merging.
    #[test]
    fn any_order_gives_the_brute_force_answer(
        arrivals in arrivals(70),
        memory in 1..20usize,
        queries in prop::collection::vec(extents(), 1..5),
    ) {
        let mut rig = Rig::new(memory);
        arrivals.run(&mut rig, |rig, so_far| assert_equal(rig, &Model::of(so_far), &queries[..1]));
        let model = Model::of(&arrivals.order);
        assert_equal(&rig, &model, &queries);
        assert_equal(&rig, &model, &[GeoBox::WORLD.into()]);
        assert_keys_equal(&rig, &model);
        rig.check();
    }

    /// A hit names all heads of its feature that are held, here and elsewhere; limits cut the sorted answer.
    #[test]
    fn hits_show_conflicts_and_limits_cut_the_end(
        arrivals in arrivals(60),
        memory in 1..20usize,
        extent in extents(),
        limit in 0..5usize,
    ) {
        let mut rig = Rig::new(memory);
        arrivals.run(&mut rig, |_, _| ());
        let model = Model::of(&arrivals.order);
        let all = rig.index.query(&extent, &Query::default()).expect("answers").hits;
        prop_assert_eq!(rig.index.count(&extent).expect("counts"), all.len());
        for hit in &all {
            let versions = model.versions(hit.key.as_bytes());
            let mut heads = [&hit.heads[..], &hit.elsewhere[..]].concat();
            heads.sort_unstable();
            let expected: Vec<_> = heads_of(&versions).iter().map(|head| head.id).collect();
            prop_assert_eq!(heads, expected);
        }
        let Inside { alone, several } = rig.index.inside(&extent, 0).expect("answers");
        let count: usize = alone.values().map(|seqs| seqs.iter().count()).sum();
        let alone = |hit: &&Hit| matches!(&hit.heads[..], [id] if alone.get(&id.feed).is_some_and(|seqs| seqs.contains(id.seq)));
        let (by_entry, by_id): (Vec<&Hit>, Vec<&Hit>) = all.iter().partition(alone);
        prop_assert_eq!(by_id, several.iter().collect::<Vec<_>>());
        prop_assert_eq!(by_entry.len(), count);
        let some = rig.index.query(&extent, &Query { limit: Some(limit), ..Query::default() }).expect("answers").hits;
        prop_assert_eq!(&some[..], &all[..limit.min(all.len())]);
    }

    /// What lies beyond a proven fork is taken out as if it had never come, in any order and again after a crash; a feed
    /// that is no longer excluded comes back.
    #[test]
    fn taking_out_leaves_what_would_be_there_without(
        arrivals in arrivals(60),
        memory in 1..20usize,
        (writer, from) in (0..3usize, 0..12u64),
        batch in 1..9usize,
        queries in prop::collection::vec(extents(), 1..4),
    ) {
        let mut rig = Rig::new(memory);
        arrivals.run(&mut rig, |_, _| ());
        let forked = |a: &&Arrived| a.id.feed == feed(writer) && a.id.seq >= from;
        let gone: Vec<_> = arrivals.order.iter().filter(forked).collect();
        for chunk in gone.chunks(batch) {
            rig.withdraw(chunk.iter().copied());
            rig.work(true);
            rig.withdraw(chunk.iter().copied());
            rig.work(false);
        }
        let left = Model::of(arrivals.order.iter().filter(|a| !forked(a)));
        assert_equal(&rig, &left, &queries);
        assert_keys_equal(&rig, &left);
        rig.check();
        rig.reopen();
        gone.chunks(batch).for_each(|chunk| drop(rig.hold(chunk.iter().copied())));
        assert_equal(&rig, &Model::of(&arrivals.order), &queries);
        rig.check();
    }

    /// Property 2 of the model, as far as an index can show it: who adds what a peer's index says must be sent answers
    /// as if it held all that both hold.
    #[test]
    fn sparse_equivalence(
        written in histories(70),
        (mine, theirs) in (any::<u128>(), any::<u128>()),
        memory in 1..20usize,
        extent in extents(),
    ) {
        let part = |mask: u128| {
            let bit = move |i: usize| mask >> i & 1 == 1;
            written.iter().enumerate().filter(move |(i, _)| bit(*i)).map(|(_, a)| a)
        };
        let (mut asker, mut peer) = (Rig::new(memory), Rig::new(2 * memory));
        asker.hold(part(mine));
        peer.hold(part(theirs));
        let sent = peer.serve(&Selector::from(&extent));
        asker.hold(written.iter().filter(|a| sent.contains(&a.id)));
        prop_assert_eq!(asker.answer(&extent), Model::of(part(mine).chain(part(theirs))).answer(&extent));

        let mut fresh = Rig::new(memory);
        fresh.hold(written.iter().filter(|a| sent.contains(&a.id)));
        prop_assert_eq!(fresh.answer(&extent), Model::of(part(theirs)).answer(&extent));
    }

    /// Notices, added up, are the heads.
    #[test]
    fn notices_follow_the_heads(arrivals in arrivals(50), memory in 1..20usize) {
        let mut heads = std::collections::BTreeMap::new();
        let mut rig = Rig::new(memory);
        for chunk in arrivals.order.chunks(5) {
            for Notice { key, heads: now, gone, .. } in rig.hold(chunk) {
                let before: Vec<_> = heads.insert(key, now.clone()).unwrap_or_default();
                let lost: Vec<_> = before.into_iter().filter(|id| !now.contains(id)).collect();
                prop_assert_eq!(gone, lost);
            }
        }
        let model = Model::of(&arrivals.order);
        for key in model.keys() {
            let versions = model.versions(key);
            let expected: Vec<_> = heads_of(&versions).iter().map(|head| head.id).collect();
            prop_assert_eq!(heads.remove(key).unwrap_or_default(), expected);
        }
        prop_assert!(heads.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// As above, with so many features that there are runs of several sizes. A feed is taken out of the middle of it.
    #[test]
    fn several_tiers_give_the_brute_force_answer(
        arrivals in arrivals_of(histories_of(900..1_000, (0..220).map(|n| format!("n{n}")).collect()), 40),
        memory in prop::sample::select(vec![16, 64]),
        writer in 0..3usize,
        queries in prop::collection::vec(extents(), 3),
    ) {
        let mut rig = Rig::new(memory);
        let mut tiers = 0;
        arrivals.run(&mut rig, |rig, so_far| {
            let sizes: BTreeSet<u32> = rig.index.stats().runs.iter().map(|run| run.items.ilog(4)).collect();
            tiers = tiers.max(sizes.len());
            if so_far.len() % 10 == 0 {
                assert_equal(rig, &Model::of(so_far), &queries[..1]);
            }
        });
        // A history whose runs are all merged as they come shows nothing here; if all were such, they would be refused.
        prop_assume!(tiers > 1);
        assert_equal(&rig, &Model::of(&arrivals.order), &queries);
        rig.check();

        let (gone, left): (Vec<_>, Vec<_>) = arrivals.order.iter().partition(|a| a.id.feed == feed(writer));
        for chunk in gone.chunks(30) {
            rig.withdraw(chunk.iter().copied());
            rig.work(false);
        }
        assert_equal(&rig, &Model::of(left), &queries);
        rig.check();
        rig.reopen();
        rig.check();
    }
}

#[test]
fn other_selectors_are_refused() {
    let rig = Rig::new(4);
    let window = Selector::Window { channel: b"c".to_vec(), from: 0, to: 1 };
    for selector in [window, Selector::Custom(b"x".to_vec())] {
        let answer = kappadb_view::Index::matches(&rig.index, &selector, &BTreeSet::new());
        assert!(matches!(answer, Err(ViewError::Unsupported)), "{selector:?}");
    }
}
