//! The answers, by looking at all entries. Ported from the executable form of the model and sharing no code with the
//! index: neither `kappadb_entry::rules` nor the library's comparisons of contexts, places and boxes.

use kappadb_core::{EntryId, Extent, FeedName, GeoBox};
use kappadb_entry::Places;
use kappadb_entry::rules::Version;
use kappadb_view::Arrived;
use std::collections::{BTreeMap, BTreeSet};

/// How far `f` names the entries of the feed of this name; -1 if not at all.
fn up_to(f: &Version, feed: FeedName) -> i128 {
    let listed = f.context.vector.iter().filter(|(listed, _)| *listed == feed).map(|(_, seq)| *seq);
    let own = f.context.own.filter(|_| f.id.feed.name() == feed);
    listed.chain(own).map(i128::from).max().unwrap_or(-1)
}

fn within(inner: &[GeoBox], outer: &[GeoBox]) -> bool {
    inner.iter().all(|i| {
        outer.iter().any(|o| o.west <= i.west && i.east <= o.east && o.south <= i.south && i.north <= o.north)
    })
}

fn replaces(f: &Version, e: &Version) -> bool {
    let named = up_to(f, e.id.feed.name()) >= i128::from(e.id.seq) || f.context.ids.contains(&e.id);
    f.id != e.id && named && f.depth > e.depth && within(&e.places.extents, &f.past.extents)
}

/// Whatever `e` replaces, `f` replaces.
fn makes_redundant(f: &Version, e: &Version) -> bool {
    let feeds = e.context.vector.iter().map(|(feed, _)| *feed).chain([e.id.feed.name()]);
    replaces(f, e)
        && feeds.into_iter().all(|feed| up_to(f, feed) >= up_to(e, feed))
        && e.context.ids.iter().all(|id| f.context.ids.contains(id))
        && within(&e.past.extents, &f.past.extents)
}

/// Every pair is compared, redundant ones too.
pub fn heads_of(versions: &[Version]) -> Vec<&Version> {
    versions.iter().filter(|e| !versions.iter().any(|f| replaces(f, e))).collect()
}

/// Touching counts, and +180 and -180 degrees are one meridian.
fn touches(places: &Places, extent: &Extent) -> bool {
    let edge = 1_800_000_000;
    let wraps = |a: &GeoBox, b: &GeoBox| a.east == edge && b.west == -edge;
    places.extents.iter().any(|a| {
        extent.boxes().iter().any(|b| {
            let rows = a.south <= b.north && b.south <= a.north;
            rows && ((a.west <= b.east && b.west <= a.east) || wraps(a, b) || wraps(b, a))
        })
    })
}

/// The entries held, by key.
#[derive(Debug, Default)]
pub struct Model(BTreeMap<Vec<u8>, Vec<Version>>);

impl Model {
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Arrived>) -> Model {
        let unique: BTreeMap<EntryId, &Arrived> = entries.into_iter().map(|a| (a.id, a)).collect();
        let mut keys: BTreeMap<Vec<u8>, Vec<Version>> = BTreeMap::new();
        for (id, arrived) in unique {
            let header = &arrived.entry.header;
            let key = header.key.clone().expect("a key");
            keys.entry(key).or_default().push(Version::from_header(id, header));
        }
        Model(keys)
    }

    pub fn versions(&self, key: &[u8]) -> Vec<Version> {
        self.0.get(key).cloned().unwrap_or_default()
    }

    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.0.keys().map(Vec::as_slice)
    }

    /// Keys, and their heads that touch the box.
    pub fn answer(&self, extent: &Extent) -> BTreeMap<String, Vec<EntryId>> {
        let touching = |(key, versions): (&Vec<u8>, &Vec<Version>)| {
            let heads = heads_of(versions).into_iter().filter(|v| touches(&v.places, extent));
            let ids: Vec<EntryId> = heads.map(|v| v.id).collect();
            (!ids.is_empty()).then(|| (String::from_utf8(key.clone()).expect("text"), ids))
        };
        self.0.iter().filter_map(touching).collect()
    }

    /// What must be sent to whoever asks: not redundant, and wanted.
    pub fn serve(&self, wanted: impl Fn(&[u8], &Version) -> bool) -> BTreeSet<EntryId> {
        let mut out = BTreeSet::new();
        for (key, versions) in &self.0 {
            let active = versions.iter().filter(|e| !versions.iter().any(|f| makes_redundant(f, e)));
            out.extend(active.filter(|v| wanted(key, v)).map(|v| v.id));
        }
        out
    }

    /// What must be sent to whoever asks for the box: what is here or once was.
    pub fn serve_box(&self, extent: &Extent) -> BTreeSet<EntryId> {
        self.serve(|_, v| touches(&v.places, extent) || touches(&v.past, extent))
    }
}
