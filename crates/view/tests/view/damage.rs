//! Rows that went bad on the disk while nobody looked.
use crate::common::*;
use kappadb_store::{SledOptions, SledStore, Store};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The footer of a file is compared at opening; its pages are when they are read.
#[test]
fn verify_finds_a_byte_that_changed_in_a_file_and_has_the_view_made_anew() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    (0..3_000).for_each(|n| log.arrive(id(0, n), entry(&format!("key {n:04}"), 0, &[])));
    let store =
        || -> Arc<dyn Store> { Arc::new(SledStore::open(dir.path(), SledOptions::default()).unwrap()) };
    {
        let (_views, handle) = open(&log, &store());
        handle.ready().unwrap();
        handle.rest().unwrap();
    }
    let packed = files(&dir.path().join("files"));
    assert!(!packed.is_empty(), "nothing was packed");
    for path in packed {
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let (middle, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
        file.read_exact_at(&mut byte, middle).unwrap();
        file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    }
    let (views, handle) = open(&log, &store());
    let problems = views.verify().unwrap();
    assert!(problems.len() == 1 && problems[0].contains("view kv"), "{problems:?}");
    assert_as_expected(&views, &handle, &log);
}
