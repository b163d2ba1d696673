//! A store that is closed while others hold it.

use kappadb_store::*;

#[test]
fn a_store_that_was_closed_can_be_opened_while_somebody_still_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    let tree = first.tree("t").unwrap();
    let mut batch = Batch::new();
    batch.put("key", "value");
    tree.apply(&batch).unwrap();
    first.close().unwrap();
    first.close().unwrap();
    let is_closed = |error: StoreError| matches!(error, StoreError::Closed);
    assert!(tree.get(b"key").is_err_and(is_closed));
    assert!(tree.apply(&batch).is_err_and(is_closed));
    assert!(tree.files(1).is_err_and(is_closed));
    assert!(first.tree("u").is_err_and(is_closed));

    let second = SledStore::open(dir.path(), SledOptions::default()).unwrap();
    assert_eq!(second.tree("t").unwrap().get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    // Whoever goes last leaves the other's folder alone.
    drop((tree, first));
    let third = SledStore::open(dir.path(), SledOptions::default());
    assert!(matches!(third, Err(StoreError::Locked { .. })));
    drop(second);
    SledStore::open(dir.path(), SledOptions::default()).unwrap();
}
