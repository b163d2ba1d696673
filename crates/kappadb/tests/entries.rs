//! Entries of any space, by name and in the order of their feed.

use kappadb::Database;
use kappadb::view::{Draft, Kind};

#[tokio::test]
async fn entries_of_ones_own_space_are_read_by_name_by_feed_and_by_pages_however_large() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
    let database = builder().create().await.unwrap();
    let draft = |payload: Vec<u8>| Draft { payload, ..Draft::new(Kind { space: 5_000, code: 7 }) };
    let small: Vec<Draft> = (0..10u8).map(|n| draft(vec![n; 3])).collect();
    let ids = database.write(small).await.unwrap();
    let large = vec![9; 3 << 20];
    let large_id = database.write(vec![draft(large.clone())]).await.unwrap()[0];

    let entry = database.read(ids[4]).await.unwrap().unwrap();
    assert_eq!((entry.header.kind.code, entry.payload.as_deref()), (7, Some(&[4u8; 3][..])));
    let mut reader = database.read_payload(large_id).await.unwrap();
    let mut read = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        read.extend_from_slice(&bytes);
    }
    assert!(read == large);

    let (mut seen, mut from) = (Vec::new(), Some(ids[2].seq));
    while let Some(seq) = from {
        let page = database.entries(ids[0].feed, seq, 3).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.into_iter().map(|(id, _)| id));
        from = page.next;
    }
    seen.retain(|id| *id <= ids[9]);
    assert_eq!(seen, ids[2..]);
    assert_eq!(database.entries(ids[0].feed, 1_000_000, 3).await.unwrap(), Default::default());
    let unknown = kappadb::EntryId { seq: 1_000_000, ..ids[0] };
    assert_eq!(database.read(unknown).await.unwrap(), None);
    database.close().await.unwrap();
}
