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
    /// Entries that touch one of these boxes, at most [`kappadb_core::limits::MAX_SELECTOR_BOXES`] of them.
    Boxes(Vec<GeoBox>),
    /// Anything else, in the words of one view.
    Custom(Vec<u8>),
}

impl Selector {
    /// Entries with one of these keys.
    pub fn keys(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Selector {
        let mut keys: Vec<Vec<u8>> = keys.into_iter().map(Into::into).collect();
        keys.sort_unstable();
        keys.dedup();
        Selector::Keys(keys)
    }

    /// Entries that touch one of these boxes.
    pub fn boxes(boxes: impl IntoIterator<Item = GeoBox>) -> Selector {
        let mut boxes: Vec<GeoBox> = boxes.into_iter().collect();
        boxes.sort_unstable();
        boxes.dedup();
        Selector::Boxes(boxes)
    }
}

/// Entries that touch the extent; both names of the antimeridian count, as in [`Extent::intersects`].
impl From<&Extent> for Selector {
    fn from(extent: &Extent) -> Selector {
        Selector::boxes(extent.boxes().iter().copied())
    }
}
