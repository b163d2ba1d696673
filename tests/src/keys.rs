//! Keys of one replica, written and looked up by hand.

use crate::replica::Replica;
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_entry::{Header, Kind, rules, space};

/// Gives a key a value in place of all of its heads.
pub fn write(replica: &Replica, feed: FeedKey, key: &str) -> EntryId {
    replica.kv().ready().expect("ready");
    let active =
        replica.kv().read(|index| index.read().active(key.as_bytes())).expect("view").expect("active");
    let heads: Vec<EntryId> = rules::heads(&active).iter().map(|head| head.id).collect();
    let mut header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(1));
    header.key = Some(key.into());
    rules::succeed(&active, &heads, &feed).apply_to(&mut header);
    replica.append(feed, &header, b"x")
}

/// The heads of a key.
pub fn heads(replica: &Replica, key: &str) -> Vec<EntryId> {
    replica.kv().ready().expect("ready");
    indexed(replica, key)
}

/// The same as far as it has been indexed.
pub fn indexed(replica: &Replica, key: &str) -> Vec<EntryId> {
    let heads = replica.kv().read(|index| index.read().heads(key.as_bytes())).expect("view").expect("heads");
    heads.iter().map(|head| head.id).collect()
}
