//! Keys of rows. Times are written so that they sort.

use kappadb_core::{EntryId, FeedKey};

pub const KEYED: u8 = 1;
/// channel 00 order feed seq: code
pub const MESSAGE: u8 = 2;
/// target channel 00 order delete: nothing
pub const DELETE: u8 = 3;
/// feed order seq: channel
pub const AUTHOR: u8 = 4;
/// word 00 ~order feed seq: channel
pub const WORD: u8 = 5;
/// channel 00 feed order seq: nothing
pub const POSTED: u8 = 6;
/// channel 00 order delete: target
pub const GONE: u8 = 7;
/// target, delete: key
pub const TAKEN: u8 = 8;
/// len(key) key delete: nothing
pub const TAKERS: u8 = 9;

pub fn time(order: i64) -> [u8; 8] {
    (order ^ i64::MIN).to_be_bytes()
}

pub fn untime(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

pub fn id(id: &EntryId) -> Vec<u8> {
    [&id.feed.0[..], &id.seq.to_be_bytes()].concat()
}

pub fn read_id(bytes: &[u8]) -> Option<EntryId> {
    let (feed, seq) = bytes.split_first_chunk::<32>()?;
    Some(EntryId { feed: FeedKey(*feed), seq: u64::from_be_bytes(seq.try_into().ok()?) })
}

/// The last bytes of a row's key: order and id.
pub fn tail(key: &[u8]) -> Option<(i64, EntryId)> {
    let at = key.len().checked_sub(48)?;
    let (order, rest) = key.get(at..)?.split_first_chunk::<8>()?;
    Some((untime(*order), read_id(rest)?))
}

pub fn channel(tag: u8, channel: &[u8]) -> Vec<u8> {
    [&[tag], channel, &[0]].concat()
}
