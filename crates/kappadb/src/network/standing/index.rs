//! Which of many live questions an entry may matter to, found without a look at each: 10,000 open boxes cost an edit a look-up.

use super::super::ask::{FEEDS, space_of_view};
use kappadb_core::GeoBox;
use kappadb_entry::{Header, Places};
use kappadb_query::Selector;
use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Keys of one selector that are looked up by themselves; a question for more is a candidate for every entry of its space.
const KEYS_APART: usize = 64;

/// Where a question waits for entries of a space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Spot {
    /// Each may matter.
    Any,
    Key(Vec<u8>),
    Prefix(Vec<u8>),
    Channel(Vec<u8>),
    Referred(Vec<u8>),
}

/// A box of the map, of a question. Degrees in units, which these numbers hold exactly.
type Boxed = GeomWithData<Rectangle<[f64; 2]>, (u32, u64)>;

/// The questions, by where they wait.
#[derive(Default)]
pub(super) struct Index {
    /// Those to which an entry of any space may matter, and what no view understands.
    everywhere: BTreeSet<u64>,
    spots: HashMap<(u32, Spot), BTreeSet<u64>>,
    /// The lengths of the prefixes among the spots, and how many have each.
    prefixes: BTreeMap<usize, usize>,
    boxes: RTree<Boxed>,
}

impl Index {
    pub fn insert(&mut self, id: u64, view: &str, selector: &Selector) {
        let Some(space) = space_of(view) else {
            self.everywhere.insert(id);
            return;
        };
        if let Selector::Boxes { boxes, .. } = selector {
            boxes.iter().for_each(|area| self.boxes.insert(boxed(area, (space, id))));
        }
        for spot in spots(selector) {
            if let Spot::Prefix(prefix) = &spot {
                *self.prefixes.entry(prefix.len()).or_default() += 1;
            }
            self.spots.entry((space, spot)).or_default().insert(id);
        }
    }

    pub fn remove(&mut self, id: u64, view: &str, selector: &Selector) {
        let Some(space) = space_of(view) else {
            self.everywhere.remove(&id);
            return;
        };
        if let Selector::Boxes { boxes, .. } = selector {
            for area in boxes {
                self.boxes.remove(&boxed(area, (space, id)));
            }
        }
        for spot in spots(selector) {
            if let Spot::Prefix(prefix) = &spot
                && let Some(count) = self.prefixes.get_mut(&prefix.len())
            {
                *count -= 1;
                if *count == 0 {
                    self.prefixes.remove(&prefix.len());
                }
            }
            let spot = (space, spot);
            if let Some(ids) = self.spots.get_mut(&spot) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.spots.remove(&spot);
                }
            }
        }
    }

    /// Adds those to which an entry may matter, and perhaps others. `header` is the entry's; none if the block holds none.
    pub fn find(&self, header: Option<&Header>, found: &mut BTreeSet<u64>) {
        found.extend(&self.everywhere);
        let Some(header) = header else { return };
        let space = header.kind.space;
        for Places { extents, .. } in [&header.places, &header.past] {
            for area in extents.iter().flat_map(around) {
                let met = self.boxes.locate_in_envelope_intersecting(envelope(&area));
                found.extend(met.map(|met| met.data).filter(|(of, _)| *of == space).map(|(_, id)| id));
            }
        }
        let mut at = |spot: Spot| found.extend(self.spots.get(&(space, spot)).into_iter().flatten());
        at(Spot::Any);
        if let Some(key) = &header.key {
            at(Spot::Key(key.clone()));
            let starts = self.prefixes.keys().filter_map(|len| key.get(..*len));
            starts.for_each(|start| at(Spot::Prefix(start.to_vec())));
        }
        header.refs().iter().for_each(|key| at(Spot::Referred(key.clone())));
        for Places { moments, .. } in [&header.places, &header.past] {
            moments.iter().for_each(|moment| at(Spot::Channel(moment.channel.clone())));
        }
    }
}

/// The space whose entries alone may matter to questions of a view; none if any may.
fn space_of(view: &str) -> Option<u32> {
    space_of_view(view).filter(|_| view != FEEDS)
}

/// Where a selector waits, but for its boxes.
fn spots(selector: &Selector) -> Vec<Spot> {
    let each = |keys: &[Vec<u8>], spot: fn(Vec<u8>) -> Spot| match keys.len() <= KEYS_APART {
        true => keys.iter().cloned().map(spot).collect(),
        false => vec![Spot::Any],
    };
    match selector {
        Selector::Keys(keys) | Selector::Versions(keys) => each(keys, Spot::Key),
        Selector::Referrers(keys) => each(keys, Spot::Referred),
        Selector::Prefix(prefix) => vec![Spot::Prefix(prefix.clone())],
        Selector::Window { channel, .. } | Selector::Latest { channel, .. } => {
            vec![Spot::Channel(channel.clone())]
        }
        Selector::Boxes { .. } => Vec::new(),
        Selector::Everything | Selector::Range { .. } | Selector::Scan { .. } | Selector::Custom(_) => {
            vec![Spot::Any]
        }
    }
}

fn boxed(area: &GeoBox, of: (u32, u64)) -> Boxed {
    let [low, high] = corners(area);
    GeomWithData::new(Rectangle::from_corners(low, high), of)
}

fn envelope(area: &GeoBox) -> AABB<[f64; 2]> {
    let [low, high] = corners(area);
    AABB::from_corners(low, high)
}

fn corners(area: &GeoBox) -> [[f64; 2]; 2] {
    [[area.west.into(), area.south.into()], [area.east.into(), area.north.into()]]
}

/// A box, and the other side of the meridian that it ends at: +180 and -180 are one.
fn around(area: &GeoBox) -> impl Iterator<Item = GeoBox> + use<> {
    let GeoBox { west, east, .. } = GeoBox::WORLD;
    let line = |at| GeoBox { west: at, east: at, ..*area };
    let beyond = [(area.east == east).then(|| line(west)), (area.west == west).then(|| line(east))];
    std::iter::once(*area).chain(beyond.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::super::concerns;
    use super::*;
    use crate::network::ask::{CHAT, KV, MAP};
    use kappadb_core::Timestamp;
    use kappadb_entry::{Kind, Moment, space};
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(b'a'..b'd', 0..4)
    }

    fn area() -> impl Strategy<Value = GeoBox> {
        // Few places, among them the ends of the world.
        let at = prop::sample::select(vec![GeoBox::WORLD.west, -20, 0, 20, GeoBox::WORLD.east]);
        (at.clone(), at, -2..3_i32, -2..3_i32).prop_map(|(a, b, c, d)| GeoBox {
            west: a.min(b),
            east: a.max(b),
            south: c.min(d),
            north: c.max(d),
        })
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let keys = || prop::collection::vec(bytes(), 1..4);
        prop_oneof![
            Just(Selector::Everything),
            keys().prop_map(Selector::keys),
            Just(Selector::keys((0..100u8).map(|n| vec![b'a' + n % 3, n]))),
            bytes().prop_map(Selector::Prefix),
            bytes().prop_map(|from| Selector::Range { from, to: None }),
            bytes().prop_map(|channel| Selector::Window { channel, from: 0, to: 9 }),
            bytes().prop_map(|channel| Selector::Latest {
                channel,
                from: 0,
                to: 9,
                limit: 1,
                backwards: true
            }),
            (prop::collection::vec(area(), 1..3), 0..2u8)
                .prop_map(|(boxes, level)| Selector::Boxes { boxes, level }),
            keys().prop_map(|mut keys| {
                keys.sort();
                keys.dedup();
                Selector::Referrers(keys)
            }),
            bytes().prop_map(Selector::Custom),
        ]
    }

    fn places() -> impl Strategy<Value = Places> {
        let moment = (bytes(), 0..9i64).prop_map(|(channel, from)| Moment { channel, from, to: from });
        (prop::collection::vec(area(), 0..2), prop::collection::vec(moment, 0..2))
            .prop_map(|(extents, moments)| Places { extents, moments })
    }

    fn header() -> impl Strategy<Value = Header> {
        let refs = prop::collection::vec(bytes(), 0..2);
        let spaces = prop::sample::select(vec![space::KV, space::MAP, space::CHAT, 77]);
        (spaces, prop::option::of(bytes()), places(), places(), refs).prop_map(
            |(space, key, places, past, refs)| {
                let kind = Kind { space, code: 0 };
                let mut header = Header { key, places, past, ..Header::new(kind, Timestamp(0)) };
                header.set_refs(refs);
                header
            },
        )
    }

    proptest! {
        #[test]
        fn whoever_an_entry_may_matter_to_is_found_and_those_who_left_are_not(
            asked in prop::collection::vec((prop::sample::select(vec![KV, MAP, CHAT, FEEDS, "mine"]), selector(), any::<bool>()), 0..12),
            headers in prop::collection::vec(prop::option::of(header()), 1..6),
        ) {
            let mut index = Index::default();
            for (id, (view, selector, _)) in (0..).zip(&asked) {
                index.insert(id, view, selector);
            }
            for (id, (view, selector, _)) in (0..).zip(&asked).filter(|(_, (.., leaves))| *leaves) {
                index.remove(id, view, selector);
            }
            for header in &headers {
                let mut found = BTreeSet::new();
                index.find(header.as_ref(), &mut found);
                for (id, (view, selector, leaves)) in (0..).zip(&asked) {
                    let due = !leaves && concerns(view, selector, header.as_ref());
                    prop_assert!(found.contains(&id) || !due, "{view} {selector:?} {header:?}");
                    prop_assert!(!(found.contains(&id) && *leaves), "it left");
                }
            }
            for (id, (view, selector, leaves)) in (0..).zip(&asked) {
                if !leaves {
                    index.remove(id, view, selector);
                }
            }
            prop_assert!(index.everywhere.is_empty() && index.spots.is_empty() && index.prefixes.is_empty());
            prop_assert_eq!(index.boxes.size(), 0);
        }
    }
}
