//! What the library never writes, written into a folder that nothing else has open.

use crate::model::Entries;
use bytes::Bytes;
use kappadb::DatabaseId;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::{Header, decode_block, encode_block};
use kappadb_feed::{Append, Config, Feeds};
use kappadb_store::MemoryStore;
use std::path::Path;
use std::sync::Arc;

fn open(dir: &Path, database: DatabaseId) -> Feeds {
    let random = |_: &mut [u8]| panic!("nothing is made at random");
    let config = Config::new(dir, Arc::new(MemoryStore::new()), database, Arc::new(random));
    Feeds::open(config, &mut |_, _| ()).expect("open").0
}

/// Appends entries as they are, each with the same payload, to a feed that is written in that folder.
pub fn append(
    dir: &Path,
    database: DatabaseId,
    feed: FeedKey,
    headers: &[Header],
    payload: &[u8],
) -> Vec<EntryId> {
    let feeds = open(dir, database);
    let block = |header: &Header| encode_block(header, payload).expect("an entry");
    let blocks: Vec<Bytes> = headers.iter().map(block).collect();
    let ranges = feeds.append(vec![Append { feed, blocks }]).expect("append");
    feeds.close().expect("close");
    ranges.into_iter().flatten().map(|seq| EntryId { feed, seq }).collect()
}

/// Every entry that is held in that folder.
pub fn entries(dir: &Path, database: DatabaseId) -> Entries {
    let feeds = open(dir, database);
    let mut found = Entries::new();
    for info in feeds.list() {
        let held = feeds.held(&info.feed);
        for (seq, block) in feeds.blocks(&info.feed, &held).expect("read") {
            found.insert(EntryId { feed: info.feed, seq }, decode_block(&block).expect("entry").header);
        }
    }
    found
}
