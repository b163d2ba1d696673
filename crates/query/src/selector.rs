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
    /// Entries with a key in a range.
    Range {
        /// The first key, included.
        from: Vec<u8>,
        /// The end, excluded and not before `from`; none for all keys from `from` on.
        to: Option<Vec<u8>>,
    },
    /// As many keys of a range as are asked for, from one of its ends on; with all entries that [`Selector::Range`] needs
    /// of these. The answer says how far it goes ([`Selector::answered`]).
    Scan {
        /// As in [`Selector::Range`].
        from: Vec<u8>,
        /// As in [`Selector::Range`].
        to: Option<Vec<u8>>,
        /// Keys wanted that are there; not 0.
        limit: u32,
        /// True to begin with the last key.
        backwards: bool,
    },
    /// Entries in a channel within a closed window of time.
    Window {
        /// The channel's name.
        channel: Vec<u8>,
        /// Milliseconds since the Unix epoch, included.
        from: i64,
        /// Milliseconds since the Unix epoch, included; not before `from`.
        to: i64,
    },
    /// As many moments of a window as are asked for, from one of its ends on; with all entries that [`Selector::Window`]
    /// needs of these. The answer says how far it goes ([`Selector::answered`]).
    Latest {
        /// The channel's name.
        channel: Vec<u8>,
        /// As in [`Selector::Window`].
        from: i64,
        /// As in [`Selector::Window`].
        to: i64,
        /// Entries wanted that are there; not 0.
        limit: u32,
        /// True to begin with the latest.
        backwards: bool,
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

impl Selector {
    /// What is asked in words: the kind, and how much it names, but never what. For logs.
    pub fn in_words(&self) -> String {
        let some = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        match self {
            Selector::Everything => "everything".to_owned(),
            Selector::Keys(keys) => some(keys.len(), "key"),
            Selector::Prefix(prefix) => format!("keys that begin with {}", some(prefix.len(), "byte")),
            Selector::Range { .. } => "a range of keys".to_owned(),
            Selector::Scan { limit, .. } => format!("the first {limit} of a range of keys"),
            Selector::Window { .. } => "a window of a channel".to_owned(),
            Selector::Latest { limit, .. } => format!("the first {limit} of a window of a channel"),
            Selector::Boxes { boxes, .. } => some(boxes.len(), "area"),
            Selector::Referrers(keys) => format!("what refers to {}", some(keys.len(), "key")),
            Selector::Versions(keys) => format!("all versions of {}", some(keys.len(), "key")),
            Selector::Custom(text) => format!("{} in its own words", some(text.len(), "byte")),
        }
    }
}

fn ascending<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

impl Selector {
    /// What an answer to this selector covers that went as far as `bound`: a key for [`Selector::Scan`], a time for
    /// [`Selector::Latest`], included; none if it went all the way. A selector without a limit is answered whole. None if the
    /// bound is not one of this selector.
    pub fn answered(&self, bound: Option<&Bound>) -> Option<Selector> {
        match (self, bound) {
            (Selector::Scan { from, to, .. }, None) => {
                Some(Selector::Range { from: from.clone(), to: to.clone() })
            }
            (Selector::Scan { from, to, backwards, .. }, Some(Bound::Key(key))) => {
                let within = from <= key && to.as_ref().is_none_or(|to| key < to);
                let range = match backwards {
                    true => Selector::Range { from: key.clone(), to: to.clone() },
                    false => Selector::Range { from: from.clone(), to: Some([&key[..], &[0]].concat()) },
                };
                within.then_some(range)
            }
            (Selector::Latest { channel, from, to, .. }, None) => {
                Some(Selector::Window { channel: channel.clone(), from: *from, to: *to })
            }
            (Selector::Latest { channel, from, to, backwards, .. }, Some(Bound::Time(time))) => {
                let (first, last) = if *backwards { (*time, *to) } else { (*from, *time) };
                let window = Selector::Window { channel: channel.clone(), from: first, to: last };
                (from..=to).contains(&time).then_some(window)
            }
            (unlimited, None) => Some(unlimited.clone()),
            (_, Some(_)) => None,
        }
    }
}

/// How far the answer to a limited selector goes, included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Bound {
    /// Of [`Selector::Scan`]; at most [`kappadb_core::limits::MAX_KEY`] bytes.
    Key(Vec<u8>),
    /// Of [`Selector::Latest`], in milliseconds since the Unix epoch.
    Time(i64),
}

/// Entries that touch the extent; both names of the antimeridian count, as in [`Extent::intersects`].
impl From<&Extent> for Selector {
    fn from(extent: &Extent) -> Selector {
        Selector::boxes(extent.boxes().iter().copied())
    }
}
