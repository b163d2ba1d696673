//! Payloads in chunks of any size, and those of writers who lie about theirs.

use crate::database::Database;
use crate::error::BlobError;
use crate::views::Parts;
use kappadb_core::limits::MIN_CHUNK;
use kappadb_core::{EntryId, RangeSet, Timestamp};
use kappadb_entry::{
    ChunkError, Detached, Header, Kind, chunk_block, decode_block, encode_block, raw, space,
};
use proptest::prelude::*;
use std::ops::Range;
use tokio::runtime::Runtime;

struct Home {
    runtime: Runtime,
    database: Database,
    _dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        let (runtime, dir) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
        let database = runtime.block_on(Database::builder(dir.path()).create()).unwrap();
        Home { runtime, database, _dir: dir }
    }

    fn parts(&self) -> &Parts {
        &self.database.parts
    }

    /// Appends these payloads as chunks, with an entry of no meaning after each run of `every`.
    fn chunks(&self, payloads: &[&[u8]], every: usize) -> RangeSet {
        let feed = self.parts().writer().unwrap();
        let mut seqs = RangeSet::new();
        for run in payloads.chunks(every) {
            let blocks = run.iter().map(|payload| chunk_block(Timestamp(1), payload).unwrap());
            let ids = self.parts().append(feed, blocks.collect()).unwrap();
            ids.iter().for_each(|id| seqs.insert(id.seq..id.seq + 1));
            let other =
                encode_block(&Header::new(Kind { space: 9, code: 9 }, Timestamp(1)), b"other").unwrap();
            self.parts().append(feed, vec![other]).unwrap();
        }
        seqs
    }

    fn name(&self, detached: &Detached) -> EntryId {
        let mut header = Header::new(Kind { space: space::RAW, code: raw::BLOB }, Timestamp(1));
        header.set_detached(detached);
        let feed = self.parts().writer().unwrap();
        self.parts().append(feed, vec![encode_block(&header, b"").unwrap()]).unwrap()[0]
    }

    fn next(&self) -> u64 {
        self.parts().feeds.list()[0].length
    }

    fn read(&self, id: EntryId, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        self.runtime.block_on(async {
            let mut reader = self.database.blobs().read(id, range).await?;
            let mut out = Vec::new();
            while let Some(bytes) = reader.next().await? {
                out.extend_from_slice(&bytes);
            }
            Ok(out)
        })
    }

    /// As a feature would be read: whole or not at all.
    fn whole(&self, id: EntryId) -> Option<Vec<u8>> {
        let entry = decode_block(&self.parts().feeds.block(&id).unwrap().unwrap()).unwrap();
        self.parts().load_payload(id, &entry).unwrap().map(|payload| payload.to_vec())
    }
}

#[test]
fn any_range_of_any_payload_in_chunks_of_any_size_is_read() {
    let home = Home::new();
    let cases = (1usize..60_000, MIN_CHUNK..9_000, 1usize..20, 0u64..70_000, 0u64..70_000, any::<u8>());
    let config = ProptestConfig { cases: 32, ..ProptestConfig::default() };
    proptest!(config, |((len, size, every, from, more, salt) in cases)| {
        let payload: Vec<u8> = (0..len).map(|n| (n / 7).to_le_bytes()[0] ^ salt).collect();
        let chunks: Vec<&[u8]> = payload.chunks(usize::try_from(size).unwrap()).collect();
        let detached = Detached::new(len as u64, size, home.chunks(&chunks, every)).unwrap();
        let id = home.name(&detached);
        let within = |at: u64| usize::try_from(at).unwrap().min(len);
        prop_assert_eq!(&home.read(id, from..from + more).unwrap(), &payload[within(from)..within(from + more)]);
        prop_assert_eq!(home.whole(id), Some(payload));
    });
}

#[test]
fn lies_about_chunks_are_found_at_reading() {
    let home = Home::new();
    let good = vec![1u8; 2_000];
    let chunks = home.chunks(&[&good, &good, &good[..500]], 9);
    let first = chunks.ranges()[0].start;
    let named = |bytes: u64, seqs: Range<u64>| {
        home.name(&Detached::new(bytes, 2_000, [seqs].into_iter().collect()).unwrap())
    };
    let wrong = |id, seq| match home.read(id, 0..u64::MAX) {
        Err(BlobError::Chunk { id: of, seq: at, source }) if (of, at) == (id, seq) => source,
        other => panic!("{other:?}"),
    };

    let right = named(4_500, first..first + 3);
    assert_eq!(home.read(right, 0..9_999).unwrap().len(), 4_500);
    // The last chunk is longer or shorter than claimed; one in the middle is short; a block is of another sort.
    let id = named(4_400, first..first + 3);
    assert_eq!(wrong(id, first + 2), ChunkError::Length { found: 500, wanted: 400 });
    assert_eq!(home.read(id, 0..4_000).unwrap().len(), 4_000, "what is right can be read");
    assert_eq!(home.whole(id), None);
    let id = named(6_001, first..first + 4);
    assert_eq!(wrong(id, first + 2), ChunkError::Length { found: 500, wanted: 2_000 });
    let id = named(4_005, first + 1..first + 4);
    assert_eq!(wrong(id, first + 2), ChunkError::Length { found: 500, wanted: 2_000 });
    let id = named(5, first + 3..first + 4);
    assert!(matches!(wrong(id, first + 3), ChunkError::Kind(kind) if kind.space == 9));
    // A blob is no chunk of another, and chunks lie before the entry: not in it, nor behind.
    let id = named(5, right.seq..right.seq + 1);
    assert!(matches!(wrong(id, right.seq), ChunkError::Kind(_)));
    for seqs in [home.next()..home.next() + 1, 1 << 39..(1 << 39) + 1] {
        let id = named(5, seqs);
        assert!(matches!(home.read(id, 0..5), Err(BlobError::Order(of)) if of == id));
        assert_eq!(home.whole(id), None);
    }
}

#[test]
fn a_payload_that_claims_too_much_for_a_feature_is_not_read_whole() {
    let home = Home::new();
    let chunk = vec![0u8; 1 << 10];
    let chunks: Vec<&[u8]> = vec![&chunk; 3];
    let seqs = home.chunks(&chunks, 9);
    let large = RangeSet::below(1 << 17);
    let small = home.name(&Detached::new(3 << 10, 1 << 10, seqs).unwrap());
    assert!(home.whole(small).is_some());
    // Its chunks would have to be earlier blocks; the length is looked at first.
    let huge = home.name(&Detached::new(1 << 27, 1 << 10, large).unwrap());
    assert_eq!(home.whole(huge), None);
}

/// The answer to a box does not depend on what a liar's content turns out to be, and only what he named is fetched.
#[cfg(feature = "map")]
#[test]
fn a_feature_that_lies_about_its_content_spoils_itself_alone() {
    let home = Home::new();
    let point =
        r#"{"type":"Feature","id":"good","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}"#;
    let good = kappadb_geo::geojson::from_text(point).unwrap();
    home.runtime.block_on(home.database.map().put(good.clone())).unwrap();
    let chunk = vec![0u8; 1 << 10];
    let seqs = home.chunks(&[&chunk, &chunk], 9);
    let first = seqs.ranges()[0].start;
    let feed = home.parts().writer().unwrap();
    let lie = |id: &str, bytes: u64, seqs: Range<u64>| {
        let places = kappadb_geo::put(&good).unwrap().places;
        let kind = Kind { space: space::MAP, code: kappadb_geo::CODE_PUT };
        let mut header = Header { key: Some(id.into()), places, ..Header::new(kind, Timestamp(1)) };
        header.set_detached(&Detached::new(bytes, 1 << 10, [seqs].into_iter().collect()).unwrap());
        home.parts().append(feed, vec![encode_block(&header, b"").unwrap()]).unwrap();
    };
    lie("no chunk", 9, 0..1);
    lie("no feature", 2_000, first..first + 2);
    lie("not yet", 9, 1 << 20..(1 << 20) + 1);
    lie("too large", 1 << 27, 0..1 << 17);

    home.runtime.block_on(async {
        let server = home.database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let sparse = Database::builder(dir.path().join("sparse")).join(&server.ticket()).await.unwrap();
        let extent = good.extent();
        let answer = sparse.map().query(&extent, None).from(crate::Source::Peers).await.unwrap();
        assert!(answer.is_complete() && answer.asked.failures.is_empty());
        assert_eq!(
            (answer.asked.blocks_fetched, answer.asked.missing),
            (5 + 2, 0),
            "the entries, and chunks that are held"
        );
        let hits = sparse.map().parts.map.read(|index| index.active(b"too large")).unwrap().unwrap();
        assert_eq!(hits.len(), 1);
        for id in ["no chunk", "no feature", "not yet", "too large", "good"] {
            let found = sparse.map().get(id).await.unwrap().one().unwrap();
            assert_eq!(found.versions[0].feature.is_some(), id == "good", "{id}");
        }
        server.stop().await;
    });
}
