//! Sessions with the known peers, for one question or several, and whose turn it is.
//!
//! All are dialled at once. Peers have their turns one after the other, each being told what came from those before it, so that
//! no block travels twice. But a peer from which nothing comes does not hold the others: they have their turns meanwhile. Who
//! sends nothing useful for as long as is waited ([`Builder::patience`](crate::Builder::patience)) is left behind, named in
//! [`Asked::failures`], and not asked again.

use super::answer::{Asked, Failure};
use super::backend::Backend;
use super::{Handle, Network};
use crate::engine;
use crate::error::{AskError, ReadError};
use crate::folder::peers::Peer;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use kappadb_core::limits::LEAST_RATE;
use kappadb_core::{FeedKey, Lseq, RangeSet, Timestamp};
use kappadb_merkle::Known;
use kappadb_net::PeerHandle;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Into so many parts the time is cut for which a peer is waited for: after one with next to nothing the next peer has its turn, too.
const HAND_OVER: u32 = 8;

/// Open sessions with those of the known peers that could be reached, and those that are being dialled.
pub(crate) struct Neighbours {
    parts: Arc<Network>,
    /// Under which name somebody asks.
    pub(super) reader: Arc<str>,
    dialling: JoinSet<Dialled>,
    /// Those who are being dialled.
    waited_for: BTreeSet<FeedKey>,
    open: Vec<Neighbour>,
    pub(super) asked: Asked,
    /// Questions of which nothing says that their answers have all.
    pub(super) incomplete: u64,
    /// False if what answers show is not kept for later questions.
    pub(super) remembers: bool,
    /// What was asked of which space, and where the arrival log ended before.
    pub(super) selectors: Vec<(u32, Selector)>,
    pub(super) since: Lseq,
    /// When they were dialled.
    pub(super) dialled: Timestamp,
    /// Nobody is to be asked: what is asked is answered from here alone.
    pub(super) is_local: bool,
    /// When to go on with what has come, and how long that was from the beginning.
    until: Option<(Instant, Duration)>,
}

type Dialled = (FeedKey, Result<PeerHandle, AskError>);

#[derive(Clone)]
struct Neighbour {
    session: PeerHandle,
    answered: bool,
}

/// What a peer is asked with while it has its turn.
pub(super) struct Turn {
    pub(super) parts: Arc<Network>,
    pub(super) session: PeerHandle,
}

/// Why a turn came to nothing.
pub(super) enum Trouble {
    /// The peer failed: it is left behind.
    Peer(AskError),
    /// This replica did.
    Here(ReadError),
}

impl From<kappadb_net::AskError> for Trouble {
    fn from(error: kappadb_net::AskError) -> Self {
        Trouble::Peer(error.into())
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Trouble::Here(error)
    }
}

impl Neighbours {
    /// Nobody.
    pub(crate) fn nobody(handle: &Handle) -> Neighbours {
        let parts = &handle.network;
        Neighbours {
            parts: parts.clone(),
            reader: handle.name.clone(),
            dialling: JoinSet::new(),
            waited_for: BTreeSet::new(),
            open: Vec::new(),
            asked: Asked { complete: true, ..Asked::default() },
            incomplete: 0,
            remembers: true,
            selectors: Vec::new(),
            since: parts.feeds.end(),
            dialled: parts.clock.now(),
            is_local: true,
            until: None,
        }
    }

    /// [`Neighbours::dial_within`] however long it takes.
    pub(crate) async fn dial(handle: &Handle) -> Neighbours {
        Neighbours::dial_within(handle, None).await
    }

    /// Calls all known peers. Returns as soon as there is one to ask, or nobody left to wait for. Once so much time has passed, those who are
    /// not done with what they were asked are left behind, whatever they are at, and nobody is asked any more.
    pub(crate) async fn dial_within(handle: &Handle, within: Option<Duration>) -> Neighbours {
        // A time that never comes is none.
        let until = within.and_then(|within| Some((Instant::now().checked_add(within)?, within)));
        let mut neighbours = Neighbours { is_local: false, until, ..Neighbours::nobody(handle) };
        for peer in handle.peers.list() {
            let parts = handle.network.clone();
            neighbours.waited_for.insert(peer.key);
            neighbours.dialling.spawn(async move { (peer.key, dial(&parts, &peer).await) });
        }
        while neighbours.open.is_empty() && !neighbours.dialling.is_empty() {
            tokio::select! {
                Some(Ok(dialled)) = neighbours.dialling.join_next() => {
                    let reached = neighbours.reached(dialled);
                    neighbours.open.extend(reached);
                }
                () = passed(until) => neighbours.give_up_dialling(),
            }
        }
        neighbours
    }

    /// Takes note of who could not be reached.
    fn reached(&mut self, (peer, dialled): Dialled) -> Option<Neighbour> {
        self.waited_for.remove(&peer);
        match dialled {
            Ok(session) => Some(Neighbour { session, answered: false }),
            Err(error) => {
                self.asked.failures.push(Failure { peer, error });
                None
            }
        }
    }

    /// Those who did not answer the call so far are late.
    fn give_up_dialling(&mut self) {
        self.dialling = JoinSet::new();
        for peer in std::mem::take(&mut self.waited_for) {
            self.asked.failures.push(Failure { peer, error: self.late() });
        }
    }

    /// The time is over: a peer is left behind.
    fn leave(&mut self, neighbour: &Neighbour) {
        self.asked.failures.push(Failure { peer: neighbour.session.peer(), error: self.late() });
        self.asked.count(neighbour);
    }

    fn late(&self) -> AskError {
        AskError::Late(self.until.map_or(self.parts.allowance.patience, |(_, within)| within))
    }

    /// Lets the peers do a job in turn, also those that are still being dialled. What came of it, by peer; those that failed are left.
    pub(super) async fn in_turn<T, Job>(
        &mut self,
        job: impl Fn(Turn) -> Job,
    ) -> Result<Vec<(FeedKey, T)>, ReadError>
    where
        Job: Future<Output = Result<T, Trouble>>,
    {
        let mut waiting: VecDeque<Neighbour> = std::mem::take(&mut self.open).into();
        let (mut at_it, mut front, mut done) = (FuturesUnordered::new(), None, Vec::new());
        let (mut busy, until) = (BTreeMap::new(), self.until);
        let lull = self.parts.allowance.patience / HAND_OVER;
        loop {
            if front.is_none()
                && let Some(next) = waiting.pop_front()
            {
                front = Some(next.session.clone());
                busy.insert(next.session.peer(), next.clone());
                let turn = Turn { parts: self.parts.clone(), session: next.session.clone() };
                let job = job(turn);
                at_it.push(async move { (next, job.await) });
            }
            if at_it.is_empty() && self.dialling.is_empty() {
                return Ok(done);
            }
            tokio::select! {
                Some((neighbour, outcome)) = at_it.next(), if !at_it.is_empty() => {
                    front = front.take_if(|front| front.peer() != neighbour.session.peer());
                    busy.remove(&neighbour.session.peer());
                    done.extend(self.take_note(neighbour, outcome)?);
                }
                Some(Ok(dialled)) = self.dialling.join_next(), if !self.dialling.is_empty() => {
                    waiting.extend(self.reached(dialled));
                }
                () = passed(until) => {
                    self.give_up_dialling();
                    busy.into_values().chain(waiting).for_each(|neighbour| self.leave(&neighbour));
                    return Ok(done);
                }
                () = lulled(front.as_ref(), lull), if !waiting.is_empty() => front = None,
            }
        }
    }

    /// Takes note of how a peer did; keeps its session for the next question if it did well.
    fn take_note<T>(
        &mut self,
        mut neighbour: Neighbour,
        outcome: Result<T, Trouble>,
    ) -> Result<Option<(FeedKey, T)>, ReadError> {
        let peer = neighbour.session.peer();
        match outcome {
            Ok(done) => {
                neighbour.answered = true;
                self.open.push(neighbour);
                Ok(Some((peer, done)))
            }
            Err(Trouble::Peer(error)) => {
                self.asked.failures.push(Failure { peer, error });
                // Nobody waits for its farewell.
                self.asked.count(&neighbour);
                Ok(None)
            }
            Err(Trouble::Here(error)) => Err(error),
        }
    }

    pub(super) fn count_blocks(&mut self, blocks: u64) {
        self.asked.blocks_fetched += blocks;
    }

    pub(super) fn parts(&self) -> &Arc<Network> {
        &self.parts
    }

    /// Questions so far of which nothing says that their answers have all.
    pub(crate) fn incomplete(&self) -> u64 {
        self.incomplete
    }

    /// What answers show is not kept for later questions.
    pub(crate) fn remember_nothing(&mut self) {
        self.remembers = false;
    }

    /// No contents are fetched that belong to the answers so far.
    pub(crate) fn want_no_contents(&mut self) {
        self.selectors.clear();
    }

    /// How many there are to ask.
    pub(crate) fn count(&self) -> usize {
        self.open.len() + self.dialling.len()
    }

    /// True while there is anybody to ask.
    pub(crate) fn is_open(&self) -> bool {
        self.count() > 0
    }

    pub(super) fn blocks_fetched(&self) -> u64 {
        self.asked.blocks_fetched
    }

    /// Fetches the contents that belong to the answers so far.
    pub(crate) async fn settle(&mut self) -> Result<(), ReadError> {
        let (selectors, since) = (std::mem::take(&mut self.selectors), self.since);
        self.since = self.parts.feeds.end();
        self.asked.missing += self.fetch_contents(since, selectors).await?;
        Ok(())
    }

    /// Fetches the contents that belong to the answers, ends the sessions and says what came of it all. `complete` if every
    /// question's answer was.
    pub(crate) async fn finish(mut self) -> Result<Asked, ReadError> {
        if self.is_local {
            return Ok(self.asked);
        }
        self.settle().await?;
        self.open.iter().for_each(|neighbour| self.asked.count(neighbour));
        let farewells = join_all(self.open.iter().map(|neighbour| neighbour.session.close()));
        tokio::select! {
            _ = farewells => {}
            () = passed(self.until) => {}
        }
        Ok(self.asked)
    }
}

/// Waits for a time, if there is one.
async fn passed(until: Option<(Instant, Duration)>) {
    match until {
        Some((until, _)) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits until next to nothing comes from a peer any more.
async fn lulled(front: Option<&PeerHandle>, lull: Duration) {
    let Some(session) = front else { return };
    let least = u64::try_from(lull.as_millis()).unwrap_or(u64::MAX).saturating_mul(LEAST_RATE);
    loop {
        let before = session.stats().bytes_received;
        sleep(lull).await;
        if session.stats().bytes_received - before < least {
            return;
        }
    }
}

impl Asked {
    /// Adds up what a session has cost.
    fn count(&mut self, Neighbour { session, answered }: &Neighbour) {
        let traffic = session.stats();
        self.peers += u64::from(*answered);
        self.bytes_received += traffic.bytes_received;
        self.bytes_sent += traffic.bytes_sent;
        self.round_trips = self.round_trips.max(traffic.round_trips);
    }
}

impl Turn {
    /// What of these blocks is not held here whole, and what may be taken as known in proofs of them.
    pub(super) async fn missing(
        &self,
        feed: FeedKey,
        ranges: RangeSet,
    ) -> Result<(RangeSet, Known), ReadError> {
        engine::run(&self.parts, move |parts| {
            let whole = parts.feeds.whole(&feed);
            (ranges.minus(&whole), parts.feeds.known(&feed, &whole))
        })
        .await
    }
}

/// A session with a peer, within the time that is waited for one.
pub(super) async fn dial(parts: &Arc<Network>, peer: &Peer) -> Result<PeerHandle, AskError> {
    let credentials = parts.credentials();
    let (backend, allowance) = (Backend::new(parts), &parts.allowance);
    let dial = kappadb_net::connect_any(&peer.addresses, &credentials, peer.key, backend, allowance);
    match timeout(allowance.patience, dial).await {
        Ok(dialled) => {
            let session = dialled?;
            if let Some(theirs) = session.clock() {
                parts.clocks.note(peer.key, theirs.0.saturating_sub(parts.clock.now().0));
            }
            Ok(session)
        }
        Err(_) => Err(AskError::Late(allowance.patience)),
    }
}
