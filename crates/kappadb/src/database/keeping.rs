//! Keeping a database: how it stands, what it is to be warned of, the log made smaller, what was lost brought back.

use super::Database;
use crate::error::{LogError, ReadError, RecoverError};
use crate::jobs::log::{compact, settle_damage, with_reserve};
use crate::jobs::recover::{LostEntries, Recovered, hear_heirs};
use crate::jobs::status::Status;
use crate::network::{
    Holdings, fork_warnings, lie_warnings, make_sure_of_only_copy, own_lengths, own_warnings, settle_doubts,
};
use crate::write;
use kappadb_core::{FeedKey, RangeSet};
use kappadb_feed::{Cleared, Compacted};
use std::collections::{BTreeMap, BTreeSet};

impl Database {
    /// What was noticed when the database was opened and people should know: an unfinished write that was cut off,
    /// damage; that the folder may be a copy of one that is written elsewhere, and what is done about it. And what became of feeds
    /// written here: forks, that peers know more of them, and who names entries of them that were not written yet. A sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let parts = &self.parts;
        let of_feeds = own_warnings(parts).into_iter().chain(fork_warnings(parts));
        self.shared.warnings.iter().cloned().chain(of_feeds).chain(lie_warnings(parts)).collect()
    }

    /// What this replica holds.
    pub async fn status(&self) -> Result<Status, ReadError> {
        let callers = self.shared.callers.list();
        self.run(move |parts| Status::of(parts, callers)).await?
    }

    /// How much there is of all feeds, as far as it is known here, and how much of it is held. It is counted in memory, so it can be looked at while
    /// [`Database::replicate`] or [`Database::follow`] fetches.
    pub async fn holdings(&self) -> Result<Holdings, ReadError> {
        self.run(|parts| Holdings::of(parts, &BTreeMap::new())).await
    }

    /// Checks every hash, signature, checksum and index. Returns what is wrong, a sentence each; empty if all is well.
    pub async fn verify(&self) -> Result<Vec<String>, ReadError> {
        self.run(|parts| {
            let problems = parts.feeds.verify(&mut |done, total| parts.progress("verifying", done, total))?;
            let mut problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.extend(parts.views.verify()?);
            problems.extend(lie_warnings(parts));
            Ok(problems)
        })
        .await?
    }

    /// Makes a view anew from the log, or all, and waits for it. What is there answers until the new rows have caught up.
    ///
    /// Dropped before it ends, the work goes on all the same.
    ///
    /// # Errors
    /// [`ReadError::View`] for a view that is not there, or that fails.
    pub async fn rebuild(&self, view: Option<&str>) -> Result<(), ReadError> {
        let view = view.map(str::to_owned);
        Ok(self.run(move |parts| parts.views.rebuild(view.as_deref())).await??)
    }

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
        self.run(move |parts| Ok(with_reserve(parts, || parts.feeds.clear(&feed, &ranges))?)).await?
    }

    /// Drops a feed: it goes on this replica's block list, views leave it out, and nothing of it is taken in or passed on.
    /// Durable when it returns; the next [`Database::compact`] takes away what is held of it.
    ///
    /// # Errors
    /// [`LogError::Drop`] for a feed that this replica writes.
    pub async fn drop_feed(&self, feed: FeedKey) -> Result<(), LogError> {
        self.run(move |parts| {
            with_reserve(parts, || parts.feeds.drop_feed(&feed))?;
            Ok::<_, LogError>(parts.views.settle()?)
        })
        .await??;
        self.parts.links.ask_anew();
        Ok(())
    }

    /// Takes a feed off the block list. Views are made anew with what is still held of it; what was compacted away comes back
    /// with the next answers.
    pub async fn allow_feed(&self, feed: FeedKey) -> Result<(), LogError> {
        self.run(move |parts| {
            parts.feeds.allow_feed(&feed)?;
            Ok::<_, LogError>(parts.views.settle()?)
        })
        .await??;
        self.parts.links.ask_anew();
        Ok(())
    }

    /// Gives back the disk that cleared payloads, dropped feeds and unfinished uploads take up, and makes one file of small neighbours in the
    /// journal. Reading and writing go on meanwhile. Needs room for what is left of one file of the journal (of 16 MiB at most); on a full disk
    /// it has a reserve of 1 MiB, and what derived data takes up there. Files for which that is not enough stay as they are, and are counted. A
    /// crash at any point does no harm.
    ///
    /// # Errors
    /// For want of room only if nothing was given back at all.
    pub async fn compact(&self) -> Result<Compacted, LogError> {
        self.run(compact).await?
    }

    /// Goes on after damage in the journal, which [`Database::verify`] tells of, and where this folder may be a copy of one that is written
    /// elsewhere. With damage nothing is written here until then, for what was lost may be blocks of own feeds, and writing them anew would fork
    /// these. Feeds of which there may be more than is here take no more, and are returned: their writers go on in new ones. Durable when it
    /// returns.
    pub async fn settle(&self) -> Result<Vec<FeedKey>, LogError> {
        let before = self.run(|parts| own_lengths(parts)).await?;
        let damaged = self.run(settle_damage).await??;
        settle_doubts(&self.parts.network).await?;
        let after = self.run(|parts| own_lengths(parts)).await?;
        let over = before.into_keys().filter(|feed| !after.contains_key(feed));
        Ok(over.chain(damaged).collect::<BTreeSet<FeedKey>>().into_iter().collect())
    }

    /// The same for who knows that there is no other copy of this folder that anybody writes, newer or older: feeds of which nothing but that
    /// was in doubt are gone on with. Not so those of which blocks are known to be lost.
    pub async fn settle_as_only_copy(&self) -> Result<Vec<FeedKey>, LogError> {
        make_sure_of_only_copy(&self.parts.network).await?;
        self.settle().await
    }

    /// What is held of a feed that is written here, at or beyond its fork. None if it did not fork.
    ///
    /// # Errors
    /// [`RecoverError::NotOurs`], [`RecoverError::Unknown`].
    pub async fn lost_entries(&self, feed: FeedKey) -> Result<LostEntries, RecoverError> {
        let survey = self.run(move |parts| parts.survey(feed)).await??;
        Ok(LostEntries::new(self.parts.clone(), survey))
    }

    /// Appends what [`Database::lost_entries`] finds again, to the feed that goes on for this one: of the same kind, key, time, places, references
    /// and content, in the place of what it replaced. What was appended again before, here or in another copy of the folder as far as peers that
    /// answer know, taken back, or replaced by what was written here since, is left as it is. After a crash, or when more has come, it can be called
    /// again. Durable when it returns.
    ///
    /// # Errors
    /// [`RecoverError::NotOurs`], [`RecoverError::Unknown`].
    pub async fn recover_feed(&self, feed: FeedKey) -> Result<Recovered, RecoverError> {
        hear_heirs(&self.parts, feed).await?;
        write::run_in_turn(&self.parts, move |parts, _turn| parts.recover(feed)).await?
    }
}
