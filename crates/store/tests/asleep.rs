//! More stores than the process may have engines open: those that nobody uses sleep, and nobody notices.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_store::{Batch, FileId, SledOptions, SledStore, Store, StoreError, Tree};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};

/// Descriptors for two engines, and as many for everything else.
const DESCRIPTORS: u64 = 370;
const STORES: usize = 8;

/// What the tests do with the process's limit does not mix.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    allow(DESCRIPTORS);
    alone
}

fn allow(descriptors: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).unwrap();
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn open(dir: &Path, n: usize) -> SledStore {
    SledStore::open(&dir.join(n.to_string()), SledOptions::default()).unwrap()
}

fn put(tree: &dyn Tree, key: &str, value: &str) {
    let mut batch = Batch::new();
    batch.put(key.to_owned(), value.to_owned());
    tree.apply(&batch).unwrap();
}

#[test]
fn stores_take_turns_and_all_that_was_written_is_there() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<SledStore> = (0..STORES).map(|n| open(dir.path(), n)).collect();
    let slept = Arc::new(AtomicUsize::new(0));
    for store in &stores {
        let slept = slept.clone();
        store.on_sleep(Arc::new(move || {
            slept.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let trees: Vec<Arc<dyn Tree>> = stores.iter().map(|store| store.tree("rows").unwrap()).collect();
    for round in 0..3 {
        for (n, tree) in trees.iter().enumerate() {
            put(&**tree, &format!("{round}"), &format!("{n} {round}"));
            assert_eq!(tree.get(format!("{round}").as_bytes()).unwrap().unwrap(), format!("{n} {round}"));
        }
        let held = descriptors();
        assert!(held < 250, "{held} descriptors");
    }
    assert!(slept.load(Ordering::Relaxed) >= 2 * STORES);
    stores[0].tree("made late").unwrap();
    assert!(stores[1].drop_tree("rows").unwrap());
    assert!(matches!(trees[1].get(b"0"), Err(StoreError::Dropped(_))));
    // One is dropped and its tree is not, one is closed, in whatever state they are.
    let mut stores: Vec<Option<SledStore>> = stores.into_iter().map(Some).collect();
    drop(stores[2].take());
    put(&*trees[2], "after", "it");
    stores[3].as_ref().unwrap().close().unwrap();
    assert!(matches!(trees[3].get(b"0"), Err(StoreError::Closed)));
    drop((trees, stores));
    for n in 0..STORES {
        let store = open(dir.path(), n);
        let rows = store.tree("rows").unwrap();
        for round in 0..3 {
            let row = rows.get(format!("{round}").as_bytes()).unwrap();
            assert_eq!(row.is_some(), n != 1, "{n} {round}");
        }
        assert_eq!(rows.get(b"after").unwrap().is_some(), n == 2);
        assert_eq!(store.trees().unwrap().contains(&"made late".to_owned()), n == 0);
    }
}

#[test]
fn many_threads_at_many_stores_wait_for_each_other_and_never_for_ever() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<SledStore> = (0..STORES).map(|n| open(dir.path(), n)).collect();
    let begin = Barrier::new(STORES * 2);
    std::thread::scope(|scope| {
        for store in &stores {
            for half in 0..2 {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    for n in 0..15 {
                        let tree = store.tree(&format!("tree {}", n % 3)).unwrap();
                        put(&*tree, &format!("{half} {n}"), "value");
                        if n % 5 == 4 {
                            store.flush().unwrap();
                        }
                        assert!(tree.get(format!("{half} {n}").as_bytes()).unwrap().is_some());
                    }
                });
            }
        }
    });
    for store in &stores {
        let rows = (0..3).map(|n| store.tree(&format!("tree {n}")).unwrap());
        let rows: usize = rows.map(|tree| kappadb_store::prefix_range(&*tree, b"").count()).sum();
        assert_eq!(rows, 30);
    }
}

#[test]
fn a_file_that_is_read_can_be_read_after_sleep_also_once_it_is_removed() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0);
    let tree = store.tree("rows").unwrap();
    let files: Vec<_> = [1, 2].map(|number| FileId { group: 0, number }).into_iter().collect();
    let read: Vec<_> = files
        .iter()
        .map(|id| {
            let mut file = tree.new_file(*id).unwrap();
            file.write(b"content").unwrap();
            file.finish().unwrap()
        })
        .collect();
    put(&*tree, "speaks of", "them");
    let others: Vec<SledStore> = (1..4).map(|n| open(dir.path(), n)).collect();
    for file in &read {
        assert_eq!(file.read(0, 7).unwrap(), "content");
    }
    let mut batch = Batch::new();
    batch.remove_file(files[0]);
    tree.apply(&batch).unwrap();
    store.flush().unwrap();
    others.iter().for_each(|other| drop(other.tree("rows").unwrap()));
    assert_eq!(tree.files(0).unwrap(), [2]);
    for file in &read {
        assert_eq!(file.read(0, 7).unwrap(), "content");
    }
}

#[test]
fn a_process_that_may_have_no_more_files_is_told_so_and_goes_on_later() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0);
    let tree = store.tree("rows").unwrap();
    put(&*tree, "key", "value");
    let others: Vec<SledStore> = (1..4).map(|n| open(dir.path(), n)).collect();
    drop(others);
    // It sleeps. Somebody else takes what the process may have.
    let taken: Vec<fs::File> = (0..).map_while(|_| fs::File::open(dir.path()).ok()).collect();
    let error = tree.get(b"key").unwrap_err();
    assert!(matches!(error, StoreError::TooManyFiles { .. }), "{error}");
    assert!(error.to_string().contains("too many open files"), "{error}");
    let error = SledStore::open(&dir.path().join("new"), SledOptions::default()).err().unwrap();
    assert!(matches!(error, StoreError::TooManyFiles { .. }), "{error}");
    drop(taken);
    assert_eq!(tree.get(b"key").unwrap().unwrap(), "value");
}
