//! Selectors: match and cover agree, the antimeridian is one meridian, and the codec has one form and limits.

use kappadb_core::limits::{MAX_CHANNEL, MAX_KEY, MAX_SELECTOR, MAX_SELECTOR_BOXES, MAX_SELECTOR_KEYS};
use kappadb_core::{Extent, GeoBox, Timestamp, codec};
use kappadb_entry::{Header, Kind, Moment, Places, space};
use kappadb_query::{Bound, Selector, SelectorError};
use proptest::prelude::*;

/// Few coordinates, so that boxes touch, contain each other and lie on the antimeridian often.
fn boxes() -> impl Strategy<Value = GeoBox> {
    let lon = || {
        prop::sample::select(vec![-1_800_000_000, -1_799_999_999, -10, 0, 10, 1_799_999_999, 1_800_000_000])
    };
    let lat = || prop::sample::select(vec![-900_000_000, -5, 0, 5, 900_000_000]);
    (lon(), lon(), lat(), lat()).prop_map(|(a, b, c, d)| GeoBox {
        west: a.min(b),
        south: c.min(d),
        east: a.max(b),
        north: c.max(d),
    })
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..2, 0..4)
}

fn windows() -> impl Strategy<Value = Moment> {
    (0u8..2, 0i64..9, 0i64..9).prop_map(|(c, a, b)| Moment { channel: vec![c], from: a.min(b), to: a.max(b) })
}

fn places() -> impl Strategy<Value = Places> {
    (prop::collection::vec(boxes(), 0..3), prop::collection::vec(windows(), 0..3))
        .prop_map(|(b, m)| Places::new(b, m))
}

/// Levels about those of the boxes: a side of 10 units has 4 bits, a side of half the world 31.
fn boxes_from_a_level(count: std::ops::Range<usize>) -> impl Strategy<Value = Selector> {
    let level = prop::sample::select(vec![0u8, 0, 3, 4, 5, 9, 31, 32]);
    (prop::collection::vec(boxes(), count), level).prop_map(|(boxes, from)| match Selector::boxes(boxes) {
        Selector::Boxes { boxes, .. } => Selector::Boxes { boxes, level: from },
        other => other,
    })
}

fn ranges() -> impl Strategy<Value = Selector> {
    (keys(), prop::option::of(keys())).prop_map(|(a, b)| match b {
        Some(b) => Selector::Range { from: a.clone().min(b.clone()), to: Some(a.max(b)) },
        None => Selector::Range { from: a, to: None },
    })
}

fn limited() -> impl Strategy<Value = Selector> {
    (ranges(), windows(), 1u32..9, any::<bool>(), any::<bool>()).prop_map(
        |(range, Moment { channel, from, to }, limit, backwards, scan)| match range {
            Selector::Range { from, to } if scan => Selector::Scan { from, to, limit, backwards },
            _ => Selector::Latest { channel, from, to, limit, backwards },
        },
    )
}

fn selectors() -> impl Strategy<Value = Selector> {
    prop_oneof![
        1 => Just(Selector::Everything),
        3 => ranges(),
        2 => limited(),
        3 => prop::collection::vec(keys(), 0..4).prop_map(Selector::keys),
        3 => keys().prop_map(Selector::Prefix),
        3 => windows().prop_map(|Moment { channel, from, to }| Selector::Window { channel, from, to }),
        3 => boxes_from_a_level(0..4),
        2 => prop::collection::vec(keys(), 0..4).prop_map(Selector::referrers),
        2 => prop::collection::vec(keys(), 0..4).prop_map(Selector::versions),
        1 => keys().prop_map(Selector::Custom),
    ]
}

fn of_one_sort() -> impl Strategy<Value = (Selector, Selector)> {
    let pair = |s: BoxedStrategy<Selector>| (s.clone(), s);
    prop_oneof![
        pair(prop::collection::vec(keys(), 0..4).prop_map(Selector::keys).boxed()),
        pair(keys().prop_map(Selector::Prefix).boxed()),
        pair(prop_oneof![ranges(), limited(), keys().prop_map(Selector::Prefix)].boxed()),
        (ranges().boxed(), prop::collection::vec(keys(), 0..4).prop_map(Selector::keys).boxed()),
        pair(
            windows().prop_map(|Moment { channel, from, to }| Selector::Window { channel, from, to }).boxed()
        ),
        pair(boxes_from_a_level(1..4).boxed()),
        pair(prop::collection::vec(keys(), 0..4).prop_map(Selector::referrers).boxed()),
        (
            prop::collection::vec(keys(), 0..4).prop_map(Selector::versions).boxed(),
            prop::collection::vec(keys(), 0..4).prop_map(Selector::keys).boxed()
        ),
        pair(selectors().boxed()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_the_narrow_one_matches_the_covering_one_matches(
        (wide, narrow) in of_one_sort(),
        key in prop::option::of(keys()),
        places in places(),
    ) {
        if wide.covers(&narrow) {
            let key = key.as_deref();
            prop_assert!(!narrow.matches_places(key, &places) || wide.matches_places(key, &places));
        }
    }

    #[test]
    fn cover_is_a_preorder((a, b) in of_one_sort(), c in selectors()) {
        prop_assert!(a.covers(&a));
        prop_assert_eq!(Selector::Everything.covers(&a), !matches!(a, Selector::Versions(_)));
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
    }

    #[test]
    fn boxes_match_as_extents_do(a in boxes(), b in boxes()) {
        let selector = Selector::from(&Extent::from(a));
        let expected = Extent::from(a).intersects(&Extent::from(b));
        prop_assert_eq!(selector.matches_places(None, &Places::new(vec![b], Vec::new())), expected);
    }

    #[test]
    fn a_past_that_contains_a_match_is_needed(
        selector in selectors().prop_filter("referrers are found by what they refer to", |selector| {
            !matches!(selector, Selector::Referrers(_))
        }),
        key in prop::option::of(keys()),
        inner in places(),
        more in places(),
    ) {
        let mut header = Header::new(Kind { space: space::MAP, code: 1 }, Timestamp(0));
        header.past = Places::covering([&inner, &more]);
        header.key = key.clone();
        prop_assert!(!selector.matches_places(key.as_deref(), &inner) || selector.needs(&header));
    }

    #[test]
    fn referrers_are_found_by_what_they_refer_to(
        asked in prop::collection::vec(keys(), 0..4),
        refs in prop::collection::vec(keys(), 0..4),
    ) {
        let mut header = Header::new(Kind { space: space::MAP, code: 1 }, Timestamp(0));
        header.set_refs(refs.clone());
        let expected = refs.iter().any(|key| asked.contains(key));
        prop_assert_eq!(Selector::referrers(asked).needs(&header), expected);
    }

    /// An answer that stopped somewhere covers what it went through and nothing else.
    #[test]
    fn a_bound_cuts_a_limited_selector(
        selector in limited(),
        bound in prop_oneof![keys().prop_map(Bound::Key), (0i64..9).prop_map(Bound::Time)],
        key in keys(),
        moment in windows(),
    ) {
        let all = selector.answered(None).unwrap();
        prop_assert!(all.covers(&selector));
        let Some(part) = selector.answered(Some(&bound)) else { return Ok(()) };
        prop_assert!(all.covers(&part));
        prop_assert!(part.encode().is_ok());
        let moment = Moment { to: moment.from, ..moment };
        let places = Places::new(Vec::new(), vec![moment.clone()]);
        let (in_all, in_part) = (all.matches_places(Some(&key), &places), part.matches_places(Some(&key), &places));
        let passed = match (&selector, &bound) {
            (Selector::Scan { backwards, .. }, Bound::Key(end)) => {
                if *backwards { key >= *end } else { key <= *end }
            }
            (Selector::Latest { backwards, .. }, Bound::Time(end)) => {
                if *backwards { moment.from >= *end } else { moment.from <= *end }
            }
            _ => false,
        };
        prop_assert_eq!(in_part, in_all && passed);
    }

    #[test]
    fn selectors_have_one_encoding(selector in selectors()) {
        let bytes = selector.encode().unwrap();
        prop_assert_eq!(Selector::decode(&bytes), Ok(selector));
        prop_assert!(Selector::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(selector) = Selector::decode(&bytes) {
            prop_assert_eq!(selector.encode(), Ok(bytes));
        }
    }

    #[test]
    fn a_changed_byte_never_panics(
        selector in selectors(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = selector.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(selector) = Selector::decode(&bytes) {
            prop_assert_eq!(selector.encode(), Ok(bytes));
        }
    }
}

/// Without this the first property could hold because nothing ever covers or matches.
#[test]
fn covers_and_matches_happen() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut covers, mut matches) = (0, 0);
    for _ in 0..2000 {
        let (wide, narrow) = of_one_sort().new_tree(&mut runner).unwrap().current();
        let (key, places) = (keys(), places()).new_tree(&mut runner).unwrap().current();
        covers += u32::from(wide.covers(&narrow));
        matches += u32::from(wide.covers(&narrow) && narrow.matches_places(Some(&key), &places));
    }
    assert!(covers > 200 && matches > 50, "{covers} {matches}");
}

#[test]
fn the_antimeridian_has_two_names() {
    let fiji: Extent = "177,-20,-178,-15".parse().unwrap();
    let selector = Selector::from(&fiji);
    let at = |text: &str| Places::on_map(&text.parse().unwrap());
    assert!(selector.matches_places(None, &at("179,-17,179,-17")));
    assert!(selector.matches_places(None, &at("-179,-17,-179,-17")));
    assert!(!selector.matches_places(None, &at("0,-17,0,-17")));
    let east = Selector::from(&"180,0,180,0".parse::<Extent>().unwrap());
    assert!(east.matches_places(None, &at("-180,0,-180,0")));
    assert!(selector.encode().is_ok(), "boxes of a crossing extent are sorted");
}

#[test]
fn sorts_do_not_mix() {
    assert!(!Selector::Everything.covers(&Selector::versions([*b"a"])), "it leaves out what is redundant");
    assert!(!Selector::keys([*b"a"]).covers(&Selector::versions([*b"a"])));
    let near = Selector::Boxes { boxes: vec![GeoBox::WORLD], level: 3 };
    let far = Selector::Boxes { boxes: vec![GeoBox::WORLD], level: 4 };
    assert!(near.covers(&far) && !far.covers(&near));
    let everything_keyed = Selector::Prefix(Vec::new());
    assert!(everything_keyed.covers(&Selector::keys([*b"a"])));
    assert!(!everything_keyed.covers(&Selector::Everything), "there are entries without a key");
    assert!(!Selector::keys([*b"a"]).covers(&Selector::Prefix(b"a".to_vec())));
    assert!(
        !Selector::boxes([GeoBox::WORLD]).covers(&Selector::Everything),
        "there are entries without a place"
    );
    assert!(!Selector::Custom(vec![1]).covers(&Selector::Custom(vec![2])));
}

/// Refused for the same reason on the way out and on the way in.
#[track_caller]
fn refused(selector: Selector, why: SelectorError) {
    assert_eq!(selector.encode(), Err(why.clone()));
    assert_eq!(Selector::decode(&codec::encode(&selector)), Err(why));
}

#[test]
fn every_limit_is_an_error_that_names_it() {
    let key = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let (n, limit) = (MAX_SELECTOR_KEYS + 1, MAX_SELECTOR_KEYS);
    refused(Selector::keys((0..n).map(key)), SelectorError::TooMany { what: "keys", count: n, limit });
    let (n, limit) = (MAX_SELECTOR_BOXES + 1, MAX_SELECTOR_BOXES);
    let point = |west: usize| GeoBox { west: i32::try_from(west).unwrap(), south: 0, east: 99, north: 0 };
    refused(Selector::boxes((0..n).map(point)), SelectorError::TooMany { what: "boxes", count: n, limit });
    let (len, limit) = (MAX_KEY + 1, MAX_KEY);
    refused(Selector::keys([vec![0; len]]), SelectorError::TooLong { what: "key", len, limit });
    refused(Selector::Prefix(vec![0; len]), SelectorError::TooLong { what: "prefix", len, limit });
    let (len, limit) = (MAX_CHANNEL + 1, MAX_CHANNEL);
    let window = Selector::Window { channel: vec![0; len], from: 0, to: 0 };
    refused(window, SelectorError::TooLong { what: "channel", len, limit });
    let custom = Selector::Custom(vec![0; MAX_SELECTOR]);
    let len = codec::encode(&custom).len();
    refused(custom, SelectorError::TooLong { what: "encoding", len, limit: MAX_SELECTOR });
}

#[test]
fn what_is_unsorted_or_backwards_is_refused() {
    refused(Selector::Keys(vec![vec![2], vec![1]]), SelectorError::Unsorted { what: "keys" });
    refused(
        Selector::Boxes { boxes: vec![GeoBox::WORLD; 2], level: 0 },
        SelectorError::Unsorted { what: "boxes" },
    );
    refused(
        Selector::Window { channel: vec![1], from: 2, to: 1 },
        SelectorError::BadWindow { from: 2, to: 1 },
    );
    refused(Selector::Range { from: vec![2], to: Some(vec![1]) }, SelectorError::BadRange);
    let nothing = Selector::Scan { from: Vec::new(), to: None, limit: 0, backwards: false };
    refused(nothing, SelectorError::NoLimit);
    let bad = GeoBox { west: 1, south: 0, east: 0, north: 0 };
    let bad_box = Selector::Boxes { boxes: vec![bad], level: 0 };
    assert_eq!(bad_box.encode(), Err(SelectorError::BadBox(bad)));
    assert!(Selector::decode(&codec::encode(&bad_box)).is_err());
}
