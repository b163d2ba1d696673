//! Merging versions, by the rule's own properties.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{Coord, Timestamp};
use kappadb_geo::{
    Body, Edit, Element, Feature, Free, Geometry, Meta, Part, Shape, geojson, merge, merge3, put,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn node(lon: i32, tags: &[(&str, &str)]) -> Feature {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let shape = Shape::Node(Coord { lon, lat: 0 });
    Feature { id: "n1".to_owned(), body: Body::Osm(Element { shape, tags, meta: None }) }
}

fn free(lon: i32, properties: &str) -> Feature {
    let geometry = Geometry::Single(Part::Point(Coord { lon, lat: 0 }));
    Feature { id: "f".to_owned(), body: Body::Free(Free::new(geometry, properties.to_owned())) }
}

/// Texts of the versions, and what is expected of the merge.
fn joined(base: Option<&str>, versions: &[&str]) -> String {
    let all: Vec<Feature> = versions.iter().map(|text| free(1, text)).collect();
    let all: Vec<&Feature> = all.iter().collect();
    let merged = match base {
        Some(base) => merge3(&free(1, base), &all),
        None => merge(&all),
    };
    let Body::Free(free) = merged.unwrap().body else { unreachable!("a free feature") };
    free.properties
}

#[test]
fn tags_of_all_with_the_winners_values() {
    let winner = node(1, &[("name", "B"), ("amenity", "cafe")]);
    let other = node(2, &[("amenity", "pub"), ("wheelchair", "yes")]);
    let expected = node(1, &[("name", "B"), ("amenity", "cafe"), ("wheelchair", "yes")]);
    assert_eq!(merge(&[&winner, &other]), Some(expected));
    assert_eq!(merge(&[]), None);
}

#[test]
fn the_edit_is_the_winners() {
    let of = |user: &str| {
        let mut feature = node(1, &[(user, "x")]);
        let Body::Osm(element) = &mut feature.body else { unreachable!("a node") };
        element.meta = Some(Meta {
            version: 0,
            edit: Edit { time: Some(Timestamp(1)), user: user.to_owned(), ..Edit::default() },
        });
        feature
    };
    let Some(Feature { body: Body::Osm(merged), .. }) = merge(&[&of("a"), &of("b")]) else { unreachable!() };
    assert_eq!(merged.meta.unwrap().edit.user, "a");
    assert_eq!(merged.tags.len(), 2);
}

#[test]
fn what_one_side_changed_stands() {
    let base = node(1, &[("name", "A"), ("old", "x"), ("same", "s")]);
    let renamed = node(1, &[("name", "B"), ("old", "x"), ("same", "s")]);
    let moved = node(2, &[("name", "A"), ("same", "s"), ("new", "n")]);
    let expected = node(2, &[("name", "B"), ("same", "s"), ("new", "n")]);
    assert_eq!(merge3(&base, &[&renamed, &moved]), Some(expected));
    let both = node(3, &[("name", "C"), ("same", "s")]);
    assert_eq!(merge3(&base, &[&renamed, &both]), Some(node(3, &[("name", "B"), ("same", "s")])));
    assert_eq!(merge3(&base, &[&both, &renamed]), Some(node(3, &[("name", "C"), ("same", "s")])));
}

#[test]
fn properties_are_merged_by_their_top_level_members() {
    let winner = r#"{"b":1.50,"a":{"x":[1]}}"#;
    assert_eq!(
        joined(None, &[winner, r#"{"a":{"y":2},"\u0063":1e3}"#]),
        r#"{"b":1.50,"a":{"x":[1]},"c":1e3}"#
    );
    assert_eq!(joined(None, &["null", "null", "{}"]), "null");
    assert_eq!(joined(None, &["null", r#"{"a":null}"#]), r#"{"a":null}"#);
    assert_eq!(joined(None, &[winner, "{}"]), winner);
    assert_eq!(joined(Some(r#"{"a":1,"b":2}"#), &[r#"{"a":1,"b":3}"#, r#"{"b":2}"#]), r#"{"b":3}"#);
    assert_eq!(joined(Some(r#"{"a":1}"#), &[r#"{"a":1}"#, "null"]), "{}");
    let doubled = r#"{"\u0061":1,"a":2}"#;
    assert_eq!(joined(None, &[doubled, "{}"]), doubled, "nothing comes to it");
    assert_eq!(joined(None, &[doubled, r#"{"b":3}"#]), r#"{"a":2,"b":3}"#, "the last one counts");
}

#[test]
fn members_with_odd_names_stay_json() {
    let text = joined(None, &["{}", r#"{"q\"\\\n":"\u00e9"}"#]);
    assert_eq!(text, r#"{"q\"\\\n":"\u00e9"}"#);
    assert!(put(&free(1, &text)).is_ok());
}

fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    let unique = prop::collection::btree_map("[a-d]", "[xyz]", 0..4);
    unique.prop_map(|tags| tags.into_iter().collect::<Vec<_>>()).prop_shuffle()
}

/// Elements, or free features with the same as properties.
fn versions(least: usize) -> impl Strategy<Value = Vec<Feature>> {
    let lists = prop::collection::vec((0..3i32, tags()), least..least + 4);
    (any::<bool>(), lists).prop_map(|(osm, lists)| {
        let feature = |(lon, tags): (i32, Vec<(String, String)>)| {
            if osm {
                return node(lon, &tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>());
            }
            let members: Vec<String> =
                tags.iter().map(|(key, value)| format!("\"{key}\":\"{value}\"")).collect();
            free(lon, &format!("{{{}}}", members.join(",")))
        };
        lists.into_iter().map(feature).collect()
    })
}

/// What there is to be merged, and the position.
fn facts(feature: &Feature) -> (BTreeMap<String, String>, i32) {
    match &feature.body {
        Body::Osm(Element { shape: Shape::Node(at), tags, .. }) => (tags.iter().cloned().collect(), at.lon),
        Body::Free(Free { geometry: Geometry::Single(Part::Point(at)), properties, .. }) => {
            (serde_json::from_str(properties).unwrap(), at.lon)
        }
        _ => unreachable!("neither is made here"),
    }
}

proptest! {
    #[test]
    fn merging_again_changes_nothing(versions in versions(2)) {
        let [base, heads @ ..] = versions.as_slice() else { unreachable!("two at least") };
        let heads: Vec<&Feature> = heads.iter().collect();
        for base in [None, Some(base)] {
            let join = |all: &[&Feature]| match base {
                Some(base) => merge3(base, all).unwrap(),
                None => merge(all).unwrap(),
            };
            let merged = join(&heads);
            prop_assert_eq!(&join(&[&merged]), &merged);
            prop_assert_eq!(&join(&[&merged, &merged]), &merged);
            let again: Vec<&Feature> = [&merged].into_iter().chain(heads.iter().copied()).collect();
            prop_assert_eq!(join(&again), merged);
        }
    }

    #[test]
    fn the_order_of_all_but_the_winner_does_not_matter(
        (versions, shuffled) in versions(2).prop_flat_map(|all| {
            let rest = Just(all[1..].to_vec()).prop_shuffle();
            (Just(all), rest)
        }),
        base in versions(1),
    ) {
        let order: Vec<&Feature> = versions.iter().collect();
        let other: Vec<&Feature> = versions.iter().take(1).chain(&shuffled).collect();
        prop_assert_eq!(merge(&order), merge(&other));
        prop_assert_eq!(merge3(&base[0], &order), merge3(&base[0], &other));
    }

    /// The rule, written down once more.
    #[test]
    fn every_part_is_the_winners_or_somebodys_change(versions in versions(2)) {
        let [base, heads @ ..] = versions.as_slice() else { unreachable!("two at least") };
        let merged = facts(&merge3(base, &heads.iter().collect::<Vec<_>>()).unwrap());
        let all: Vec<_> = heads.iter().map(facts).collect();
        let base = facts(base);
        for key in ["a", "b", "c", "d"] {
            let found = merged.0.get(key);
            let before = base.0.get(key);
            let changes: Vec<_> = all.iter().map(|(tags, _)| tags.get(key)).filter(|v| *v != before).collect();
            match (all[0].0.get(key), changes.as_slice()) {
                (own, _) if own != before => prop_assert_eq!(found, own),
                (_, []) => prop_assert_eq!(found, before),
                (_, changes) => prop_assert!(changes.contains(&found)),
            }
        }
        let moves: Vec<_> = all.iter().map(|(_, lon)| *lon).filter(|lon| *lon != base.1).collect();
        match moves.first() {
            _ if all[0].1 != base.1 => prop_assert_eq!(merged.1, all[0].1),
            None => prop_assert_eq!(merged.1, base.1),
            Some(_) => prop_assert!(moves.contains(&merged.1)),
        }
    }

    #[test]
    fn without_an_ancestor_nothing_is_lost(versions in versions(1)) {
        let merged = merge(&versions.iter().collect::<Vec<_>>()).unwrap();
        let (all, lon) = facts(&merged);
        let winner = facts(&versions[0]);
        prop_assert_eq!(lon, winner.1);
        let keys: Vec<_> = versions.iter().flat_map(|version| facts(version).0.into_keys()).collect();
        prop_assert!(keys.iter().all(|key| all.contains_key(key)));
        prop_assert!(all.keys().all(|key| keys.contains(key)));
        prop_assert!(winner.0.iter().all(|(key, value)| all.get(key) == Some(value)));
        prop_assert!(put(&merged).is_ok());
        prop_assert!(!geojson::to_text(&merged).is_empty());
    }
}
