//! When a bundle holds by itself and yet differs from what is held: its writer signed two histories.

use crate::nodes::Nodes;
use crate::writer::Writer;
use crate::{PutError, PutOutcome, ReadError};
use kappadb_core::SignedHead;
use kappadb_entry::Bundle;
use kappadb_merkle::{Branch, ForkEvidence, Node, Verified, flat};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

impl Writer {
    /// Indexes at which the bundle's nodes are not those held.
    pub(crate) fn conflicts(&self, bundle: &Bundle, verified: &Verified) -> Result<Vec<u64>, PutError> {
        let indexes = verified.nodes.iter().map(|(index, _)| *index);
        let (from, to) = (indexes.clone().min().unwrap_or(0), indexes.max().map_or(0, |max| max + 1));
        let differing = self.index.with_nodes(&bundle.feed, |nodes| {
            nodes.scan(from..to, verified.nodes.len())?;
            let differs = |(index, node): &(u64, Node)| match nodes.get(*index) {
                Ok(held) => held.is_some_and(|held| held != *node).then_some(Ok(*index)),
                Err(error) => Some(Err(error)),
            };
            verified.nodes.iter().filter_map(differs).collect::<Result<Vec<u64>, ReadError>>()
        });
        Ok(differing.ok_or(PutError::Undefined(bundle.feed))??)
    }

    /// Makes evidence of it, if the bundle stands by itself.
    pub(crate) fn contradiction(
        &mut self,
        bundle: &Bundle,
        verified: &Verified,
        conflicts: Vec<u64>,
    ) -> Result<PutOutcome, PutError> {
        if !bundle.known.is_empty() {
            return Err(PutError::KnownMismatch(bundle.feed));
        }
        match self.evidence(bundle, verified, &conflicts)? {
            Some(evidence) => {
                let seq = self.record_fork(evidence)?;
                Ok(PutOutcome { fork: Some(seq), ..PutOutcome::default() })
            }
            None => {
                let index = conflicts.first().copied().unwrap_or_default();
                Err(PutError::Contradiction { feed: bundle.feed, index })
            }
        }
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
