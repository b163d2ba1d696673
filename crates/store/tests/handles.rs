//! What a store holds of the process it is in.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_store::*;
use std::fs;

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

#[test]
fn a_store_that_was_opened_and_closed_often_leaves_no_files_and_no_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = None;
    for n in 0..50u32 {
        let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
        let tree = store.tree("t").unwrap();
        let mut batch = Batch::new();
        batch.put(n.to_be_bytes().to_vec(), "value");
        tree.apply(&batch).unwrap();
        drop(tree);
        drop(store);
        // The first opening starts threads that are for all. One that ends may be seen for a moment longer.
        let (files, threads) = (count("fd"), count("task"));
        let (files_before, threads_before) = *before.get_or_insert((files, threads));
        assert_eq!(files_before, files, "files, opening {n}");
        assert!(threads <= threads_before + 3, "{threads} threads, opening {n}");
    }
}
