//! Levels, orders and cursors against looking at everything.

use crate::common::{Model, Rig, extents, field, heads_of, histories};
use kappadb_core::{EntryId, Extent, GeoBox};
use kappadb_entry::rules::Version;
use kappadb_query::Selector;
use kappadb_view::ViewError;
use kappadb_view_geo::{Cursor, CursorError, Hit, Order, Query};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn levels() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![0, 0, 1, 9, 10, 20, 31, 32, 40])
}

fn orders() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![Order::ById, Order::LargestFirst])
}

/// The greatest level of a version's boxes that touch.
fn level_in(key: &[u8], version: &Version, extent: &Extent) -> Option<u8> {
    let touching = version.places.extents.iter().filter(|b| Extent::from(**b).intersects(extent));
    touching.map(|b| b.level(key)).max()
}

/// Heads that touch at a level, by key, and the greatest level among them.
fn expected(model: &Model, extent: &Extent, least: u8) -> BTreeMap<String, (u8, Vec<EntryId>)> {
    let mut out = BTreeMap::new();
    for key in model.keys() {
        let versions = model.versions(key);
        let heads = heads_of(&versions).into_iter();
        let heads = heads.filter_map(|head| Some((level_in(key, head, extent)?, head.id)));
        let heads: Vec<_> = heads.filter(|(level, _)| *level >= least).collect();
        if let Some(level) = heads.iter().map(|(level, _)| *level).max() {
            let ids = heads.into_iter().map(|(_, id)| id).collect();
            out.insert(String::from_utf8(key.to_vec()).expect("text"), (level, ids));
        }
    }
    out
}

/// All pages of an answer; `between` them something happens.
fn pages(rig: &mut Rig, extent: &Extent, query: &Query, mut between: impl FnMut(&mut Rig)) -> Vec<Hit> {
    let (mut hits, mut after) = (Vec::new(), None);
    loop {
        let answer = rig.index.query(extent, &Query { after, ..query.clone() }).expect("answers");
        assert!(query.limit.is_none_or(|limit| answer.hits.len() <= limit));
        assert!(answer.next.is_none() || answer.hits.len() == query.limit.expect("all without"));
        hits.extend(answer.hits);
        let Some(next) = answer.next else { return hits };
        after = Some(next.to_string().parse().expect("a cursor"));
        between(rig);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Page by page everything comes once and in order, also if there is more of elsewhere and runs are packed and merged between
    /// two pages.
    #[test]
    fn pages_neither_skip_nor_repeat(
        written in histories(60),
        memory in 1..20usize,
        extent in extents(),
        limit in 1..4usize,
        level in levels(),
        order in orders(),
    ) {
        let mut rig = Rig::new(memory);
        let (now, later) = written.split_at(written.len() * 2 / 3);
        now.chunks(5).for_each(|batch| drop(rig.hold(batch)));
        let model = Model::of(now);
        let expected = expected(&model, &extent, level);

        // Whatever comes later is about other features.
        let mut others = later.iter().cloned().enumerate().map(|(n, mut entry)| {
            entry.entry.header.key = Some(format!("other{n}").into());
            entry.id.seq += 1_000;
            entry
        });
        let query = Query { level, limit: Some(limit), order, after: None, bare: false };
        let hits = pages(&mut rig, &extent, &query, |rig| {
            let more: Vec<_> = others.by_ref().take(2).collect();
            rig.hold(&more);
            rig.keep_up(true);
        });
        let hits: Vec<Hit> = hits.into_iter().filter(|hit| !hit.key.starts_with("other")).collect();

        let mut by_id = hits.clone();
        by_id.sort_by(|a, b| a.key.cmp(&b.key));
        let found: Vec<_> = by_id.iter().map(|hit| (&hit.key, &hit.heads)).collect();
        prop_assert_eq!(found, expected.iter().map(|(key, (_, heads))| (key, heads)).collect::<Vec<_>>());
        match order {
            Order::ById => prop_assert_eq!(hits, by_id),
            Order::LargestFirst => {
                let levels: Vec<u8> = hits.iter().map(|hit| expected[&hit.key].0).collect();
                prop_assert!(levels.is_sorted_by(|a, b| a >= b), "{:?}", levels);
            }
        }
    }

    /// Both orders give the same, at once and in pages.
    #[test]
    fn orders_differ_in_order_only(
        written in histories(60),
        memory in 1..20usize,
        extent in extents(),
        level in levels(),
        limit in 1..9usize,
    ) {
        let mut rig = Rig::new(memory);
        written.chunks(7).for_each(|batch| drop(rig.hold(batch)));
        let all = |order| Query { level, order, ..Query::default() };
        let by_id = pages(&mut rig, &extent, &all(Order::ById), |_| ());
        let largest_first = pages(&mut rig, &extent, &all(Order::LargestFirst), |_| ());
        for (order, whole) in [(Order::ById, &by_id), (Order::LargestFirst, &largest_first)] {
            let paged = pages(&mut rig, &extent, &Query { limit: Some(limit), ..all(order) }, |_| ());
            prop_assert_eq!(&paged, whole);
        }
        let mut sorted = largest_first;
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        prop_assert_eq!(sorted, by_id);
    }

    /// What a peer is sent who asks from a level on: every version with a box, past or present, of that level there.
    #[test]
    fn peers_are_sent_what_touches_at_the_level(
        written in histories(60),
        memory in 1..20usize,
        extent in extents(),
        level in levels(),
    ) {
        let mut rig = Rig::new(memory);
        written.chunks(7).for_each(|batch| drop(rig.hold(batch)));
        let at_level = |key: &[u8], b: &GeoBox| Extent::from(*b).intersects(&extent) && b.level(key) >= level;
        let model = Model::of(&written);
        let expected = model.serve(|key, version| {
            version.places.extents.iter().chain(&version.past.extents).any(|b| at_level(key, b))
        });
        prop_assert_eq!(rig.serve(&Selector::from_level(&extent, level)), expected);
    }
}

#[test]
fn a_cursor_of_another_order_is_refused() {
    let rig = Rig::new(4);
    for (order, cursor) in [(Order::ById, "l3.0000000000000000:n1"), (Order::LargestFirst, "i:n1")] {
        let after: Option<Cursor> = Some(cursor.parse().expect("a cursor"));
        let answer = rig.index.query(&GeoBox::WORLD.into(), &Query { order, after, ..Query::default() });
        let other = |e: &ViewError| matches!(e, ViewError::Custom(e) if e.downcast_ref() == Some(&CursorError::OtherOrder));
        assert!(answer.is_err_and(|e| other(&e)));
    }
}

#[test]
fn a_limit_of_nothing_gives_nothing_and_goes_on_from_there() {
    let mut rig = Rig::new(4);
    rig.hold(&field(3));
    for order in [Order::ById, Order::LargestFirst] {
        let world = GeoBox::WORLD.into();
        let first =
            rig.index.query(&world, &Query { limit: Some(2), order, ..Query::default() }).expect("answers");
        assert_eq!(first.hits.len(), 2);
        let none = Query { limit: Some(0), order, after: first.next.clone(), ..Query::default() };
        let answer = rig.index.query(&world, &none).expect("answers");
        assert_eq!((answer.hits.len(), answer.next), (0, first.next));
    }
}

/// Pages that each began at the largest would look at 40 times as much.
#[test]
fn all_pages_of_the_largest_look_at_each_box_about_once() {
    const SIDE: i32 = 64;
    let mut rig = Rig::new(512);
    let features = field(SIDE);
    features.chunks(500).for_each(|batch| drop(rig.hold(batch)));
    rig.keep_up(true);
    let (mut hits, mut looked_at, mut after) = (0_u64, 0, None);
    loop {
        let query = Query { limit: Some(50), order: Order::LargestFirst, after, ..Query::default() };
        let answer = rig.index.query(&GeoBox::WORLD.into(), &query).expect("answers");
        (hits, looked_at) = (hits + answer.hits.len() as u64, looked_at + answer.looked_at);
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(hits, features.len() as u64);
    assert!(looked_at <= 2 * hits, "{looked_at} boxes were looked at for {hits} features");
}
