use bincode::{Decode, Encode};
use kappadb_core::{Extent, GeoBox};

/// What a view can be asked. Which of these a view understands is up to the view.
///
/// An empty list is allowed and selects nothing. Lists ascend strictly; use [`Selector::keys`] and
/// [`Selector::boxes`] to sort them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Selector {
    /// Every entry, also those without a key and those that no view understands.
    Everything,
    /// Entries with one of these keys, at most [`kappadb_core::limits::MAX_SELECTOR_KEYS`] of them.
    Keys(Vec<Vec<u8>>),
    /// Entries whose key starts with this.
    Prefix(Vec<u8>),
    /// Entries in a channel within a closed window of time.
    Window {
        /// The channel's name.
        channel: Vec<u8>,
        /// Milliseconds since the Unix epoch, included.
        from: i64,
        /// Milliseconds since the Unix epoch, included; not before `from`.
        to: i64,
    },
    /// Entries of which a box touches one of these.
    Boxes {
        /// At most [`kappadb_core::limits::MAX_SELECTOR_BOXES`] of them.
        boxes: Vec<GeoBox>,
        /// Boxes of entries count from this level on ([`GeoBox::level`]); 0 is all.
        level: u8,
    },
    /// Entries that refer to one of these keys (`Header::refs`), at most
    /// [`kappadb_core::limits::MAX_SELECTOR_KEYS`] of them. Unlike the selectors above it does not tell the asker of entries
    /// that once did: what it takes for an answer it must ask for by key as well (`design/model.md`).
    Referrers(Vec<Vec<u8>>),
    /// Every version of these keys that is held, also what is redundant, at most
    /// [`kappadb_core::limits::MAX_SELECTOR_KEYS`] keys.
    Versions(Vec<Vec<u8>>),
    /// Anything else, in the words of one view.
    Custom(Vec<u8>),
}

impl Selector {
    /// Entries with one of these keys.
    pub fn keys(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Selector {
        Selector::Keys(ascending(keys.into_iter().map(Into::into)))
    }

    /// Entries that refer to one of these keys.
    pub fn referrers(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Selector {
        Selector::Referrers(ascending(keys.into_iter().map(Into::into)))
    }

    /// Every version of these keys.
    pub fn versions(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Selector {
        Selector::Versions(ascending(keys.into_iter().map(Into::into)))
    }

    /// Entries that touch one of these boxes.
    pub fn boxes(boxes: impl IntoIterator<Item = GeoBox>) -> Selector {
        Selector::Boxes { boxes: ascending(boxes.into_iter()), level: 0 }
    }

    /// Entries that touch the extent with a box of this level or above ([`GeoBox::level`]).
    pub fn from_level(extent: &Extent, level: u8) -> Selector {
        Selector::Boxes { boxes: ascending(extent.boxes().iter().copied()), level }
    }
}

fn ascending<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// Entries that touch the extent; both names of the antimeridian count, as in [`Extent::intersects`].
impl From<&Extent> for Selector {
    fn from(extent: &Extent) -> Selector {
        Selector::boxes(extent.boxes().iter().copied())
    }
}
