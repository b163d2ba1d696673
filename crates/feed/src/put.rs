//! Storing what a peer sent: verified first, whole or not at all.

use crate::index::Arrived;
use crate::replay::without_payload;
use crate::state::FeedState;
use crate::writer::Writer;
use crate::{CommitError, PutError, PutOutcome, ReadError};
use kappadb_core::limits::MAX_UNLINKED_HEADS;
use kappadb_core::{FeedDefinition, FeedKey, Form, RangeSet, Seq, StoredBlock};
use kappadb_entry::{Bundle, BundleError};
use kappadb_journal::{Placed, Record};
use kappadb_merkle::{ForkEvidence, Node, ProofError, Verified};

/// What of a bundle is new here.
struct New {
    ranges: RangeSet,
    blocks: Vec<StoredBlock>,
    bytes: u64,
    nodes: Vec<(u64, Node)>,
    /// Blocks that are held cleared, with their payloads.
    filled: Vec<(Seq, StoredBlock)>,
}

impl Writer {
    /// Writes a feed's definition, whose signature was checked. False if it is here already.
    pub fn define(&mut self, definition: &FeedDefinition) -> Result<bool, CommitError> {
        if self.index.with(&definition.feed, |_| ()).is_some() {
            return Ok(false);
        }
        self.write(&Record::Definition(*definition))?;
        Ok(self.index.define(definition))
    }

    /// Verifies the bundle and writes what is new of it. It becomes durable and visible with the next commit, but later bundles may
    /// build on it at once.
    pub fn put(&mut self, bundle: Bundle) -> Result<PutOutcome, PutError> {
        self.usable()?;
        if self.index.is_dropped(&bundle.feed) {
            return Err(PutError::Dropped(bundle.feed));
        }
        self.index.with(&bundle.feed, |_| ()).ok_or(PutError::Undefined(bundle.feed))?;
        self.let_go_of(&bundle.feed)?;
        let verified = self.verified(&bundle)?;
        let conflicts = self.conflicts(&bundle, &verified)?;
        let outcome = match conflicts.is_empty() {
            true => self.store(bundle, verified)?,
            false => self.contradiction(bundle, &verified, conflicts)?,
        };
        if self.index.is_heavy() {
            self.commit()?;
        }
        Ok(outcome)
    }

    /// Records evidence of a fork, made here or elsewhere. The lowest seq of a feed counts.
    pub fn record_fork(&mut self, evidence: ForkEvidence) -> Result<Seq, PutError> {
        self.usable()?;
        self.index.with(&evidence.feed, |_| ()).ok_or(PutError::Undefined(evidence.feed))?;
        let seq = evidence.verify(&self.database)?;
        let known =
            self.index.with(&evidence.feed, |state| state.fork.as_ref().map(|(seq, _)| *seq)).flatten();
        if known.is_none_or(|known| seq < known) {
            self.write(&Record::Fork(evidence.clone()))?;
            self.index.fork(seq, evidence);
        }
        Ok(seq)
    }

    /// An own feed may be about to change under its appender.
    fn let_go_of(&mut self, feed: &FeedKey) -> Result<(), PutError> {
        if self.appending.get(feed).is_some_and(|appending| appending.is_dirty()) {
            self.commit()?;
        }
        self.appending.remove(feed);
        Ok(())
    }

    fn verified(&self, bundle: &Bundle) -> Result<Verified, PutError> {
        let mut failed = None;
        let verified = self.index.with_nodes(&bundle.feed, |nodes| {
            bundle.verify(&self.database, &mut |index| match nodes.get(index) {
                Ok(node) => node,
                Err(error) => {
                    failed.get_or_insert(error);
                    None
                }
            })
        });
        match (failed, verified) {
            (Some(error), _) => Err(error.into()),
            (None, Some(Ok(verified))) => Ok(verified),
            (None, Some(Err(error))) if !bundle.known.is_empty() && may_be_ours(&error) => {
                Err(PutError::KnownMismatch(bundle.feed))
            }
            (None, Some(Err(error))) => Err(error.into()),
            (None, None) => Err(PutError::Undefined(bundle.feed)),
        }
    }

    pub(crate) fn store(&mut self, bundle: Bundle, verified: Verified) -> Result<PutOutcome, PutError> {
        let Bundle { feed, head, ranges, blocks, .. } = bundle;
        let New { ranges, blocks, bytes, nodes, filled } = self.new_of(&feed, &ranges, blocks, &verified)?;
        let (longer, crowded) = self
            .index
            .with(&feed, |state| {
                let known = |unlinked: &crate::rows::Unlinked| unlinked.head.head == head.head;
                let in_use = state.unlinked.iter().filter(|unlinked| !unlinked.ranges.is_empty()).count();
                let crowded = in_use >= MAX_UNLINKED_HEADS && !state.unlinked.iter().any(known);
                (state.newest.is_none_or(|newest| newest.head.length < head.head.length), crowded)
            })
            .ok_or(PutError::Undefined(feed))?;
        // A longer one is let in even then: it may be the one to which the others can be linked.
        if crowded && !longer {
            return Err(PutError::TooManyHeads(feed));
        }
        let filled = self.fill(&feed, filled)?;
        if ranges.is_empty() && nodes.is_empty() && !longer {
            return Ok(PutOutcome { filled, ..PutOutcome::default() });
        }
        let (stored, cleared) = (ranges.count(), without_payload(&ranges, &blocks));
        let record = Record::Fetched { feed, head, ranges: ranges.clone(), nodes, blocks };
        let placed = self.write(&record)?;
        let Placed { at, first_lseq, .. } = placed;
        let arrived = Arrived { at, first_lseq, ranges, bytes, cleared };
        let taken = self.index.learn(&feed, head.head.length, verified.nodes).and_then(|()| {
            self.index.arrive(&feed, &arrived)?;
            self.index.seen(&feed, head.head.length);
            self.index.state_head(&feed, head, &arrived.ranges)
        });
        taken.map_err(|error| self.derived_failed(error))?;
        Ok(PutOutcome { stored, bytes, filled, ..PutOutcome::default() })
    }

    /// Writes payloads that had been cleared.
    fn fill(&mut self, feed: &FeedKey, filled: Vec<(Seq, StoredBlock)>) -> Result<u64, CommitError> {
        if filled.is_empty() {
            return Ok(0);
        }
        let ranges: RangeSet = filled.iter().map(|(seq, _)| *seq).collect();
        let blocks: Vec<StoredBlock> = filled.into_iter().map(|(_, block)| block).collect();
        let record = Record::Filled { feed: *feed, ranges: ranges.clone(), blocks: blocks.clone() };
        let at = self.write(&record)?.at;
        self.index.fill(feed, at, &ranges, &blocks).map_err(|error| self.derived_failed(error))?;
        Ok(ranges.count())
    }

    /// The blocks not held, or held without what they bring, and the nodes that neither follow from them nor are at hand.
    fn new_of(
        &self,
        feed: &FeedKey,
        ranges: &RangeSet,
        blocks: Vec<StoredBlock>,
        verified: &Verified,
    ) -> Result<New, PutError> {
        let look = |state: &FeedState| (ranges.minus(&state.held), state.cleared.intersection(ranges));
        let (fresh, cleared) = self.index.with(feed, look).ok_or(PutError::Undefined(*feed))?;
        let (new, old): (Vec<_>, Vec<_>) =
            ranges.iter().zip(blocks).partition(|(seq, _)| fresh.contains(*seq));
        let blocks: Vec<StoredBlock> = new.into_iter().map(|(_, block)| block).collect();
        let fills = |(seq, block): &(Seq, StoredBlock)| cleared.contains(*seq) && block.form == Form::Whole;
        let filled = old.into_iter().filter(fills).collect();
        let nodes = self.index.with_nodes(feed, |nodes| {
            nodes.read_ahead(verified.supplied.iter().map(|(index, _)| *index))?;
            let unknown = |(index, node): &(u64, Node)| match nodes.get(*index) {
                Ok(None) => Some(Ok((*index, *node))),
                Ok(Some(_)) => None,
                Err(error) => Some(Err(error)),
            };
            verified.supplied.iter().filter_map(unknown).collect::<Result<Vec<_>, ReadError>>()
        });
        let bytes = blocks.iter().map(|block| block.bytes.len() as u64).sum();
        Ok(New { ranges: fresh, blocks, bytes, nodes: nodes.ok_or(PutError::Undefined(*feed))??, filled })
    }
}

/// True if the failure may come from what was taken to be known, rather than from the bundle alone.
fn may_be_ours(error: &BundleError) -> bool {
    use ProofError::{ByteLength, KnownMismatch, MissingKnown, RootHash, Tree};
    let BundleError::Proof(error) = error else { return false };
    matches!(error, RootHash | ByteLength | Tree(_) | KnownMismatch { .. } | MissingKnown { .. })
}
