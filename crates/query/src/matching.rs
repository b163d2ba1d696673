//! What a selector matches, and which selector covers which.

use crate::Selector;
use kappadb_core::GeoBox;
use kappadb_entry::rules::Version;
use kappadb_entry::{Header, Moment, Places};

impl Selector {
    /// True if an entry with this key at these places is selected. [`Selector::Custom`] is understood by its view
    /// alone, and [`Selector::Referrers`] asks for neither key nor place; nothing can be ruled out, so the answer is true.
    pub fn matches_places(&self, key: Option<&[u8]>, places: &Places) -> bool {
        match self {
            Selector::Everything | Selector::Custom(_) | Selector::Referrers(_) => true,
            Selector::Keys(keys) | Selector::Versions(keys) => {
                key.is_some_and(|key| keys.iter().any(|k| k == key))
            }
            Selector::Prefix(prefix) => key.is_some_and(|key| key.starts_with(prefix)),
            Selector::Range { from, to } | Selector::Scan { from, to, .. } => {
                key.is_some_and(|key| in_range(key, from, to.as_deref()))
            }
            Selector::Window { channel, from, to } | Selector::Latest { channel, from, to, .. } => {
                places.moments.iter().any(|m| during(m, channel, *from, *to))
            }
            Selector::Boxes { boxes, level: least } => {
                let shown = |b: &&GeoBox| *least == 0 || b.level(key.unwrap_or_default()) >= *least;
                places.extents.iter().filter(shown).any(|b| boxes.iter().any(|a| meets(a, b)))
            }
        }
    }

    /// True if an entry must be sent to whoever asks this: it is selected where it is, or where what it replaces
    /// was, so that the asker's own stale entries go. See `design/model.md`.
    pub fn needs(&self, header: &Header) -> bool {
        if let Selector::Referrers(keys) = self {
            return header.refs().iter().any(|key| keys.binary_search(key).is_ok());
        }
        let key = header.key.as_deref();
        self.matches_places(key, &header.places) || self.matches_places(key, &header.past)
    }

    /// [`Selector::needs`] for a version of `key`; of what it refers to nothing is known, see [`Selector::matches_places`].
    pub fn needs_version(&self, key: Option<&[u8]>, version: &Version) -> bool {
        self.matches_places(key, &version.places) || self.matches_places(key, &version.past)
    }

    /// True only if everything that `narrow` can match, this matches too. It may be false where a cleverer look
    /// would say true (a box that only several boxes together cover): then something is asked for once more. What covers
    /// a limited selector must cover all that it could come to.
    pub fn covers(&self, narrow: &Selector) -> bool {
        use Selector::{Boxes, Custom, Everything, Keys, Prefix, Range, Referrers, Versions, Window};
        if let Selector::Scan { .. } | Selector::Latest { .. } = narrow {
            return self == narrow || narrow.answered(None).is_some_and(|all| self.covers(&all));
        }
        match (self, narrow) {
            // Whoever was asked for everything left out what is redundant.
            (Everything, Versions(_)) => false,
            (Everything, _) => true,
            (Keys(wide) | Versions(wide), Keys(keys))
            | (Versions(wide), Versions(keys))
            | (Referrers(wide), Referrers(keys)) => keys.iter().all(|key| wide.binary_search(key).is_ok()),
            (Prefix(wide), Keys(keys)) => keys.iter().all(|key| key.starts_with(wide)),
            (Prefix(wide), Prefix(prefix)) => prefix.starts_with(wide),
            (Prefix(wide), Range { from, to }) => match (from.starts_with(wide), to, end_of(wide)) {
                (starts, Some(to), Some(end)) => starts && *to <= end,
                (starts, _, None) => starts,
                (_, None, Some(_)) => false,
            },
            (Range { from, to }, Keys(keys)) => keys.iter().all(|key| in_range(key, from, to.as_deref())),
            (Range { from, to }, Prefix(prefix)) => from <= prefix && ends_by(end_of(prefix), to.as_ref()),
            (Range { from: f, to: t }, Range { from, to }) => f <= from && ends_by(to.clone(), t.as_ref()),
            (Window { channel: c, from: f, to: t }, Window { channel, from, to }) => {
                c == channel && f <= from && to <= t
            }
            (Boxes { boxes: wide, level: from }, Boxes { boxes, level }) => {
                from <= level && boxes.iter().all(|b| wide.iter().any(|a| a.contains(b)))
            }
            (Custom(wide), Custom(text)) => wide == text,
            _ => false,
        }
    }
}

fn in_range(key: &[u8], from: &[u8], to: Option<&[u8]>) -> bool {
    from <= key && to.is_none_or(|to| key < to)
}

/// The first key after all that start with `prefix`; none if there is no such.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let (last, front) = prefix.get(..=kept)?.split_last()?;
    Some([front, &[last + 1]].concat())
}

/// True if a range that ends at `end` ends no later than one that ends at `limit`; none is no end.
fn ends_by(end: Option<Vec<u8>>, limit: Option<&Vec<u8>>) -> bool {
    limit.is_none_or(|limit| end.is_some_and(|end| end <= *limit))
}

fn during(moment: &Moment, channel: &[u8], from: i64, to: i64) -> bool {
    moment.channel == channel && moment.from <= to && from <= moment.to
}

/// True if the boxes touch; +180 and -180 are the same meridian, as for [`kappadb_core::Extent::intersects`] (which
/// wants each box in a list of its own).
fn meets(a: &GeoBox, b: &GeoBox) -> bool {
    const WORLD: GeoBox = GeoBox::WORLD;
    let wraps = |a: &GeoBox, b: &GeoBox| a.east == WORLD.east && b.west == WORLD.west;
    let rows = a.south <= b.north && b.south <= a.north;
    a.intersects(b) || (rows && (wraps(a, b) || wraps(b, a)))
}
