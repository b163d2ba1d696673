//! Who refers to a feature, against looking at everything.

use crate::common::{KEYS, Model, Rig, feed, heads_of, histories};
use kappadb_core::EntryId;
use kappadb_entry::rules::Version;
use kappadb_query::Selector;
use kappadb_view::Arrived;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Histories whose entries refer to features: to any, also themselves, and to what is not there.
fn referring_histories() -> impl Strategy<Value = Vec<Arrived>> {
    let targets = prop::collection::vec(prop::sample::select([&KEYS[..], &["absent"]].concat()), 0..4);
    (histories(50), prop::collection::vec(targets, 50)).prop_map(|(mut written, refs)| {
        for (arrived, refs) in written.iter_mut().zip(refs) {
            arrived.entry.header.set_refs(refs.into_iter().map(|key| key.as_bytes().to_vec()));
        }
        written
    })
}

/// The heads that refer to `target`, by feature, and all active versions that do.
fn expected(held: &[&Arrived], target: &[u8]) -> (BTreeMap<Vec<u8>, Vec<EntryId>>, BTreeSet<EntryId>) {
    let refers: BTreeSet<EntryId> = held
        .iter()
        .filter(|arrived| arrived.entry.header.refs().iter().any(|key| key == target))
        .map(|arrived| arrived.id)
        .collect();
    let model = Model::of(held.iter().copied());
    let mut heads = BTreeMap::new();
    for key in model.keys() {
        let versions: Vec<Version> = model.versions(key);
        let referring = heads_of(&versions).into_iter().map(|head| head.id).filter(|id| refers.contains(id));
        let referring: Vec<EntryId> = referring.collect();
        if !referring.is_empty() {
            heads.insert(key.to_vec(), referring);
        }
    }
    let active = model.serve(|_, version| refers.contains(&version.id));
    (heads, active)
}

fn assert_referrers(rig: &Rig, held: &[&Arrived]) {
    for target in KEYS.iter().chain(&["absent", "nobody"]) {
        let target = target.as_bytes().to_vec();
        let (heads, active) = expected(held, &target);
        let hits = rig.index.referrers(std::slice::from_ref(&target)).expect("answers");
        let found: BTreeMap<_, _> = hits.into_iter().map(|hit| (hit.key.into_bytes(), hit.heads)).collect();
        assert_eq!(found, heads);
        assert_eq!(rig.serve(&Selector::referrers([target])), active);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn conformance_23_who_refers_to_a_feature_in_any_order_of_arrival(
        order in referring_histories().prop_flat_map(|written| Just(written).prop_shuffle()),
        batch in 1..9usize,
        (writer, from) in (0..3usize, 0..12u64),
    ) {
        let mut rig = Rig::new(5);
        for chunk in order.chunks(batch) {
            rig.hold(chunk);
            rig.reopen();
        }
        assert_referrers(&rig, &order.iter().collect::<Vec<_>>());
        let (gone, left): (Vec<_>, Vec<_>) =
            order.iter().partition(|a| a.id.feed == feed(writer) && a.id.seq >= from);
        rig.withdraw(gone.iter().copied());
        assert_referrers(&rig, &left);
        rig.keep_up(true);
        rig.reopen();
        assert_referrers(&rig, &left);
        rig.hold(gone);
        assert_referrers(&rig, &order.iter().collect::<Vec<_>>());
        rig.check();
    }
}
