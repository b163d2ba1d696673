//! The sessions with peers: what the state machine in `kappadb_node` says is done here, on tokio.
//!
//! A session is begun when somebody asks, or, while this replica serves or follows, kept to every known peer; then it stays, and every question
//! and everything that is followed uses it. Nothing here runs while nothing is open or kept.

mod doing;
mod wants;

use super::Network;
use super::follow::Follow;
pub(super) use super::link::{CALLS_AGAIN, Link, Reach};
use crate::error::AskError;
use kappadb_core::FeedKey;
use kappadb_net::{PeerHandle, Signal};
use kappadb_node::{Config, Event, FollowId, Node, PeerState, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
pub(super) use wants::Holder;
use wants::Wants;

/// Events that wait for somebody who is slow to take them.
const EVENTS: usize = 256;

/// The sessions of one replica.
pub(crate) struct Links {
    state: Mutex<State>,
    /// Counts what changed, for those who wait for a session.
    changed: Signal,
    /// The timer has to look again.
    retime: Arc<Notify>,
    events: broadcast::Sender<Event>,
    started: Instant,
}

struct State {
    node: Node,
    open: BTreeMap<SessionId, Link>,
    /// Why peers could not be reached last.
    failed: BTreeMap<FeedKey, AskError>,
    wants: Wants,
    asking: BTreeMap<(SessionId, FollowId), AbortHandle>,
    /// Calls that are under way, or were.
    calls: BTreeMap<FeedKey, AbortHandle>,
    /// Everything that runs for the sessions; ends with them.
    tasks: JoinSet<()>,
    next: u64,
    /// How many want sessions to be kept.
    keepers: u64,
    timer: Option<AbortHandle>,
    closed: bool,
    parts: Weak<Network>,
    /// Where its tasks run: that of whoever first asked, called or served. What is told later may come from anywhere.
    runtime: Option<Handle>,
}

impl State {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let runtime = Handle::try_current().ok().or_else(|| self.runtime.take())?;
        Some(self.tasks.spawn_on(task, self.runtime.insert(runtime)))
    }
}

/// As long as it lives, sessions are kept to all known peers.
pub(crate) struct Keeper(Weak<Links>);

impl Links {
    pub fn new(me: FeedKey, seed: u64) -> Arc<Links> {
        let state = State {
            node: Node::new(Config { me, seed }),
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            wants: Wants::default(),
            asking: BTreeMap::new(),
            calls: BTreeMap::new(),
            tasks: JoinSet::new(),
            next: 0,
            keepers: 0,
            timer: None,
            closed: false,
            parts: Weak::new(),
            runtime: None,
        };
        let (changed, events) = (Signal::default(), broadcast::Sender::new(EVENTS));
        Arc::new(Links {
            state: Mutex::new(state),
            changed,
            retime: Arc::default(),
            events,
            started: Instant::now(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by the node's clock, in milliseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the node something and does what it says. Where nothing can be done any more, nothing is told.
    fn tell<T>(self: &Arc<Self>, parts: &Arc<Network>, tell: impl FnOnce(&mut Node, u64) -> T) -> T {
        let mut state = self.lock();
        state.parts = Arc::downgrade(parts);
        let (now, mut peers) = (self.now(), parts.peers.list());
        peers.extend(parts.introductions.chosen());
        // Their runtime has gone.
        let given_up: Vec<FeedKey> =
            state.calls.iter().filter(|(_, call)| call.is_finished()).map(|(peer, _)| *peer).collect();
        for peer in given_up {
            state.calls.remove(&peer);
            if state.node.is_dialling(&peer) {
                state.node.unreachable(now, peer, "the call was given up", false);
            }
        }
        state.node.know(now, &peers.iter().map(|peer| peer.key).collect::<Vec<_>>());
        self.tell_locked(state, tell)
    }

    /// The same where nobody has the database at hand.
    fn note<T>(self: &Arc<Self>, tell: impl FnOnce(&mut Node, u64) -> T) -> T {
        self.tell_locked(self.lock(), tell)
    }

    fn tell_locked<T>(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        tell: impl FnOnce(&mut Node, u64) -> T,
    ) -> T {
        let told = tell(&mut state.node, self.now());
        while let Some(action) = state.node.poll_action() {
            if !state.closed {
                self.act(&mut state, action);
            }
        }
        while state.tasks.try_join_next().is_some() {}
        let runs = state.timer.as_ref().is_some_and(|timer| !timer.is_finished());
        if state.node.poll_timeout().is_some() && !runs && !state.closed {
            state.timer = state.spawn(doing::keep_time(Arc::downgrade(self)));
        }
        drop(state);
        self.changed.raise();
        self.retime.notify_one();
        told
    }

    /// A peer has called.
    pub fn called(self: &Arc<Self>, parts: &Weak<Network>, session: PeerHandle) {
        let (peer, instance) = (session.peer(), session.instance());
        self.lock().parts = parts.clone();
        self.begun(session, |node, now, id| node.called(now, peer, instance, id));
    }

    /// A peer let a question wait for too long.
    pub fn late(self: &Arc<Self>, link: &Link, why: &AskError) {
        self.note(|node, now| node.late(now, link.id, &why.to_string()));
    }

    /// Whom a question can be put to. Those who are not there are called: who was silent lately is waited for only if there is nobody else.
    pub fn reach(self: &Arc<Self>, parts: &Arc<Network>) -> Reach {
        let peers = parts.peers.list();
        self.tell(parts, |node, now| {
            let any = node.sessions().next().is_some();
            peers.iter().for_each(|peer| node.call(now, &peer.key, !any));
        });
        let state = self.lock();
        let open = state.node.sessions().filter_map(|(id, _)| state.open.get(&id).cloned()).collect();
        let mut reach = Reach { open, called: Vec::new(), away: Vec::new() };
        for peer in peers.iter().map(|peer| peer.key).filter(|peer| state.node.session(peer).is_none()) {
            match state.node.silence(&peer).filter(|_| !reach.open.is_empty()) {
                Some(why) => reach.away.push((peer, why.to_owned())),
                None => reach.called.push(peer),
            }
        }
        reach
    }

    /// A question has waited long enough for a peer that is being called.
    pub fn slow(self: &Arc<Self>, peer: &FeedKey, why: &AskError) {
        self.note(|node, now| node.slow(now, peer, &why.to_string()));
    }

    /// Another session with the peer of one that has ended: one that there is, or else it is called.
    pub fn call_again(
        self: &Arc<Self>,
        parts: &Arc<Network>,
        link: &Link,
    ) -> impl Future<Output = Result<Link, AskError>> + use<> {
        if let Some(why) = link.session.ended() {
            self.lost(link.id, &why);
        }
        let peer = link.session.peer();
        self.tell(parts, |node, now| node.call(now, &peer, true));
        self.clone().connected(peer)
    }

    /// All who can be asked: those with whom there is a session, and those who are called now, whatever came of it before.
    pub fn each(
        self: &Arc<Self>,
        parts: &Arc<Network>,
    ) -> Vec<impl Future<Output = Result<Link, AskError>> + use<>> {
        let known = parts.peers.list();
        let peers = self.tell(parts, |node, now| {
            known.iter().for_each(|peer| node.call(now, &peer.key, true));
            let open = node.sessions().map(|(_, peer)| peer);
            open.chain(known.iter().map(|peer| peer.key)).collect::<BTreeSet<FeedKey>>()
        });
        peers.into_iter().map(|peer| self.clone().connected(peer)).collect()
    }

    /// Waits until a peer that is being called is there, or is not.
    pub async fn connected(self: Arc<Self>, peer: FeedKey) -> Result<Link, AskError> {
        loop {
            let seen = self.changed.count();
            {
                let state = self.lock();
                if let Some(link) = state.node.session(&peer).and_then(|id| state.open.get(&id)) {
                    return Ok(link.clone());
                }
                if !state.node.is_dialling(&peer) || state.closed {
                    let ended = || AskError::Away("the session ended at once".to_owned());
                    return Err(state.failed.get(&peer).cloned().unwrap_or_else(ended));
                }
            }
            self.changed.beyond(seen).await;
        }
    }

    /// Keeps sessions to all known peers until what this returns is dropped.
    pub fn keep(self: &Arc<Self>, parts: &Arc<Network>) -> Keeper {
        self.lock().keepers += 1;
        self.tell(parts, |node, now| node.keep(now, true));
        Keeper(Arc::downgrade(self))
    }

    /// The list of known peers has changed, or that of those of whom others told.
    pub fn peers_changed(self: &Arc<Self>, parts: &Arc<Network>) {
        parts.introductions.choose(&parts.peers.list());
        self.tell(parts, |_, _| ());
    }

    /// Asks every peer live for something, now and later.
    pub fn follow(self: &Arc<Self>, parts: &Arc<Network>, what: Follow) -> Holder {
        let (holder, turn) = self.lock().wants.add(what);
        self.tell(parts, |node, _| turn.ask.into_iter().for_each(|id| node.follow(id)));
        holder
    }

    pub fn unfollow(self: &Arc<Self>, holder: Holder) {
        let mut state = self.lock();
        let turn = state.wants.remove(holder);
        self.tell_locked(state, |node, _| {
            turn.ask.into_iter().for_each(|id| node.follow(id));
            turn.leave.into_iter().for_each(|id| node.unfollow(id));
        });
    }

    /// What answers rest on is not what it was: all that is followed is asked anew.
    pub fn ask_anew(self: &Arc<Self>) {
        self.note(|node, _| node.ask_anew());
    }

    /// How it stands with all peers; times are by the clock of [`Links::now`].
    pub fn states(self: &Arc<Self>, parts: &Arc<Network>) -> Vec<PeerState> {
        self.tell(parts, |node, _| node.states())
    }

    /// The session with a peer, if there is one.
    pub fn session(&self, peer: &FeedKey) -> Option<PeerHandle> {
        let state = self.lock();
        Some(state.open.get(&state.node.session(peer)?)?.session.clone())
    }

    pub(super) fn open_sessions(&self) -> Vec<PeerHandle> {
        self.lock().open.values().map(|link| link.session.clone()).collect()
    }

    /// True while there is a session.
    pub fn is_connected(&self) -> bool {
        let state = self.lock();
        state.node.sessions().next().is_some()
    }

    /// True while a peer is being called.
    pub fn is_calling(&self) -> bool {
        self.lock().node.is_calling()
    }

    /// What happens with peers from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Ends all sessions, and tells the peers, or waits for no longer than it takes to say so.
    pub async fn close(self: &Arc<Self>) {
        let open: Vec<Link> = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.open).into_values().collect()
        };
        futures::future::join_all(open.iter().map(|link| link.session.close())).await;
        self.lock().tasks.abort_all();
        self.changed.raise();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(links) = self.0.upgrade() else { return };
        let mut state = links.lock();
        state.keepers -= 1;
        if state.keepers == 0 {
            links.tell_locked(state, |node, now| node.keep(now, false));
        }
    }
}
