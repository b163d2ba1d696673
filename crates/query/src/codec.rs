//! The one encoding of a selector: bincode of the enum, checked against every limit on the way out and in.

use crate::{Selector, SelectorError};
use kappadb_core::limits::{MAX_CHANNEL, MAX_KEY, MAX_SELECTOR, MAX_SELECTOR_BOXES, MAX_SELECTOR_KEYS};
use kappadb_core::{GeoBox, codec};

impl Selector {
    /// The selector's bytes, at most [`MAX_SELECTOR`].
    ///
    /// # Errors
    /// What [`Selector::decode`] would refuse: a limit, an unsorted list, a window or box that is none.
    pub fn encode(&self) -> Result<Vec<u8>, SelectorError> {
        self.check()?;
        let bytes = codec::encode(self);
        check_len("encoding", bytes.len(), MAX_SELECTOR)?;
        Ok(bytes)
    }

    /// Reads what [`Selector::encode`] wrote, all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Selector, SelectorError> {
        check_len("encoding", bytes.len(), MAX_SELECTOR)?;
        let selector: Selector = codec::decode::<Selector, MAX_SELECTOR>("selector", bytes)?;
        selector.check()?;
        Ok(selector)
    }

    fn check(&self) -> Result<(), SelectorError> {
        match self {
            Selector::Everything | Selector::Custom(_) => Ok(()),
            Selector::Keys(keys) | Selector::Referrers(keys) | Selector::Versions(keys) => {
                check_list("keys", keys, MAX_SELECTOR_KEYS)?;
                keys.iter().try_for_each(|key| check_len("key", key.len(), MAX_KEY))
            }
            Selector::Prefix(prefix) => check_len("prefix", prefix.len(), MAX_KEY),
            Selector::Scan { limit: 0, .. } | Selector::Latest { limit: 0, .. } => {
                Err(SelectorError::NoLimit)
            }
            Selector::Range { from, to } | Selector::Scan { from, to, .. } => {
                check_len("key", from.len(), MAX_KEY)?;
                let Some(to) = to else { return Ok(()) };
                check_len("key", to.len(), MAX_KEY + 1)?;
                if from > to { Err(SelectorError::BadRange) } else { Ok(()) }
            }
            Selector::Window { from, to, .. } | Selector::Latest { from, to, .. } if from > to => {
                Err(SelectorError::BadWindow { from: *from, to: *to })
            }
            Selector::Window { channel, .. } | Selector::Latest { channel, .. } => {
                check_len("channel", channel.len(), MAX_CHANNEL)
            }
            Selector::Boxes { boxes, .. } => {
                check_list("boxes", boxes, MAX_SELECTOR_BOXES)?;
                boxes.iter().try_for_each(check_box)
            }
        }
    }
}

fn check_len(what: &'static str, len: usize, limit: usize) -> Result<(), SelectorError> {
    if len > limit { Err(SelectorError::TooLong { what, len, limit }) } else { Ok(()) }
}

fn check_list<T: Ord>(what: &'static str, items: &[T], limit: usize) -> Result<(), SelectorError> {
    if items.len() > limit {
        return Err(SelectorError::TooMany { what, count: items.len(), limit });
    }
    if items.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(SelectorError::Unsorted { what }) }
}

fn check_box(b: &GeoBox) -> Result<(), SelectorError> {
    let on_map = GeoBox::WORLD.contains(b) && b.west <= b.east && b.south <= b.north;
    if on_map { Ok(()) } else { Err(SelectorError::BadBox(*b)) }
}
