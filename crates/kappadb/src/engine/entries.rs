//! Entries by name, and those of a feed in their order, whatever space they are in.

use crate::database::{Database, Parts};
use crate::error::{BlobError, ReadError};
use crate::network::answer::Asked;
use crate::network::ask::Neighbours;
use crate::views::blobs::BlobReader;
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq};
use kappadb_entry::{Entry, decode_block};

/// Some entries of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryPage {
    /// Those that are held here, ascending. Their payload is none if it was cleared, and empty if it lies in blocks of its own
    /// ([`Database::read_payload`]).
    pub items: Vec<(EntryId, Entry)>,
    /// Where to go on; none at the end of what is held.
    pub next: Option<Seq>,
}

impl Database {
    /// An entry. None if it is not held here, or is no entry that this release understands.
    pub async fn read(&self, id: EntryId) -> Result<Option<Entry>, ReadError> {
        self.run(move |parts| parts.entry(id)).await?
    }

    /// Fetches entries of a feed by their numbers, whatever space they are in, from whichever known peers hold them. What nobody holds is not there
    /// afterwards; what came before it is dropped stays.
    ///
    /// # Errors
    /// If this replica fails; what peers did wrong is in the answer, which says nothing of completeness.
    pub async fn fetch(&self, feed: FeedKey, seqs: RangeSet) -> Result<Asked, ReadError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        neighbours.fetch(feed, seqs).await?;
        neighbours.finish().await
    }

    /// The payload of an entry of any space, piece by piece, wherever it lies.
    ///
    /// # Errors
    /// [`BlobError::NotHeld`] if the entry is not held here, and as [`Blobs::read`](crate::Blobs::read).
    pub async fn read_payload(&self, id: EntryId) -> Result<BlobReader, BlobError> {
        let parts = self.parts.clone();
        self.run(move |held| {
            let entry = held.entry(id)?.ok_or(BlobError::NotHeld(id))?;
            BlobReader::open(parts, id, &entry, 0..u64::MAX)
        })
        .await?
    }

    /// The entries of a feed that are held here from `from` on, `limit` at most. Blocks that are no entries that this release understands
    /// are passed over, so a page may be shorter and yet go on. Those beyond a proven fork are among them, which count nowhere else.
    pub async fn entries(&self, feed: FeedKey, from: Seq, limit: usize) -> Result<EntryPage, ReadError> {
        self.run(move |parts| {
            let held = parts.feeds.held(&feed).minus(&RangeSet::below(from));
            let mut seqs = held.iter();
            let page: Vec<EntryId> = seqs.by_ref().take(limit).map(|seq| EntryId { feed, seq }).collect();
            let next = seqs.next();
            let mut blocks = parts.blocks(page.iter().copied())?;
            let decoded = |id: EntryId| Some((id, decode_block(&blocks.remove(&id)?).ok()?));
            Ok(EntryPage { items: page.into_iter().filter_map(decoded).collect(), next })
        })
        .await?
    }
}

impl Parts {
    /// An entry; none if it is not held, lost, or a block that is none. Other parts of an answer do not depend on it, and
    /// `verify` says what is lost.
    pub(crate) fn entry(&self, id: EntryId) -> Result<Option<Entry>, ReadError> {
        match self.feeds.block(&id) {
            Err(error) if error.is_damage() => Ok(None),
            block => Ok(block?.and_then(|block| decode_block(&block).ok())),
        }
    }
}
