//! Asking neighbours: which feed ranges answer a selector, fetched and proved.

use crate::backend::Backend;
use crate::claims::Verdict;
use crate::database::{self, Parts};
use crate::error::{AskError, ReadError};
use crate::forks::{Answers, Ground, claim_nothing};
use crate::replica::Peer;
use futures::future::join_all;
use kappadb_core::limits::{MAX_SELECTOR, MAX_SELECTOR_KEYS};
use kappadb_core::{FeedKey, Lseq, RangeSet, Timestamp};
use kappadb_entry::space;
use kappadb_merkle::Known;
use kappadb_net::{Answered, Credentials, DialError, PeerHandle, Timeouts};
use kappadb_query::Selector;
use kappadb_sync::{Ask, Fetch};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The map view's name in queries.
pub(crate) const MAP: &str = "map";
/// The chat view's.
pub(crate) const CHAT: &str = "chat";
/// The key-value view's.
pub(crate) const KV: &str = "kv";

/// The space of the entries whose contents belong to the answers of a view of this library.
fn space_of(view: &str) -> Option<u32> {
    match view {
        MAP => Some(space::MAP),
        KV => Some(space::KV),
        _ => None,
    }
}

/// What came of asking the known peers.
#[derive(Debug, Default)]
pub struct Asked {
    /// True if the claims of all that took part, this replica among them, cover the selector up to the greatest
    /// length of each feed that any of them knows. True by itself for a replica that knows no peer; never true if there are peers
    /// and none answered.
    pub complete: bool,
    /// Of an answer that is not complete: it has all that was known at this time, by this replica's clock, to those who answered
    /// then. Earlier questions that cover this one were answered completely, and nothing of that was lost since. So an answer read
    /// offline is as good as it was. None if nothing says so: then it may lack anything.
    pub as_of: Option<Timestamp>,
    /// Peers that answered, at least one question.
    pub peers: u64,
    /// Blocks newly stored here.
    pub blocks_fetched: u64,
    /// Bytes received, handshake included.
    pub bytes_received: u64,
    /// Bytes sent, handshake included.
    pub bytes_sent: u64,
    /// Current versions of features and values in the answer whose content is too large for a block and could not be had whole.
    pub missing: u64,
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

impl Asked {
    /// One question of several: the answer to all of them is no better than the worst.
    fn take(&mut self, verdict: Verdict) {
        (self.complete, self.as_of) = match (self.complete, self.as_of, verdict) {
            (complete, as_of, Verdict::Complete) => (complete, as_of),
            (true, _, Verdict::AsOf(time)) => (false, Some(time)),
            (false, Some(before), Verdict::AsOf(time)) => (false, Some(before.min(time))),
            (false, None, _) | (_, _, Verdict::Incomplete) => (false, None),
        };
    }
}

/// Asks every known peer for `selector` of `view`.
pub(crate) async fn ask(
    parts: &Arc<Parts>,
    view: &'static str,
    selector: Selector,
) -> Result<Asked, ReadError> {
    let mut neighbours = Neighbours::dial(parts).await;
    neighbours.ask(view, selector).await?;
    neighbours.finish().await
}

/// How often a question is put in all, if forks are found meanwhile: once to find one, once to be told apart from what lies before it,
/// once more because there may be another.
const ROUNDS: usize = 3;

/// Bytes of a selector for each key beside the key, and for all of them: numbers that say how many and how long.
const KEY_OVERHEAD: usize = 9;

/// Open sessions with those of the known peers that could be reached, for one question or several.
///
/// All are dialled at once. A question is put to one after the other, each being told what came from those before it,
/// so that no block is fetched twice. A peer that fails is not asked again.
pub(crate) struct Neighbours {
    parts: Arc<Parts>,
    open: Vec<Neighbour>,
    asked: Asked,
    /// What was asked of which space, and where the arrival log ended before.
    selectors: Vec<(u32, Selector)>,
    since: Lseq,
    /// When they were dialled.
    dialled: Timestamp,
}

struct Neighbour {
    session: PeerHandle,
    answered: bool,
}

impl Neighbours {
    pub(crate) async fn dial(parts: &Arc<Parts>) -> Neighbours {
        let mut neighbours = Neighbours::to_nobody(parts);
        let dials = parts.to_ask().iter().map(|peer| async move { (peer.key, dial(parts, peer).await) });
        for (peer, dialled) in join_all(dials).await {
            match dialled {
                Ok(session) => neighbours.open.push(Neighbour { session, answered: false }),
                Err(error) => neighbours.asked.failures.push(Failure { peer, error: error.into() }),
            }
        }
        neighbours
    }

    /// Open to nobody, for sessions that are opened otherwise.
    pub(crate) fn to_nobody(parts: &Arc<Parts>) -> Neighbours {
        Neighbours {
            parts: parts.clone(),
            open: Vec::new(),
            asked: Asked { complete: true, ..Asked::default() },
            selectors: Vec::new(),
            since: parts.feeds.end(),
            dialled: parts.clock.now(),
        }
    }

    /// Fetches, proves and indexes what the peers have of the answer. True if the own answer is complete now.
    pub(crate) async fn ask(&mut self, view: &'static str, selector: Selector) -> Result<bool, ReadError> {
        let answers = self.question(view, &selector).await?;
        let dialled = self.dialled;
        let conclude = move |parts: &Parts| parts.conclude(view, &selector, answers, dialled);
        let verdict = database::run(&self.parts, conclude).await??;
        self.asked.take(verdict);
        Ok(verdict == Verdict::Complete)
    }

    /// The same without concluding anything from it: a first look, before it is known what the answer is to rest on.
    pub(crate) async fn look(&mut self, view: &'static str, selector: Selector) -> Result<(), ReadError> {
        self.question(view, &selector).await?;
        Ok(database::run(&self.parts, |parts| parts.feeds.sync()).await??)
    }

    /// Puts a question to one peer after the other, and again to all if it turns out meanwhile that a feed forked: what the peers left
    /// out may count then.
    pub(crate) async fn question(
        &mut self,
        view: &'static str,
        selector: &Selector,
    ) -> Result<Answers, ReadError> {
        let mut answers = Answers::new(self.ground().await?);
        for _ in 0..ROUNDS {
            self.round(view, selector, &mut answers).await?;
            let ground = self.ground().await?;
            if ground == answers.ground {
                break;
            }
            answers.claim_nothing();
            answers.ground = ground;
        }
        self.selectors.extend(space_of(view).map(|space| (space, selector.clone())));
        Ok(answers)
    }

    async fn ground(&self) -> Result<Ground, ReadError> {
        database::run(&self.parts, Parts::ground).await
    }

    async fn round(
        &mut self,
        view: &'static str,
        selector: &Selector,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        for neighbour in std::mem::take(&mut self.open) {
            let wanted = selector.clone();
            let (have, forks) = database::run(&self.parts, move |parts| {
                Ok::<_, ReadError>((parts.have(view, &wanted)?, parts.forks_to_tell()))
            })
            .await??;
            let ask = Ask { view: view.to_owned(), selector: selector.clone(), inline: true, have, forks };
            let session = neighbour.session.clone();
            let outcome = session.ask(ask).await;
            if let Some((peer, Answered { mut statement, stats, .. })) = self.settle(neighbour, outcome).await
            {
                self.follow_up(&session, &statement).await?;
                if stats.contradicted > 0 {
                    claim_nothing(&mut statement);
                }
                answers.statements.insert(peer, statement);
            }
        }
        Ok(())
    }

    /// What of these blocks is not held here, and what may be taken as known in proofs of them.
    pub(crate) async fn missing(
        &self,
        feed: FeedKey,
        ranges: RangeSet,
    ) -> Result<(RangeSet, Known), ReadError> {
        database::run(&self.parts, move |parts| {
            let held = parts.feeds.held(&feed);
            (ranges.minus(&held), parts.feeds.known(&feed, &held))
        })
        .await
    }

    pub(crate) fn count_blocks(&mut self, blocks: u64) {
        self.asked.blocks_fetched += blocks;
    }

    /// As [`Neighbours::ask`] for any number of keys, in selectors that each keep to their limits.
    pub(crate) async fn ask_in_parts(
        &mut self,
        view: &'static str,
        keys: BTreeSet<Vec<u8>>,
        selector: fn(Vec<Vec<u8>>) -> Selector,
    ) -> Result<(), ReadError> {
        let mut part = Vec::new();
        let mut bytes = 0;
        for key in keys {
            let len = key.len() + KEY_OVERHEAD;
            if part.len() == MAX_SELECTOR_KEYS || bytes + len > MAX_SELECTOR - KEY_OVERHEAD {
                self.ask(view, selector(std::mem::take(&mut part))).await?;
                bytes = 0;
            }
            bytes += len;
            part.push(key);
        }
        if !part.is_empty() {
            self.ask(view, selector(part)).await?;
        }
        Ok(())
    }

    /// Fetches and proves blocks by name, from whoever holds them; those that nobody holds are still missing then.
    pub(crate) async fn fetch(&mut self, feed: FeedKey, ranges: RangeSet) -> Result<(), ReadError> {
        for neighbour in std::mem::take(&mut self.open) {
            let (missing, known) = self.missing(feed, ranges.clone()).await?;
            if missing.is_empty() {
                self.open.push(neighbour);
                continue;
            }
            let outcome = neighbour.session.fetch(Fetch { feed, ranges: missing, known }).await;
            self.settle(neighbour, outcome).await;
        }
        Ok(())
    }

    /// Takes note of how a peer did; keeps its session for the next question if it answered.
    async fn settle(
        &mut self,
        mut neighbour: Neighbour,
        outcome: Result<Answered, kappadb_net::AskError>,
    ) -> Option<(FeedKey, Answered)> {
        let peer = neighbour.session.peer();
        match outcome {
            Ok(answered) => {
                self.asked.blocks_fetched += answered.stats.blocks_stored;
                neighbour.answered = true;
                self.open.push(neighbour);
                Some((peer, answered))
            }
            Err(error) => {
                self.asked.failures.push(Failure { peer, error: error.into() });
                self.leave(neighbour).await;
                None
            }
        }
    }

    async fn leave(&mut self, Neighbour { session, answered }: Neighbour) {
        let traffic = session.stats();
        self.asked.peers += u64::from(answered);
        self.asked.bytes_received += traffic.bytes_received;
        self.asked.bytes_sent += traffic.bytes_sent;
        self.asked.round_trips = self.asked.round_trips.max(traffic.round_trips);
        session.close().await;
    }

    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// How many there are to ask.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// True while there is anybody to ask.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn blocks_fetched(&self) -> u64 {
        self.asked.blocks_fetched
    }

    /// Fetches the contents that belong to the answers, ends the sessions and says what came of it all. `complete` if every
    /// question's answer was.
    pub(crate) async fn finish(mut self) -> Result<Asked, ReadError> {
        let selectors = std::mem::take(&mut self.selectors);
        self.asked.missing = self.fetch_contents(self.since, selectors).await?;
        for neighbour in std::mem::take(&mut self.open) {
            self.leave(neighbour).await;
        }
        Ok(self.asked)
    }
}

pub(crate) async fn dial(parts: &Arc<Parts>, peer: &Peer) -> Result<PeerHandle, DialError> {
    let credentials = Credentials::new(parts.access.clone(), parts.identity.clone());
    let timeouts = Timeouts::default();
    kappadb_net::connect_any(&peer.addresses, &credentials, peer.key, Backend::new(parts), &timeouts).await
}
