//! What users of key-value stores over logs rely on, each behaviour by its number in the list of the predecessors' (1 to 8, 15):
//! heads of keys, watching, sparse questions.

use kappadb::view::{Kind, Overlay, Tree, Version, space};
use kappadb::{Database, EntryId, FeedKey, Kv, KvChange, KvOp, KvWatcher, Seq, Source, Timestamp};
use kappadb_entry::{Context, Entry, Header};
use kappadb_sim::Random;
use kappadb_store::{MemoryStore, Store};
use kappadb_tests::keys::{heads, write};
use kappadb_tests::replica::Replica;
use kappadb_view::{Arrived, Change, Index, Notice, View};
use kappadb_view_kv::{KvIndex, KvView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The index alone, fed by hand: entries that replace exactly what they name, as in a reference graph.
struct Graph {
    index: KvIndex,
    tree: Arc<dyn Tree>,
}

impl Graph {
    fn new() -> Graph {
        let tree = MemoryStore::new().tree("kv").expect("tree");
        Graph { index: KvView.open(tree.clone()).expect("open"), tree }
    }

    fn apply(&mut self, batch: &[Arrived]) -> Vec<Notice> {
        let changes: Vec<Change<'_>> = batch.iter().map(Change::Hold).collect();
        let mut overlay = Overlay::new(&*self.tree);
        let notices = self.index.apply(&changes, &mut overlay).expect("apply");
        self.tree.apply(&overlay.into_batch()).expect("write");
        notices
    }

    fn heads(&self, key: &str) -> Vec<Seq> {
        self.index
            .read()
            .heads(key.as_bytes())
            .expect("heads")
            .iter()
            .map(|head: &Version| head.id.seq)
            .collect()
    }
}

fn id(seq: Seq) -> EntryId {
    // Several feeds: who wrote an entry must not matter to a graph of ids.
    EntryId { feed: FeedKey([(seq % 3) as u8 + 1; 32]), seq }
}

fn node(seq: Seq, key: &str, replaces: &[Seq], depth: u32) -> Arrived {
    let mut ids: Vec<EntryId> = replaces.iter().map(|seq| id(*seq)).collect();
    ids.sort_unstable();
    let mut header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(1));
    header.key = Some(key.into());
    header.context = Context { ids, ..Context::NOTHING };
    header.depth = depth;
    Arrived { lseq: seq, id: id(seq), entry: Entry { header, payload: Some("x".into()) } }
}

fn sorted(seqs: &[Seq]) -> Vec<Seq> {
    let mut ids: Vec<EntryId> = seqs.iter().map(|seq| id(*seq)).collect();
    ids.sort_unstable();
    ids.into_iter().map(|id| id.seq).collect()
}

/// All orders of a few things.
fn orders<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    if things.len() < 2 {
        return vec![things.to_vec()];
    }
    let mut all = Vec::new();
    for at in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|order| [vec![first.clone()], order].concat()));
    }
    all
}

/// Applies in every order and in every way of cutting it into batches of one or more.
fn in_every_way(nodes: &[Arrived], check: impl Fn(&Graph)) {
    for order in orders(nodes) {
        for cuts in 0..1_u32 << (order.len() - 1) {
            let mut graph = Graph::new();
            let mut batch = Vec::new();
            for (at, node) in order.iter().enumerate() {
                batch.push(node.clone());
                if cuts >> at & 1 == 1 || at + 1 == order.len() {
                    graph.apply(&std::mem::take(&mut batch));
                }
            }
            check(&graph);
        }
    }
}

#[test]
fn conformance_01_a_chain_has_one_head_in_any_order_and_batching() {
    let chain: Vec<Arrived> =
        (0..4).map(|n| node(n, "k", &n.checked_sub(1).into_iter().collect::<Vec<_>>(), n as u32)).collect();
    in_every_way(&chain, |graph| assert_eq!(graph.heads("k"), [3]));
    // The same as the library writes it: over feeds, with a hole where h2 should be.
    let (writer, reader) = (Replica::new(1), Replica::new(2));
    let feed = writer.writer();
    for _ in 0..4 {
        write(&writer, feed, "k");
    }
    for seq in [0, 3, 1] {
        reader.fetch(&writer, feed, &[seq].into_iter().collect());
        let expected = if seq == 0 { 0 } else { 3 };
        assert_eq!(
            heads(&reader, "k"),
            [EntryId { feed, seq: expected }],
            "h1 <- h2 <- h3 without h2: one head"
        );
    }
}

#[test]
fn conformance_02_a_fork_has_two_heads_and_a_merge_one_also_when_it_comes_first() {
    let nodes = [
        node(0, "k", &[], 0),
        node(1, "k", &[0], 1),
        node(2, "k", &[1], 2),
        node(3, "k", &[1], 2),
        node(4, "k", &[2, 3], 3),
    ];
    in_every_way(&nodes[..4], |graph| assert_eq!(graph.heads("k"), sorted(&[2, 3])));
    in_every_way(&nodes, |graph| assert_eq!(graph.heads("k"), [4]));
    let mut early = Graph::new();
    early.apply(&nodes[4..]);
    assert_eq!(early.heads("k"), [4]);
    early.apply(&nodes[..4]);
    assert_eq!(early.heads("k"), [4]);
}

#[test]
fn conformance_03_keys_have_their_own_heads_and_cycles_break_nothing() {
    let mut graph = Graph::new();
    let interleaved = (0..40_u64).map(|n| {
        let before = Vec::from_iter(n.checked_sub(4));
        node(n, ["a", "b", "c", "d"][n as usize % 4], &before, n as u32 / 4)
    });
    let batch: Vec<Arrived> = interleaved.collect();
    graph.apply(&batch);
    for (key, head) in ["a", "b", "c", "d"].into_iter().zip(36..) {
        assert_eq!(graph.heads(key), [head]);
    }
    // It names itself; two name each other, with any depths that a liar might give them; one names what is under another key.
    let nodes =
        [node(0, "k", &[0], 9), node(1, "k", &[2], 5), node(2, "k", &[1], 5), node(3, "other", &[0], 20)];
    in_every_way(&nodes, |graph| {
        assert_eq!(graph.heads("k"), sorted(&[0, 1, 2]));
        assert_eq!(graph.heads("other"), [3]);
    });
    let nodes = [node(1, "k", &[2], 5), node(2, "k", &[1], 6)];
    in_every_way(&nodes, |graph| assert_eq!(graph.heads("k"), [2]));
}

/// Batches of entries over 26 keys that replace some of the heads of their key, in an order in which they never were written.
#[test]
fn conformance_04_random_graphs_have_the_heads_of_a_simple_model() {
    let (mut random, mut graph) = (Random::new(4), Graph::new());
    let mut written: BTreeMap<String, Vec<Arrived>> = BTreeMap::new();
    let mut all = Vec::new();
    for seq in 0..3_000 {
        let key = char::from(b'a' + random.below(26) as u8).to_string();
        let versions = written.entry(key.clone()).or_default();
        let some: Vec<&Arrived> = versions.iter().rev().take(4).filter(|_| random.chance(50)).collect();
        let depth = some.iter().map(|entry| entry.entry.header.depth + 1).max().unwrap_or(0);
        let names: Vec<Seq> = some.iter().map(|entry| entry.id.seq).collect();
        let new = node(seq, &key, &names, depth);
        versions.push(new.clone());
        all.push(new);
    }
    random.shuffle(&mut all);
    let mut named: BTreeMap<String, (BTreeSet<EntryId>, BTreeSet<EntryId>)> = BTreeMap::new();
    for batch in all.chunks(3) {
        graph.apply(batch);
        for entry in batch {
            let key = String::from_utf8(entry.entry.header.key.clone().expect("a key")).expect("text");
            // The model: what is held and not named by anything held.
            let (held, gone) = named.entry(key.clone()).or_default();
            held.insert(entry.id);
            gone.extend(&entry.entry.header.context.ids);
            let expected: Vec<Seq> = held.difference(gone).map(|id| id.seq).collect();
            let last_of_batch = batch.iter().rev().find(|e| e.entry.header.key == entry.entry.header.key);
            if last_of_batch.is_some_and(|last| last.id == entry.id) {
                assert_eq!(graph.heads(&key), expected, "key {key}");
            }
        }
    }
    assert_eq!(all.chunks(3).len(), 1_000);
}

#[test]
fn conformance_05_one_notice_a_key_and_batch_and_what_is_replaced_is_reported_once() {
    let mut graph = Graph::new();
    let (a, b) = (node(0, "a", &[], 0), node(1, "b", &[], 0));
    let notices = graph.apply(&[a, b, node(2, "a", &[0], 1), node(3, "a", &[0], 1)]);
    let seqs = |ids: &[EntryId]| ids.iter().map(|id| id.seq).collect::<Vec<_>>();
    let told: Vec<_> = notices.iter().map(|n| (&n.key[..], seqs(&n.heads), seqs(&n.gone))).collect();
    assert_eq!(told, [(&b"a"[..], sorted(&[2, 3]), vec![]), (b"b", vec![1], vec![])]);
    let notices = graph.apply(&[node(5, "a", &[4], 3), node(4, "a", &[2, 3], 2)]);
    let told: Vec<_> = notices.iter().map(|n| (&n.key[..], seqs(&n.heads), seqs(&n.gone))).collect();
    assert_eq!(told, [(&b"a"[..], vec![5], sorted(&[2, 3]))], "4 came and went within the batch");
    assert!(graph.apply(&[node(0, "a", &[], 0)]).is_empty(), "it is held already");
}

async fn database(dir: &tempfile::TempDir) -> Database {
    Database::builder(dir.path().join("db")).create().await.expect("create")
}

async fn next(watcher: &mut KvWatcher) -> KvChange {
    let change = tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.expect("in time");
    change.expect("not at its end").expect("no error")
}

/// A key and its value as text.
fn told(change: &KvChange) -> (String, Option<String>) {
    let value = change.value.as_ref().map(|value| value.text().expect("text").to_owned());
    (String::from_utf8(change.key.clone()).expect("text"), value)
}

fn state(key: &str, value: Option<&str>) -> (String, Option<String>) {
    (key.to_owned(), value.map(str::to_owned))
}

#[tokio::test]
async fn conformance_06_watching_an_absent_key_says_so_then_each_change_also_several_in_one_call_at_any_time()
{
    let dir = tempfile::tempdir().expect("temp dir");
    let kv = database(&dir).await.kv();
    let mut one = kv.watch(["a"]);
    assert_eq!(told(&next(&mut one).await), state("a", None));
    for value in ["1", "2", "3"] {
        kv.put("a", value).await.expect("put");
        let change = next(&mut one).await;
        assert_eq!((told(&change), change.lagged), (state("a", Some(value)), false));
    }
    // Later, several at once, some there and some not.
    let mut several = kv.watch(["b", "a", "c"]);
    for expected in [state("a", Some("3")), state("b", None), state("c", None)] {
        assert_eq!(told(&next(&mut several).await), expected);
    }
    kv.batch(vec![KvOp::put("c", "x"), KvOp::put("d", "not watched"), KvOp::delete("a")])
        .await
        .expect("batch");
    let mut changes = [told(&next(&mut several).await), told(&next(&mut several).await)];
    changes.sort();
    assert_eq!(changes, [state("a", None), state("c", Some("x"))]);
    assert_eq!(told(&next(&mut one).await), state("a", None));
}

#[tokio::test]
async fn conformance_07_watchers_are_independent() {
    let dir = tempfile::tempdir().expect("temp dir");
    let database = database(&dir).await;
    let kv = database.kv();
    let (mut kept, mut dropped, mut prefix) = (kv.watch(["a", "b"]), kv.watch(["a"]), kv.watch_prefix(""));
    for watcher in [&mut kept, &mut dropped] {
        assert_eq!(told(&next(watcher).await), state("a", None));
    }
    assert_eq!(told(&next(&mut kept).await), state("b", None));
    drop(dropped);
    kv.put("a", "1").await.expect("put");
    kv.put("b", "2").await.expect("put");
    for watcher in [&mut kept, &mut prefix] {
        assert_eq!(told(&next(watcher).await), state("a", Some("1")));
        assert_eq!(told(&next(watcher).await), state("b", Some("2")));
    }
    drop(prefix);
    kv.put("a", "3").await.expect("put");
    assert_eq!(told(&next(&mut kept).await), state("a", Some("3")));
    database.close().await.expect("close");
    assert!(kept.next().await.is_none(), "the end");
}

#[tokio::test]
async fn conformance_08_after_reopening_a_watcher_first_gets_what_is_stored() {
    let dir = tempfile::tempdir().expect("temp dir");
    let first = database(&dir).await;
    first.kv().put("a", "1").await.expect("put");
    first.kv().put("gone", "1").await.expect("put");
    first.kv().delete("gone").await.expect("delete");
    first.close().await.expect("close");
    let again = Database::builder(dir.path().join("db")).open().await.expect("open");
    let mut watcher = again.kv().watch(["a", "gone"]);
    assert_eq!(told(&next(&mut watcher).await), state("a", Some("1")));
    assert_eq!(told(&next(&mut watcher).await), state("gone", None));
    again.kv().put("a", "2").await.expect("put");
    assert_eq!(told(&next(&mut watcher).await), state("a", Some("2")));
}

async fn held(database: &Database) -> u64 {
    database.status().await.expect("status").feeds.iter().map(|feed| feed.held).sum()
}

async fn filled(kv: &Kv, keys: u32) {
    for part in (0..keys).collect::<Vec<_>>().chunks(1_000) {
        let ops = part.iter().map(|n| KvOp::put(format!("key/{n:05}"), format!("value {n}"))).collect();
        kv.batch(ops).await.expect("batch");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_15_who_asks_for_100_of_20_000_keys_holds_these_and_no_others_also_three_seconds_later() {
    let dir = tempfile::tempdir().expect("temp dir");
    let full = database(&dir).await;
    filled(&full.kv(), 20_000).await;
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
    let sparse = Database::builder(dir.path().join("sparse")).join(&server.ticket()).await.expect("join");
    let wanted: Vec<String> = (0..100).map(|n| format!("key/{:05}", n * 199 + 7)).collect();
    let answer = sparse.kv().get_all(&wanted).from(Source::Peers).await.expect("ask");
    assert!(answer.is_complete() && answer.asked.failures.is_empty(), "{answer:?}");
    assert_eq!((answer.asked.blocks_fetched, held(&sparse).await), (100, 100));
    for key in &wanted {
        let number = key[4..].trim_start_matches('0');
        let value = sparse.kv().get(key).await.expect("get").one().expect("there");
        assert_eq!(value.text(), Some(&*format!("value {number}")));
        assert_eq!(value.id.seq, number.parse::<Seq>().expect("a number"));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(held(&sparse).await, 100, "and no others");
    let list = sparse.kv().scan(&kappadb::KeyRange::ALL, &Default::default()).await.expect("scan");
    assert!(list.items.iter().map(|item| &item.key[..]).eq(wanted.iter().map(|key| key.as_bytes())));
    // To ask again fetches nothing; a limited scan fetches as many as it shows, and one that tells that there are more.
    assert_eq!(sparse.kv().get_all(&wanted).from(Source::Peers).await.expect("ask").asked.blocks_fetched, 0);
    let last = kappadb::ScanOptions { limit: Some(50), backwards: true, after: None };
    let answer =
        sparse.kv().scan(&kappadb::KeyRange::prefix("key/"), &last).from(Source::Peers).await.expect("ask");
    assert!(answer.is_complete() && answer.asked.blocks_fetched <= 51, "{answer:?}");
    let page = sparse.kv().scan(&kappadb::KeyRange::prefix("key/"), &last).await.expect("scan");
    assert_eq!((page.items.len(), &page.items[0].key[..]), (50, &b"key/19999"[..]));
    sparse.close().await.expect("close");
    server.stop().await;
}
