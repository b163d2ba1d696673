//! Keeping the log small: payloads cleared, feeds dropped, the disk given back; and starting a feed anew.

use crate::database::{Database, Parts};
use crate::error::{LogError, WriteError};
use crate::network::own;
use crate::write::Write;
use kappadb_core::{FeedKey, RangeSet};
use kappadb_feed::{Cleared, CompactError, Compacted};
use kappadb_store::SledStore;
use std::collections::BTreeSet;

impl Database {
    /// Clears the payloads of what is held here of `ranges` of a feed: what entries say goes, what they mean stays (who wrote
    /// them, when, about what, where, what they replace and refer to), and so does every proof. Other replicas keep
    /// theirs, and it comes back when they are asked for it. What would be no shorter is passed over. Durable when it returns;
    /// [`Database::compact`] gives the disk back.
    ///
    /// # Errors
    /// [`LogError::OnlyCopy`] for a feed that this replica writes: nobody tells it who else holds what it wrote.
    pub async fn clear(&self, feed: FeedKey, ranges: RangeSet) -> Result<Cleared, LogError> {
        if self.run(move |parts| parts.is_own(&feed)).await? {
            return Err(LogError::OnlyCopy(feed));
        }
        self.clear_for_good(feed, ranges).await
    }

    /// The same also for a feed that this replica writes: if nobody else holds what it says, that is gone.
    pub async fn clear_for_good(&self, feed: FeedKey, ranges: RangeSet) -> Result<Cleared, LogError> {
        self.run(move |parts| Ok(parts.with_reserve(|| parts.feeds.clear(&feed, &ranges))?)).await?
    }

    /// Drops a feed: it goes on this replica's block list, views leave it out, and nothing of it is taken in or passed on.
    /// Durable when it returns; the next [`Database::compact`] takes away what is held of it.
    ///
    /// # Errors
    /// [`LogError::Drop`] for a feed that this replica writes.
    pub async fn drop_feed(&self, feed: FeedKey) -> Result<(), LogError> {
        self.run(move |parts| {
            parts.with_reserve(|| parts.feeds.drop_feed(&feed))?;
            Ok(parts.views.settle()?)
        })
        .await?
    }

    /// Takes a feed off the block list. Views are made anew with what is still held of it; what was compacted away comes back
    /// with the next answers.
    pub async fn allow_feed(&self, feed: FeedKey) -> Result<(), LogError> {
        self.run(move |parts| {
            parts.feeds.allow_feed(&feed)?;
            Ok(parts.views.settle()?)
        })
        .await?
    }

    /// Gives back the disk that cleared payloads, dropped feeds and unfinished uploads take up, and makes one file of small neighbours in the
    /// journal. Reading and writing go on meanwhile. Needs room for what is left of one file of the journal (of 16 MiB at most); on a full disk
    /// it has a reserve of 1 MiB, and what derived data takes up there. Files for which that is not enough stay as they are, and are counted. A
    /// crash at any point does no harm.
    ///
    /// # Errors
    /// For want of room only if nothing was given back at all.
    pub async fn compact(&self) -> Result<Compacted, LogError> {
        self.run(Parts::compact).await?
    }

    /// Goes on after damage in the journal, which [`Database::verify`] tells of, and where this folder may be a copy of one that is written
    /// elsewhere. With damage nothing is written here until then, for what was lost may be blocks of own feeds, and writing them anew would fork
    /// these. Feeds of which there may be more than is here take no more, and are returned: their writers go on in new ones. Durable when it
    /// returns.
    pub async fn settle(&self) -> Result<Vec<FeedKey>, LogError> {
        let before = self.run(|parts| parts.own_lengths()).await?;
        let damaged = self.run(|parts| parts.settle_damage()).await??;
        own::settle_doubts(&self.parts).await?;
        let after = self.run(|parts| parts.own_lengths()).await?;
        let over = before.into_keys().filter(|feed| !after.contains_key(feed));
        Ok(over.chain(damaged).collect::<BTreeSet<FeedKey>>().into_iter().collect())
    }

    /// The same for who knows that there is no other copy of this folder that anybody writes, newer or older: feeds of which nothing but that
    /// was in doubt are gone on with. Not so those of which blocks are known to be lost.
    pub async fn settle_as_only_copy(&self) -> Result<Vec<FeedKey>, LogError> {
        own::make_sure_of_only_copy(&self.parts).await?;
        self.settle().await
    }

    /// Begins a new feed for this handle's writer, which names the one before as what it goes on for. The way back for who
    /// wrote on after restoring an old copy, or whose feed was forked by another copy of this replica.
    pub fn new_feed(&self) -> Write<FeedKey, WriteError> {
        Write::apart(&self.parts, |parts, _| parts.next_feed())
    }
}

impl Parts {
    fn settle_damage(&self) -> Result<Vec<FeedKey>, LogError> {
        let _turn = self.take_turn()?;
        Ok(self.feeds.settle_damage()?)
    }

    pub(crate) fn is_own(&self, feed: &FeedKey) -> bool {
        self.feeds.is_own(feed)
    }

    /// Does something that makes room, also where there is none.
    fn with_reserve<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.reserve {
            Some(reserve) => reserve.lend(work),
            None => work(),
        }
    }

    fn compact(&self) -> Result<Compacted, LogError> {
        if let Some(idle) = &self.idle {
            // It is of no use after a compaction, which moves all that it leads to.
            SledStore::wipe(idle).map_err(CompactError::from)?;
        }
        // Views read what is to go in order to take it out; one that has not, for it is not open now, is made anew later.
        self.views.settle()?;
        let compacted = self.with_reserve(|| {
            self.honour_deletes()?;
            self.clear_abandoned()?;
            Ok::<_, LogError>(
                self.feeds.compact(&mut |done, total| self.progress("compacting", done, total))?,
            )
        })?;
        if let Err(error) = self.forget_deleted_words() {
            tracing::warn!(%error, "words of deleted messages stay in the index until the next compaction");
        }
        if let Err(error) = self.forget_cleared_values() {
            tracing::warn!(%error, "values that were cleared stay in the view, unseen, until the next compaction");
        }
        Ok(compacted)
    }
}
