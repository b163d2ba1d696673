//! What is refused.

use crate::fixture::Fixture;
use kappadb_query::Selector;
use kappadb_view::{Index, ViewError};
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #[test]
    fn noise_is_refused_or_answered(bytes: Vec<u8>) {
        let fixture = Fixture::new();
        match fixture.index.matches(&Selector::Custom(bytes), &BTreeSet::new()) {
            Ok(ids) => prop_assert!(ids.is_empty()),
            Err(error) => prop_assert!(matches!(error, ViewError::Unsupported), "{error}"),
        }
    }
}

#[test]
fn what_this_view_does_not_understand_is_refused() {
    let index = Fixture::new().index;
    for selector in [Selector::boxes([]), Selector::Custom(vec![250]), Selector::referrers([b"x"])] {
        assert!(
            matches!(index.matches(&selector, &BTreeSet::new()), Err(ViewError::Unsupported)),
            "{selector:?}"
        );
    }
    let nothing = Selector::Window { channel: vec![0xff, 0xfe], from: i64::MIN, to: i64::MAX };
    assert!(index.matches(&nothing, &BTreeSet::new()).unwrap().is_empty());
}
