//! The one who writes: journal first, then the index, then the readers' picture.

use crate::append::Appending;
use crate::index::Index;
use crate::keys::Keys;
use crate::rows::{self, Cursor};
use crate::{CommitError, ReadError, Witness};
use kappadb_core::{DatabaseId, FeedKey, RangeSet, Signature, SignedHead};
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
    /// The last record with a signed head, and the last durable one.
    pub anchor: Option<(Position, Signature)>,
    pub durable_anchor: Option<(Position, Signature)>,
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

    /// Lets go of everything that is not durable, in the journal and in memory, so that writing goes on from there. Nobody was told
    /// that it is; who put something and has not synced it yet finds that out by [`crate::Feeds::setbacks`].
    pub fn retreat(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.retreat();
        }
        let (blocks, visible) = (self.index.blocks.clone(), self.index.visible.clone());
        visible.write().unwrap_or_else(PoisonError::into_inner).setbacks += 1;
        blocks.forget();
        self.index = Index::new(blocks, visible);
        self.appending.clear();
        self.anchor = self.durable_anchor;
        self.dirty = false;
    }

    /// The record is written; what it teaches could not be taken in. Opening anew will.
    pub fn derived_failed(&mut self, error: ReadError) -> CommitError {
        self.broken = true;
        CommitError::Derived(Arc::new(error))
    }

    /// Signs, syncs and shows everything since the last commit. If the journal does not take it, it is all let go of.
    pub fn commit(&mut self) -> Result<(), CommitError> {
        self.usable()?;
        if !self.dirty {
            return Ok(());
        }
        let done = self.try_commit();
        match &done {
            Ok(()) => (self.dirty, self.durable_anchor) = (false, self.anchor),
            Err(CommitError::Journal(_)) => self.retreat(),
            Err(_) => self.broken = true,
        }
        done
    }

    fn try_commit(&mut self) -> Result<(), CommitError> {
        let heads = self.write_heads()?;
        self.journal()?.sync().map_err(|error| CommitError::Journal(Arc::new(error)))?;
        // After the journal's sync and before anybody is told: what the witness knows is always in the journal. It needs no sync of its own,
        // for one that a power cut sets back knows less and is still right.
        if let Some(witness) = &self.witness {
            heads.iter().for_each(|(feed, head)| witness.note(feed, &head.head));
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
            self.index.keep(number, nodes);
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
