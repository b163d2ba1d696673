//! The rules of replacement once more, as plainly as possible and sharing no code with `kappadb_entry::rules`:
//! every pair of entries is compared. Ported from the executable form of the model.

use kappadb_core::{EntryId, FeedName, GeoBox};
use kappadb_entry::Header;
use std::collections::BTreeMap;

/// The entries of the map that somebody holds.
pub type Entries = BTreeMap<EntryId, Header>;

fn context_seq(id: &EntryId, header: &Header, feed: FeedName) -> i128 {
    let mut best = -1;
    for (f, s) in &header.context.vector {
        if *f == feed {
            best = best.max(i128::from(*s));
        }
    }
    if id.feed.name() == feed {
        best = best.max(header.context.own.map_or(-1, i128::from));
    }
    best
}

fn within(inner: &[GeoBox], outer: &[GeoBox]) -> bool {
    inner.iter().all(|i| {
        outer.iter().any(|o| o.west <= i.west && i.east <= o.east && o.south <= i.south && i.north <= o.north)
    })
}

fn replaces(f: (&EntryId, &Header), e: (&EntryId, &Header)) -> bool {
    f.0 != e.0
        && f.1.key == e.1.key
        && (context_seq(f.0, f.1, e.0.feed.name()) >= i128::from(e.0.seq) || f.1.context.ids.contains(e.0))
        && f.1.depth > e.1.depth
        && within(&e.1.places.extents, &f.1.past.extents)
}

/// Touching counts, and +180 and -180 degrees are one meridian.
fn hit(a: &GeoBox, b: &GeoBox) -> bool {
    let rows = a.south <= b.north && b.south <= a.north;
    let wraps = |x: &GeoBox, y: &GeoBox| x.east == 1_800_000_000 && y.west == -1_800_000_000;
    rows && ((a.west <= b.east && b.west <= a.east) || wraps(a, b) || wraps(b, a))
}

/// Keys with some of their heads.
pub type Answer = BTreeMap<Vec<u8>, Vec<EntryId>>;

/// The keys that have a head whose places meet one of `boxes`, in order, with all heads that do.
pub fn answer(entries: &Entries, boxes: &[GeoBox]) -> Answer {
    answer_from_level(entries, boxes, 0)
}

/// The same, where places count that are of a level or above.
pub fn answer_from_level(entries: &Entries, boxes: &[GeoBox], level: u8) -> Answer {
    heads(entries, |header| {
        let key = header.key.as_deref().unwrap_or_default();
        let shown = header.places.extents.iter().filter(|place| place.level(key) >= level);
        shown.into_iter().any(|place| boxes.iter().any(|b| hit(place, b)))
    })
}

/// The keys that have a head that refers to `target`, with all heads that do.
pub fn referrers(entries: &Entries, target: &[u8]) -> Answer {
    heads(entries, |header| header.refs().iter().any(|key| key == target))
}

/// All keys for which `wanted` is true, with all of their heads.
pub fn of_keys(entries: &Entries, wanted: impl Fn(&[u8]) -> bool) -> Answer {
    heads(entries, |header| wanted(header.key.as_deref().unwrap_or_default()))
}

/// The keys of a range that have a value at `now`, with the head that gives it: what is due before what is not, then the one with the
/// greatest time, then id.
pub fn values(entries: &Entries, now: i64, wanted: impl Fn(&[u8]) -> bool) -> Vec<(Vec<u8>, EntryId)> {
    let mut out = Vec::new();
    for (key, heads) in of_keys(entries, wanted) {
        let winner = heads.into_iter().max_by_key(|id| (entries[id].time.0 <= now, entries[id].time, *id));
        out.extend(winner.filter(|id| entries[id].kind.code == 0).map(|id| (key, id)));
    }
    out
}

/// The keys that have a head that is `wanted`, in order, with all heads that are.
fn heads(entries: &Entries, wanted: impl Fn(&Header) -> bool) -> Answer {
    let mut by_key: BTreeMap<&[u8], Vec<(&EntryId, &Header)>> = BTreeMap::new();
    for (id, header) in entries {
        by_key.entry(header.key.as_deref().unwrap_or_default()).or_default().push((id, header));
    }
    let mut out = Answer::new();
    for (key, versions) in by_key {
        for e in &versions {
            let is_head = !versions.iter().any(|f| replaces(*f, *e));
            if is_head && wanted(e.1) {
                out.entry(key.to_vec()).or_default().push(*e.0);
            }
        }
    }
    out
}
