//! What users of views over logs rely on, each behaviour by its number in the list of the predecessors' (29 to 31).

use kappadb::view::{Kind, Overlay, Tree, space};
use kappadb::{EntryId, Seq, Timestamp};
use kappadb_core::RangeSet;
use kappadb_entry::Header;
use kappadb_tests::keys::{heads, indexed, write};
use kappadb_tests::replica::Replica;
use kappadb_view::{Change, Index, Notice, View, ViewError};
use kappadb_view_kv::{KvIndex, KvView};
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Lets nothing through until opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().expect("gate") = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let _open = self.1.wait_while(self.0.lock().expect("gate"), |open| !*open).expect("gate");
    }
}

/// The key-value view under another name and version, whose indexing may be held up.
struct Named(&'static str, u32, Option<Arc<Gate>>);

struct NamedIndex(KvIndex, Option<Arc<Gate>>);

impl View for Named {
    type Index = NamedIndex;

    fn name(&self) -> &str {
        self.0
    }

    fn version(&self) -> u32 {
        self.1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<NamedIndex, ViewError> {
        Ok(NamedIndex(KvView.open(rows)?, self.2.clone()))
    }
}

impl Index for NamedIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        self.1.iter().for_each(|gate| gate.pass());
        self.0.apply(changes, rows)
    }

    fn matches(
        &self,
        selector: &kappadb::view::Selector,
        without: &BTreeSet<kappadb::FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        self.0.matches(selector, without)
    }
}

#[test]
fn conformance_29_views_of_any_name_stand_side_by_side_and_the_old_version_answers_until_the_new_has_caught_up()
 {
    let mut replica = Replica::new(29);
    let feed = replica.writer();
    write(&replica, feed, "a");
    let tally = replica.views().register(Named("tally", 1, None)).expect("register");
    tally.ready().expect("ready");
    let last = write(&replica, feed, "a");
    tally.ready().expect("ready");
    assert_eq!(heads(&replica, "a"), [last]);
    let look = |index: &NamedIndex| {
        index.0.read().heads(b"a").expect("heads").iter().map(|head| head.id).collect::<Vec<_>>()
    };
    assert_eq!(tally.read(look).expect("view"), [last]);
    drop(tally);
    replica.reopen();
    let gate = Arc::new(Gate::default());
    let (new, old) = (Named("tally", 2, Some(gate.clone())), Named("tally", 1, None));
    let tally = replica.views().register_over(new, old).expect("register");
    assert_eq!(tally.read(look).expect("the old one"), [last]);
    assert!(replica.views().status().iter().any(|status| status.name == "tally" && status.rebuilding));
    gate.open();
    let newer = write(&replica, feed, "a");
    tally.ready().expect("ready");
    while replica.views().status().iter().any(|status| status.rebuilding) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(tally.read(look).expect("the new one"), [newer]);
}

#[test]
fn conformance_30_ready_covers_what_arrived_before_it_and_pauses_nest() {
    let replica = Replica::new(30);
    let feed = replica.writer();
    let ids: Vec<EntryId> = (0..50).map(|n| write(&replica, feed, &format!("k{n}"))).collect();
    replica.kv().ready().expect("ready");
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(indexed(&replica, &format!("k{n}")), [id]);
    }
    let (first, second) = (replica.kv().pause(), replica.kv().pause());
    let mut header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(1));
    header.key = Some(b"late".to_vec());
    let late = replica.append(feed, &header, b"x");
    for guard in [first, second] {
        std::thread::sleep(Duration::from_millis(60));
        assert!(indexed(&replica, "late").is_empty(), "two pauses need two resumes");
        drop(guard);
    }
    assert_eq!(heads(&replica, "late"), [late]);
}

#[test]
fn conformance_31_a_missing_block_stops_nothing_and_is_indexed_when_it_comes() {
    let (writer, reader) = (Replica::new(31), Replica::new(32));
    let feed = writer.writer();
    let ids: Vec<EntryId> = ["a", "b", "c", "a"].map(|key| write(&writer, feed, key)).into();
    let range = |seq: Seq| -> RangeSet { [seq].into_iter().collect() };
    reader.fetch(&writer, feed, &range(0));
    reader.fetch(&writer, feed, &range(2));
    assert_eq!((heads(&reader, "a"), heads(&reader, "c")), (vec![ids[0]], vec![ids[2]]));
    assert!(heads(&reader, "b").is_empty());
    reader.fetch(&writer, feed, &range(1));
    assert_eq!(heads(&reader, "b"), [ids[1]]);
    reader.fetch(&writer, feed, &range(3));
    assert_eq!(heads(&reader, "a"), [ids[3]]);
}
