//! The engine around a view: waiting, pausing, watching, versions, failures.
use crate::common::*;
use kappadb_core::{EntryId, FeedKey, StoredBlock};
use kappadb_query::Selector;
use kappadb_store::{Batch, Call, Fault, FaultPlan, FaultStore, FileId, MemoryStore, Overlay, Store, Tree};
use kappadb_view::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lets nothing through until opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn pass(&self) {
        let (open, changed) = &*self.0;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[test]
fn conformance_01_a_chain_has_one_head_in_any_order() {
    let chain: Vec<_> = (0..4u32)
        .map(|n| {
            (
                id(u8::try_from(n).unwrap(), 0),
                entry("x", n, &(0..n).map(|m| id(u8::try_from(m).unwrap(), 0)).collect::<Vec<_>>()),
            )
        })
        .collect();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let (log, store) = (Log::new(), memory());
        let (_views, handle) = open(&log, &store);
        order.iter().for_each(|&n: &usize| log.arrive(chain[n].0, chain[n].1.clone()));
        handle.ready().unwrap();
        assert_eq!(handle.read(|index| index.heads(b"x")).unwrap(), [id(3, 0)]);
    }
}

#[test]
fn conformance_05_one_notice_a_key_and_batch() {
    let (log, store) = (Log::new(), memory());
    let (_views, handle) = open(&log, &store);
    let watcher = handle.watch();
    {
        let _still = handle.pause();
        log.arrive(id(0, 0), entry("x", 0, &[]));
        log.arrive(id(1, 0), entry("y", 0, &[]));
        log.arrive(id(0, 1), entry("x", 1, &[id(0, 0)]));
    }
    handle.ready().unwrap();
    let first = watcher.next(Duration::from_secs(5)).unwrap();
    let notice = |key: &str, heads: Vec<_>, gone: Vec<_>| Notice { key: key.into(), heads, gone, changes: 1 };
    // The head between is told of by a number.
    let twice = Notice { changes: 2, ..notice("x", vec![id(0, 1)], vec![]) };
    assert_eq!(first.notices, [twice, notice("y", vec![id(1, 0)], vec![])]);
    log.arrive(id(2, 0), entry("x", 2, &[id(0, 0), id(0, 1)]));
    log.fork(feed(2), 0);
    eventually("the fork is taken into account", || {
        handle.ready().is_ok() && handle.read(|index| index.heads(b"x")).unwrap() == [id(0, 1)]
    });
    let later: Vec<Notice> = watcher.next(Duration::from_millis(100)).unwrap().notices;
    // The fork may have been known before the entry was indexed; if not, both changes were told.
    assert!(
        later.is_empty()
            || later
                == [notice("x", vec![id(2, 0)], vec![id(0, 1)]), notice("x", vec![id(0, 1)], vec![id(2, 0)])]
    );
}

#[test]
fn conformance_07_watchers_are_independent() {
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    let (one, other, slow) = (handle.watch(), handle.watch(), handle.watch());
    log.arrive(id(0, 0), entry("x", 0, &[]));
    handle.ready().unwrap();
    assert_eq!(one.next(Duration::from_secs(5)).unwrap().notices.len(), 1);
    drop(one);
    for n in 1..6_000u32 {
        log.arrive(id(0, u64::from(n)), entry(&format!("k{n}"), 0, &[]));
    }
    let mut told = 0;
    eventually("all told", || {
        let changes = other.next(Duration::from_millis(10)).unwrap();
        told += changes.notices.len();
        told == 6_000 || changes.lagged
    });
    handle.ready().unwrap();
    let changes = slow.next(Duration::from_secs(5)).unwrap();
    assert!(changes.lagged && changes.notices.len() < 6_000, "a slow watcher is told that it lost notices");
    views.close();
    assert_eq!(slow.next(Duration::from_secs(5)), None);
}

#[test]
fn who_watches_some_keys_hears_of_no_others_and_a_task_that_polls_is_woken() {
    struct Woken(Thread);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    let watcher = handle.watch_keys(|key| key == b"x");
    let waker = Waker::from(Arc::new(Woken(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    assert!(watcher.poll_next(&mut context).is_pending());
    // More than a watcher's queue holds.
    for n in 0..6_000u32 {
        log.arrive(id(0, u64::from(n)), entry(&format!("k{n}"), 0, &[]));
    }
    handle.ready().unwrap();
    assert!(watcher.poll_next(&mut context).is_pending(), "neither told nor lagging");
    log.arrive(id(0, 6_000), entry("x", 0, &[]));
    let changes = loop {
        match watcher.poll_next(&mut context) {
            Poll::Ready(changes) => break changes.unwrap(),
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(60)),
        }
    };
    assert_eq!((changes.notices.len(), changes.lagged), (1, false));
    assert_eq!(changes.notices[0].key, b"x");
    views.close();
    assert_eq!(watcher.poll_next(&mut context), Poll::Ready(None));
}

#[test]
fn conformance_29_the_old_version_answers_until_the_new_one_has_caught_up() {
    let (log, store) = (Log::new(), memory());
    {
        let (_views, handle) = open(&log, &store);
        (0..50).for_each(|n| log.arrive(id(0, n), entry("x", 0, &[])));
        handle.ready().unwrap();
    }
    let views = Views::new(log.clone(), store.clone());
    let (gate, passed) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (at_gate, count) = (gate.clone(), passed.clone());
    let slow = KvView::with(2, move |_| {
        at_gate.pass();
        count.fetch_add(1, Ordering::SeqCst);
    });
    let handle = views.register_over(slow, KvView::new(1)).unwrap();
    handle.ready().unwrap();
    assert_eq!(handle.read(|index| (index.version, index.heads(b"x").len())).unwrap(), (1, 50));
    assert!(views.status()[0].rebuilding);
    gate.open();
    eventually("the new version answers", || handle.read(|index| index.version).unwrap() == 2);
    assert_eq!(passed.load(Ordering::SeqCst), 50);
    assert_as_expected(&views, &handle, &log);
    eventually("the old rows are gone", || store.trees().unwrap() == ["view/kv/2/1", "views"]);
}

#[test]
fn without_the_old_code_a_raised_version_answers_once_it_has_caught_up() {
    let (log, store) = (Log::new(), memory());
    {
        let (_views, handle) = open(&log, &store);
        (0..50).for_each(|n| log.arrive(id(0, n), entry("x", 0, &[])));
        handle.ready().unwrap();
    }
    for round in 0..2 {
        // The first time it is closed before it can finish, and goes on the second time.
        let gate = Gate::default();
        let at_gate = gate.clone();
        let views = Views::new(log.clone(), store.clone());
        log.cap(10);
        let handle = views.register(KvView::with(2, move |change| {
            if round > 0 || change.arrived().lseq > 20 {
                at_gate.pass();
            }
        }));
        let handle = handle.unwrap();
        assert!(matches!(handle.read(|_| ()), Err(ViewError::Rebuilding(_))));
        assert!(matches!(
            views.matches("kv", &Selector::Everything, &BTreeSet::new()),
            Err(ViewError::Rebuilding(_))
        ));
        if round == 0 {
            eventually("two batches", || views.status()[0].lseq == 20);
            let closing = std::thread::spawn(move || drop(views));
            // Ready it cannot be, for the gate is shut: it is being closed.
            assert!(matches!(handle.ready(), Err(ViewError::Closed)));
            gate.open();
            closing.join().unwrap();
        } else {
            gate.open();
            assert_as_expected(&views, &handle, &log);
            assert_eq!(handle.read(|index| index.version).unwrap(), 2);
            eventually("the old rows are gone", || store.trees().unwrap() == ["view/kv/2/1", "views"]);
        }
    }
}

#[test]
fn conformance_30_ready_covers_what_arrived_before_it() {
    let (log, store) = (Log::new(), memory());
    let (_views, handle) = open(&log, &store);
    for n in 0..200 {
        log.arrive(id(0, n), entry(&format!("k{n}"), 0, &[]));
        handle.ready().unwrap();
        assert_eq!(handle.read(|index| index.heads(format!("k{n}").as_bytes())).unwrap(), [id(0, n)]);
    }
    for n in 0..100 {
        log.fork(feed(0), 199 - n);
        handle.ready().unwrap();
        assert!(handle.read(|index| index.heads(format!("k{}", 199 - n).as_bytes())).unwrap().is_empty());
    }
    assert_eq!(handle.read(|index| index.content().len()).unwrap(), 100);
}

#[test]
fn a_feed_that_is_wanted_again_while_it_is_taken_out_is_there_once_the_view_is_ready() {
    let (log, store) = (Log::new(), memory());
    let views = Views::new(log.clone(), store);
    let (gate, taken_out) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (waits, begun) = (gate.clone(), taken_out.clone());
    let handle = views.register(KvView::with(1, move |change| {
        if matches!(change, Change::Withdraw(_)) {
            begun.store(true, Ordering::SeqCst);
            waits.pass();
        }
    }));
    let handle = handle.unwrap();
    log.arrive(id(0, 0), entry("x", 0, &[]));
    handle.ready().unwrap();
    log.fork(id(0, 0).feed, 0);
    eventually("it is being taken out", || taken_out.load(Ordering::SeqCst));
    log.take_back(&id(0, 0).feed);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            handle.ready().unwrap();
            handle.read(|index| index.heads(b"x"))
        });
        std::thread::sleep(Duration::from_millis(30));
        gate.open();
        assert_eq!(asked.join().unwrap().unwrap(), [id(0, 0)]);
    });
    assert_as_expected(&views, &handle, &log);
}

#[test]
fn conformance_30_pauses_nest() {
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    let (first, second) = (handle.pause(), handle.pause());
    log.arrive(id(0, 0), entry("x", 0, &[]));
    let still = || {
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(views.status()[0].lag, 1);
    };
    still();
    drop(first);
    still();
    drop(second);
    handle.ready().unwrap();
    assert_eq!(views.status()[0].lag, 0);
    let _still = handle.pause();
    drop(views); // closing does not wait for the end of a pause
    handle.ready().unwrap();
    log.arrive(id(0, 1), entry("x", 0, &[]));
    assert!(matches!(handle.ready(), Err(ViewError::Closed)));
}

#[test]
fn conformance_31_a_missing_block_stops_nothing() {
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    log.arrive(id(0, 0), entry("x", 0, &[]));
    log.lose(3);
    // Block 1 of the feed has not come.
    log.arrive(id(0, 2), entry("x", 2, &[id(0, 0), id(0, 1)]));
    log.arrive(id(0, 3), StoredBlock::whole(&b"\x09not an entry"[..]));
    log.arrive(id(1, 0), entry("y", 0, &[]));
    log.lose(2);
    handle.ready().unwrap();
    assert_eq!(
        handle.read(|index| (index.heads(b"x"), index.heads(b"y"))).unwrap(),
        (vec![id(0, 2)], vec![id(1, 0)])
    );
    assert_eq!((views.status()[0].skipped, views.status()[0].lag), (1, 0));
    log.arrive(id(0, 1), entry("x", 1, &[id(0, 0)]));
    assert_as_expected(&views, &handle, &log);
}

#[test]
fn a_rebuild_answers_all_the_time_and_leaves_one_tree() {
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    (0..30).for_each(|n| log.arrive(id(0, n), entry("x", 0, &[])));
    handle.ready().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert_eq!(handle.read(|index| index.heads(b"x").len()).unwrap(), 30);
            }
        });
        for _ in 0..20 {
            views.rebuild(Some("kv")).unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(matches!(views.rebuild(Some("other")), Err(ViewError::Unknown(_))));
    assert_as_expected(&views, &handle, &log);
    assert_eq!(store.trees().unwrap(), ["view/kv/1/20", "views"]);
}

/// Changes a row of the only view behind its back.
fn overwrite(store: &dyn Store, key: &'static [u8], value: &'static [u8]) {
    let name = store.trees().unwrap().into_iter().find(|name| name.starts_with("view/")).unwrap();
    let mut batch = Batch::new();
    batch.put(key, value);
    store.tree(&name).unwrap().apply(&batch).unwrap();
}

#[test]
fn rows_that_cannot_be_trusted_are_made_anew() {
    type Harm = fn(&Log, &dyn Store);
    let harms: [(&str, Harm); 5] = [
        ("cursor", |_, store| overwrite(store, &[0, 1], b"\xff\xff")),
        ("exclusions", |_, store| overwrite(store, &[0, 2], b"\xff\xff")),
        ("another log", |log, _| log.become_other((0..40).map(|n| (id(1, n), entry("y", 0, &[]))).collect())),
        ("a log cut short", |log, _| log.cut(20)),
        ("pointer", |_, store| {
            let mut batch = Batch::new();
            batch.put(&b"kv"[..], &b"noise"[..]);
            store.tree("views").unwrap().apply(&batch).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let (log, store) = (Log::new(), memory());
        (0..40).for_each(|n| log.arrive(id(0, n), entry("x", 0, &[])));
        log.fork(feed(0), 30);
        {
            let (_views, handle) = open(&log, &store);
            handle.ready().unwrap();
        }
        harm(&log, &*store);
        let (views, handle) = open(&log, &store);
        // Finding out may count as failures; there are at most two in a row.
        eventually(what, || handle.ready().is_ok());
        assert_as_expected(&views, &handle, &log);
        eventually(what, || store.trees().unwrap().len() == 2);
    }
}

/// A view that reads a row of the store whenever it is asked or changed.
struct Reading;

struct ReadingIndex(Arc<dyn Tree>);

impl ReadingIndex {
    const ROW: &'static [u8] = &[2];

    fn check_row(&self) -> Result<(), ViewError> {
        match self.0.get(Self::ROW)? {
            Some(row) if row != "whole" => Err(ViewError::Inconsistent("a row of the test")),
            _ => Ok(()),
        }
    }
}

impl View for Reading {
    type Index = ReadingIndex;

    fn name(&self) -> &str {
        "reading"
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<ReadingIndex, ViewError> {
        Ok(ReadingIndex(rows))
    }
}

impl Index for ReadingIndex {
    fn apply(&mut self, _: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        self.check_row()?;
        rows.put(Self::ROW, &b"whole"[..]);
        Ok(Vec::new())
    }

    fn matches(&self, _: &Selector, _: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        self.check_row().map(|()| Vec::new())
    }
}

#[test]
fn a_row_damaged_while_open_is_found_and_made_anew() {
    let (log, store) = (Log::new(), memory());
    let views = Views::new(log.clone(), store.clone());
    let handle = views.register(Reading).unwrap();
    log.arrive(id(0, 0), entry("x", 0, &[]));
    handle.ready().unwrap();
    overwrite(&*store, ReadingIndex::ROW, b"other");
    assert!(handle.matches(&Selector::Everything).is_err_and(|error| error.wants_rebuild()));
    log.arrive(id(0, 1), entry("y", 0, &[]));
    eventually("it heals", || handle.ready().is_ok() && handle.matches(&Selector::Everything).is_ok());
    assert!(store.tree("view/reading/1/1").unwrap().get(ReadingIndex::ROW).unwrap().is_some());
}

#[test]
fn verify_finds_what_was_changed_behind_its_back() {
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    log.arrive(id(0, 0), entry("x", 0, &[]));
    log.arrive(id(0, 1), entry("y", 0, &[]));
    handle.ready().unwrap();
    assert!(views.verify().unwrap().is_empty());
    let tree = store.tree("view/kv/1/0").unwrap();
    let mut batch = Batch::new();
    // The keys: group 0x0100 is what lies under the view's first byte.
    tree.files(0x0100)
        .unwrap()
        .into_iter()
        .for_each(|number| batch.remove_file(FileId { group: 0x0100, number }));
    tree.apply(&batch).unwrap();
    let found = views.verify().unwrap();
    assert!(!found.is_empty() && found.iter().all(|text| text.contains("missing")), "{found:?}");
}

#[test]
fn failures_are_told_and_tried_again() {
    let plan = FaultPlan::none();
    let (log, store) = (Log::new(), Arc::new(FaultStore::new(memory(), plan.clone())) as Arc<dyn Store>);
    let (views, handle) = open(&log, &store);
    (0..500).for_each(|n| plan.fail(Call::Apply, n, Fault::Refuse));
    log.arrive(id(0, 0), entry("x", 0, &[]));
    assert!(matches!(handle.ready(), Err(ViewError::Stalled { .. })));
    assert!(views.status()[0].error.as_ref().unwrap().contains("injected"));
    assert!(matches!(handle.read(|_| ()), Err(ViewError::Stalled { .. })));
    plan.heal();
    assert_as_expected(&views, &handle, &log);
    assert_eq!(views.status()[0].error, None);
    // A write that happened although it failed is found in the rows.
    let watcher = handle.watch();
    plan.fail(Call::Apply, 0, Fault::Unheard);
    log.arrive(id(0, 1), entry("x", 0, &[]));
    eventually("found", || handle.ready().is_ok());
    assert_as_expected(&views, &handle, &log);
    assert!(
        watcher.next(Duration::from_secs(5)).unwrap().lagged,
        "nobody knows what became of the batch's notices"
    );
    log.fail(true);
    log.arrive(id(0, 2), entry("x", 0, &[]));
    assert!(handle.ready().is_err());
    log.fail(false);
    assert_as_expected(&views, &handle, &log);
}

#[test]
fn a_view_that_panics_stops_neither_itself_nor_others() {
    let (log, store) = (Log::new(), memory());
    let views = Views::new(log.clone(), store);
    let panics = Arc::new(AtomicUsize::new(3));
    let left = panics.clone();
    let handle = views.register(KvView::with(1, move |_| {
        let first = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        assert!(!first, "a bug of the view");
    }));
    let handle = handle.unwrap();
    log.arrive(id(0, 0), entry("x", 0, &[]));
    eventually("it is tried until it goes well", || handle.ready().is_ok());
    assert_eq!(panics.load(Ordering::SeqCst), 0);
    assert_as_expected(&views, &handle, &log);
}

#[test]
fn names_are_checked_and_taken_once() {
    struct Named(&'static str);
    impl View for Named {
        type Index = KvIndex;
        fn name(&self) -> &str {
            self.0
        }
        fn version(&self) -> u32 {
            1
        }
        fn open(&self, rows: Arc<dyn kappadb_store::Tree>) -> Result<KvIndex, ViewError> {
            KvView::new(1).open(rows)
        }
    }
    let views = Views::new(Log::new(), memory());
    for bad in ["", "a/b", "a b", "ä"] {
        assert!(matches!(views.register(Named(bad)), Err(ViewError::BadName(_))), "{bad}");
    }
    views.register(Named("good-1")).unwrap();
    assert!(matches!(views.register(Named("good-1")), Err(ViewError::Taken(_))));
    views.register(Named("good-2")).unwrap();
    let names: BTreeMap<String, u64> = views.status().into_iter().map(|s| (s.name, s.lag)).collect();
    assert_eq!(names.into_keys().collect::<Vec<_>>(), ["good-1", "good-2"]);
}

/// Rows that left out a feed are of no use once it counts again. They are made anew, and who waits meanwhile is not told of it.
#[test]
fn who_waits_while_rows_are_found_to_be_of_no_use_waits_for_the_new_ones() {
    let (log, store) = (Log::new(), memory());
    let (views, handle) = open(&log, &store);
    // Many batches: the new rows are not there as soon as the old ones are found out.
    log.cap(1);
    (0..20).for_each(|seq| log.arrive(id(0, seq), entry("x", 0, &[])));
    log.fork(feed(0), 0);
    handle.ready().unwrap();
    for round in 0..5 {
        let still = handle.pause();
        log.take_back(&feed(0));
        log.arrive(id(1, round), entry("y", 0, &[]));
        let waiting = std::thread::spawn({
            let handle = handle.clone();
            move || handle.ready()
        });
        // So that it mostly waits before the rows are found to be of no use; if it does not, there is less to be seen.
        std::thread::sleep(Duration::from_millis(50));
        drop(still);
        // The rows that are being made anew may be found to be of no use as well.
        log.fork(feed(0), 0);
        log.take_back(&feed(0));
        waiting.join().unwrap().unwrap();
        log.fork(feed(0), 0);
        handle.ready().unwrap();
    }
    log.take_back(&feed(0));
    assert_as_expected(&views, &handle, &log);
}
