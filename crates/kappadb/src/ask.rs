//! Asking neighbours: which feed ranges answer a selector, fetched and proved; and what the answer rests on.

use crate::backend::Backend;
use crate::database::{self, Parts};
use crate::error::{AskError, ReadError};
use crate::replica::Peer;
use futures::future::join_all;
use kappadb_core::{FeedKey, RangeSet};
use kappadb_journal::Claim;
use kappadb_net::{Credentials, DialError, PeerHandle, Timeouts};
use kappadb_query::Selector;
use kappadb_sync::{Ask, Coverage, Have, statement};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The map view's name in queries.
pub(crate) const MAP: &str = "map";

/// What came of asking the known peers.
#[derive(Debug, Default)]
pub struct Asked {
    /// True if the claims of all that took part, this replica among them, cover the selector up to the greatest
    /// length of each feed that any of them knows. True by itself for a replica that knows no peer.
    pub complete: bool,
    /// Peers that answered.
    pub peers: u64,
    /// Blocks newly stored here.
    pub blocks_fetched: u64,
    /// Bytes received, handshake included.
    pub bytes_received: u64,
    /// Bytes sent, handshake included.
    pub bytes_sent: u64,
    /// Times that this replica waited for a peer, from dial to statement, the greatest over the peers.
    pub round_trips: u64,
    /// Peers that did not answer, and why.
    pub failures: Vec<Failure>,
}

/// A peer that did not answer.
#[derive(Debug)]
pub struct Failure {
    /// Its identity.
    pub peer: FeedKey,
    /// Why.
    pub error: AskError,
}

/// Asks every known peer for `selector` of `view`.
///
/// All are dialled at once and then asked one after the other, each being told what came from those before it, so
/// that no block is fetched twice.
pub(crate) async fn ask(
    parts: &Arc<Parts>,
    view: &'static str,
    selector: Selector,
) -> Result<Asked, ReadError> {
    let mut asked = Asked::default();
    let dials = parts.peers.iter().map(|peer| async move { (peer.key, dial(parts, peer).await) });
    let mut statements = Vec::new();
    for (peer, dialled) in join_all(dials).await {
        let outcome = match dialled {
            Ok(handle) => ask_one(parts, &handle, view, &selector, &mut asked).await?,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(statement) => {
                asked.peers += 1;
                statements.push((peer, statement));
            }
            Err(error) => asked.failures.push(Failure { peer, error }),
        }
    }
    let took_part = asked.peers > 0 || parts.peers.is_empty();
    asked.complete = conclude(parts, view, selector, statements).await? && took_part;
    Ok(asked)
}

async fn dial(parts: &Arc<Parts>, peer: &Peer) -> Result<PeerHandle, DialError> {
    let credentials = Credentials::new(parts.access.clone(), parts.identity.clone());
    let timeouts = Timeouts::default();
    kappadb_net::connect_any(&peer.addresses, &credentials, peer.key, Backend::new(parts), &timeouts).await
}

async fn ask_one(
    parts: &Arc<Parts>,
    peer: &PeerHandle,
    view: &'static str,
    selector: &Selector,
    asked: &mut Asked,
) -> Result<Result<Vec<Coverage>, AskError>, ReadError> {
    let (wanted, have) = (selector.clone(), selector.clone());
    let have = database::run(parts, move |parts| parts.have(view, &have)).await??;
    let outcome = peer.ask(Ask { view: view.to_owned(), selector: wanted, inline: true, have }).await;
    let traffic = peer.stats();
    asked.bytes_received += traffic.bytes_received;
    asked.bytes_sent += traffic.bytes_sent;
    asked.round_trips = asked.round_trips.max(traffic.round_trips);
    peer.close().await;
    Ok(outcome.map_err(AskError::from).map(|done| {
        asked.blocks_fetched += done.stats.blocks_stored;
        done.statement
    }))
}

/// Records what the peers claimed, now that what they sent is durable, and says whether the answer is complete.
async fn conclude(
    parts: &Arc<Parts>,
    view: &'static str,
    selector: Selector,
    statements: Vec<(FeedKey, Vec<Coverage>)>,
) -> Result<bool, ReadError> {
    database::run(parts, move |parts| {
        // A selector that cannot be encoded was sent to nobody, so nobody claimed anything for it.
        let encoded = selector.encode().unwrap_or_default();
        for (peer, statement) in &statements {
            let lengths =
                statement.iter().filter(|c| c.claimed > 0).map(|c| (c.definition.feed, c.claimed)).collect();
            parts.add_claim(Claim {
                view: view.to_owned(),
                selector: encoded.clone(),
                lengths,
                from: *peer,
            })?;
        }
        parts.feeds.sync()?;
        let forks = parts.feeds.exclusions();
        let mut all: Vec<Vec<Coverage>> = statements.into_iter().map(|(_, statement)| statement).collect();
        if !forks.is_empty() {
            // A peer that does not know of the fork leaves out what the forked entries made redundant, which counts
            // again here. What is held whole is not touched by that.
            all.iter_mut().flatten().for_each(|coverage| coverage.claimed = 0);
        }
        all.push(parts.coverage(view, &selector));
        let all: Vec<&[Coverage]> = all.iter().map(Vec::as_slice).collect();
        Ok(statement::is_complete(&all, &forks))
    })
    .await?
}

impl Parts {
    /// What this replica holds of the answer: what a peer need not send, and what it may take as known in proofs.
    fn have(&self, view: &str, selector: &Selector) -> Result<Vec<Have>, ReadError> {
        self.views.ready()?;
        let held = group(self.views.matches(view, selector)?);
        Ok(held
            .into_iter()
            .map(|(feed, ranges)| Have { feed, known: self.feeds.known(&feed, &ranges) })
            .collect())
    }

    /// What this replica's own answer to `selector` rests on, feed by feed.
    pub(crate) fn coverage(&self, view: &str, selector: &Selector) -> Vec<Coverage> {
        // Earlier claims rest on what was held then: damage takes some of it away, and a fork brings back what its
        // entries had made redundant.
        let unshaken = self.feeds.exclusions().is_empty() && self.feeds.damage().is_empty();
        let claims = if unshaken { self.claims_for(view, selector) } else { BTreeMap::new() };
        let coverage = self.feeds.list().into_iter().filter_map(|info| {
            let definition = self.feeds.definition(&info.feed)?;
            let whole = info.held == info.length;
            let claimed = if whole { info.length } else { claims.get(&info.feed).copied().unwrap_or(0) };
            Some(Coverage { definition, claimed, length: info.length })
        });
        coverage.collect()
    }

    /// The greatest length claimed for each feed by a completed query that covers `selector`.
    fn claims_for(&self, view: &str, selector: &Selector) -> BTreeMap<FeedKey, u64> {
        let covers = |claim: &&Claim| {
            claim.view == view && Selector::decode(&claim.selector).is_ok_and(|wide| wide.covers(selector))
        };
        let mut lengths = BTreeMap::new();
        for (feed, length) in self.feeds.claims().iter().filter(covers).flat_map(|claim| &claim.lengths) {
            let best = lengths.entry(*feed).or_insert(0);
            *best = (*best).max(*length);
        }
        lengths
    }

    /// Records a claim unless what is known covers it already.
    fn add_claim(&self, claim: Claim) -> Result<(), ReadError> {
        let Ok(selector) = Selector::decode(&claim.selector) else { return Ok(()) };
        let known = self.claims_for(&claim.view, &selector);
        if claim.lengths.iter().all(|(feed, length)| known.get(feed).is_some_and(|k| k >= length)) {
            return Ok(());
        }
        Ok(self.feeds.add_claim(claim)?)
    }
}

/// Entry ids as ranges of their feeds.
pub(crate) fn group(ids: Vec<kappadb_core::EntryId>) -> BTreeMap<FeedKey, RangeSet> {
    let mut seqs: BTreeMap<FeedKey, Vec<u64>> = BTreeMap::new();
    for id in ids {
        seqs.entry(id.feed).or_default().push(id.seq);
    }
    let ranges = seqs.into_iter().map(|(feed, mut seqs)| {
        seqs.sort_unstable();
        (feed, seqs.into_iter().collect())
    });
    ranges.collect()
}
