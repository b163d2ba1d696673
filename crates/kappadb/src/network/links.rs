//! The sessions with peers: what the state machine in `kappadb_node` says is done here, on tokio.
//!
//! A session is begun when somebody asks, or, while this replica serves or follows, kept to every known peer; then it stays, and every question
//! and everything that is followed uses it. Nothing here runs while nothing is open or kept.

use super::Network;
use super::follow::{self, Follow};
use super::link::{Call, in_words};
pub(super) use super::link::{Link, Reach};
use crate::error::AskError;
use crate::folder::peers::Peer;
use kappadb_core::FeedKey;
use kappadb_net::{PeerHandle, SessionEnd};
use kappadb_node::{Action, Config, Event, FollowId, Node, PeerState, SessionId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Events that wait for somebody who is slow to take them.
const EVENTS: usize = 256;

/// The sessions of one replica.
pub(crate) struct Links {
    state: Mutex<State>,
    /// Counts what changed, for those who wait for a session.
    changed: watch::Sender<u64>,
    /// The timer has to look again.
    retime: Arc<Notify>,
    events: broadcast::Sender<Event>,
    started: Instant,
}

struct State {
    node: Node,
    open: HashMap<SessionId, Link>,
    /// Why peers could not be reached last.
    failed: HashMap<FeedKey, AskError>,
    follows: BTreeMap<FollowId, Follow>,
    asking: HashMap<(SessionId, FollowId), tokio::task::AbortHandle>,
    /// Everything that runs for the sessions; ends with them.
    tasks: JoinSet<()>,
    next: u64,
    /// How many want sessions to be kept.
    keepers: u64,
    has_timer: bool,
    closed: bool,
    parts: Weak<Network>,
}

/// As long as it lives, sessions are kept to all known peers.
pub(crate) struct Keeper(Weak<Links>);

impl Links {
    pub fn new(me: FeedKey, seed: u64) -> Arc<Links> {
        let state = State {
            node: Node::new(Config { me, seed }),
            open: HashMap::new(),
            failed: HashMap::new(),
            follows: BTreeMap::new(),
            asking: HashMap::new(),
            tasks: JoinSet::new(),
            next: 0,
            keepers: 0,
            has_timer: false,
            closed: false,
            parts: Weak::new(),
        };
        let (changed, events) = (watch::Sender::new(0), broadcast::Sender::new(EVENTS));
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
        let peers: Vec<FeedKey> = parts.peers.list().iter().map(|peer| peer.key).collect();
        state.node.know(self.now(), &peers);
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
        if state.node.poll_timeout().is_some() && !state.has_timer && !state.closed {
            state.has_timer = true;
            state.tasks.spawn(keep_time(Arc::downgrade(self)));
        }
        drop(state);
        self.changed.send_modify(|changed| *changed += 1);
        self.retime.notify_one();
        told
    }

    fn act(self: &Arc<Self>, state: &mut State, action: Action) {
        match action {
            Action::Dial(peer) => self.dial(state, peer),
            Action::Leave(session) => {
                state.open.remove(&session);
                state.asking.retain(|(of, _), task| {
                    let stays = *of != session;
                    if !stays {
                        task.abort();
                    }
                    stays
                });
            }
            Action::Ask(session, follow) => {
                let link = state.open.get(&session).cloned();
                let asked = state.follows.get(&follow).cloned().zip(link).zip(state.parts.upgrade());
                if let Some(((what, link), parts)) = asked {
                    let links = Arc::downgrade(self);
                    let tell = move |stated: bool| {
                        if let Some(links) = links.upgrade() {
                            links.note(|node, now| match stated {
                                true => node.stated(session, follow),
                                false => node.refused(now, session, follow),
                            });
                        }
                    };
                    let task = state.tasks.spawn(follow::run(Arc::downgrade(&parts), link, what, tell));
                    state.asking.insert((session, follow), task);
                }
            }
            Action::Cancel(session, follow) => {
                if let Some(task) = state.asking.remove(&(session, follow)) {
                    task.abort();
                }
            }
            Action::Tell(event) => {
                tracing::info!(?event, "peers");
                let _ = self.events.send(event);
            }
            _ => {}
        }
    }

    fn dial(self: &Arc<Self>, state: &mut State, peer: FeedKey) {
        let Some(parts) = state.parts.upgrade() else { return };
        let known = parts.peers.list().into_iter().find(|known| known.key == peer);
        let nowhere = || Peer { key: peer, addresses: Vec::new(), name: None };
        let (call, links) = (Call::to(&parts, known.unwrap_or_else(nowhere)), Arc::downgrade(self));
        state.tasks.spawn(async move {
            let dialled = call.dial().await;
            if let Some(links) = links.upgrade() {
                links.dialled(peer, dialled);
            }
        });
    }

    fn dialled(self: &Arc<Self>, peer: FeedKey, dialled: Result<PeerHandle, AskError>) {
        match dialled {
            Ok(session) => {
                session.keep();
                let parts = self.lock().parts.upgrade();
                if let (Some(parts), Some(theirs)) = (parts, session.clock()) {
                    parts.clocks.note(peer, theirs.0.saturating_sub(parts.clock.now().0));
                }
                self.begun(session, |node, now, id| node.dialled(now, peer, id));
            }
            Err(error) => {
                let why = in_words(&error);
                self.lock().failed.insert(peer, error);
                self.note(|node, now| node.unreachable(now, peer, &why));
            }
        }
    }

    /// A peer has called.
    pub fn called(self: &Arc<Self>, parts: &Weak<Network>, session: PeerHandle) {
        let peer = session.peer();
        self.lock().parts = parts.clone();
        self.begun(session, |node, now, id| node.called(now, peer, id));
    }

    fn begun(self: &Arc<Self>, session: PeerHandle, tell: impl FnOnce(&mut Node, u64, SessionId)) {
        let mut state = self.lock();
        let id = SessionId(state.next);
        state.next += 1;
        state.open.insert(id, Link::new(id, session.clone()));
        let (end, links) = (session.end(), Arc::downgrade(self));
        state.tasks.spawn(async move {
            let why = end.await;
            if let Some(links) = links.upgrade() {
                links.lost(id, &why);
            }
        });
        self.tell_locked(state, |node, now| tell(node, now, id));
    }

    fn lost(self: &Arc<Self>, id: SessionId, why: &SessionEnd) {
        let mut state = self.lock();
        state.open.remove(&id);
        state.asking.retain(|(of, _), _| *of != id);
        self.tell_locked(state, |node, now| node.lost(now, id, &why.to_string()));
    }

    /// A peer let a question wait for too long.
    pub fn late(self: &Arc<Self>, link: &Link, why: &AskError) {
        self.note(|node, now| node.late(now, link.id, &why.to_string()));
    }

    /// Whom a question can be put to. Those who are not there are called: who was called in vain lately is waited for only if there is nobody else.
    pub fn reach(self: &Arc<Self>, parts: &Arc<Network>) -> Reach {
        let peers = parts.peers.list();
        let open: Vec<Link> = self
            .tell(parts, |node, now| {
                let any = node.sessions().next().is_some();
                peers.iter().for_each(|peer| node.call(now, &peer.key, !any));
                node.sessions().map(|(id, _)| id).collect::<Vec<_>>()
            })
            .into_iter()
            .filter_map(|id| self.lock().open.get(&id).cloned())
            .collect();
        let state = self.lock();
        let mut reach = Reach { open, called: Vec::new(), away: Vec::new() };
        for peer in peers.iter().map(|peer| peer.key).filter(|peer| state.node.session(peer).is_none()) {
            match state.node.failure(&peer).filter(|_| !reach.open.is_empty()) {
                Some(why) => reach.away.push((peer, why.to_owned())),
                None if state.node.is_dialling(&peer) => reach.called.push(peer),
                None => reach.away.push((peer, "it was not called".to_owned())),
            }
        }
        reach
    }

    /// Calls the peer of a session that has ended.
    pub fn call_again(self: &Arc<Self>, parts: &Arc<Network>, link: &Link) {
        if let Some(why) = link.session.ended() {
            self.lost(link.id, &why);
        }
        let peer = link.session.peer();
        self.tell(parts, |node, now| node.call(now, &peer, true));
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
        let mut changed = self.changed.subscribe();
        loop {
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
            if changed.changed().await.is_err() {
                return Err(AskError::Away("the database was closed".to_owned()));
            }
        }
    }

    /// Keeps sessions to all known peers until what this returns is dropped.
    pub fn keep(self: &Arc<Self>, parts: &Arc<Network>) -> Keeper {
        self.lock().keepers += 1;
        self.tell(parts, |node, now| node.keep(now, true));
        Keeper(Arc::downgrade(self))
    }

    /// The list of known peers has changed.
    pub fn peers_changed(self: &Arc<Self>, parts: &Arc<Network>) {
        self.tell(parts, |_, _| ());
    }

    /// Asks every peer live for something, now and later.
    pub fn follow(self: &Arc<Self>, parts: &Arc<Network>, what: Follow) -> FollowId {
        let mut state = self.lock();
        let id = FollowId(state.next);
        state.next += 1;
        state.follows.insert(id, what);
        drop(state);
        self.tell(parts, |node, _| node.follow(id));
        id
    }

    pub fn unfollow(self: &Arc<Self>, id: FollowId) {
        self.lock().follows.remove(&id);
        self.note(|node, _| node.unfollow(id));
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

    /// True while there is a session, or a peer is being called.
    pub fn is_connected(&self) -> bool {
        let state = self.lock();
        state.node.sessions().next().is_some()
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
        self.changed.send_modify(|changed| *changed += 1);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(links) = self.0.upgrade() else { return };
        let mut state = links.lock();
        state.keepers -= 1;
        let now = links.now();
        if state.keepers == 0 {
            state.node.keep(now, false);
        }
    }
}

/// Lets the node's time pass, until there is nothing to wait for. Keeps nothing alive meanwhile.
async fn keep_time(links: Weak<Links>) {
    while let Some(strong) = links.upgrade() {
        let retime = strong.retime.clone();
        let at = {
            let mut state = strong.lock();
            let at = state.node.poll_timeout();
            state.has_timer = at.is_some();
            at.map(|at| strong.started + Duration::from_millis(at))
        };
        drop(strong);
        let Some(at) = at else { return };
        tokio::select! {
            () = sleep_until(at) => match links.upgrade() {
                Some(links) => links.note(|node, now| node.handle_timeout(now)),
                None => return,
            },
            () = retime.notified() => {}
        }
    }
}
