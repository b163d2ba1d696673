//! Entries and blocks that are held, alone or many at once: what lies together in the journal is read together.

use super::Engine;
use crate::error::ReadError;
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq, StoredBlock};
use kappadb_entry::{Entry, decode_block};
use std::collections::{BTreeMap, HashMap};

/// Blocks of a feed that are read at once, with the records that they lie in.
const AT_ONCE: usize = 1_024;

impl Engine {
    /// An entry; none if it is not held, lost, or a block that is none. Other parts of an answer do not depend on it, and
    /// `verify` says what is lost.
    pub(crate) fn entry(&self, id: EntryId) -> Result<Option<Entry>, ReadError> {
        match self.feeds.block(&id) {
            Err(error) if error.is_damage() => Ok(None),
            block => Ok(block?.and_then(|block| decode_block(&block).ok())),
        }
    }

    /// Those of the blocks that are held here and can be read. The rest of an answer does not depend on what is lost, and `verify` says what that is.
    pub(crate) fn blocks(
        &self,
        ids: impl IntoIterator<Item = EntryId>,
    ) -> Result<HashMap<EntryId, StoredBlock>, ReadError> {
        let mut seqs: BTreeMap<FeedKey, Vec<Seq>> = BTreeMap::new();
        ids.into_iter().for_each(|id| seqs.entry(id.feed).or_default().push(id.seq));
        // Copied side by side: a slice would keep in memory the whole record that its block was read with.
        let (mut found, mut copies) = (Vec::new(), Vec::new());
        for (feed, mut seqs) in seqs {
            seqs.sort_unstable();
            for seqs in portions(&seqs.into_iter().collect(), AT_ONCE) {
                for (seq, StoredBlock { form, bytes }) in self.blocks_of(&feed, &seqs)? {
                    let start = copies.len();
                    copies.extend_from_slice(&bytes);
                    found.push((EntryId { feed, seq }, form, start..copies.len()));
                }
            }
        }
        let copies = Bytes::from(copies);
        let block = |form, at| StoredBlock { form, bytes: copies.slice(at) };
        Ok(found.into_iter().map(|(id, form, at)| (id, block(form, at))).collect())
    }

    /// Those of one feed, ascending.
    pub(crate) fn blocks_of(
        &self,
        feed: &FeedKey,
        seqs: &RangeSet,
    ) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        match self.feeds.blocks(feed, seqs) {
            // One by one, those that are whole are found.
            Err(error) if error.is_damage() => self.whole_blocks(feed, seqs),
            found => Ok(found?),
        }
    }

    fn whole_blocks(&self, feed: &FeedKey, seqs: &RangeSet) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        let mut found = Vec::new();
        for seq in seqs.iter() {
            match self.feeds.block(&EntryId { feed: *feed, seq }) {
                Err(error) if error.is_damage() => {}
                block => found.extend(block?.map(|block| (seq, block))),
            }
        }
        Ok(found)
    }
}

/// The numbers in order, so many at a time.
pub(crate) fn portions(seqs: &RangeSet, most: usize) -> impl Iterator<Item = RangeSet> + '_ {
    let mut left = seqs.iter();
    std::iter::from_fn(move || {
        let portion: RangeSet = left.by_ref().take(most).collect();
        (!portion.is_empty()).then_some(portion)
    })
}
