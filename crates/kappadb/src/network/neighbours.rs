//! Those whom a question, or several, can be put to, and whose turn it is.
//!
//! They are all peers with whom there is a session, and those who can be called; all are called at once, and asked at once: one for the blocks, the others
//! which they have. Then these have their turns one after the other, if they have what did not come, each being told what came from those before it, so
//! that no block travels twice. But a peer from which nothing comes does not hold the others: they have their turns meanwhile. Who sends nothing useful for as long as is waited ([`Builder::patience`](crate::Builder::patience)), or
//! for a third of that while others have answered, is left behind, named in [`Asked::failures`], and not waited for any more until it was
//! there again.

use super::answer::{Asked, Failure};
use super::links::{CALLS_AGAIN, Link, Reach};
use super::silence::{lulled, passed, silent};
use super::turn::{Trouble, Turn};
use super::{Handle, Network};
use crate::error::{AskError, ReadError};
use futures::stream::{FuturesUnordered, StreamExt};
use kappadb_core::{FeedKey, Lseq, Timestamp};
use kappadb_net::PeerStats;
use kappadb_node::SessionId;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Into so many parts the time is cut for which a peer is waited for: after one with next to nothing the next peer has its turn, too.
const HAND_OVER: u32 = 8;
/// So many such parts those who say nothing are still waited for once others have answered.
const GRACE: u32 = 3;

/// Sessions with those who could be reached, and those that are being called.
pub(crate) struct Neighbours {
    parts: Arc<Network>,
    /// For how long a peer may say nothing useful, if not as long as its session lets it.
    patience: Option<Duration>,
    /// Under which name somebody asks.
    pub(super) reader: Arc<str>,
    dialling: JoinSet<Dialled>,
    /// Those who are being dialled.
    waited_for: BTreeSet<FeedKey>,
    /// How often each was called once more, since a session ended while it was asked.
    called_again: BTreeMap<FeedKey, usize>,
    open: Vec<Neighbour>,
    pub(super) asked: Asked,
    /// Questions of which nothing says that their answers have all.
    pub(super) incomplete: u64,
    /// Nobody's word counts who is not asked.
    pub(super) direct: bool,
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

type Dialled = (FeedKey, Result<Link, AskError>);

#[derive(Clone)]
struct Neighbour {
    link: Link,
    answered: bool,
    /// What the session had cost before; nothing if it was begun for this question.
    before: PeerStats,
}

impl Neighbour {
    fn peer(&self) -> FeedKey {
        self.link.session.peer()
    }

    fn new(link: Link, fresh: bool) -> Neighbour {
        let before = if fresh { PeerStats::default() } else { link.session.stats() };
        Neighbour { link, answered: false, before }
    }

    /// What the session has cost since.
    fn cost(&self) -> PeerStats {
        self.link.session.stats().since(&self.before)
    }
}

impl Neighbours {
    /// Nobody.
    pub(crate) fn nobody(handle: &Handle) -> Neighbours {
        let parts = &handle.network;
        Neighbours {
            parts: parts.clone(),
            patience: handle.manner.patience,
            reader: handle.name.clone(),
            dialling: JoinSet::new(),
            waited_for: BTreeSet::new(),
            called_again: BTreeMap::new(),
            open: Vec::new(),
            asked: Asked { complete: true, ..Asked::default() },
            incomplete: 0,
            direct: false,
            remembers: true,
            selectors: Vec::new(),
            since: parts.feeds.end(),
            dialled: parts.clock.now(),
            is_local: true,
            until: None,
        }
    }

    /// One peer alone.
    pub(super) fn just(handle: &Handle, link: Link) -> Neighbours {
        Neighbours { is_local: false, open: vec![Neighbour::new(link, false)], ..Neighbours::nobody(handle) }
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
        let Reach { open, called, away } = handle.links.reach(&handle.network);
        neighbours.open.extend(open.into_iter().map(|link| Neighbour::new(link, false)));
        called.into_iter().for_each(|peer| neighbours.wait_for(peer, handle.links.clone().connected(peer)));
        let away = away.into_iter().map(|(peer, why)| Failure { peer, error: AskError::Away(why) });
        neighbours.asked.failures.extend(away);
        let patience = handle.manner.patience;
        let away = patience.and_then(|patience| Some((Instant::now().checked_add(patience)?, patience)));
        while neighbours.open.is_empty() && !neighbours.dialling.is_empty() {
            tokio::select! {
                biased;
                Some(Ok(dialled)) = neighbours.dialling.join_next() => {
                    let reached = neighbours.reached(dialled);
                    neighbours.open.extend(reached);
                }
                () = passed(until) => neighbours.give_up_dialling(neighbours.late()),
                () = passed(away) => neighbours.give_up_dialling(AskError::Late(patience.unwrap_or_default())),
            }
        }
        neighbours
    }

    /// Counts how often a peer is called once more. False if that was often enough.
    fn may_call_again(&mut self, peer: FeedKey) -> bool {
        let times = self.called_again.entry(peer).or_default();
        *times += 1;
        *times <= CALLS_AGAIN
    }

    /// Waits for a peer that is being called.
    fn wait_for(
        &mut self,
        peer: FeedKey,
        link: impl Future<Output = Result<Link, AskError>> + Send + 'static,
    ) {
        self.waited_for.insert(peer);
        self.dialling.spawn(async move { (peer, link.await) });
    }

    /// Takes note of who could not be reached.
    fn reached(&mut self, (peer, dialled): Dialled) -> Option<Neighbour> {
        self.waited_for.remove(&peer);
        match dialled {
            Ok(link) => Some(Neighbour::new(link, true)),
            Err(error) => {
                self.asked.failures.push(Failure { peer, error });
                None
            }
        }
    }

    /// Those who did not answer the call so far are late.
    fn give_up_dialling(&mut self, error: AskError) {
        self.dialling = JoinSet::new();
        for peer in std::mem::take(&mut self.waited_for) {
            self.parts.links.slow(&peer, &error);
            self.asked.failures.push(Failure { peer, error: error.clone() });
        }
    }

    /// The time is over: a peer is left behind.
    fn leave(&mut self, neighbour: &Neighbour, error: AskError) {
        self.parts.links.late(&neighbour.link, &error);
        self.asked.failures.push(Failure { peer: neighbour.peer(), error });
        self.asked.count(neighbour);
    }

    /// Those who are still at it, or being called, are left behind after this time.
    fn leave_all(&mut self, busy: BTreeMap<SessionId, Neighbour>, after: Duration) {
        self.give_up_dialling(AskError::Late(after));
        busy.into_values().for_each(|it| self.leave(&it, AskError::Late(after)));
    }

    fn late(&self) -> AskError {
        AskError::Late(self.until.map_or(self.patience(), |(_, within)| within))
    }

    fn patience(&self) -> Duration {
        self.patience.unwrap_or(self.parts.allowance.patience)
    }

    /// Lets the peers do a job in turn, also those that are still being dialled. What came of it, by peer; those that failed are left.
    pub(super) async fn in_turn<T, Job>(
        &mut self,
        job: impl Fn(Turn) -> Job,
    ) -> Result<Vec<(SessionId, T)>, ReadError>
    where
        Job: Future<Output = Result<T, Trouble>>,
    {
        self.in_turn_after(|_| ready(Ok(())), |turn, _| job(turn)).await
    }

    /// The same for a job that begins at all of them at once: the one that has answered soonest before has its turn at once, and the others come
    /// to theirs with what their beginning gave.
    pub(super) async fn in_turn_after<B, T, Begin, Job>(
        &mut self,
        begin: impl Fn(Turn) -> Begin,
        job: impl Fn(Turn, Option<B>) -> Job,
    ) -> Result<Vec<(SessionId, T)>, ReadError>
    where
        Begin: Future<Output = Result<B, Trouble>>,
        Job: Future<Output = Result<T, Trouble>>,
    {
        let mut open = std::mem::take(&mut self.open);
        open.sort_by_key(|neighbour| neighbour.link.pace());
        let mut waiting: VecDeque<(Neighbour, Option<B>)> = VecDeque::new();
        let (mut fresh, mut beginning) = (open, FuturesUnordered::new());
        let (mut at_it, mut front, mut done) = (FuturesUnordered::new(), None, Vec::new());
        let (mut busy, until) = (BTreeMap::new(), self.until);
        let lull = self.patience() / HAND_OVER;
        // Of those who say nothing, unless the session itself sees to it.
        let (grace, own) = (lull * GRACE, self.patience);
        loop {
            for next in fresh.drain(..) {
                // The first has its turn at once.
                if busy.is_empty() && waiting.is_empty() && done.is_empty() {
                    waiting.push_back((next, None));
                    continue;
                }
                busy.insert(next.link.id, next.clone());
                let begun = begin(self.turn(&next));
                beginning.push(async move { (next, begun.await) });
            }
            if front.is_none()
                && let Some((next, begun)) = waiting.pop_front()
            {
                front = Some(next.link.clone());
                busy.insert(next.link.id, next.clone());
                let (job, since) = (job(self.turn(&next), begun), Instant::now());
                at_it.push(async move { (next, job.await, since.elapsed()) });
            }
            if at_it.is_empty() && beginning.is_empty() && self.dialling.is_empty() {
                return Ok(done);
            }
            tokio::select! {
                biased;
                Some((neighbour, outcome, took)) = at_it.next(), if !at_it.is_empty() => {
                    front = front.take_if(|front| front.id != neighbour.link.id);
                    busy.remove(&neighbour.link.id);
                    neighbour.link.note_pace(took);
                    done.extend(self.take_note(neighbour, outcome)?);
                }
                Some((neighbour, begun)) = beginning.next(), if !beginning.is_empty() => {
                    busy.remove(&neighbour.link.id);
                    match begun {
                        Ok(begun) => waiting.push_back((neighbour, Some(begun))),
                        Err(trouble) => drop(self.take_note(neighbour, Err::<T, _>(trouble))?),
                    }
                }
                Some(Ok(dialled)) = self.dialling.join_next(), if !self.dialling.is_empty() => {
                    fresh.extend(self.reached(dialled));
                }
                () = passed(until) => {
                    self.give_up_dialling(self.late());
                    let late = self.late();
                    let waiting = waiting.into_iter().map(|(neighbour, _)| neighbour);
                    busy.into_values().chain(waiting).for_each(|it| self.leave(&it, late.clone()));
                    return Ok(done);
                }
                () = lulled(front.as_ref(), lull), if !waiting.is_empty() => front = None,
                () = silent(busy.values().map(|it| &it.link), grace), if !done.is_empty() && waiting.is_empty() => {
                    self.leave_all(busy, grace);
                    return Ok(done);
                }
                () = silent(busy.values().map(|it| &it.link), own.unwrap_or_default()), if own.is_some() && waiting.is_empty() => {
                    self.leave_all(busy, self.patience());
                    return Ok(done);
                }
            }
        }
    }

    fn turn(&self, neighbour: &Neighbour) -> Turn {
        Turn { parts: self.parts.clone(), link: neighbour.link.clone() }
    }

    /// Takes note of how a peer did; keeps its session for the next question if it did well.
    fn take_note<T>(
        &mut self,
        mut neighbour: Neighbour,
        outcome: Result<T, Trouble>,
    ) -> Result<Option<(SessionId, T)>, ReadError> {
        let peer = neighbour.peer();
        match outcome {
            Ok(done) => {
                neighbour.answered = true;
                let session = neighbour.link.id;
                self.open.push(neighbour);
                Ok(Some((session, done)))
            }
            Err(Trouble::Peer(_)) if neighbour.link.may_be_there() && self.may_call_again(peer) => {
                self.asked.count(&neighbour);
                self.wait_for(peer, self.parts.links.call_again(&self.parts, &neighbour.link));
                Ok(None)
            }
            Err(Trouble::Peer(error)) => {
                if error.is_late() {
                    self.parts.links.late(&neighbour.link, &error);
                }
                self.asked.failures.push(Failure { peer, error });
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

    /// Fetches the contents that belong to the answers, and says what came of it all. `complete` if every question's answer was.
    pub(crate) async fn finish(mut self) -> Result<Asked, ReadError> {
        if self.is_local {
            return Ok(self.asked);
        }
        self.settle().await?;
        self.open.iter().for_each(|neighbour| self.asked.count(neighbour));
        Ok(self.asked)
    }
}

impl Asked {
    /// Adds up what a session has cost.
    fn count(&mut self, neighbour: &Neighbour) {
        let traffic = neighbour.cost();
        self.peers += u64::from(neighbour.answered);
        self.bytes_received += traffic.bytes_received;
        self.bytes_sent += traffic.bytes_sent;
        self.round_trips = self.round_trips.max(traffic.round_trips);
    }
}
