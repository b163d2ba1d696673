//! Boxes at the edges of the map, and what is indexed at all.

use crate::common::{Rig, at, feed, id, put};
use kappadb_core::{Extent, GeoBox};
use kappadb_entry::{Places, rules, space};
use kappadb_query::Selector;
use kappadb_view::{Arrived, Index};

const EDGE: i32 = 1_800_000_000;
const POLE: i32 = 900_000_000;

/// A rig with one feature a place, named by its number; once all in memory, once all packed.
fn rigs(places: &[Extent]) -> [Rig; 2] {
    let entries: Vec<Arrived> =
        (0..).zip(places).map(|(n, extent)| put(id(0, n), &n.to_string(), Places::on_map(extent))).collect();
    [1_000, 1].map(|memory| {
        let mut rig = Rig::new(memory);
        rig.hold(&entries);
        assert_eq!(rig.index.stats().memory == 0, memory == 1);
        rig
    })
}

fn assert_hits(places: &[Extent], query: &Extent, expected: &[&str]) {
    for rig in rigs(places) {
        let keys: Vec<String> = rig.answer(query).into_keys().collect();
        assert_eq!(keys, expected, "{query}");
        assert_eq!(rig.serve(&Selector::from(query)).len(), expected.len(), "{query}");
        assert_eq!(rig.index.count(query).expect("counts"), expected.len(), "{query}");
    }
}

#[test]
fn the_antimeridian_is_one_meridian() {
    let places = [
        at(EDGE, 0, EDGE, 0),
        at(-EDGE, 0, -EDGE, 0),
        at(EDGE - 5, -5, -EDGE + 5, 5), // across
        at(EDGE - 9, 0, EDGE - 6, 0),
        at(-EDGE + 6, 0, -EDGE + 9, 0),
    ];
    assert_hits(&places, &at(EDGE, 0, EDGE, 0), &["0", "1", "2"]);
    assert_hits(&places, &at(-EDGE, 0, -EDGE, 0), &["0", "1", "2"]);
    assert_hits(&places, &at(EDGE - 6, 0, -EDGE + 6, 0), &["0", "1", "2", "3", "4"]);
    assert_hits(&places, &at(-EDGE + 5, 0, EDGE - 7, 0), &["2", "3", "4"]);
    assert_hits(&places, &at(EDGE - 8, 1, EDGE, 9), &["2"]);
}

#[test]
fn touching_counts_and_boxes_may_have_no_area() {
    let places = [at(0, 0, 10, 10), at(5, 5, 5, 5), at(0, 7, 10, 7), at(10, 10, 20, 20)];
    assert_hits(&places, &at(10, 10, 10, 10), &["0", "3"]);
    assert_hits(&places, &at(5, 5, 5, 5), &["0", "1"]);
    assert_hits(&places, &at(3, 7, 3, 8), &["0", "2"]);
    assert_hits(&places, &at(20, 20, 30, 30), &["3"]);
    assert_hits(&places, &at(21, 20, 30, 30), &[]);
}

#[test]
fn the_poles_are_edges() {
    let places = [at(0, POLE, 0, POLE), at(-EDGE, -POLE, EDGE, -POLE), at(0, POLE - 1, 0, POLE - 1)];
    assert_hits(&places, &at(-EDGE, POLE, EDGE, POLE), &["0"]);
    assert_hits(&places, &at(7, -POLE, 7, -POLE), &["1"]);
    assert_hits(&places, &GeoBox::WORLD.into(), &["0", "1", "2"]);
    assert_hits(&places, &Extent::NOWHERE, &[]);
}

#[test]
fn a_feature_that_leaves_is_told_in_its_old_box() {
    let old = at(0, 0, 1, 1);
    for rest in [at(50, 50, 51, 51), Extent::NOWHERE] {
        let first = put(id(0, 0), "a", Places::on_map(&old));
        let mut second = put(id(1, 0), "a", Places::on_map(&rest));
        let known = rules::Version::from_header(first.id, &first.entry.header);
        rules::succeed(&[known], &[first.id], &feed(1)).apply_to(&mut second.entry.header);
        for memory in [1_000, 1] {
            let mut rig = Rig::new(memory);
            rig.hold([&first]);
            rig.hold([&second]);
            assert!(rig.answer(&old).is_empty());
            assert_eq!(rig.serve(&Selector::from(&old)), [second.id].into());
            assert_eq!(rig.answer(&GeoBox::WORLD.into()).len(), rest.boxes().len());
            rig.check();
        }
    }
}

#[test]
fn what_is_no_feature_is_not_indexed() {
    let place = Places::on_map(&at(0, 0, 1, 1));
    let mut other_space = put(id(0, 0), "a", place.clone());
    other_space.entry.header.kind.space = space::KV;
    let mut without_key = put(id(0, 1), "a", place.clone());
    without_key.entry.header.key = None;
    let mut no_text = put(id(0, 2), "a", place.clone());
    no_text.entry.header.key = Some(vec![0xff]);
    let (empty, long) = (put(id(0, 3), "", place.clone()), put(id(0, 4), &"x".repeat(256), place.clone()));
    let longest = put(id(0, 5), &"x".repeat(255), place);

    let mut rig = Rig::new(1);
    rig.hold([&other_space, &without_key, &no_text, &empty, &long, &longest]);
    rig.withdraw([&other_space, &without_key, &no_text, &empty, &long]);
    assert_eq!(rig.answer(&GeoBox::WORLD.into()).into_keys().collect::<Vec<_>>(), ["x".repeat(255)]);
    assert_eq!(rig.serve(&Selector::Everything), [longest.id].into());
    assert!(rig.index.check().expect("checks").is_empty());
}

#[test]
fn what_was_never_placed_is_known_by_key_alone() {
    let nowhere = put(id(0, 0), "a", Places::NOWHERE);
    let mut rig = Rig::new(1);
    rig.hold([&nowhere]);
    assert!(rig.answer(&GeoBox::WORLD.into()).is_empty());
    assert!(rig.serve(&Selector::from(&Extent::from(GeoBox::WORLD))).is_empty());
    assert_eq!(rig.serve(&Selector::keys(["a"])), [nowhere.id].into());
    assert_eq!(rig.index.heads(b"a").expect("reads").len(), 1);
    rig.check();
}
