//! Work in the background on behalf of an outsider's view.
use crate::common::*;
use crate::engine::{Gate, eventually, memory};
use kappadb_core::{EntryId, FeedKey};
use kappadb_query::Selector;
use kappadb_store::{Call, Fault, FaultPlan, FaultStore, Overlay, Store, Tree, prefix_range};
use kappadb_view::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Hook = Arc<dyn Fn() -> Result<(), ViewError> + Send + Sync>;

/// Counts entries: a row a batch, and in the background many rows are added up into one.
#[derive(Clone)]
struct Tally {
    /// Called before each piece.
    piece: Hook,
}

struct TallyIndex {
    rows: Arc<dyn Tree>,
    parts: BTreeMap<u8, u64>,
    piece: Hook,
}

/// Adds some parts up, one a piece.
struct Sum {
    rows: Arc<dyn Tree>,
    done: Vec<u8>,
    left: Vec<u8>,
    sum: u64,
    piece: Hook,
}

fn part(number: u8) -> Vec<u8> {
    vec![1, number]
}

fn count(row: &[u8]) -> u64 {
    u64::from_le_bytes(row.try_into().unwrap())
}

impl View for Tally {
    type Index = TallyIndex;

    fn name(&self) -> &str {
        "tally"
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<TallyIndex, ViewError> {
        let parts = prefix_range(&*rows, &[1]).map(|row| row.map(|(key, row)| (key[1], count(&row))));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(TallyIndex { rows, parts, piece: self.piece.clone() })
    }
}

impl Index for TallyIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        let number = (0..=u8::MAX).find(|number| !self.parts.contains_key(number)).unwrap();
        self.parts.insert(number, changes.len() as u64);
        rows.put(part(number), (changes.len() as u64).to_le_bytes().to_vec());
        Ok(Vec::new())
    }

    fn matches(&self, _: &Selector, _: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        Err(ViewError::Unsupported)
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        let left: Vec<u8> = self.parts.keys().copied().collect();
        let rows = self.rows.clone();
        (left.len() > if idle { 1 } else { 3 })
            .then(|| Box::new(Sum { rows, done: Vec::new(), left, sum: 0, piece: self.piece.clone() }) as _)
    }
}

impl Upkeep<TallyIndex> for Sum {
    fn work(&mut self) -> Result<bool, ViewError> {
        (self.piece)()?;
        if let Some(number) = self.left.pop() {
            self.sum += self.rows.get(&part(number))?.map_or(0, |row| count(&row));
            self.done.push(number);
        }
        Ok(!self.left.is_empty())
    }

    fn install(self: Box<Self>, index: &mut TallyIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        for number in &self.done {
            index.parts.remove(number);
            rows.delete(part(*number));
        }
        let first = self.done[0];
        index.parts.insert(first, self.sum);
        rows.put(part(first), self.sum.to_le_bytes().to_vec());
        Ok(())
    }
}

fn register(log: &Log, store: Arc<dyn Store>, piece: Hook) -> (Views, ViewHandle<Tally>) {
    log.cap(1);
    let views = Views::new(log.clone(), store);
    let handle = views.register(Tally { piece }).unwrap();
    (views, handle)
}

/// Lets `count` entries arrive, in as many batches.
fn arrive(log: &Log, from: u64, count: u64) {
    (from..from + count).for_each(|seq| log.arrive(id(1, seq), entry("x", 0, &[])));
}

fn sum(handle: &ViewHandle<Tally>) -> u64 {
    handle.read(|index| index.parts.values().sum()).unwrap()
}

fn parts(handle: &ViewHandle<Tally>) -> usize {
    handle.read(|index| index.parts.len()).unwrap_or(usize::MAX)
}

#[test]
fn it_goes_on_beside_indexing_and_changes_no_answer() {
    let (log, gate) = (Log::new(), Gate::default());
    let waits = gate.clone();
    let (views, handle) = register(
        &log,
        memory(),
        Arc::new(move || {
            waits.pass();
            Ok(())
        }),
    );
    arrive(&log, 0, 10);
    handle.ready().unwrap();
    assert_eq!(sum(&handle), 10);
    arrive(&log, 10, 10);
    handle.ready().unwrap(); // though a piece of upkeep waits
    assert_eq!((sum(&handle), parts(&handle) > 10), (20, true));
    gate.open();
    eventually("one part", || parts(&handle) == 1);
    assert_eq!(sum(&handle), 20);
    views.close();
    assert_eq!(sum(&handle), 20, "what is indexed stays readable");
}

#[test]
fn nothing_is_done_during_a_pause() {
    let (log, pieces) = (Log::new(), Arc::new(AtomicUsize::new(0)));
    let counted = pieces.clone();
    let piece = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(3));
        Ok(())
    };
    let (_views, handle) = register(&log, memory(), Arc::new(piece));
    arrive(&log, 0, 60);
    eventually("upkeep", || pieces.load(Ordering::SeqCst) > 2);
    let pause = handle.pause();
    let before = pieces.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(pieces.load(Ordering::SeqCst), before);
    drop(pause);
    eventually("one part", || parts(&handle) == 1);
    assert_eq!(sum(&handle), 60);
}

#[test]
fn closing_waits_for_one_piece_only() {
    let (log, store) = (Log::new(), memory());
    let slow = || {
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    };
    let (views, handle) = register(&log, store.clone(), Arc::new(slow));
    arrive(&log, 0, 200);
    handle.ready().unwrap();
    let start = Instant::now();
    views.close();
    assert!(start.elapsed() < Duration::from_secs(2), "there were pieces for twenty seconds");
    drop((views, handle));
    let (_views, handle) = register(&log, store, Arc::new(|| Ok(())));
    eventually("one part", || parts(&handle) == 1);
    assert_eq!(sum(&handle), 200);
}

#[test]
fn a_piece_that_fails_or_panics_is_tried_again() {
    for panics in [false, true] {
        let (log, tries) = (Log::new(), Arc::new(AtomicUsize::new(0)));
        let counted = tries.clone();
        let piece = move || match counted.fetch_add(1, Ordering::SeqCst) {
            1 | 6 if panics => panic!("a broken piece"),
            1 | 6 => Err(ViewError::Custom("a broken piece".into())),
            _ => Ok(()),
        };
        let (_views, handle) = register(&log, memory(), Arc::new(piece));
        arrive(&log, 0, 30);
        eventually("one part", || parts(&handle) == 1 && tries.load(Ordering::SeqCst) > 7);
        assert_eq!(sum(&handle), 30);
    }
}

/// Every write of batches and of what upkeep installs fails once, with and without its effect.
#[test]
fn no_failing_write_changes_what_is_counted() {
    for fault in [Fault::Refuse, Fault::Unheard] {
        for n in 0..40 {
            let (log, plan) = (Log::new(), FaultPlan::none());
            let store: Arc<dyn Store> = Arc::new(FaultStore::new(memory(), plan.clone()));
            plan.fail(Call::Apply, n, fault);
            let (views, handle) = register(&log, store, Arc::new(|| Ok(())));
            arrive(&log, 0, 24);
            eventually("one part", || {
                handle.ready().is_ok() && parts(&handle) == 1 && views.status()[0].error.is_none()
            });
            assert_eq!(
                handle.read(|index| index.parts.values().sum::<u64>()).unwrap_or(24),
                24,
                "{fault:?} {n}"
            );
        }
    }
}

#[test]
fn what_is_done_for_rows_that_are_made_anew_goes_with_them() {
    let (log, gate) = (Log::new(), Gate::default());
    let (waits, seen) = (gate.clone(), Arc::new(Mutex::new(0)));
    let first = seen.clone();
    let piece = move || {
        let mut pieces = first.lock().unwrap();
        *pieces += 1;
        if *pieces == 2 {
            drop(pieces);
            waits.pass();
        }
        Ok(())
    };
    let (views, handle) = register(&log, memory(), Arc::new(piece));
    arrive(&log, 0, 20);
    eventually("upkeep", || *seen.lock().unwrap() == 2);
    log.become_other(
        (0..7).map(|seq| (EntryId { feed: FeedKey([9; 32]), seq }, entry("y", 0, &[]))).collect(),
    );
    gate.open();
    log.cap(1);
    views.rebuild(None).unwrap();
    eventually("one part", || parts(&handle) == 1);
    assert_eq!(sum(&handle), 7);
}
