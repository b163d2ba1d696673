//! Blobs and large features: what goes in comes out, in parts too; only what is asked for travels; memory is bounded; what
//! is missing or wrong is said.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use kappadb::view::{Draft, Kind, space};
use kappadb::{
    AttachError, Attachment, BlobError, Database, EntryId, Extent, ImportOptions, Label, Map, PutBlobError,
    RangeSet, Server, Source, geojson, is_not_held,
};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

const CHUNK: u64 = 64 << 10;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// The byte of a made-up file at this place: no period near a chunk's size.
fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]
}

fn bytes(range: Range<u64>) -> Vec<u8> {
    range.map(byte).collect()
}

async fn create(dir: &Path) -> Database {
    Database::builder(dir).create().await.unwrap()
}

async fn served(dir: &Path) -> (Database, Server, Database) {
    let full = create(&dir.join("full")).await;
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let sparse = Database::builder(dir.join("sparse")).join(&server.ticket()).await.unwrap();
    (full, server, sparse)
}

async fn held(database: &Database) -> u64 {
    database.status().await.unwrap().feeds.iter().map(|feed| feed.held).sum()
}

async fn read(database: &Database, id: EntryId, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
    let mut reader = database.blobs().read(id, range).await?;
    let mut out = Vec::new();
    while let Some(bytes) = reader.next().await? {
        assert!(!bytes.is_empty());
        out.extend_from_slice(&bytes);
    }
    Ok(out)
}

fn missing(result: Result<Vec<u8>, BlobError>) -> Vec<Range<u64>> {
    match result {
        Err(BlobError::Missing { bytes, .. }) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn blobs_of_all_sizes_come_out_as_they_went_in_and_in_parts() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = create(dir.path()).await;
        let mut ids = Vec::new();
        let sizes =
            [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_333_333];
        for size in sizes {
            let label = Label { media_type: "application/x-test".to_owned(), name: format!("file {size}") };
            ids.push(database.blobs().put(bytes(0..size).as_slice(), label).await.unwrap());
        }
        for (size, id) in sizes.into_iter().zip(ids) {
            let info = database.blobs().info(id).await.unwrap();
            assert_eq!((info.bytes, info.held, info.label.name), (size, size, format!("file {size}")));
            assert!(read(&database, id, 0..u64::MAX).await.unwrap() == bytes(0..size), "{size}");
            for range in [0..0, 0..1, size / 2..size / 2 + 70_000, CHUNK - 1..CHUNK + 1, size..size + 9] {
                let within = range.start.min(size)..range.end.min(size);
                assert!(
                    read(&database, id, range.clone()).await.unwrap() == bytes(within),
                    "{size} {range:?}"
                );
            }
        }
        database.close().await.unwrap();
        let database = Database::builder(dir.path()).rebuild().open().await.unwrap();
        assert!(database.verify().await.unwrap().is_empty());
    });
}

#[test]
fn only_the_chunks_of_the_bytes_asked_for_travel() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, sparse) = served(dir.path()).await;
        let all = bytes(0..5 << 20);
        let id = full.blobs().put(all.as_slice(), Label::default()).await.unwrap();
        assert!(matches!(sparse.blobs().info(id).await, Err(BlobError::NotHeld(_))));

        let answer = sparse.blobs().fetch(id, 1_000_000..1_000_100).await.unwrap();
        assert!(answer.is_complete() && answer.asked.failures.is_empty());
        assert_eq!((answer.asked.blocks_fetched, held(&sparse).await), (2, 2), "the entry and one chunk");
        assert!(answer.asked.bytes_received < 80_000, "{}", answer.asked.bytes_received);
        assert_eq!(read(&sparse, id, 1_000_000..1_000_100).await.unwrap(), bytes(1_000_000..1_000_100));
        assert_eq!(sparse.blobs().info(id).await.unwrap().held, CHUNK);
        let chunk = 15 * CHUNK..16 * CHUNK;
        let rest = [0..chunk.start, chunk.end..5 << 20];
        assert_eq!(missing(read(&sparse, id, 0..u64::MAX).await), rest);
        // What is held is not asked for: not even a connection is made.
        let again = sparse.blobs().fetch(id, chunk).await.unwrap();
        assert_eq!((again.is_complete(), again.asked.bytes_sent), (true, 0));
        // Across a boundary it is two chunks, of which one is new.
        assert_eq!(
            sparse.blobs().fetch(id, 1_000_000..16 * CHUNK + 1).await.unwrap().asked.blocks_fetched,
            1
        );

        let answer = sparse.blobs().fetch(id, ..).await.unwrap();
        assert_eq!((answer.is_complete(), answer.asked.blocks_fetched), (true, 78));
        assert!(read(&sparse, id, 0..u64::MAX).await.unwrap() == all);
        server.stop().await;
        drop(full);
        assert!(sparse.verify().await.unwrap().is_empty());
    });
}

#[test]
fn a_newcomer_learns_which_blobs_there_are_without_their_bytes() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, sparse) = served(dir.path()).await;
        let mut ids = Vec::new();
        for size in [0, 1_000, 60_000, 5 << 20] {
            let label = Label { name: format!("{size}.jpg"), ..Label::default() };
            ids.push(full.blobs().put(bytes(0..size).as_slice(), label).await.unwrap());
        }
        full.kv().put("no", "blob").await.unwrap();
        ids.reverse();
        let list = async |of: &Database, after, limit| {
            let page = of.blobs().list(after, limit).await.unwrap().items;
            page.into_iter().map(|info| info.id).collect::<Vec<_>>()
        };
        assert_eq!(list(&full, None, 9).await, ids, "the latest first");
        assert_eq!(list(&sparse, None, 9).await, []);

        let answer = sparse.blobs().list(None, 1_000).from(Source::Peers).await.unwrap();
        assert_eq!((answer.is_complete(), answer.asked.blocks_fetched), (true, 4));
        assert!(answer.asked.bytes_received < 4_000, "{}", answer.asked.bytes_received);
        assert_eq!(list(&sparse, None, 3).await, ids[..3]);
        assert_eq!(list(&sparse, Some(ids[1]), 9).await, ids[2..]);
        let infos = sparse.blobs().list(None, 9).await.unwrap().items;
        let known: Vec<_> = infos.iter().map(|info| (info.bytes, info.held, &info.label.name[..])).collect();
        let expected = [
            (5 << 20, 0, "5242880.jpg"),
            (60_000, 0, "60000.jpg"),
            (1_000, 1_000, "1000.jpg"),
            (0, 0, "0.jpg"),
        ];
        assert_eq!(known, expected);
        let unknown = EntryId { seq: 99, ..ids[0] };
        assert!(matches!(sparse.blobs().list(Some(unknown), 9).await, Err(BlobError::NotHeld(_))));

        server.stop().await;
        sparse.drop_feed(ids[0].feed).await.unwrap();
        assert_eq!(list(&sparse, None, 9).await, [], "nor of a feed that was dropped");
    });
}

#[test]
fn what_no_peer_holds_is_said_to_be_missing() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, relay) = served(dir.path()).await;
        let id = full.blobs().put(bytes(0..40 * CHUNK).as_slice(), Label::default()).await.unwrap();
        let _ = relay.blobs().fetch(id, CHUNK..2 * CHUNK).await.unwrap();
        let relayed = relay.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let last = Database::builder(dir.path().join("last")).join(&relayed.ticket()).await.unwrap();
        let answer = last.blobs().fetch(id, ..).await.unwrap();
        assert_eq!((answer.is_complete(), answer.asked.blocks_fetched, answer.asked.peers), (false, 2, 1));
        assert_eq!(missing(read(&last, id, 0..u64::MAX).await), [0..CHUNK, 2 * CHUNK..40 * CHUNK]);
        assert_eq!(read(&last, id, CHUNK..CHUNK + 5).await.unwrap(), bytes(CHUNK..CHUNK + 5));
        let unknown = EntryId { seq: 999, ..id };
        assert!(!last.blobs().fetch(unknown, ..).await.unwrap().is_complete());
        assert!(matches!(last.blobs().info(unknown).await, Err(BlobError::NotHeld(_))));
        relayed.stop().await;
        server.stop().await;
    });
}

/// A made-up file that tells how much of it was read, and may fail or stall at its end.
struct Given {
    read: Arc<AtomicU64>,
    end: u64,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Fail,
    Stall,
}

impl AsyncRead for Given {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let at = self.read.load(Ordering::Relaxed);
        let end = self.end.min(at + (buf.remaining() as u64).min(10_007));
        match self.then {
            Then::Fail if at == end => return Poll::Ready(Err(io::Error::other("unplugged"))),
            Then::Stall if at == end => return Poll::Pending,
            _ => {}
        }
        buf.put_slice(&bytes(at..end));
        self.read.store(end, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// It is read no further ahead than what is appended, but for one batch in memory and what awaits the next sync.
#[test]
fn forty_megabytes_stream_through_a_few() {
    const SIZE: u64 = 40 << 20;
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, sparse) = served(dir.path()).await;
        let read = Arc::new(AtomicU64::new(0));
        let source = Given { read: read.clone(), end: SIZE, then: Then::End };
        let blobs = full.blobs();
        let put = tokio::spawn(async move { blobs.put(source, Label::default()).await });
        let mut most = 0;
        while !put.is_finished() {
            let ahead = read.load(Ordering::Relaxed);
            most = most.max(ahead.saturating_sub(held(&full).await * CHUNK));
        }
        let id = put.await.unwrap().unwrap();
        assert!(most > 0 && most <= 8 << 20, "{most} bytes ahead");
        assert!(sparse.blobs().fetch(id, ..).await.unwrap().is_complete());
        let mut reader = sparse.blobs().read(id, ..).await.unwrap();
        let mut at = 0;
        while let Some(part) = reader.next().await.unwrap() {
            assert!(part.len() as u64 <= CHUNK && part.first() == Some(&byte(at)));
            at += part.len() as u64;
            assert_eq!(part.last(), Some(&byte(at - 1)));
        }
        assert_eq!(at, SIZE);
        server.stop().await;
    });
}

#[test]
fn a_stalled_or_failed_reader_holds_up_nobody_and_makes_no_blob() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = create(dir.path()).await;
        let source = |then| Given { read: Arc::default(), end: (2 << 20) + 5, then };
        let stalled = source(Then::Stall);
        let (read, blobs) = (stalled.read.clone(), database.blobs());
        let put = tokio::spawn(async move { blobs.put(stalled, Label::default()).await });
        while read.load(Ordering::Relaxed) < 2 << 20 {
            tokio::task::yield_now().await;
        }
        let small = database.blobs().put(&b"small"[..], Label::default()).await.unwrap();
        assert_eq!(read_all(&database, small).await, b"small");
        put.abort();
        assert!(put.await.unwrap_err().is_cancelled());

        let failed = database.blobs().put(source(Then::Fail), Label::default()).await;
        assert!(matches!(failed, Err(PutBlobError::Input(error)) if error.to_string() == "unplugged"));
        let long = Label { name: "x".repeat(256), ..Label::default() };
        assert!(matches!(database.blobs().put(&b""[..], long).await, Err(PutBlobError::Write(_))));
        assert!(database.verify().await.unwrap().is_empty());
    });
}

async fn read_all(database: &Database, id: EntryId) -> Vec<u8> {
    read(database, id, 0..u64::MAX).await.unwrap()
}

/// Others' writes come in between: the chunks lie in several runs.
#[test]
fn blobs_written_side_by_side_do_not_mix() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = create(dir.path()).await;
        let puts = (1..4u64).map(|n| {
            let blobs = database.blobs();
            tokio::spawn(async move {
                let read = Arc::new(AtomicU64::new(n << 30));
                let source = Given { read, end: (n << 30) + n * (2 << 20) + 7, then: Then::End };
                blobs.put(source, Label::default()).await
            })
        });
        let puts: Vec<_> = puts.collect();
        for (put, n) in puts.into_iter().zip(1..) {
            let id = put.await.unwrap().unwrap();
            assert!(read_all(&database, id).await == bytes(n << 30..(n << 30) + n * (2 << 20) + 7));
        }
    });
}

#[test]
fn other_entries_are_no_blobs() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = create(dir.path()).await;
        let draft = Draft { payload: vec![1], ..Draft::new(Kind { space: space::KV, code: 0 }) };
        let ids = database.write(vec![draft]).await.unwrap();
        assert!(matches!(database.blobs().info(ids[0]).await, Err(BlobError::NotABlob(_))));
        assert!(matches!(database.blobs().read(ids[0], ..).await, Err(BlobError::NotABlob(_))));
        assert!(matches!(database.blobs().fetch(ids[0], ..).await, Err(BlobError::NotABlob(_))));
    });
}

/// A ring around (24, 60) with so many corners.
fn island(corners: u32) -> String {
    let ring: Vec<String> = (0..=corners)
        .map(|n| {
            let angle = f64::from(n % corners) / f64::from(corners) * std::f64::consts::TAU;
            // Not a smooth curve: neighbours' differences must not all be small.
            let radius = 0.3 + f64::from(n % corners % 97) / 1_000.0;
            format!("[{:.7},{:.7}]", 24.0 + radius * angle.cos(), 60.0 + radius * angle.sin())
        })
        .collect();
    let ring = ring.join(",");
    format!(
        r#"{{"type":"Feature","id":"island","properties":{{"natural":"coastline"}},"geometry":{{"type":"Polygon","coordinates":[[{ring}]]}}}}"#
    )
}

#[test]
fn a_large_polygon_comes_with_the_box_that_asks_for_it() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, sparse) = served(dir.path()).await;
        let feature = geojson::from_text(&island(200_000)).unwrap();
        full.map().put(feature.clone()).await.unwrap();
        let point = r#"{"type":"Feature","id":"p","properties":{},"geometry":{"type":"Point","coordinates":[24.0,60.0]}}"#;
        full.map().put(geojson::from_text(point).unwrap()).await.unwrap();
        let blocks = held(&full).await;
        assert!(blocks > 3, "{blocks}");
        assert_eq!(
            full.map().get("island").await.unwrap().one().unwrap().versions[0].feature,
            Some(feature.clone())
        );

        let extent: Extent = "24,60,24.1,60.1".parse().unwrap();
        let answer = sparse.map().query(&extent, None).from(Source::Peers).await.unwrap();
        assert!(answer.is_complete() && answer.asked.missing == 0 && answer.asked.failures.is_empty());
        assert_eq!(
            (answer.asked.blocks_fetched, answer.asked.round_trips),
            (blocks, 4),
            "one round trip more"
        );
        let hits = sparse.map().query(&extent, None).await.unwrap().items;
        let found = sparse.map().load(&hits).await.unwrap().items;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].versions[0].feature, Some(feature.clone()));
        assert_eq!(
            sparse.map().query(&extent, None).from(Source::Peers).await.unwrap().asked.blocks_fetched,
            0
        );

        // Of versions that are no longer current nothing travels.
        full.map().put(geojson::from_text(&island(190_000)).unwrap()).await.unwrap();
        full.map().put(feature).await.unwrap();
        let answer = sparse.map().query(&extent, None).from(Source::Peers).await.unwrap();
        assert_eq!((answer.asked.blocks_fetched, answer.asked.missing), (blocks - 1, 0), "all but the point");
        server.stop().await;
        drop(full);
        assert!(sparse.verify().await.unwrap().is_empty());
    });
}

/// A relay that holds the entry but not the content answers all the same; who asks later, where it is held, gets it.
#[test]
fn content_that_cannot_be_had_is_counted_and_fetched_when_it_can() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, relay) = served(dir.path()).await;
        let feature = geojson::from_text(&island(190_000)).unwrap();
        let id = full.map().put(feature.clone()).await.unwrap();
        relay.blobs().fetch(id, ..).await.unwrap_err();
        let relayed = relay.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let last = Database::builder(dir.path().join("last")).join(&relayed.ticket()).await.unwrap();
        let extent: Extent = "23,59,25,61".parse().unwrap();
        let answer = last.map().query(&extent, None).from(Source::Peers).await.unwrap();
        assert_eq!((answer.asked.missing, answer.asked.blocks_fetched), (1, 1));
        let hits = last.map().query(&extent, None).await.unwrap().items;
        let found = last.map().load(&hits).await.unwrap().items;
        assert_eq!((found[0].versions.len(), &found[0].versions[0].feature), (1, &None));
        last.close().await.unwrap();

        // Opened anew it has forgotten what it lacks, and notices when that is read.
        let last = Database::builder(dir.path().join("last")).join(&server.ticket()).await.unwrap();
        assert_eq!(last.map().load(&hits).await.unwrap().items[0].versions[0].feature, None);
        let answer = last.map().query(&extent, None).from(Source::Peers).await.unwrap();
        assert_eq!(answer.asked.missing, 0);
        assert!(answer.asked.blocks_fetched > 1);
        assert_eq!(last.map().load(&hits).await.unwrap().items[0].versions[0].feature, Some(feature));
        relayed.stop().await;
        server.stop().await;
    });
}

#[test]
fn a_photo_attached_to_a_feature_is_named_by_it_and_fetched_when_wanted() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, server, sparse) = served(dir.path()).await;
        let point = r#"{"type":"Feature","id":"p","properties":{"a":1.50},"geometry":{"type":"Point","coordinates":[24.0,60.0]}}"#;
        full.map().put(geojson::from_text(point).unwrap()).await.unwrap();
        let label = Label { media_type: "image/jpeg".to_owned(), name: "IMG_1.jpg".to_owned() };
        let photo = bytes(0..300_000);
        let first = full.map().attach("p", "front", &b"blurred"[..], label.clone()).await.unwrap();
        let blob = full.map().attach("p", "front", photo.as_slice(), label.clone()).await.unwrap();
        assert_eq!(read_all(&full, first).await, b"blurred", "what was replaced is a blob of its own still");

        let _ = sparse.map().query(&"24,60,24,60".parse().unwrap(), None).from(Source::Peers).await.unwrap();
        assert_eq!(held(&sparse).await, 1, "the feature's current version, no photo");
        let found = sparse.map().get("p").await.unwrap().one().unwrap();
        let feature = found.versions[0].feature.as_ref().unwrap();
        assert_eq!(Map::attachments(feature), [Attachment { name: "front".to_owned(), blob }]);
        assert!(geojson::to_text(feature).contains("\"a\":1.50"));
        assert!(sparse.blobs().fetch(blob, ..).await.unwrap().is_complete());
        assert_eq!(sparse.blobs().info(blob).await.unwrap().label, label);
        assert!(read_all(&sparse, blob).await == photo);

        let attach = |id: &'static str, name: &'static str| {
            let full = full.clone();
            async move { full.map().attach(id, name, &b""[..], Label::default()).await }
        };
        assert!(matches!(attach("q", "front").await, Err(AttachError::NoFeature(_))));
        assert!(matches!(attach("p", "").await, Err(AttachError::Name(_))));
        assert!(matches!(attach("p", "a\nb").await, Err(AttachError::Name(_))));
        server.stop().await;
    });
}

#[test]
fn a_feature_too_large_for_a_block_is_imported_once() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = create(&dir.path().join("db")).await;
        let file = dir.path().join("island.geojson");
        std::fs::write(&file, island(190_000)).unwrap();
        let first = database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap();
        assert_eq!((first.features, first.skipped, first.blocks), (1, 0, 1));
        let blocks = held(&database).await;
        assert_eq!(database.map().import(&file, ImportOptions::default(), |_| ()).await.unwrap().blocks, 0);
        assert_eq!(held(&database).await, blocks);
        let found = database.map().get("island").await.unwrap().one().unwrap();
        assert_eq!(found.versions[0].feature, Some(geojson::from_text(&island(190_000)).unwrap()));
    });
}

/// The blob's bytes as they are given, each piece once more after the first try for it was dropped.
async fn read_in_fits(database: &Database, id: EntryId) -> Vec<u8> {
    let mut reader = database.blobs().read(id, ..).await.unwrap();
    let mut all = Vec::new();
    loop {
        let dropped = tokio::time::timeout(Duration::ZERO, reader.next()).await;
        let next = match dropped {
            Ok(next) => next,
            Err(_) => reader.next().await,
        };
        match next.unwrap() {
            Some(piece) => all.extend_from_slice(&piece),
            None => return all,
        }
    }
}

#[test]
fn a_read_that_was_dropped_or_failed_never_looks_like_the_end() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, _server, sparse) = served(dir.path()).await;
        let size = 5_000_000;
        let id = full.blobs().put(bytes(0..size).as_slice(), Label::default()).await.unwrap();
        assert!(read_in_fits(&full, id).await == bytes(0..size));

        assert!(sparse.blobs().fetch(id, ..).await.unwrap().is_complete());
        let mut reader = sparse.blobs().read(id, ..).await.unwrap();
        let first = reader.next().await.unwrap().unwrap();
        let mut read = first.to_vec();
        sparse.clear(id.feed, RangeSet::below(id.seq)).await.unwrap();
        // What was read ahead is still given.
        let failed = loop {
            match reader.next().await {
                Ok(Some(piece)) => read.extend_from_slice(&piece),
                other => break other,
            }
        };
        assert!((read.len() as u64) < size);
        for failed in [failed, reader.next().await, reader.next().await] {
            assert!(matches!(failed, Err(BlobError::Cleared { .. })), "{failed:?}");
        }
        assert!(sparse.blobs().fetch(id, ..).await.unwrap().is_complete());
        while let Some(piece) = reader.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == bytes(0..size), "it goes on where it was");
    });
}

#[test]
fn what_was_cleared_comes_back_when_it_is_asked_for() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, _server, sparse) = served(dir.path()).await;
        for size in [500, 300_000] {
            let id = full.blobs().put(bytes(0..size).as_slice(), Label::default()).await.unwrap();
            assert!(sparse.blobs().fetch(id, ..).await.unwrap().is_complete());
            assert!(sparse.clear(id.feed, RangeSet::below(id.seq + 1)).await.unwrap().bytes > size - 400);
            let info = sparse.blobs().info(id).await.unwrap();
            assert_eq!((info.bytes, info.held), (size, 0));
            let error = read(&sparse, id, 0..size).await.unwrap_err();
            assert!(matches!(error, BlobError::Cleared { .. }) && is_not_held(&error), "{error}");
            let answer = sparse.blobs().fetch(id, ..).await.unwrap();
            assert!(answer.is_complete() && answer.asked.blocks_fetched > 0, "{answer:?}");
            assert!(read(&sparse, id, 0..size).await.unwrap() == bytes(0..size));
            assert_eq!(sparse.blobs().info(id).await.unwrap().held, size);
        }
        assert_eq!(sparse.verify().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn unfinished_uploads_are_listed_and_cleared_by_a_compaction() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let database = create(dir.path()).await;
        let kept = database.blobs().put(bytes(0..300_000).as_slice(), Label::default()).await.unwrap();
        let broken = breaking_off(bytes(0..9_000_000));
        assert!(database.blobs().put(broken, Label::default()).await.is_err());
        database.kv().put("k", vec![7; 2_000_000]).await.unwrap();
        // It may still be under way.
        assert!(database.blobs().abandoned().await.unwrap().is_empty());
        database.compact().await.unwrap();
        database.close().await.unwrap();

        let database = Database::builder(dir.path()).open().await.unwrap();
        let listed = database.blobs().abandoned().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert!(listed[0].feed == kept.feed && listed[0].bytes >= 8_000_000, "{listed:?}");
        let compacted = database.compact().await.unwrap();
        assert!(compacted.before - compacted.after > 7_900_000, "{compacted:?}");
        assert!(database.blobs().abandoned().await.unwrap().is_empty());
        assert!(read(&database, kept, 0..300_000).await.unwrap() == bytes(0..300_000));
        assert_eq!(database.kv().get("k").await.unwrap().one().unwrap().held().unwrap().len(), 2_000_000);
        assert_eq!(database.verify().await.unwrap(), Vec::<String>::new());
    });
}

/// Gives these bytes, then fails.
fn breaking_off(bytes: Vec<u8>) -> impl AsyncRead + Unpin {
    struct Broken(std::io::Cursor<Vec<u8>>);
    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let before = buf.filled().len();
            let read = Pin::new(&mut self.0).poll_read(cx, buf);
            match buf.filled().len() == before {
                true => Poll::Ready(Err(io::Error::other("the cable was pulled"))),
                false => read,
            }
        }
    }
    Broken(std::io::Cursor::new(bytes))
}

#[test]
fn a_blob_is_read_as_any_reader_and_as_any_stream() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (full, blobs) = {
            let full = create(dir.path()).await;
            let blobs = full.blobs();
            (full, blobs)
        };
        let length = 1_300_001;
        let all = bytes(0..length);
        let label = Label { media_type: String::new(), name: String::new() };
        let id = blobs.put(all.as_slice(), label).await.unwrap();
        let mut copied = Vec::new();
        let mut reader = blobs.read(id, 7..).await.unwrap();
        assert_eq!(tokio::io::copy(&mut reader, &mut copied).await.unwrap(), length - 7);
        assert!(copied == all[7..]);
        let parts: Vec<bytes::Bytes> =
            futures::TryStreamExt::try_collect(blobs.read(id, ..).await.unwrap()).await.unwrap();
        assert!(parts.concat() == all);
        // Who stops waiting, or asks in another way, goes on where he was.
        let mut reader = blobs.read(id, ..).await.unwrap();
        let mut begun = Vec::new();
        for n in 0.. {
            let waited = tokio::time::timeout(Duration::from_micros(n % 50), reader.next()).await;
            match waited {
                Ok(bytes) => match bytes.unwrap() {
                    Some(bytes) => begun.extend_from_slice(&bytes),
                    None => break,
                },
                Err(_) => {
                    let mut few = [0; 100];
                    let count = tokio::io::AsyncReadExt::read(&mut reader, &mut few).await.unwrap();
                    begun.extend_from_slice(&few[..count]);
                }
            }
        }
        assert!(begun == all);
        full.close().await.unwrap();
    });
}
