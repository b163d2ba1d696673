//! The index against a plain model: random versions of a few keys held and withdrawn in random batches, read in every way.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Entry, Header, Kind, space};
use kappadb_query::Selector;
use kappadb_store::{MemoryStore, Overlay, Store, Tree};
use kappadb_view::{Arrived, Change, Index, View, ViewError};
use kappadb_view_kv::{
    CODE_DELETE, CODE_PUT, KeyError, KeyRange, KvIndex, KvView, ScanOptions, check_key, kind,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(6);

/// Keys of 0 to 2 bytes: the empty one is none.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(255)], 0..3)
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        key().prop_map(KeyRange::prefix),
        (key(), prop::option::of(key())).prop_map(|(from, to)| KeyRange { from, to }),
        Just(KeyRange::ALL),
    ]
}

prop_compose! {
    /// An entry with any context, depth and time; now and then of another space, or of a code that nobody knows.
    fn entry()(
        key in key(), feed in 0..3_u8, seq in 0..12_u64, code in prop_oneof![6 => Just(CODE_PUT), 3 => Just(CODE_DELETE), 1 => Just(9)],
        space in prop_oneof![9 => Just(space::KV), 1 => Just(space::CHAT)], time in 0..9_i64, depth in 0..5_u32,
        vector in prop::collection::btree_map(0..3_u8, 0..12_u64, 0..3), ids in prop::collection::btree_set((0..3_u8, 0..12_u64), 0..2),
    ) -> Arrived {
        let name = |(feed, seq)| EntryId { feed: FeedKey([feed; 32]), seq };
        let mut header = Header::new(Kind { space, code }, Timestamp(time));
        (header.key, header.depth) = (Some(key), depth);
        header.context = Context {
            own: None,
            vector: vector.into_iter().map(|(feed, seq)| (FeedKey([feed; 32]).name(), seq)).collect(),
            ids: ids.into_iter().map(name).collect(),
        };
        Arrived { lseq: 0, id: name((feed, seq)), entry: Entry { header, payload: Some("v".into()) } }
    }
}

struct Fixture {
    index: KvIndex,
    tree: Arc<dyn Tree>,
}

impl Fixture {
    fn new() -> Fixture {
        let tree = MemoryStore::new().tree("kv").unwrap();
        Fixture { index: KvView.open(tree.clone()).unwrap(), tree }
    }

    fn apply(&mut self, changes: &[Change<'_>]) {
        let mut overlay = Overlay::new(&*self.tree);
        self.index.apply(changes, &mut overlay).unwrap();
        self.tree.apply(&overlay.into_batch()).unwrap();
    }
}

/// What counts, by key.
type Model = BTreeMap<Vec<u8>, Vec<Version>>;

fn model<'a>(held: impl Iterator<Item = &'a Arrived>) -> Model {
    let mut model = Model::new();
    for Arrived { id, entry: Entry { header, .. }, .. } in held {
        let key = header.key.clone().unwrap();
        if header.kind.space == space::KV && !key.is_empty() {
            model.entry(key).or_default().push(Version::from_header(*id, header));
        }
    }
    model.values_mut().for_each(|versions| versions.sort_by_key(|version| version.id));
    model
}

/// Of all heads those that are due first, then the one with the greatest time, then id; if it is a put.
fn value(versions: &[Version]) -> Option<EntryId> {
    let winner = rules::heads(versions).into_iter().max_by_key(|head| (head.time <= NOW, head.time, head.id));
    winner.filter(|winner| winner.kind == kind(CODE_PUT)).map(|v| v.id)
}

fn values(model: &Model, range: &KeyRange) -> Vec<(Vec<u8>, EntryId)> {
    let within = model.iter().filter(|(key, _)| range.contains(key));
    within.filter_map(|(key, versions)| Some((key.clone(), value(versions)?))).collect()
}

/// All pages of a scan.
fn pages(index: &KvIndex, range: &KeyRange, backwards: bool, size: usize) -> Vec<(Vec<u8>, EntryId)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let options = ScanOptions { limit: Some(size), backwards, after };
        let page = index.read().scan(range, &options, NOW).unwrap();
        assert!(page.rows.len() <= size);
        found.extend(page.rows.into_iter().map(|row| (row.key, row.state.winner.unwrap().id)));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// The active versions of the keys for which `wanted` is true.
fn active(model: &Model, wanted: impl Fn(&[u8]) -> bool) -> BTreeSet<EntryId> {
    let of = |versions: &Vec<Version>| {
        let mut active = Vec::new();
        versions.iter().for_each(|version| drop(rules::insert(&mut active, version.clone())));
        active
    };
    let keys = model.iter().filter(|(key, _)| wanted(key));
    keys.flat_map(|(_, versions)| of(versions)).map(|version| version.id).collect()
}

fn matches(index: &KvIndex, selector: &Selector) -> BTreeSet<EntryId> {
    index.matches(selector, &BTreeSet::new()).unwrap().into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_is_the_model(
        entries in prop::collection::btree_map((0..3_u8, 0..12_u64), entry(), 0..25),
        order in any::<u64>(), batch in 1..6_usize, gone in 0..6_usize,
        range in range(), prefix in key(), some in prop::collection::vec(key(), 0..3), size in 1..4_usize,
    ) {
        // One entry an id.
        let mut arrived: Vec<Arrived> = entries
            .into_iter()
            .map(|((feed, seq), entry)| Arrived { id: EntryId { feed: FeedKey([feed; 32]), seq }, ..entry })
            .collect();
        arrived.sort_by_key(|entry| order.wrapping_mul(entry.id.seq * 3 + u64::from(entry.id.feed.0[0]) + 1));
        let mut fixture = Fixture::new();
        for part in arrived.chunks(batch) {
            fixture.apply(&part.iter().map(Change::Hold).collect::<Vec<_>>());
        }
        let gone = gone.min(arrived.len());
        fixture.apply(&arrived[..gone].iter().map(Change::Withdraw).collect::<Vec<_>>());
        let model = model(arrived[gone..].iter());
        // The same after opening anew.
        for index in [&fixture.index, &KvView.open(fixture.tree.clone()).unwrap()] {
            for key in arrived.iter().filter_map(|entry| entry.entry.header.key.as_ref()) {
                let versions = model.get(key).cloned().unwrap_or_default();
                let heads: Vec<Version> = rules::heads(&versions).into_iter().cloned().collect();
                prop_assert_eq!(index.read().heads(key).unwrap(), heads);
                prop_assert_eq!(index.read().contains(key, NOW).unwrap(), value(&versions).is_some());
                prop_assert_eq!(index.read().history(key).unwrap(), versions.clone());
                let state = index.read().state(key, NOW).unwrap();
                prop_assert_eq!(state.shown().map(|winner| winner.id), value(&versions));
                // Beside a version that came back, or was one of many, there may be nothing; deletes have no value.
                prop_assert!(state.payload.is_none_or(|payload| payload == "v" && state.winner.unwrap().kind.code == CODE_PUT));
                if gone == 0 {
                    prop_assert_eq!(index.read().state(key, NOW).unwrap().payload.is_some(), value(&versions).is_some());
                }
                let at_hand = index.read().state_at_hand(key, NOW).unwrap();
                prop_assert!(at_hand.is_none_or(|at_hand| at_hand == index.read().state(key, NOW).unwrap()));
            }
            let mut expected = values(&model, &range);
            prop_assert_eq!(pages(index, &range, false, size), expected.clone());
            expected.reverse();
            prop_assert_eq!(pages(index, &range, true, size), expected);
            prop_assert_eq!(matches(index, &range.selector()), active(&model, |key| range.contains(key)));
            prop_assert_eq!(matches(index, &Selector::Everything), active(&model, |_| true));
            let with_prefix = active(&model, |key| key.starts_with(&prefix));
            prop_assert_eq!(matches(index, &Selector::Prefix(prefix.clone())), with_prefix);
            let named = active(&model, |key| some.iter().any(|k| k == key));
            prop_assert_eq!(matches(index, &Selector::keys(some.clone())), named);
            let of_some = model.iter().filter(|(key, _)| some.contains(key));
            let all: BTreeSet<EntryId> = of_some.flat_map(|(_, versions)| versions).map(|v| v.id).collect();
            prop_assert_eq!(matches(index, &Selector::versions(some.clone())), all);
            prop_assert_eq!(index.check().unwrap(), Vec::<String>::new());
        }
    }

    /// What is sent for a limited scan is what the range needs of the first keys that are there.
    #[test]
    fn a_limited_scan_gives_all_of_the_first_keys(
        entries in prop::collection::vec(entry(), 0..25), range in range(), limit in 1..4_u32, backwards in any::<bool>(),
    ) {
        let mut by_id = BTreeMap::new();
        entries.into_iter().for_each(|entry| drop(by_id.insert(entry.id, entry)));
        let mut fixture = Fixture::new();
        fixture.apply(&by_id.values().map(Change::Hold).collect::<Vec<_>>());
        let model = model(by_id.values());
        let there = |versions: &[Version]| rules::heads(versions).iter().any(|head| head.kind.code == CODE_PUT);
        let within = model.iter().filter(|(key, versions)| range.contains(key) && there(versions));
        let mut keys: Vec<&Vec<u8>> = within.map(|(key, _)| key).collect();
        if backwards {
            keys.reverse();
        }
        let last = keys.get(limit as usize - 1);
        let covered = |key: &[u8]| range.contains(key) && last.is_none_or(|last| if backwards { key >= &last[..] } else { key <= &last[..] });
        let KeyRange { from, to } = range.clone();
        let found = matches(&fixture.index, &Selector::Scan { from, to, limit, backwards });
        prop_assert_eq!(found, active(&model, covered));
    }
}

#[test]
fn what_is_no_question_about_keys_is_refused() {
    let index = Fixture::new().index;
    for selector in [
        Selector::boxes([]),
        Selector::Custom(Vec::new()),
        Selector::referrers(["a"]),
        Selector::Window { channel: Vec::new(), from: 0, to: 1 },
    ] {
        assert!(
            matches!(index.matches(&selector, &BTreeSet::new()), Err(ViewError::Unsupported)),
            "{selector:?}"
        );
    }
}

#[test]
fn a_scan_of_many_deleted_keys_goes_on_in_pieces() {
    let mut fixture = Fixture::new();
    let arrived = |n: u32, code| {
        let mut header = Header::new(kind(code), Timestamp(1));
        header.key = Some(format!("{n:05}").into_bytes());
        let id = EntryId { feed: FeedKey([1; 32]), seq: n.into() };
        Arrived { lseq: 0, id, entry: Entry { header, payload: None } }
    };
    let mut all: Vec<Arrived> = (0..10_000).map(|n| arrived(n, CODE_DELETE)).collect();
    all.push(arrived(10_000, CODE_PUT));
    fixture.apply(&all.iter().map(Change::Hold).collect::<Vec<_>>());
    let options = ScanOptions { limit: Some(5), ..ScanOptions::default() };
    let page = fixture.index.read().scan(&KeyRange::ALL, &options, NOW).unwrap();
    assert!(page.rows.is_empty() && page.next.is_some(), "others get at the index in between");
    let found: Vec<_> =
        pages(&fixture.index, &KeyRange::ALL, false, 5).into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, [b"10000"]);
}

fn put(key: &str, seq: u64, value: &str) -> Arrived {
    let header = Header { key: Some(key.into()), ..Header::new(kind(CODE_PUT), Timestamp(1)) };
    let id = EntryId { feed: FeedKey([1; 32]), seq };
    Arrived { lseq: 0, id, entry: Entry { header, payload: Some(value.as_bytes().to_vec().into()) } }
}

/// Does what there is to do in the background.
fn rest(fixture: &mut Fixture) {
    while let Some(mut job) = fixture.index.upkeep(true) {
        while job.work().unwrap() {}
        let mut rows = Overlay::new(&*fixture.tree);
        job.install(&mut fixture.index, &mut rows).unwrap();
        fixture.tree.apply(&rows.into_batch()).unwrap();
    }
}

#[test]
fn values_that_may_not_be_kept_go_from_what_is_packed_and_from_what_was_replaced() {
    let mut fixture = Fixture::new();
    let first = [put("a", 0, "first of a"), put("b", 1, "first of b"), put("c", 2, &"large".repeat(1_000))];
    fixture.apply(&first.iter().map(Change::Hold).collect::<Vec<_>>());
    let read =
        |fixture: &Fixture, key: &str| fixture.index.read().state(key.as_bytes(), NOW).unwrap().payload;
    assert_eq!(read(&fixture, "a").unwrap(), "first of a");
    assert_eq!(read(&fixture, "c"), None, "what is large lies in the log alone");
    // What b said is replaced, and lies in an older run.
    fixture.index.strip(|_| true);
    rest(&mut fixture);
    let mut second = put("b", 3, "second of b");
    second.entry.header.context.own = Some(1);
    second.entry.header.depth = 1;
    fixture.apply(&[Change::Hold(&second)]);
    assert_eq!(fixture.index.read().active(b"b").unwrap().len(), 1);
    let may_keep = |id: &EntryId| id.seq > 1;
    assert!(fixture.index.snapshot().keeps_any(may_keep).unwrap());
    fixture.index.strip(may_keep);
    rest(&mut fixture);
    assert!(!fixture.index.snapshot().keeps_any(may_keep).unwrap());
    for index in [&fixture.index, &KvView.open(fixture.tree.clone()).unwrap()] {
        let read = |key: &str| index.read().state(key.as_bytes(), NOW).unwrap();
        assert!(read("a").shown().is_some() && read("a").payload.is_none());
        assert_eq!(read("b").payload.unwrap(), "second of b");
        assert!(index.check().unwrap().is_empty());
    }
}

#[test]
fn what_differs_from_an_index_that_was_made_anew_is_named() {
    let (mut kept, mut fresh) = (Fixture::new(), Fixture::new());
    let entries = [put("a", 0, "a"), put("b", 1, "b"), put("c", 2, "c")];
    kept.apply(&entries.iter().map(Change::Hold).collect::<Vec<_>>());
    fresh.apply(&entries.iter().map(Change::Hold).collect::<Vec<_>>());
    assert!(kept.index.compare(&fresh.index).unwrap().is_empty());
    // Cleared since: the view may still have it, or the log may have it again.
    let cleared = Arrived { entry: Entry { payload: None, ..put("d", 3, "").entry }, ..put("d", 3, "") };
    kept.apply(&[Change::Hold(&cleared)]);
    fresh.apply(&[Change::Hold(&put("d", 3, "d"))]);
    assert!(kept.index.compare(&fresh.index).unwrap().is_empty());
    kept.apply(&[
        Change::Withdraw(&entries[0]),
        Change::Hold(&put("e", 4, "one")),
        Change::Hold(&put("f", 5, "")),
    ]);
    fresh.apply(&[Change::Hold(&put("e", 4, "other"))]);
    let found = kept.index.compare(&fresh.index).unwrap();
    let named = |n: usize, words: &str| found[n].contains(words);
    assert!(
        found.len() == 3 && named(0, "is missing") && named(1, "another value") && named(2, "should not be"),
        "{found:?}"
    );
}

#[test]
fn keys_have_1_to_1024_bytes() {
    assert_eq!(check_key(b""), Err(KeyError::Empty));
    assert_eq!(check_key(&[0; 1024]), Ok(()));
    assert_eq!(check_key(&[0; 1025]), Err(KeyError::TooLong(1025)));
}
