//! Packed rows against a plain set, whatever is merged, swept or cut off meanwhile.

use kappadb_core::{EntryId, FeedKey};
use kappadb_store::{MemoryStore, Overlay, Store, Tree};
use kappadb_view::ViewError;
use kappadb_view::packed::{Area, Leftovers, Merge, Merged, Shelf, Sweep, Table, TableJob, Withdrawn, after};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const AREA: Area = Area { prefix: 7, sort: 0 };
/// What lies beside it must not matter.
const BESIDE: Area = Area { prefix: 7, sort: 1 };
const FEW: u64 = 6;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<Vec<u8>>),
    /// Begins a merge or sweep, or goes on with it.
    Work(bool),
    /// What is under way is lost, as by a crash.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xff]), 0..5);
    let step = prop_oneof![
        4 => prop::collection::vec(key, 0..9).prop_map(Step::Add),
        4 => any::<bool>().prop_map(Step::Work),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..60)
}

enum Job {
    Merge(Merge),
    Sweep(Sweep),
}

struct Rig {
    tree: Arc<dyn Tree>,
    shelf: Shelf,
    leftovers: Leftovers,
    job: Option<Job>,
}

impl Rig {
    fn open(tree: Arc<dyn Tree>) -> Rig {
        let shelf = Shelf::load(tree.clone(), AREA, FEW).unwrap();
        let leftovers = Leftovers::find(&*tree, &[(AREA, shelf.runs())]).unwrap();
        Rig { tree, shelf, leftovers, job: None }
    }

    fn commit(&mut self, change: impl FnOnce(&mut Shelf, &mut Overlay<'_>)) {
        let tree = self.tree.clone();
        let mut rows = Overlay::new(&*tree);
        change(&mut self.shelf, &mut rows);
        tree.apply(&rows.into_batch()).unwrap();
    }

    /// False if there is nothing to do.
    fn work(&mut self, idle: bool) -> bool {
        let begin = || self.leftovers.sweep(&self.tree).map(Job::Sweep);
        let job = self.job.take().or_else(begin).or_else(|| self.shelf.due(idle).map(Job::Merge));
        let Some(mut job) = job else { return false };
        let more = match &mut job {
            Job::Merge(merge) => merge.work().unwrap(),
            Job::Sweep(sweep) => sweep.work().unwrap(),
        };
        match job {
            job if more => self.job = Some(job),
            Job::Sweep(sweep) => self.leftovers.swept(&sweep),
            Job::Merge(merge) => {
                self.leftovers.add(merge.origins());
                self.commit(|shelf, rows| shelf.install(merge, rows));
            }
        }
        true
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Add(keys) => self.commit(|shelf, rows| shelf.add(keys.clone(), rows).unwrap()),
            Step::Work(idle) => drop(self.work(*idle)),
            Step::Reopen => *self = Rig::open(self.tree.clone()),
        }
    }
}

fn all(mut rows: Merged<'_>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while rows.advance().unwrap() {
        keys.push(rows.key().to_vec());
    }
    keys
}

proptest! {
    #[test]
    fn what_was_added_is_there_once_from_both_ends_whatever_is_merged_meanwhile(
        steps in steps(), prefix in prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xff]), 0..3),
    ) {
        let tree = MemoryStore::new().tree("t").unwrap();
        let mut beside = Rig { shelf: Shelf::load(tree.clone(), BESIDE, FEW).unwrap(), ..Rig::open(tree.clone()) };
        beside.step(&Step::Add(vec![b"beside".to_vec()]));
        let (mut rig, mut model) = (Rig::open(tree.clone()), BTreeSet::new());
        for step in &steps {
            rig.step(step);
            model.extend(if let Step::Add(keys) = step { keys.clone() } else { Vec::new() });
            let expected: Vec<Vec<u8>> = model.iter().cloned().collect();
            prop_assert_eq!(&all(rig.shelf.range(&[], None, false).unwrap()), &expected);
            let begun: Vec<Vec<u8>> = expected.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
            prop_assert_eq!(&all(rig.shelf.with_prefix(&prefix).unwrap()), &begun);
            let mut back = all(rig.shelf.range(&prefix, after(&prefix).as_deref(), true).unwrap());
            back.reverse();
            prop_assert_eq!(&back, &begun);
            prop_assert_eq!(rig.shelf.audit().unwrap(), Vec::<String>::new());
        }
        while rig.work(true) {}
        // Merged and swept: hardly more runs than sizes, and no page that is of none of them.
        prop_assert!(rig.shelf.runs().len() < 6, "{:?}", rig.shelf.runs());
        let left = Leftovers::find(&*tree, &[(AREA, rig.shelf.runs()), (BESIDE, beside.shelf.runs())]).unwrap();
        prop_assert!(left.sweep(&tree).is_none());
        prop_assert_eq!(all(beside.shelf.range(&[], None, false).unwrap()), vec![b"beside".to_vec()]);
    }

    #[test]
    fn entries_that_were_withdrawn_are_known_until_they_are_held_again(
        fates in prop::collection::vec((0..3u8, 0..20u64, any::<bool>()), 0..40), batch in 1..5usize,
    ) {
        let tree = MemoryStore::new().tree("t").unwrap();
        let (mut withdrawn, mut model) = (Withdrawn::load(&*tree, 7).unwrap(), BTreeSet::new());
        let fates: Vec<(EntryId, bool)> =
            fates.into_iter().map(|(feed, seq, held)| (EntryId { feed: FeedKey([feed; 32]), seq }, held)).collect();
        for fates in fates.chunks(batch) {
            let mut rows = Overlay::new(&*tree);
            withdrawn.change(fates.iter().copied(), &mut rows);
            tree.apply(&rows.into_batch()).unwrap();
            for (id, held) in fates {
                if *held { model.remove(id) } else { model.insert(*id) };
            }
            let again = Withdrawn::load(&*tree, 7).unwrap();
            for (id, _) in fates {
                prop_assert_eq!(withdrawn.contains(id), model.contains(id));
                prop_assert_eq!(again.contains(id), model.contains(id));
            }
        }
    }
}

/// A table and what it should say.
struct TableRig {
    tree: Arc<dyn Tree>,
    table: Table,
    job: Option<TableJob>,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl TableRig {
    fn open(tree: Arc<dyn Tree>, model: BTreeMap<Vec<u8>, Vec<u8>>) -> TableRig {
        TableRig { table: Table::load(tree.clone(), AREA, 4).unwrap(), tree, job: None, model }
    }

    fn commit(&mut self, change: impl FnOnce(&mut Table, &mut Overlay<'_>)) {
        let tree = self.tree.clone();
        let mut rows = Overlay::new(&*tree);
        change(&mut self.table, &mut rows);
        tree.apply(&rows.into_batch()).unwrap();
    }

    fn put(&mut self, rows: &[Put]) {
        for (key, value) in rows {
            match value {
                Some(value) => drop(self.model.insert(key.clone(), value.clone())),
                None => drop(self.model.remove(key)),
            }
        }
        self.commit(|table, out| {
            rows.iter().for_each(|(key, value)| table.put(key, value.clone()));
            table.log(out).unwrap();
        });
    }

    /// False if there is nothing to do.
    fn work(&mut self, idle: bool) -> bool {
        let Some(mut job) = self.job.take().or_else(|| self.table.due(idle)) else { return false };
        match job.work().unwrap() {
            true => self.job = Some(job),
            false => self.commit(|table, rows| table.install(job, rows).unwrap()),
        }
        true
    }

    fn rows(&self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.table.range(from, to, backwards).unwrap().map(Result::unwrap);
        rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }
}

type Put = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Clone)]
enum TableStep {
    Put(Vec<Put>),
    /// Begins work in the background, or goes on with it.
    Work(bool),
    /// What is under way is lost, as by a crash.
    Reopen,
}

fn table_steps() -> impl Strategy<Value = Vec<TableStep>> {
    let key = prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xff]), 0..4);
    // Some are larger than a page, some than what its ends can say.
    let value = (1..250u8, prop::sample::select(vec![1usize, 2, 9, 3_000, 70_000]));
    let value = prop::option::weighted(0.8, value.prop_map(|(byte, len)| vec![byte; len]));
    let step = prop_oneof![
        4 => prop::collection::vec((key, value), 0..7).prop_map(TableStep::Put),
        4 => any::<bool>().prop_map(TableStep::Work),
        1 => Just(TableStep::Reopen),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn a_table_says_what_was_put_last_from_both_ends_whatever_is_merged_meanwhile(
        steps in table_steps(), bounds: (Vec<bool>, Option<Vec<bool>>),
    ) {
        let bytes = |bits: &Vec<bool>| bits.iter().take(3).map(|bit| u8::from(*bit)).collect::<Vec<u8>>();
        let (from, to) = (bytes(&bounds.0), bounds.1.as_ref().map(bytes));
        let tree = MemoryStore::new().tree("t").unwrap();
        let mut rig = TableRig::open(tree, BTreeMap::new());
        for step in steps {
            match step {
                TableStep::Put(rows) => rig.put(&rows),
                TableStep::Work(idle) => drop(rig.work(idle)),
                TableStep::Reopen => rig = TableRig::open(rig.tree.clone(), rig.model),
            }
            let within = |key: &[u8]| key >= &from[..] && to.as_ref().is_none_or(|to| key < &to[..]);
            let mut expected: Vec<_> = rig.model.clone().into_iter().filter(|(key, _)| within(key)).collect();
            prop_assert_eq!(&rig.rows(&from, to.as_deref(), false), &expected);
            expected.reverse();
            prop_assert_eq!(&rig.rows(&from, to.as_deref(), true), &expected);
            for key in [&[][..], &[0], &[1, 0], &[0xff, 1, 0]] {
                prop_assert_eq!(rig.table.get(key).unwrap().map(|v| v.to_vec()), rig.model.get(key).cloned());
            }
            prop_assert_eq!(rig.table.is_empty().unwrap(), rig.model.is_empty());
            prop_assert_eq!(rig.table.audit().unwrap(), Vec::<String>::new());
        }
        rig.put(&rig.model.clone().into_keys().map(|key| (key, None)).collect::<Vec<_>>());
        while rig.work(true) {}
        prop_assert!(rig.table.is_empty().unwrap());
    }
}

#[test]
fn a_log_of_a_table_that_lacks_a_row_or_was_cut_is_an_error() {
    let rows = |count: u8| {
        let tree = MemoryStore::new().tree("t").unwrap();
        let mut rig = TableRig::open(tree.clone(), BTreeMap::new());
        (0..count).for_each(|n| rig.put(&[(vec![n], Some(vec![n + 1]))]));
        tree
    };
    let key = |n: u8| [&[7, 3, 0][..], &u64::from(n).to_be_bytes()].concat();
    for change in [None, Some(&b"\x01\0\0\0k\x09\0\0\0v"[..])] {
        let tree = rows(3);
        let mut batch = kappadb_store::Batch::new();
        match change {
            None => batch.delete(key(1)),
            Some(row) => batch.put(key(1), row),
        }
        tree.apply(&batch).unwrap();
        let error = Table::load(tree, AREA, 4).err().unwrap();
        assert!(error.wants_rebuild(), "{error}");
    }
}

#[test]
fn a_run_whose_size_cannot_be_read_is_an_error() {
    let tree = MemoryStore::new().tree("t").unwrap();
    let mut rig = Rig::open(tree.clone());
    rig.step(&Step::Add(vec![b"key".to_vec()]));
    let (key, _) = kappadb_store::prefix_range(&*tree, &[7, 1]).next().unwrap().unwrap();
    let mut batch = kappadb_store::Batch::new();
    batch.put(key, "short");
    tree.apply(&batch).unwrap();
    let error = Shelf::load(tree, AREA, FEW).err().unwrap();
    assert!(matches!(error, ViewError::Inconsistent(_)), "{error}");
}
