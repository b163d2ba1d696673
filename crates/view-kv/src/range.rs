//! Ranges of keys.

use kappadb_query::Selector;
use std::ops::{Bound, RangeBounds};

/// Keys from one on, up to another that is excluded. Keys are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key, included.
    pub from: Vec<u8>,
    /// The end, excluded; none for all keys from `from` on.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    pub const ALL: KeyRange = KeyRange { from: Vec::new(), to: None };

    /// Any range of keys, such as `"a".."m"`.
    pub fn new<K: AsRef<[u8]>>(range: impl RangeBounds<K>) -> KeyRange {
        let after = |key: &K| [key.as_ref(), &[0]].concat();
        let from = match range.start_bound() {
            Bound::Included(key) => key.as_ref().to_vec(),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => Vec::new(),
        };
        let to = match range.end_bound() {
            Bound::Included(key) => Some(after(key)),
            Bound::Excluded(key) => Some(key.as_ref().to_vec()),
            Bound::Unbounded => None,
        };
        KeyRange { from, to }
    }

    /// The keys that start with `prefix`.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> KeyRange {
        let (_, to) = kappadb_store::prefix_bounds(prefix.as_ref());
        let to = match to {
            Bound::Excluded(end) => Some(end.to_vec()),
            _ => None,
        };
        KeyRange { from: prefix.as_ref().to_vec(), to }
    }

    /// True if the key lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_deref().is_none_or(|to| key < to)
    }

    /// True if no key can lie in it.
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    /// What of it comes after `key`, or before it if `backwards`.
    #[must_use]
    pub fn beyond(&self, key: &[u8], backwards: bool) -> KeyRange {
        let KeyRange { mut from, mut to } = self.clone();
        if backwards {
            to = Some(to.map_or_else(|| key.to_vec(), |to| to.min(key.to_vec())));
        } else {
            from = from.max([key, &[0]].concat());
        }
        KeyRange { from, to }
    }

    /// What asks for all of it.
    pub fn selector(&self) -> Selector {
        Selector::Range { from: self.from.clone(), to: self.to.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(7), Just(255)], 0..4)
    }

    proptest! {
        #[test]
        fn prefixes_and_ranges_hold_what_they_say(a in key(), b in key(), k in key()) {
            prop_assert_eq!(KeyRange::prefix(&a).contains(&k), k.starts_with(&a));
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert_eq!(KeyRange::new(low.clone()..high.clone()).contains(&k), low <= k && k < high);
            prop_assert_eq!(KeyRange::new(low.clone()..=high.clone()).contains(&k), low <= k && k <= high);
            prop_assert!(KeyRange::new::<Vec<u8>>(..).contains(&k));
            prop_assert_eq!(KeyRange::new(low.clone()..low.clone()).is_empty(), true);
        }

        #[test]
        fn what_lies_beyond_a_key_is_the_rest(from in key(), to in prop::option::of(key()), at in key(), k in key()) {
            let range = KeyRange { from, to };
            for backwards in [false, true] {
                let rest = range.beyond(&at, backwards);
                let later = if backwards { k < at } else { k > at };
                prop_assert_eq!(rest.contains(&k), range.contains(&k) && later);
            }
        }
    }
}
