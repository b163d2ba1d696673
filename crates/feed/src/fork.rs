//! When a bundle holds by itself and yet differs from what is held: its writer signed two histories.

use crate::heads::leads_up_with;
use crate::nodes::Nodes;
use crate::writer::Writer;
use crate::{PutError, PutOutcome, ReadError};
use kappadb_core::{RangeSet, Seq, SignedHead};
use kappadb_entry::Bundle;
use kappadb_merkle::{Branch, ForkEvidence, Node, Verified, flat};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

impl Writer {
    /// Indexes at which the bundle's nodes are not those held.
    pub(crate) fn conflicts(&self, bundle: &Bundle, verified: &Verified) -> Result<Vec<u64>, PutError> {
        let differing = self.index.with_nodes(&bundle.feed, |nodes| {
            nodes.read_ahead(verified.nodes.iter().map(|(index, _)| *index))?;
            let differs = |(index, node): &(u64, Node)| match nodes.get(*index) {
                Ok(held) => held.is_some_and(|held| held != *node).then_some(Ok(*index)),
                Err(error) => Some(Err(error)),
            };
            verified.nodes.iter().filter_map(differs).collect::<Result<Vec<u64>, ReadError>>()
        });
        Ok(differing.ok_or(PutError::Undefined(bundle.feed))??)
    }

    /// Makes evidence of it, if the bundle stands by itself, and keeps of it what both histories have.
    pub(crate) fn contradiction(
        &mut self,
        bundle: Bundle,
        verified: &Verified,
        conflicts: Vec<u64>,
    ) -> Result<PutOutcome, PutError> {
        if !bundle.known.is_empty() {
            return Err(PutError::KnownMismatch(bundle.feed));
        }
        let fork = self.fork_shown(&bundle, verified, &conflicts)?;
        let missed = self.index.with(&bundle.feed, |state| {
            bundle.ranges.intersection(&RangeSet::below(fork)).minus(&state.held)
        });
        let missed = missed.unwrap_or_default().count();
        let kept = match self.below(&bundle, verified, fork)? {
            Some((part, learnt)) => self.store(part, learnt)?,
            None => PutOutcome::default(),
        };
        Ok(PutOutcome { fork: Some(fork), contradicted: missed.saturating_sub(kept.stored), ..kept })
    }

    /// From where on the feed is not trusted, now that nodes differ. Evidence is made unless a fork that is known explains every
    /// difference: it would be for a higher node, and so for an earlier seq than need be.
    fn fork_shown(
        &mut self,
        bundle: &Bundle,
        verified: &Verified,
        conflicts: &[u64],
    ) -> Result<Seq, PutError> {
        let known = self.index.with(&bundle.feed, |state| state.fork.as_ref().map(|(seq, _)| *seq)).flatten();
        let explained = |known: &Seq| conflicts.iter().all(|index| flat::leaf_span(*index).end > *known);
        if let Some(known) = known.filter(explained) {
            return Ok(known);
        }
        let Some(evidence) = self.evidence(bundle, verified, conflicts)? else {
            let index = conflicts.first().copied().unwrap_or_default();
            return Err(PutError::Contradiction { feed: bundle.feed, index });
        };
        let proved = self.record_fork(evidence)?;
        Ok(known.map_or(proved, |known| known.min(proved)))
    }

    /// What lies below the fork, as if it had been proved under the head that is held: there both histories are one. None if there
    /// is nothing, or if nodes that lead from it to that head are not at hand.
    fn below(
        &self,
        bundle: &Bundle,
        verified: &Verified,
        fork: Seq,
    ) -> Result<Option<(Bundle, Verified)>, PutError> {
        let newest = self.index.with(&bundle.feed, |state| state.newest).flatten();
        let ranges = bundle.ranges.intersection(&RangeSet::below(fork));
        let (Some(head), false) = (newest, ranges.is_empty()) else { return Ok(None) };
        let within = |nodes: &[(u64, Node)]| -> Vec<(u64, Node)> {
            nodes.iter().filter(|(index, _)| flat::leaf_span(*index).end <= fork).copied().collect()
        };
        let (nodes, supplied) = (within(&verified.nodes), within(&verified.supplied));
        let tops: Vec<u64> =
            flat::roots(fork).into_iter().filter(|top| ranges.intersects(&flat::leaf_span(*top))).collect();
        let linked = self.index.with_nodes(&bundle.feed, |held| {
            for top in tops {
                let node = nodes.iter().find(|(index, _)| *index == top).map(|(_, node)| *node);
                if node.is_none() || !leads_up_with(top, node, head.head.length, held)? {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        if !linked.unwrap_or(Ok(false)).map_err(|error: ReadError| PutError::from(error))? {
            return Ok(None);
        }
        let pairs = bundle.ranges.iter().zip(&bundle.blocks);
        let blocks = pairs.filter(|(seq, _)| ranges.contains(*seq)).map(|(_, block)| block.clone()).collect();
        let (known, proof) = (bundle.known.clone(), Vec::new());
        let part = Bundle { feed: bundle.feed, head, ranges, blocks, known, proof };
        Ok(Some((part, Verified { nodes, supplied, roots: Vec::new() })))
    }

    /// Evidence at the lowest node for which both paths are at hand.
    fn evidence(
        &self,
        bundle: &Bundle,
        verified: &Verified,
        conflicts: &[u64],
    ) -> Result<Option<ForkEvidence>, PutError> {
        let theirs: HashMap<u64, Node> = verified.nodes.iter().copied().collect();
        let heads: Vec<SignedHead> = self
            .index
            .with(&bundle.feed, |state| {
                state.newest.into_iter().chain(state.unlinked.iter().map(|unlinked| unlinked.head)).collect()
            })
            .unwrap_or_default();
        let made = self.index.with_nodes(&bundle.feed, |nodes| {
            let descent = descend(conflicts, &theirs, nodes)?;
            for (index, head) in
                descent.into_iter().rev().flat_map(|index| heads.iter().map(move |head| (index, *head)))
            {
                let b = branch(index, bundle.head, &mut |i| Ok(theirs.get(&i).copied()))?;
                let a = branch(index, head, &mut |i| nodes.get(i))?;
                let (Some(a), Some(b)) = (a, b) else { continue };
                let evidence = ForkEvidence { feed: bundle.feed, index, a, b };
                if evidence.verify(&self.database).is_ok() {
                    return Ok(Some(evidence));
                }
            }
            Ok(None)
        });
        made.unwrap_or(Ok(None)).map_err(|error: ReadError| error.into())
    }
}

/// From the leftmost and highest conflict down towards the first block that differs, as far as both sides' nodes are at hand: left where the
/// left child differs, right where it is seen not to.
fn descend(
    conflicts: &[u64],
    theirs: &HashMap<u64, Node>,
    nodes: &mut Nodes<'_>,
) -> Result<Vec<u64>, ReadError> {
    let differs: HashSet<u64> = conflicts.iter().copied().collect();
    let top = |index: &u64| (flat::leaf_span(*index).start, Reverse(flat::height(*index)));
    let mut path: Vec<u64> = conflicts.iter().copied().min_by_key(top).into_iter().collect();
    while let Some((left, right)) = path.last().and_then(|at| flat::children(*at)) {
        if differs.contains(&left) {
            path.push(left);
        } else if differs.contains(&right) && theirs.contains_key(&left) && nodes.get(left)?.is_some() {
            path.push(right);
        } else {
            break;
        }
    }
    Ok(path)
}

fn branch(
    index: u64,
    head: SignedHead,
    lookup: &mut dyn FnMut(u64) -> Result<Option<Node>, ReadError>,
) -> Result<Option<Branch>, ReadError> {
    let Some(needed) = ForkEvidence::branch_needed(index, head.head.length) else { return Ok(None) };
    let Some(node) = lookup(index)? else { return Ok(None) };
    let proof = needed.into_iter().map(lookup).collect::<Result<Option<Vec<Node>>, ReadError>>()?;
    Ok(proof.map(|proof| Branch { head, node, proof }))
}
