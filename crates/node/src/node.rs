use crate::action::{Action, Config, Event, FollowId, SessionId};
use crate::backoff::Backoff;
use crate::peer::{Following, Open, Peer, PeerState, Way};
use kappadb_core::FeedKey;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Sessions that are kept to known peers at most; who called counts too.
const LIVE_PEERS: usize = 64;
/// Two sessions with one peer that began within this time come from both having called at once, in milliseconds.
const AT_ONCE_MS: u64 = 10_000;
/// Sessions of one key that count: more than that many copies of a folder nobody has at once.
const SESSIONS_OF_PEER: usize = 8;
/// For so long one that was silent is not called because of a question, in milliseconds.
const SILENT_MS: u64 = 5_000;
/// A session that lasted so long was a success, in milliseconds.
const LASTING_MS: u64 = 10_000;

/// The peers of a replica, the sessions with them, and what is followed.
///
/// Between two peers there is one session, whoever called: who has one calls no more, and of two that began at once both keep the one that the
/// peer with the smaller key began. Only copies of one folder, which have one key, may have several with a third, and each counts.
#[derive(Debug)]
pub struct Node {
    config: Config,
    peers: BTreeMap<FeedKey, Peer>,
    sessions: BTreeMap<SessionId, FeedKey>,
    follows: BTreeSet<FollowId>,
    /// Sessions are kept to all known peers.
    kept: bool,
    actions: VecDeque<Action>,
    drawn: u64,
}

impl Node {
    /// One that knows nobody.
    pub fn new(config: Config) -> Node {
        Node {
            config,
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            follows: BTreeSet::new(),
            kept: false,
            actions: VecDeque::new(),
            drawn: config.seed,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Node::handle_timeout`] if nothing else happens.
    pub fn poll_timeout(&self) -> Option<u64> {
        let dials = self.peers.values().filter(|peer| self.is_due(peer)).map(|peer| peer.wait_until);
        let open = self.peers.values().flat_map(|peer| &peer.open);
        let again = open.flat_map(|open| open.follows.values()).filter_map(|following| match following {
            Following::Refused(at, _) => Some(*at),
            Following::Asked | Following::Stands => None,
        });
        dials.chain(again).min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        let due: Vec<FeedKey> = self
            .peers
            .iter()
            .filter(|(_, peer)| self.is_due(peer) && peer.wait_until <= now_ms)
            .map(|(key, _)| *key)
            .collect();
        due.into_iter().for_each(|peer| self.dial(peer));
        for open in self.peers.values_mut().flat_map(|peer| &mut peer.open) {
            for (follow, following) in &mut open.follows {
                if matches!(following, Following::Refused(at, _) if *at <= now_ms) {
                    *following = Following::Asked;
                    self.actions.push_back(Action::Ask(open.id, *follow));
                }
            }
        }
    }

    /// True for one to which a session is to be kept and is not.
    fn is_due(&self, peer: &Peer) -> bool {
        self.kept && peer.known && !peer.dialling && peer.open.is_empty() && self.sessions.len() < LIVE_PEERS
    }

    /// These are the peers that can be called from now on, and no others.
    pub fn know(&mut self, now_ms: u64, peers: &[FeedKey]) {
        let known: Vec<FeedKey> =
            self.peers.iter().filter(|(_, peer)| peer.known).map(|(key, _)| *key).collect();
        known.iter().filter(|peer| !peers.contains(peer)).for_each(|peer| self.remove_peer(peer));
        peers.iter().filter(|peer| !known.contains(peer)).for_each(|peer| self.add_peer(now_ms, *peer));
    }

    /// A peer can be called from now on.
    pub fn add_peer(&mut self, now_ms: u64, peer: FeedKey) {
        let known = self.peers.entry(peer).or_default();
        if !known.known {
            (known.known, known.wait_until) = (true, 0);
        }
        self.handle_timeout(now_ms);
    }

    /// A peer is called no more, and the session with it, if this replica called, is left.
    pub fn remove_peer(&mut self, peer: &FeedKey) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.known = false;
        let dialled = known.open.extract_if(.., |open| open.way == Way::Dialled);
        let dialled: Vec<SessionId> = dialled.map(|open| open.id).collect();
        let is_last = !dialled.is_empty() && known.open.is_empty();
        for session in dialled {
            self.sessions.remove(&session);
            self.actions.push_back(Action::Leave(session));
        }
        if is_last {
            self.tell(Event::Lost { peer: *peer, why: "the peer was removed".to_owned() });
        }
        self.sweep(peer);
    }

    /// Whether sessions are kept to all known peers, beginning now, or only begun when somebody asks.
    pub fn keep(&mut self, now_ms: u64, kept: bool) {
        self.kept = kept;
        self.handle_timeout(now_ms);
    }

    /// Somebody has a question: calls this peer now, unless there is a session or it is being called. One that was silent a moment ago only if it is
    /// `urgent`: nobody else can be asked.
    pub fn call(&mut self, now_ms: u64, peer: &FeedKey, urgent: bool) {
        let Some(known) = self.peers.get(peer) else { return };
        let may = known.known && !known.dialling && known.open.is_empty();
        let is_silent = known.silent_at.is_some_and(|at| now_ms.saturating_sub(at) < SILENT_MS);
        if may && (urgent || !is_silent) {
            self.dial(*peer);
        }
    }

    fn dial(&mut self, peer: FeedKey) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.dialling = true;
            self.actions.push_back(Action::Dial(peer));
        }
    }

    /// A peer that was called is there. `instance` tells copies of one folder apart.
    pub fn dialled(&mut self, now_ms: u64, peer: FeedKey, instance: u64, session: SessionId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.dialling = false;
            if !known.known {
                // It was removed meanwhile.
                self.actions.push_back(Action::Leave(session));
                return self.sweep(&peer);
            }
        }
        self.opened(now_ms, peer, instance, session, Way::Dialled);
    }

    /// It is not, for this reason.
    /// `silent` if that showed only because it said nothing for long: who refuses at once costs nothing to be called again.
    pub fn unreachable(&mut self, now_ms: u64, peer: FeedKey, why: &str, silent: bool) {
        let chance = self.draw();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.dialling = false;
        if known.open.is_empty() {
            known.silent_at = silent.then_some(now_ms);
            known.why = Some(why.to_owned());
            known.wait_until = now_ms + known.backoff.fail(chance);
            self.tell(Event::Unreachable { peer, why: why.to_owned() });
        }
        self.sweep(&peer);
    }

    /// A question does not wait any longer for a peer that is being called: the next one does not wait at all, until it is there.
    pub fn slow(&mut self, now_ms: u64, peer: &FeedKey, why: &str) {
        if let Some(known) = self.peers.get_mut(peer).filter(|known| known.dialling && known.open.is_empty())
        {
            (known.silent_at, known.why) = (Some(now_ms), Some(why.to_owned()));
        }
    }

    /// A peer has called.
    pub fn called(&mut self, now_ms: u64, peer: FeedKey, instance: u64, session: SessionId) {
        self.opened(now_ms, peer, instance, session, Way::Called);
    }

    fn opened(&mut self, now_ms: u64, peer: FeedKey, instance: u64, session: SessionId, way: Way) {
        let mine_first = self.config.me < peer;
        let known = self.peers.entry(peer).or_default();
        let at_once = |open: &Open| {
            open.instance == instance && open.way != way && now_ms.saturating_sub(open.since) < AT_ONCE_MS
        };
        let before = known.open.iter().position(at_once);
        // Of the two the one that the smaller of the peers began.
        if before.is_some() && (way == Way::Called) == mine_first {
            self.actions.push_back(Action::Leave(session));
            return;
        }
        if known.open.is_empty() {
            self.actions.push_back(Action::Tell(Event::Connected { peer, way }));
        }
        let left = before.or((known.open.len() >= SESSIONS_OF_PEER).then_some(0));
        if let Some(left) = left.map(|left| known.open.remove(left)) {
            self.sessions.remove(&left.id);
            self.actions.push_back(Action::Leave(left.id));
        }
        (known.why, known.silent_at) = (None, None);
        let follows = self.follows.iter().map(|follow| (*follow, Following::Asked)).collect();
        known.open.push(Open { id: session, instance, way, since: now_ms, follows });
        self.sessions.insert(session, peer);
        self.actions.extend(self.follows.iter().map(|follow| Action::Ask(session, *follow)));
    }

    /// A session is over. Of one that was left before nobody hears.
    pub fn lost(&mut self, now_ms: u64, session: SessionId, why: &str) {
        let Some(peer) = self.sessions.remove(&session) else { return };
        let chance = self.draw();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(at) = known.open.iter().position(|open| open.id == session) else { return };
        let open = known.open.remove(at);
        if now_ms.saturating_sub(open.since) >= LASTING_MS {
            known.backoff.reset();
        }
        if !known.open.is_empty() {
            return;
        }
        known.why = Some(why.to_owned());
        known.wait_until = now_ms + known.backoff.fail(chance);
        self.tell(Event::Lost { peer, why: why.to_owned() });
        self.sweep(&peer);
    }

    /// A peer let a question wait for too long: the session with it is left, and it is called again later.
    pub fn late(&mut self, now_ms: u64, session: SessionId, why: &str) {
        let Some(peer) = self.sessions.get(&session).copied() else { return };
        let mut open = self.peers.get(&peer).into_iter().flat_map(|known| &known.open);
        let called = open.any(|open| open.id == session && open.way == Way::Called);
        self.actions.push_back(if called { Action::HangUp(session) } else { Action::Leave(session) });
        self.lost(now_ms, session, why);
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.open.is_empty()) {
            known.silent_at = Some(now_ms);
        }
    }

    /// Something is followed from now on: it is asked live of every peer with which there is a session.
    pub fn follow(&mut self, follow: FollowId) {
        if self.follows.insert(follow) {
            for open in self.peers.values_mut().flat_map(|peer| &mut peer.open) {
                open.follows.insert(follow, Following::Asked);
                self.actions.push_back(Action::Ask(open.id, follow));
            }
        }
    }

    /// It is not any more.
    pub fn unfollow(&mut self, follow: FollowId) {
        self.follows.remove(&follow);
        for open in self.peers.values_mut().flat_map(|peer| &mut peer.open) {
            if open.follows.remove(&follow).is_some() {
                self.actions.push_back(Action::Cancel(open.id, follow));
            }
        }
    }

    /// A peer answers what it was asked live.
    pub fn stated(&mut self, session: SessionId, follow: FollowId) {
        let Some(following) = self.following(session, follow) else { return };
        if let Following::Asked | Following::Refused(..) = std::mem::replace(following, Following::Stands)
            && let Some(peer) = self.sessions.get(&session).copied()
        {
            self.tell(Event::Follows { peer });
        }
    }

    /// A peer does not answer what it was asked live: it is asked again later.
    pub fn refused(&mut self, now_ms: u64, session: SessionId, follow: FollowId) {
        let chance = self.draw();
        if let Some(following) = self.following(session, follow) {
            let mut backoff = match following {
                Following::Refused(_, backoff) => *backoff,
                Following::Asked | Following::Stands => Backoff::default(),
            };
            let wait = backoff.fail(chance);
            *following = Following::Refused(now_ms + wait, backoff);
        }
    }

    /// What answers rest on is not what it was when peers were asked: all that is followed is asked anew.
    pub fn ask_anew(&mut self) {
        for open in self.peers.values_mut().flat_map(|peer| &mut peer.open) {
            for (follow, following) in &mut open.follows {
                if matches!(following, Following::Asked | Following::Stands) {
                    *following = Following::Asked;
                    self.actions.push_back(Action::Cancel(open.id, *follow));
                    self.actions.push_back(Action::Ask(open.id, *follow));
                }
            }
        }
    }

    fn following(&mut self, session: SessionId, follow: FollowId) -> Option<&mut Following> {
        let peer = self.peers.get_mut(self.sessions.get(&session)?)?;
        peer.open.iter_mut().find(|open| open.id == session)?.follows.get_mut(&follow)
    }

    /// The youngest session with a peer.
    pub fn session(&self, peer: &FeedKey) -> Option<SessionId> {
        Some(self.peers.get(peer)?.open.last()?.id)
    }

    /// All sessions that are used, with whom.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, FeedKey)> {
        self.sessions.iter().map(|(id, peer)| (*id, *peer))
    }

    /// True while a peer is being called.
    pub fn is_dialling(&self, peer: &FeedKey) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.dialling)
    }

    /// True while any peer is being called.
    pub fn is_calling(&self) -> bool {
        self.peers.values().any(|peer| peer.dialling)
    }

    /// Why a peer is not worth waiting for: when it was last called or asked it said nothing for long.
    pub fn silence(&self, peer: &FeedKey) -> Option<&str> {
        self.peers.get(peer).filter(|peer| peer.silent_at.is_some())?.why.as_deref()
    }

    /// How it stands with all peers: those that are known, and those that called.
    pub fn states(&self) -> Vec<PeerState> {
        let state = |(key, peer): (&FeedKey, &Peer)| {
            let (peer, known, connection) = (*key, peer.known, peer.connection(self.kept));
            PeerState { peer, known, connection }
        };
        self.peers.iter().map(state).collect()
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Tell(event));
    }

    fn sweep(&mut self, peer: &FeedKey) {
        if self.peers.get(peer).is_some_and(Peer::is_forgotten) {
            self.peers.remove(peer);
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.drawn;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
