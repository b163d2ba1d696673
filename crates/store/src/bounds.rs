//! Bounds of ranges of keys, shared by the engines.

use bytes::Bytes;
use std::ops::Bound;

/// The range of keys that start with `prefix`.
pub fn prefix_bounds(prefix: &[u8]) -> (Bound<Bytes>, Bound<Bytes>) {
    let end = match prefix.iter().rposition(|&byte| byte != u8::MAX) {
        // The next key that does not start with the prefix: its last byte that can grow, grown; the rest cut off.
        Some(at) => {
            let mut end = prefix.get(..=at).unwrap_or_default().to_vec();
            end.iter_mut().last().into_iter().for_each(|byte| *byte += 1);
            Bound::Excluded(Bytes::from(end))
        }
        None => Bound::Unbounded,
    };
    (Bound::Included(Bytes::copy_from_slice(prefix)), end)
}

/// The same bound with its own copy of the key.
pub(crate) fn owned(bound: Bound<&[u8]>) -> Bound<Bytes> {
    bound.map(Bytes::copy_from_slice)
}

/// A bound that borrows its key.
pub(crate) fn borrowed(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

/// True if no key can lie between the bounds. Engines and `BTreeMap` may panic when asked for such a range.
pub(crate) fn is_void(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (from, to) {
        (Included(a), Included(b)) => a > b,
        (Included(a) | Excluded(a), Included(b) | Excluded(b)) => a >= b,
        (Unbounded, Excluded(b)) => b.is_empty(),
        (_, Unbounded) | (Unbounded, _) => false,
    }
}

/// True if `key` does not lie beyond `to`.
pub(crate) fn within_end(key: &[u8], to: Bound<&[u8]>) -> bool {
    match to {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prefix_bounds_hold_exactly_the_keys_with_the_prefix(
            prefix in prop::collection::vec(prop_oneof![Just(255u8), Just(0), Just(7)], 0..4),
            key in prop::collection::vec(prop_oneof![Just(255u8), Just(0), Just(7), Just(8)], 0..6),
        ) {
            let (from, to) = prefix_bounds(&prefix);
            let within = !is_void(borrowed(&from), borrowed(&to))
                && matches!(&from, Bound::Included(f) if f[..] <= key[..])
                && within_end(&key, borrowed(&to));
            prop_assert_eq!(within, key.starts_with(&prefix));
        }
    }
}
