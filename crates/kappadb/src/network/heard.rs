//! How long peers say that feeds are of which little or nothing is held here, but which an entry names that is: a writer passes on that name, if the
//! feed is so long ([`Links::within`](kappadb_entry::rules::Links::within)). Derived data: losing it leaves a conflict to be seen where a version could
//! have been replaced, and nothing else.
//!
//! | key | value |
//! |---|---|
//! | name of a feed, 12 bytes | its length, u64, big end first |

use crate::folder::derived::HEARD;
use kappadb_core::{FeedName, StoredBlock};
use kappadb_entry::context_of;
use kappadb_store::{Batch, Store, StoreError, Tree};
use kappadb_sync::frame::Lengths;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// The feeds that these blocks name, beside their own.
pub(super) fn named(blocks: &[StoredBlock]) -> BTreeSet<FeedName> {
    let contexts = blocks.iter().filter_map(context_of);
    contexts.flat_map(|context| context.vector.into_iter().map(|(name, _)| name)).collect()
}

/// Leaves of what came with these blocks what is news, and of feeds that they name: a peer may send what it likes.
pub(super) fn keep_news(lengths: &mut Lengths, blocks: &[StoredBlock], known: impl Fn(&FeedName) -> u64) {
    lengths.retain(|(name, length)| *length > known(name));
    if !lengths.is_empty() {
        let named = named(blocks);
        lengths.retain(|(name, _)| named.contains(name));
    }
}

/// What was heard. Bounded by what is held, for only names in it are noted.
pub(super) struct Heard {
    store: Arc<dyn Store>,
    tree: OnceLock<Arc<dyn Tree>>,
}

impl Heard {
    pub fn new(store: Arc<dyn Store>) -> Heard {
        Heard { store, tree: OnceLock::new() }
    }

    fn tree(&self) -> Result<&Arc<dyn Tree>, StoreError> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let tree = self.store.tree(HEARD)?;
        Ok(self.tree.get_or_init(|| tree))
    }

    /// How long a feed is said to be; 0 if nothing was heard of it.
    pub fn length_of(&self, name: &FeedName) -> u64 {
        let heard = self.tree().and_then(|tree| tree.get(&name.0));
        let heard = heard.inspect_err(note).ok().flatten();
        heard.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0)
    }

    /// Notes what is news. It lasts after the store's next flush; nobody waits for that.
    pub fn note(&self, lengths: &[(FeedName, u64)]) {
        let mut batch = Batch::new();
        for (name, length) in lengths.iter().filter(|(name, length)| *length > self.length_of(name)) {
            batch.put(name.0.to_vec(), length.to_be_bytes().to_vec());
        }
        if !batch.is_empty()
            && let Err(error) = self.tree().and_then(|tree| tree.apply(&batch))
        {
            note(&error);
        }
    }
}

fn note(error: &StoreError) {
    tracing::warn!(%error, "what peers said of the lengths of feeds cannot be read or kept");
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::Timestamp;
    use kappadb_entry::{Context, Header, Kind, encode_block, space};
    use kappadb_store::MemoryStore;

    const ONE: FeedName = FeedName([1; 12]);
    const OTHER: FeedName = FeedName([2; 12]);
    const STRANGE: FeedName = FeedName([3; 12]);

    #[test]
    fn the_greatest_length_that_was_said_is_known_after_a_restart() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let heard = Heard::new(store.clone());
        heard.note(&[(ONE, 5), (OTHER, 7)]);
        heard.note(&[(ONE, 4), (OTHER, 9)]);
        for heard in [heard, Heard::new(store)] {
            assert_eq!([ONE, OTHER, STRANGE].map(|name| heard.length_of(&name)), [5, 9, 0]);
        }
    }

    #[test]
    fn what_is_said_of_feeds_that_no_block_names_is_let_fall() {
        let kind = Kind { space: space::KV, code: 0 };
        let context = Context { vector: vec![(ONE, 3), (OTHER, 2)], ..Context::NOTHING };
        let header = Header { key: Some(b"k".to_vec()), context, ..Header::new(kind, Timestamp(0)) };
        let blocks = [StoredBlock::whole(encode_block(&header, b"v").unwrap())];
        let mut lengths = vec![(ONE, 5), (OTHER, 7), (STRANGE, 9)];
        keep_news(&mut lengths, &blocks, |name| if *name == OTHER { 7 } else { 0 });
        assert_eq!(lengths, [(ONE, 5)]);
    }
}
