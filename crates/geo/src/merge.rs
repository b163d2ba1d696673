//! One feature out of several versions that were written without knowledge of each other.
//!
//! A version **changes** a part of a feature if what it says of it differs from what the common ancestor says; without an
//! ancestor, if it says anything. Each part is then as the first version that changes it has it, and as before if none
//! does. The first is the winner, so what it changes stands; after it come the others in the order of their bodies' bytes,
//! so the outcome does not depend on the order in which they are given.
//!
//! Parts are: the geometry (position, nodes, members) as a whole, each tag, each top-level member of a GeoJSON feature and of its
//! properties. A value that is absent is a value, so removing a tag is a change too. Which edit of OpenStreetMap it is
//! ([`Meta`](crate::Meta)) is no part: it is the winner's.

use crate::{Body, Element, Feature, Free, Geometry, encode, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// What the versions say together, if nothing is known of what they replaced; the first is the winner. None if there are
/// none.
///
/// Geometry and members are the winner's, tags and properties those of all, with the winner's values where they differ.
/// The winner's come first, in its order, each key once.
pub fn merge(versions: &[&Feature]) -> Option<Feature> {
    three_way(None, versions)
}

/// What the versions say together, if `base` is what all of them replaced; the first is the winner. None if there are
/// none.
///
/// What only one of them changed or removed is as it has it. What several changed is as the winner has it, if it is one of
/// them.
pub fn merge3(base: &Feature, versions: &[&Feature]) -> Option<Feature> {
    three_way(Some(base), versions)
}

fn three_way(base: Option<&Feature>, versions: &[&Feature]) -> Option<Feature> {
    let (&winner, others) = versions.split_first()?;
    let mut others: Vec<&Feature> = others.iter().copied().filter(|other| *other != winner).collect();
    if others.is_empty() {
        return Some(winner.clone());
    }
    others.sort_by_cached_key(|other| encode(&other.body));
    let all: Vec<&Body> = std::iter::once(winner).chain(others).map(|version| &version.body).collect();
    let base = base.map(|base| &base.body);
    let body = match &winner.body {
        Body::Osm(first) => Body::Osm(elements(base.and_then(element), first, &sort_of(&all, element))),
        Body::Free(first) => Body::Free(frees(base.and_then(free), first, &sort_of(&all, free))),
    };
    Some(Feature { id: winner.id.clone(), body })
}

fn element(body: &Body) -> Option<&Element> {
    if let Body::Osm(element) = body { Some(element) } else { None }
}

fn free(body: &Body) -> Option<&Free> {
    if let Body::Free(free) = body { Some(free) } else { None }
}

/// The versions that are of the winner's sort; an id gives no other.
fn sort_of<'a, T>(all: &[&'a Body], sort: fn(&'a Body) -> Option<&'a T>) -> Vec<&'a T> {
    all.iter().filter_map(|body| sort(body)).collect()
}

/// `all` are the versions, the winner first; so in all that follows.
fn elements(base: Option<&Element>, winner: &Element, all: &[&Element]) -> Element {
    fn tags(element: &Element) -> Pairs<'_> {
        Pairs::new(element.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }
    let merged = pairs(base.map(tags).as_ref(), &all.iter().map(|version| tags(version)).collect::<Vec<_>>());
    let shapes = all.iter().map(|version| &version.shape);
    Element {
        shape: changed(base.map(|base| &base.shape), shapes).unwrap_or(&winner.shape).clone(),
        tags: merged.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        meta: winner.meta.clone(),
    }
}

fn frees(base: Option<&Free>, winner: &Free, all: &[&Free]) -> Free {
    fn geometry(free: &Free) -> (&Geometry, &String) {
        (&free.geometry, &free.written)
    }
    let mut geometries = all.iter().map(|version| geometry(version));
    let before = base.map(geometry);
    let (place, written) =
        geometries.find(|version| Some(*version) != before).unwrap_or_else(|| geometry(winner));
    let foreign = texts(base, winner, all, |free| &free.foreign);
    Free {
        geometry: place.clone(),
        written: written.clone(),
        properties: texts(base, winner, all, |free| &free.properties),
        foreign: if foreign == "{}" { String::new() } else { foreign },
    }
}

/// Objects, member by member. Each value as it was written; the winner's text as it stands if nothing comes to it and nothing goes.
fn texts(base: Option<&Free>, winner: &Free, all: &[&Free], text: fn(&Free) -> &String) -> String {
    fn members<'a>(list: &'a [(String, &'a str)]) -> Vec<(&'a str, &'a str)> {
        list.iter().map(|(key, value)| (key.as_str(), *value)).collect()
    }
    let base = base.map(|base| json::members(text(base)));
    let all: Vec<Vec<(String, &str)>> = all.iter().map(|version| json::members(text(version))).collect();
    let base = base.as_deref().map(|base| Pairs::new(members(base)));
    let all: Vec<Pairs<'_>> = all.iter().map(|version| Pairs::new(members(version))).collect();
    let merged = pairs(base.as_ref(), &all);
    if all.first().is_some_and(|own| own.list == merged) {
        text(winner).clone()
    } else {
        json::object(&merged)
    }
}

/// What the first version that changes it says; none if none does.
fn changed<'a, T: PartialEq>(
    base: Option<&'a T>,
    mut versions: impl Iterator<Item = &'a T>,
) -> Option<&'a T> {
    versions.find(|version| Some(*version) != base)
}

/// Keys and values, each key once: the first of those that come again, as [`Element::tag`] has it.
struct Pairs<'a> {
    list: Vec<(&'a str, &'a str)>,
    by_key: BTreeMap<&'a str, &'a str>,
}

impl<'a> Pairs<'a> {
    fn new(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut new = Pairs { list: Vec::new(), by_key: BTreeMap::new() };
        for (key, value) in pairs {
            if let Entry::Vacant(vacant) = new.by_key.entry(key) {
                vacant.insert(value);
                new.list.push((key, value));
            }
        }
        new
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.by_key.get(key).copied()
    }
}

fn pairs<'a>(base: Option<&Pairs<'a>>, versions: &[Pairs<'a>]) -> Vec<(&'a str, &'a str)> {
    let mut seen = BTreeSet::new();
    let keys = versions.iter().flat_map(|version| &version.list).map(|(key, _)| *key);
    let merged = |key| {
        let before = base.and_then(|base| base.get(key));
        let mut values = versions.iter().map(|version| version.get(key));
        let value = values.find(|value| *value != before).unwrap_or(before);
        value.map(|value| (key, value))
    };
    keys.filter(|key| seen.insert(*key)).filter_map(merged).collect()
}
