//! Questions to a database, whatever view or space they are about.

use super::Database;
use crate::error::{BlobError, ReadError};
use crate::jobs::clocks::{ClockDoubt, clock_doubt};
use crate::jobs::find::{FindError, find_feed};
use crate::network::{Answer, Asked, Neighbours, Read, ask};
use crate::views::Parts;
use crate::views::blobs::BlobReader;
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq};
use kappadb_entry::{Entry, decode_block};
use kappadb_query::Selector;
use std::collections::BTreeSet;
use std::sync::Arc;

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
    /// The entries that a view, this library's or one of your own, has to know of to answer a selector. Asked of peers, the view here answers as
    /// over all that they and this replica hold. A selector of your own is [`Selector::Custom`], which the view's
    /// [`Index::matches`](kappadb_view::Index::matches) takes apart.
    ///
    /// # Errors
    /// If this replica fails; what peers did wrong is in the answer.
    pub fn ask(&self, view: &str, selector: Selector) -> Read<Answer<EntryId>> {
        let (ask, view) = (ask::one(view, selector.clone()), view.to_owned());
        let look = move |parts: &Arc<Parts>| {
            parts.views.ready(&view)?;
            Ok(Answer::of(parts.views.matches(&view, &selector, &BTreeSet::new())?))
        };
        Read::new(&self.parts, ask, look)
    }

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
            BlobReader::open(parts.network.engine().clone(), id, &entry, 0..u64::MAX)
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

    /// The feed that is named by its key in hex, or by the beginning of that or of its fingerprint ([`FeedKey::fingerprint`]), if only one
    /// of those known here begins so. A whole key is taken as it is.
    ///
    /// # Errors
    /// [`FindError::Unknown`], [`FindError::Ambiguous`].
    pub async fn find_feed(&self, text: &str) -> Result<FeedKey, FindError> {
        if let Ok(feed) = text.parse() {
            return Ok(feed);
        }
        let text = text.to_owned();
        self.run(move |parts| find_feed(parts, &text)).await?
    }

    /// The entry that is named by its feed, as in [`Database::find_feed`], a `/`, and its number. It need not be held.
    ///
    /// # Errors
    /// [`FindError::NoEntry`], and those of [`Database::find_feed`].
    pub async fn find_entry(&self, text: &str) -> Result<EntryId, FindError> {
        let parts = text.split_once('/').and_then(|(feed, seq)| Some((feed, seq.parse().ok()?)));
        let (feed, seq) = parts.ok_or_else(|| FindError::NoEntry(text.to_owned()))?;
        Ok(EntryId { feed: self.find_feed(feed).await?, seq })
    }

    /// Whether this machine's clock seems to be far off: by more than ten minutes from those of the peers that were called by this handle's
    /// database since it was opened (most of them, if there are three), or, if none was, behind what two other writers dated their messages by.
    pub async fn clock_doubt(&self) -> Result<Option<ClockDoubt>, ReadError> {
        self.run(clock_doubt).await?
    }
}
