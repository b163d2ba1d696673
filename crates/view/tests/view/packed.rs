//! Packed rows against a plain map, whatever is merged or cut off meanwhile.

use kappadb_core::{EntryId, FeedKey};
use kappadb_store::{
    Call, Fault, FaultPlan, FaultStore, MemoryStore, Overlay, SledOptions, SledStore, Store, StoreError, Tree,
};
use kappadb_view::ViewError;
use kappadb_view::packed::{Area, Table, TableJob, Withdrawn, after};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const AREA: Area = Area { prefix: 7, sort: 0 };
/// What lies beside it must not matter.
const BESIDE: Area = Area { prefix: 7, sort: 1 };
const FEW: usize = 4;

proptest! {
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
        TableRig { table: Table::load(tree.clone(), AREA, FEW).unwrap(), tree, job: None, model }
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
            rows.iter().for_each(|(key, value)| table.put(key, value.as_deref()));
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
        let mut rows = self.table.range(from, to, backwards).unwrap();
        let mut found = Vec::new();
        while rows.advance().unwrap() {
            found.push((rows.key().to_vec(), rows.value().unwrap().to_vec()));
        }
        found
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
        let mut beside = Table::load(tree.clone(), BESIDE, 1).unwrap();
        beside.add(b"beside");
        let mut rows = Overlay::new(&*tree);
        beside.log(&mut rows).unwrap();
        tree.apply(&rows.into_batch()).unwrap();
        let mut rig = TableRig::open(tree.clone(), BTreeMap::new());
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
                prop_assert_eq!(rig.table.read().get(key).unwrap().map(|v| v.to_vec()), rig.model.get(key).cloned());
            }
            prop_assert_eq!(rig.table.read().is_empty().unwrap(), rig.model.is_empty());
            prop_assert_eq!(rig.table.audit().unwrap(), Vec::<String>::new());
        }
        while rig.work(true) {}
        // Merged: hardly more runs than sizes, and no file that is of none of them.
        let count = rig.table.runs().len();
        prop_assert!(count < 6, "{:?}", rig.table.runs());
        prop_assert_eq!(tree.files(AREA.file(0).group).unwrap().len(), count);
        rig.put(&rig.model.clone().into_keys().map(|key| (key, None)).collect::<Vec<_>>());
        while rig.work(true) {}
        prop_assert!(rig.table.read().is_empty().unwrap());
        prop_assert!(beside.with_prefix(b"be").unwrap().advance().unwrap());
        prop_assert_eq!(beside.read().get(b"beside").unwrap().is_some(), after(b"be").is_some());
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

fn three_runs(tree: &Arc<dyn Tree>) -> TableRig {
    let mut rig = TableRig::open(tree.clone(), BTreeMap::new());
    (0..12).for_each(|n| rig.put(&[(vec![n], Some(vec![n + 1]))]));
    rig
}

#[test]
fn a_run_that_cannot_be_read_or_is_another_one_is_an_error() {
    let tree = MemoryStore::new().tree("t").unwrap();
    let rig = three_runs(&tree);
    let mut wrong = Vec::new();
    let (key, row) = kappadb_store::prefix_range(&*tree, &[7, 1]).next().unwrap().unwrap();
    for at in 0..row.len() {
        let mut row = row.to_vec();
        // But for its age, which nothing vouches for.
        row[at] ^= u8::from(!(8..16).contains(&at));
        wrong.push(row);
    }
    wrong.push(b"short".to_vec());
    for wrong in wrong.into_iter().filter(|wrong| *wrong != row) {
        let mut batch = kappadb_store::Batch::new();
        batch.put(key.clone(), wrong.clone());
        tree.apply(&batch).unwrap();
        let error = Table::load(tree.clone(), AREA, FEW).err().unwrap();
        assert!(matches!(error, ViewError::Inconsistent(_)), "{wrong:?}: {error}");
    }
    let mut batch = kappadb_store::Batch::new();
    batch.put(key, row);
    rig.table.runs().iter().for_each(|run| batch.remove_file(AREA.file(run.number)));
    tree.apply(&batch).unwrap();
    let error = Table::load(tree, AREA, FEW).err().unwrap();
    assert!(error.wants_rebuild(), "a file is gone: {error}");
}

#[test]
fn on_a_full_disk_rows_stay_in_memory_and_runs_as_they_are() {
    let full = FaultPlan::none();
    let tree = FaultStore::new(Arc::new(MemoryStore::new()), full.clone()).tree("t").unwrap();
    let mut rig = TableRig::open(tree.clone(), BTreeMap::new());
    let put = |rig: &mut TableRig, n: u8| rig.put(&[(vec![n], Some(vec![n + 1]))]);
    (0..20).for_each(|n| put(&mut rig, n));
    let runs = rig.table.runs().len();
    (0..1_000).for_each(|n| full.fail(Call::NewFile, n, Fault::Full));
    (20..60).for_each(|n| put(&mut rig, n));
    assert_eq!(rig.table.runs().len(), runs, "nothing was packed");
    (0..9).for_each(|_| assert!(rig.work(true) || rig.job.is_none()));
    assert!(!rig.work(true), "it is not tried again and again");
    let expected: Vec<_> = rig.model.clone().into_iter().collect();
    assert_eq!(rig.rows(&[], None, false), expected);
    rig = TableRig::open(tree, rig.model);
    assert_eq!(
        rig.rows(&[], None, false),
        expected,
        "and what is in the log is there when it is opened again"
    );
    full.heal();
    put(&mut rig, 60);
    while rig.work(true) {}
    assert!(rig.table.runs().len() < runs);
    assert_eq!(rig.rows(&[], None, false).len(), 61);
}

#[test]
fn what_is_packed_is_on_the_disk_when_the_store_was_flushed_and_files_of_no_use_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let open = || SledStore::open(dir.path(), SledOptions::default()).unwrap();
    let store = open();
    let mut rig = three_runs(&store.tree("t").unwrap());
    let expected = rig.rows(&[], None, false);
    while rig.work(true) {}
    drop(rig);
    drop(store);
    let store = open();
    let tree = store.tree("t").unwrap();
    // What a merge leaves that was cut off.
    drop(tree.new_file(AREA.file(99)).unwrap().finish().unwrap());
    let rig = TableRig::open(tree.clone(), BTreeMap::new());
    assert_eq!(rig.rows(&[], None, false), expected);
    store.flush().unwrap();
    assert_eq!(tree.files(AREA.file(0).group).unwrap().len(), rig.table.runs().len());
    store.drop_tree("t").unwrap();
    store.flush().unwrap();
    assert!(matches!(tree.files(0), Err(StoreError::Dropped(_))));
    assert_eq!(store.tree("t").unwrap().files(AREA.file(0).group).unwrap(), Vec::<u64>::new());
}
