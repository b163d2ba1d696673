//! Where an entry is: boxes on the map, and windows of time in channels.

use crate::EntryError;
use crate::error::{check_len, check_list};
use bincode::{Decode, Encode};
use kappadb_core::limits::{MAX_CHANNEL, MAX_PAST_PLACES};
use kappadb_core::{Extent, GeoBox};

/// A closed window of time in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Moment {
    /// The channel's name, at most [`MAX_CHANNEL`] bytes.
    pub channel: Vec<u8>,
    /// Milliseconds since the Unix epoch, included.
    pub from: i64,
    /// Milliseconds since the Unix epoch, included; not before `from`.
    pub to: i64,
}

/// Where an entry is, or a cover of where everything that it replaces was. Both lists ascend strictly.
///
/// Nothing at all (a delete, a plain key-value entry) is a place too: it is contained in every other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Places {
    /// Boxes on the map.
    pub extents: Vec<GeoBox>,
    /// Windows of time in channels.
    pub moments: Vec<Moment>,
}

impl Moment {
    /// True if the windows share a millisecond of one channel; touching counts.
    pub fn intersects(&self, other: &Moment) -> bool {
        self.channel == other.channel && self.from <= other.to && other.from <= self.to
    }

    /// True if `other` lies in this window, in the same channel.
    pub fn contains(&self, other: &Moment) -> bool {
        self.channel == other.channel && self.from <= other.from && other.to <= self.to
    }

    fn hull(&self, other: &Moment) -> Option<Moment> {
        let (from, to) = (self.from.min(other.from), self.to.max(other.to));
        (self.channel == other.channel).then(|| Moment { channel: self.channel.clone(), from, to })
    }

    fn length(&self) -> i128 {
        i128::from(self.to) - i128::from(self.from)
    }
}

impl Places {
    /// Nowhere.
    pub const NOWHERE: Places = Places { extents: Vec::new(), moments: Vec::new() };

    /// These places, sorted and without repeats.
    pub fn new(mut extents: Vec<GeoBox>, mut moments: Vec<Moment>) -> Places {
        extents.sort_unstable();
        extents.dedup();
        moments.sort_unstable();
        moments.dedup();
        Places { extents, moments }
    }

    /// The places of a thing on the map.
    pub fn on_map(extent: &Extent) -> Places {
        Places::new(extent.boxes().to_vec(), Vec::new())
    }

    /// True if this is nowhere.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty() && self.moments.is_empty()
    }

    /// True if every box of `inner` lies in a *single* box of this, and every moment in a single moment of this.
    /// Asking for one box, not for the union, keeps this cheap and plainly transitive, which the rules need.
    pub fn contains(&self, inner: &Places) -> bool {
        inner.extents.iter().all(|b| self.extents.iter().any(|a| a.contains(b)))
            && inner.moments.iter().all(|b| self.moments.iter().any(|a| a.contains(b)))
    }

    /// A cover of all `parts` with at most [`MAX_PAST_PLACES`] boxes and as many moments: what lies within another is
    /// left out, and while there are too many, the two whose hull adds least are merged. It depends on the parts
    /// only, not on their order.
    ///
    /// Contains every part, with one exception: moments of more than [`MAX_PAST_PLACES`] channels cannot be merged,
    /// and those of the last channels are left out. Then the entry that carries this past does not replace what was
    /// there: a conflict that can be seen, never a loss.
    pub fn covering<'a>(parts: impl IntoIterator<Item = &'a Places>) -> Places {
        let (mut boxes, mut moments) = (Vec::new(), Vec::new());
        for part in parts {
            boxes.extend_from_slice(&part.extents);
            moments.extend_from_slice(&part.moments);
        }
        let all = Places::new(boxes, moments);
        let (mut extents, mut moments) = (Vec::new(), Vec::new());
        all.extents.into_iter().for_each(|b| add(&mut extents, b, GeoBox::contains, box_cost));
        all.moments.into_iter().for_each(|m| add(&mut moments, m, Moment::contains, moment_cost));
        Places::new(extents, moments)
    }

    /// At most `limit` boxes and `limit` moments, each well-formed, ascending.
    pub(crate) fn check(&self, limit: usize) -> Result<(), EntryError> {
        check_list("boxes", &self.extents, limit, |a, b| a < b)?;
        check_list("moments", &self.moments, limit, |a, b| a < b)?;
        let on_map = |b: &GeoBox| GeoBox::WORLD.contains(b) && b.west <= b.east && b.south <= b.north;
        if let Some(bad) = self.extents.iter().find(|b| !on_map(b)) {
            return Err(EntryError::BadBox(*bad));
        }
        for m in &self.moments {
            check_len("channel", m.channel.len(), MAX_CHANNEL)?;
            if m.from > m.to {
                return Err(EntryError::BadMoment { from: m.from, to: m.to });
            }
        }
        Ok(())
    }
}

/// What merging two would add, and the merged one; none if they cannot be merged.
type Cost<T> = fn(&T, &T) -> Option<(i128, T)>;

fn box_cost(a: &GeoBox, b: &GeoBox) -> Option<(i128, GeoBox)> {
    let hull = a.hull(b);
    Some((hull.measure() - a.measure() - b.measure(), hull))
}

fn moment_cost(a: &Moment, b: &Moment) -> Option<(i128, Moment)> {
    let hull = a.hull(b)?;
    Some((hull.length() - a.length() - b.length(), hull))
}

/// Adds `item` to a cover. One at a time, so that the work grows with the number of items and not with its cube.
fn add<T>(cover: &mut Vec<T>, item: T, contains: fn(&T, &T) -> bool, cost: Cost<T>) {
    if cover.iter().any(|c| contains(c, &item)) {
        return;
    }
    cover.retain(|c| !contains(&item, c));
    cover.push(item);
    if cover.len() > MAX_PAST_PLACES {
        match cheapest_pair(cover, cost) {
            Some((i, j, merged)) => {
                cover.swap_remove(j); // j > i, so i stays where it is
                cover.swap_remove(i);
                add(cover, merged, contains, cost);
            }
            None => cover.truncate(MAX_PAST_PLACES),
        }
    }
}

fn cheapest_pair<T>(cover: &[T], cost: Cost<T>) -> Option<(usize, usize, T)> {
    let pairs = cover.iter().enumerate().flat_map(|(i, a)| {
        let later = cover.iter().enumerate().skip(i + 1);
        later.filter_map(move |(j, b)| cost(a, b).map(|(cost, merged)| (cost, i, j, merged)))
    });
    pairs.min_by_key(|&(cost, ..)| cost).map(|(_, i, j, merged)| (i, j, merged))
}
