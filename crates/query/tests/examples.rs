//! Selectors by example: what each matches and covers, with the neighbours on both sides of every edge.
//!
//! The properties in `selectors.rs` hold matching and covering against each other; were both wrong alike, they would hold
//! still.

use kappadb_core::limits::{MAX_CHANNEL, MAX_KEY, MAX_SELECTOR, MAX_SELECTOR_BOXES, MAX_SELECTOR_KEYS};
use kappadb_core::{EntryId, Extent, FeedKey, GeoBox, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_entry::{Header, Kind, Moment, Places, space};
use kappadb_query::{Bound, Selector, SelectorError};

fn range(from: &[u8], to: Option<&[u8]>) -> Selector {
    Selector::Range { from: from.to_vec(), to: to.map(<[u8]>::to_vec) }
}

fn scan(from: &[u8], to: Option<&[u8]>, backwards: bool) -> Selector {
    Selector::Scan { from: from.to_vec(), to: to.map(<[u8]>::to_vec), limit: 1, backwards }
}

fn window(channel: &[u8], from: i64, to: i64) -> Selector {
    Selector::Window { channel: channel.to_vec(), from, to }
}

fn prefix(prefix: &[u8]) -> Selector {
    Selector::Prefix(prefix.to_vec())
}

fn point(west: i32, south: i32) -> GeoBox {
    GeoBox { west, south, east: west, north: south }
}

fn moment(channel: &[u8], from: i64, to: i64) -> Places {
    Places::new(Vec::new(), vec![Moment { channel: channel.to_vec(), from, to }])
}

#[track_caller]
fn matches_keys(selector: &Selector, yes: &[&[u8]], no: &[&[u8]]) {
    let matches = |key: &[u8]| selector.matches_places(Some(key), &Places::NOWHERE);
    yes.iter().for_each(|key| assert!(matches(key), "{selector:?} and {key:?}"));
    no.iter().for_each(|key| assert!(!matches(key), "{selector:?} and {key:?}"));
    assert!(!selector.matches_places(None, &Places::NOWHERE), "an entry without a key");
}

#[test]
fn keys_are_matched_whole_prefixes_and_ranges_by_their_edges() {
    matches_keys(&Selector::keys([b"b", b"d"]), &[b"b", b"d"], &[b"a", b"c", b"b1", b""]);
    matches_keys(&Selector::versions([b"b", b"d"]), &[b"b", b"d"], &[b"a", b"c", b"b1", b""]);
    matches_keys(&prefix(b"ab"), &[b"ab", b"abc"], &[b"a", b"aa", b"b", b""]);
    for selector in [range(b"b", Some(b"d")), scan(b"b", Some(b"d"), false)] {
        matches_keys(&selector, &[b"b", b"c", b"c9"], &[b"a", b"d", b"e", b""]);
    }
    for selector in [range(b"b", None), scan(b"b", None, true)] {
        matches_keys(&selector, &[b"b", b"z"], &[b"a", b""]);
    }
    for none in [Selector::keys([b""; 0]), Selector::versions([b""; 0]), range(b"b", Some(b"b"))] {
        matches_keys(&none, &[], &[b"", b"b"]);
    }
}

#[test]
fn windows_match_what_touches_them_in_their_channel() {
    let latest = Selector::Latest { channel: b"c".to_vec(), from: 10, to: 20, limit: 1, backwards: true };
    for selector in [window(b"c", 10, 20), latest] {
        let matches = |places: &Places| selector.matches_places(None, places);
        assert!(matches(&moment(b"c", 20, 30)) && !matches(&moment(b"c", 21, 30)));
        assert!(matches(&moment(b"c", 0, 10)) && !matches(&moment(b"c", 0, 9)));
        assert!(matches(&moment(b"c", 12, 13)) && matches(&moment(b"c", 0, 99)));
        assert!(!matches(&moment(b"d", 12, 13)) && !matches(&Places::NOWHERE));
    }
}

#[test]
fn boxes_match_from_their_level_on() {
    // A side of 10 units has 4 bits; of this key a point is at level 0.
    let (key, small, dot) = (Some(&b"k"[..]), GeoBox { west: 0, south: 0, east: 10, north: 0 }, point(5, 0));
    assert_eq!((small.level(b"k"), dot.level(b"k")), (4, 0));
    let at = |b: GeoBox| Places::new(vec![b], Vec::new());
    let from = |level| Selector::Boxes { boxes: vec![dot], level };
    for (level, shown) in [(0, true), (1, true), (3, true), (4, true), (5, false)] {
        assert_eq!(from(level).matches_places(key, &at(small)), shown, "{level}");
        assert_eq!(from(level).matches_places(key, &at(dot)), level == 0, "{level}");
    }
    assert!(!from(0).matches_places(key, &at(point(6, 0))) && !from(0).matches_places(key, &at(point(5, 1))));
    assert_eq!(Selector::from_level(&Extent::from(dot), 4), from(4));
    assert_eq!(Selector::from(&Extent::from(dot)), from(0));
}

#[test]
fn the_antimeridian_wraps_only_where_the_rows_meet_and_only_at_its_own_names() {
    let (east, west) = (GeoBox::WORLD.east, GeoBox::WORLD.west);
    let on = |selected: GeoBox, b: GeoBox| {
        Selector::boxes([selected]).matches_places(None, &Places::new(vec![b], Vec::new()))
    };
    let tall = |lon: i32| GeoBox { west: lon, south: 0, east: lon, north: 10 };
    assert!(on(tall(east), tall(west)) && on(tall(west), tall(east)));
    assert!(!on(tall(east), tall(west + 1)) && !on(tall(west + 1), tall(east)));
    assert!(!on(tall(east - 1), tall(west)) && !on(tall(west), tall(east - 1)));
    for (south, meets) in [(-1, false), (0, true), (10, true), (11, false)] {
        assert_eq!(on(tall(east), point(west, south)), meets);
        assert_eq!(on(point(west, south), tall(east)), meets);
        assert_eq!(on(tall(west), point(east, south)), meets);
    }
}

#[test]
fn what_lies_in_a_selection_or_did_is_needed() {
    let selector = Selector::boxes([point(5, 5)]);
    let places = |b: GeoBox| Places::new(vec![b], Vec::new());
    let (there, elsewhere) = (places(point(5, 5)), places(point(6, 6)));
    for (now, past) in [(&there, &elsewhere), (&elsewhere, &there), (&elsewhere, &elsewhere)] {
        let mut header = Header::new(Kind { space: space::MAP, code: 0 }, Timestamp(0));
        (header.places, header.past) = (now.clone(), past.clone());
        let version = Version::from_header(EntryId { feed: FeedKey([1; 32]), seq: 0 }, &header);
        let needed = *now == there || *past == there;
        assert_eq!(selector.needs(&header), needed);
        assert_eq!(selector.needs_version(None, &version), needed);
        assert!(!Selector::keys([b"k"]).needs_version(None, &version));
        assert!(Selector::keys([b"k"]).needs_version(Some(b"k"), &version));
        assert!(!Selector::referrers([b"k"]).needs(&header), "it refers to nothing");
        assert!(Selector::referrers([b"k"]).needs_version(None, &version), "that cannot be told");
        assert!(Selector::Everything.needs(&header) && Selector::Custom(vec![1]).needs(&header));
    }
}

#[track_caller]
fn covers(wide: &Selector, yes: &[Selector], no: &[Selector]) {
    yes.iter().for_each(|narrow| assert!(wide.covers(narrow), "{wide:?} and {narrow:?}"));
    no.iter().for_each(|narrow| assert!(!wide.covers(narrow), "{wide:?} and {narrow:?}"));
}

#[test]
fn keys_cover_some_of_them() {
    let some = [Selector::keys([b"b"; 0]), Selector::keys([b"b"]), Selector::keys([b"b", b"d"])];
    let others = [Selector::keys([b"c"]), Selector::keys([b"b", b"c"])];
    covers(&Selector::keys([b"b", b"d"]), &some, &others);
    covers(&Selector::versions([b"b", b"d"]), &some, &others);
    covers(&Selector::versions([b"b", b"d"]), &[Selector::versions([b"d"])], &[Selector::versions([b"c"])]);
    covers(
        &Selector::referrers([b"b", b"d"]),
        &[Selector::referrers([b"d"])],
        &[Selector::referrers([b"c"])],
    );
    covers(&Selector::keys([b"b"]), &[], &[Selector::versions([b"b"]), Selector::referrers([b"b"])]);
    covers(&Selector::referrers([b"b"]), &[], &[Selector::keys([b"b"]), Selector::versions([b"b"])]);
    let everything = [Selector::referrers([b"b"]), Selector::Custom(vec![1]), Selector::Everything];
    covers(&Selector::Everything, &everything, &[Selector::versions([b"b"])]);
}

#[test]
fn prefixes_cover_what_starts_so() {
    let keys = |keys: &[&[u8]]| Selector::keys(keys.iter().map(|key| key.to_vec()));
    let yes = [
        prefix(&[3]),
        prefix(&[3, 0]),
        keys(&[&[3], &[3, 9]]),
        range(&[3], Some(&[4])),
        range(&[3, 1], Some(&[3, 7])),
    ];
    let no = [
        prefix(&[]),
        prefix(&[4]),
        keys(&[&[3], &[4]]),
        range(&[3], Some(&[4, 0])),
        range(&[2, 9], Some(&[4])),
        range(&[3], None),
    ];
    covers(&prefix(&[3]), &yes, &no);
    // The greatest prefixes have no key behind them.
    covers(
        &prefix(&[255]),
        &[range(&[255], None), range(&[255, 7], Some(&[255, 9]))],
        &[range(&[254], None)],
    );
    covers(&prefix(&[3, 255]), &[range(&[3, 255], Some(&[4]))], &[range(&[3, 255], Some(&[4, 0]))]);
    covers(&prefix(&[]), &[range(&[], None), range(&[7], Some(&[9])), prefix(&[])], &[Selector::Everything]);
}

#[test]
fn ranges_cover_what_starts_and_ends_within() {
    let keys = |key: &[u8]| Selector::keys([key.to_vec()]);
    let yes = [
        range(&[3], Some(&[5])),
        range(&[4], Some(&[4, 7])),
        keys(&[3]),
        keys(&[4, 255]),
        prefix(&[3]),
        prefix(&[4]),
        prefix(&[4, 255]),
        prefix(&[4, 255, 255]),
        scan(&[3], Some(&[5]), true),
    ];
    let no = [
        range(&[2, 255], Some(&[5])),
        range(&[3], Some(&[5, 0])),
        range(&[3], None),
        keys(&[2, 255]),
        keys(&[5]),
        prefix(&[2]),
        prefix(&[5]),
        prefix(&[255]),
        prefix(&[]),
        scan(&[3], Some(&[5, 0]), true),
    ];
    covers(&range(&[3], Some(&[5])), &yes, &no);
    let open = range(&[3], None);
    covers(&open, &[open.clone(), range(&[3], Some(&[9])), prefix(&[255]), prefix(&[3]), keys(&[9])], &[]);
    covers(&open, &[], &[range(&[2], None), prefix(&[2]), keys(&[2])]);
}

#[test]
fn limited_selectors_are_covered_by_themselves_or_by_all_they_could_come_to() {
    let one = scan(&[3], Some(&[5]), false);
    let other = scan(&[3], Some(&[5]), true);
    covers(&one, std::slice::from_ref(&one), &[other, range(&[3], Some(&[5]))]);
    covers(&window(b"c", 1, 9), &[], std::slice::from_ref(&one));
    let latest = Selector::Latest { channel: b"c".to_vec(), from: 3, to: 5, limit: 1, backwards: true };
    covers(&latest, std::slice::from_ref(&latest), &[window(b"c", 3, 5), one]);
    covers(&window(b"c", 3, 5), std::slice::from_ref(&latest), &[]);
    covers(&window(b"c", 3, 4), &[], &[latest]);
}

#[test]
fn windows_boxes_and_words_of_a_view_cover_what_is_within() {
    let yes = [window(b"c", 3, 5), window(b"c", 4, 4)];
    let no = [window(b"c", 2, 5), window(b"c", 3, 6), window(b"d", 4, 4), window(b"d", 3, 5)];
    covers(&window(b"c", 3, 5), &yes, &no);
    let from = |b: GeoBox, level| Selector::Boxes { boxes: vec![b], level };
    let (wide, within) = (GeoBox { west: 0, south: 0, east: 9, north: 9 }, point(9, 9));
    covers(&from(wide, 3), &[from(wide, 3), from(within, 4)], &[from(within, 2), from(point(10, 9), 3)]);
    covers(&Selector::Custom(vec![1]), &[Selector::Custom(vec![1])], &[Selector::Custom(vec![1, 2])]);
}

#[test]
fn an_answer_goes_as_far_as_a_bound_within() {
    let key = |key: &[u8]| Bound::Key(key.to_vec());
    let forwards = scan(&[3], Some(&[5]), false);
    assert_eq!(forwards.answered(None), Some(range(&[3], Some(&[5]))));
    assert_eq!(forwards.answered(Some(&key(&[3]))), Some(range(&[3], Some(&[3, 0]))));
    assert_eq!(forwards.answered(Some(&key(&[4, 9]))), Some(range(&[3], Some(&[4, 9, 0]))));
    let backwards = scan(&[3], Some(&[5]), true);
    assert_eq!(backwards.answered(Some(&key(&[4, 9]))), Some(range(&[4, 9], Some(&[5]))));
    let open = scan(&[3], None, true);
    assert_eq!(open.answered(Some(&key(&[255]))), Some(range(&[255], None)));
    for outside in [key(&[2, 255]), key(&[5]), key(&[6]), Bound::Time(4)] {
        assert_eq!(forwards.answered(Some(&outside)), None, "{outside:?}");
        assert_eq!(backwards.answered(Some(&outside)), None, "{outside:?}");
    }
    let latest = |backwards| Selector::Latest { channel: b"c".to_vec(), from: 3, to: 5, limit: 1, backwards };
    assert_eq!(latest(true).answered(None), Some(window(b"c", 3, 5)));
    for time in 3..=5 {
        let bound = Bound::Time(time);
        assert_eq!(latest(false).answered(Some(&bound)), Some(window(b"c", 3, time)));
        assert_eq!(latest(true).answered(Some(&bound)), Some(window(b"c", time, 5)));
    }
    for outside in [Bound::Time(2), Bound::Time(6), key(&[4])] {
        assert_eq!(latest(true).answered(Some(&outside)), None, "{outside:?}");
    }
    let keys = Selector::keys([b"k"]);
    assert_eq!((keys.answered(None), keys.answered(Some(&key(b"k")))), (Some(keys.clone()), None));
}

#[test]
fn lists_are_sorted_and_freed_of_repeats() {
    let expected = vec![b"a".to_vec(), b"b".to_vec()];
    assert_eq!(Selector::keys([b"b", b"a", b"b"]), Selector::Keys(expected.clone()));
    assert_eq!(Selector::referrers([b"b", b"a", b"b"]), Selector::Referrers(expected.clone()));
    assert_eq!(Selector::versions([b"b", b"a", b"b"]), Selector::Versions(expected));
    let (a, b) = (point(1, 0), point(2, 0));
    assert_eq!(Selector::boxes([b, a, b]), Selector::Boxes { boxes: vec![a, b], level: 0 });
}

#[track_caller]
fn accepted(selector: Selector) {
    assert_eq!(selector.encode().and_then(|bytes| Selector::decode(&bytes)), Ok(selector));
}

#[test]
fn the_greatest_selectors_are_accepted() {
    accepted(Selector::keys((0..MAX_SELECTOR_KEYS).map(|n| n.to_be_bytes())));
    accepted(Selector::boxes((0..).take(MAX_SELECTOR_BOXES).map(|west| point(west, 0))));
    accepted(Selector::boxes([GeoBox::WORLD]));
    accepted(Selector::keys([vec![0; MAX_KEY]]));
    accepted(Selector::versions([vec![0; MAX_KEY]]));
    accepted(Selector::Prefix(vec![0; MAX_KEY]));
    accepted(window(&[0; MAX_CHANNEL], 3, 3));
    accepted(range(&[7], Some(&[7])));
    // The end of a range lies behind a key, even behind the longest.
    accepted(range(&[0; MAX_KEY], Some(&[0; MAX_KEY + 1])));
    accepted(scan(&[0; MAX_KEY], Some(&[0; MAX_KEY + 1]), true));
    // The selector's kind and the length of the text take a few bytes.
    let text = (0..9).map(|less| Selector::Custom(vec![0; MAX_SELECTOR - less])).find(|s| s.encode().is_ok());
    assert_eq!(text.and_then(|text| text.encode().ok()).map(|bytes| bytes.len()), Some(MAX_SELECTOR));
}

#[test]
fn keys_that_bound_a_range_have_limits() {
    let too_long = |len: usize, limit: usize| Err(SelectorError::TooLong { what: "key", len, limit });
    assert_eq!(range(&[0; MAX_KEY + 1], None).encode(), too_long(MAX_KEY + 1, MAX_KEY));
    assert_eq!(range(&[0], Some(&[1; MAX_KEY + 2])).encode(), too_long(MAX_KEY + 2, MAX_KEY + 1));
    assert_eq!(scan(&[2], Some(&[1]), false).encode(), Err(SelectorError::BadRange));
}

#[test]
fn boxes_are_upright_and_on_the_map() {
    let GeoBox { west, south, east, north } = GeoBox::WORLD;
    let bad = [
        GeoBox { west: west - 1, south: 0, east: 0, north: 0 },
        GeoBox { west: 0, south: 0, east: east + 1, north: 0 },
        GeoBox { west: 0, south: south - 1, east: 0, north: 0 },
        GeoBox { west: 0, south: 0, east: 0, north: north + 1 },
        GeoBox { west: 1, south: 0, east: 0, north: 0 },
        GeoBox { west: 0, south: 1, east: 0, north: 0 },
    ];
    for b in bad {
        assert_eq!(Selector::boxes([b]).encode(), Err(SelectorError::BadBox(b)));
    }
}
