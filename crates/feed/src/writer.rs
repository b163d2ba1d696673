//! The one who writes: journal first, then the index, then the readers' picture.

use crate::append::Appending;
use crate::index::Index;
use crate::keys::Keys;
use crate::rows::{self, Cursor};
use crate::{CommitError, ReadError, Witness};
use kappadb_core::{DatabaseId, FeedKey, Head, RangeSet, Signature, SignedHead};
use kappadb_journal::{Damage, Journal, Placed, Position, Record};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Journal, index and keys, behind one lock.
pub(crate) struct Writer {
    /// None once closed.
    pub journal: Option<Journal>,
    pub index: Index,
    pub keys: Keys,
    /// Remembers outside of the folder how far own feeds were written.
    pub witness: Option<Arc<dyn Witness>>,
    pub database: DatabaseId,
    pub appending: BTreeMap<FeedKey, Appending>,
    /// What the journal lost; own feeds take no appends while there is any.
    pub damage: Vec<Damage>,
    /// The last record with a signed head, and the last that stays when the journal retreats.
    pub anchor: Option<(Position, Signature)>,
    pub kept_anchor: Option<(Position, Signature)>,
    /// Heads that the witness is not told of before they are durable.
    pub unnoted: BTreeMap<FeedKey, Head>,
    /// Something was written or taken in since the last commit.
    pub dirty: bool,
    /// What the journal says could not be derived from it, or the work was not done to its end.
    pub broken: bool,
}

impl Writer {
    /// # Errors
    /// If an earlier commit failed.
    pub fn usable(&self) -> Result<(), CommitError> {
        if self.broken { Err(CommitError::Poisoned) } else { Ok(()) }
    }

    pub fn journal(&mut self) -> Result<&mut Journal, CommitError> {
        self.journal.as_mut().ok_or(CommitError::Poisoned)
    }

    /// Writes a record that becomes durable with the next commit.
    pub fn write(&mut self, record: &Record) -> Result<Placed, CommitError> {
        let appended = self.journal()?.append(record);
        let placed = appended.map_err(|error| self.not_taken(error))?;
        self.dirty = true;
        if let Record::Head { head, .. } | Record::Fetched { head, .. } = record {
            self.anchor = Some((placed.at, head.signature));
        }
        Ok(placed)
    }

    /// The journal did not take a record. Unless that was the record's fault, nothing before it that is not durable is relied on.
    pub fn not_taken(&mut self, error: kappadb_journal::AppendError) -> CommitError {
        use kappadb_journal::AppendError::{Record, Reserved};
        if !matches!(error, Record(_) | Reserved) {
            self.retreat();
        }
        CommitError::Journal(Arc::new(error))
    }

    /// Lets go of everything that was not committed, in the journal and in memory, so that writing goes on from there. Nobody was told
    /// that it is there; who put something and has not synced it yet finds that out by [`crate::Feeds::setbacks`]. If a sync failed when somebody had
    /// been told of what was not durable, nothing more is written: opening anew finds out what is there.
    pub fn retreat(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.retreat();
            self.broken |= journal.is_lost();
        }
        let (blocks, visible) = (self.index.blocks.clone(), self.index.visible.clone());
        visible.write().unwrap_or_else(PoisonError::into_inner).setbacks += 1;
        blocks.forget();
        self.index = Index::new(blocks, visible);
        self.appending.clear();
        self.anchor = self.kept_anchor;
        self.dirty = false;
    }

    /// The record is written; what it teaches could not be taken in. Opening anew will.
    pub fn derived_failed(&mut self, error: ReadError) -> CommitError {
        self.broken = true;
        CommitError::Derived(Arc::new(error))
    }

    /// Signs, syncs and shows everything since the last commit. If the journal does not take it, it is all let go of.
    pub fn commit(&mut self) -> Result<(), CommitError> {
        self.commit_as(true)
    }

    /// The same, and leaves the sync to a later commit if it need not be `durable` now.
    pub fn commit_as(&mut self, durable: bool) -> Result<(), CommitError> {
        self.usable()?;
        let is_behind = self.journal.as_ref().is_some_and(|journal| journal.durable() < journal.end());
        if !(self.dirty || durable && is_behind) {
            return Ok(());
        }
        let done = self.try_commit(durable);
        match &done {
            Ok(()) => (self.dirty, self.kept_anchor) = (false, self.anchor),
            Err(CommitError::Journal(_)) => self.retreat(),
            Err(_) => self.broken = true,
        }
        done
    }

    fn try_commit(&mut self, durable: bool) -> Result<(), CommitError> {
        let heads = self.write_heads()?;
        let journal = self.journal()?;
        match durable {
            true => journal.sync().map_err(|error| CommitError::Journal(Arc::new(error)))?,
            false => journal.keep(),
        }
        self.unnoted.extend(heads.iter().map(|(feed, head)| (*feed, head.head)));
        if durable && let Some(witness) = &self.witness {
            // After the journal's sync and before anybody is told: what the witness knows is always in the journal. It needs no sync of its own,
            // for one that a power cut sets back knows less and is still right.
            std::mem::take(&mut self.unnoted).iter().for_each(|(feed, head)| witness.note(feed, head));
        }
        for (feed, head) in heads {
            self.take_in(&feed, head).map_err(|error| CommitError::Derived(Arc::new(error)))?;
        }
        let cursor = self.cursor()?;
        self.index.publish(&cursor).map_err(|error| CommitError::Derived(Arc::new(error)))
    }

    /// Writes what was appended, and one signed head for each feed appended to.
    fn write_heads(&mut self) -> Result<Vec<(FeedKey, SignedHead)>, CommitError> {
        let dirty = self.appending.iter().filter(|(_, appending)| appending.is_dirty());
        let feeds: Vec<FeedKey> = dirty.map(|(feed, _)| *feed).collect();
        let mut heads = Vec::new();
        for feed in feeds {
            self.flush_blocks(&feed)?;
            // It was read before anything was appended.
            let (Some(appending), Ok(Some(secret))) = (self.appending.get(&feed), self.keys.get(&feed))
            else {
                continue;
            };
            let head = appending.peaks.head().sign(&self.database, secret);
            self.write(&Record::Head { feed, head })?;
            heads.push((feed, head));
        }
        Ok(heads)
    }

    fn take_in(&mut self, feed: &FeedKey, head: SignedHead) -> Result<(), ReadError> {
        let Some(appending) = self.appending.get_mut(feed) else { return Ok(()) };
        let (arrived, nodes) = appending.committed();
        if let Some(number) = self.index.with(feed, |state| state.number) {
            self.index.keep(number, nodes, appending.peaks.roots());
        }
        let ranges: RangeSet = arrived.iter().flat_map(|arrived| arrived.ranges.ranges().to_vec()).collect();
        arrived.iter().try_for_each(|arrived| self.index.arrive(feed, arrived))?;
        self.index.appended(feed, ranges.end());
        self.index.state_head(feed, head, &ranges)
    }

    pub fn cursor(&self) -> Result<Cursor, CommitError> {
        let journal = self.journal.as_ref().ok_or(CommitError::Poisoned)?;
        Ok(Cursor {
            format: rows::FORMAT,
            database: self.database,
            at: journal.end(),
            durable: journal.durable(),
            lseq: journal.next_lseq(),
            anchor: self.anchor,
            damaged: !self.damage.is_empty(),
            layout: journal.layout(),
        })
    }

    /// Makes everything durable and closes the journal cleanly.
    pub fn close(&mut self) -> Result<(), CommitError> {
        self.commit()?;
        self.broken = true;
        let Some(journal) = self.journal.take() else { return Ok(()) };
        journal.close().map_err(|error| CommitError::Journal(Arc::new(error)))
    }
}

/// Dropping without [`Writer::close`] is a clean close too, if it can be.
impl Drop for Writer {
    fn drop(&mut self) {
        if self.journal.is_some()
            && !self.broken
            && let Err(error) = self.close()
        {
            tracing::warn!(%error, "the feeds could not be closed cleanly");
        }
    }
}
