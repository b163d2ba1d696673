//! Whom a node calls, and when, and which session counts, on virtual time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use kappadb_core::FeedKey;
use kappadb_node::{Action, Config, Connection, Event, FollowId, Node, SessionId, Way};
use kappadb_sim::{Random, seeds};
use std::collections::{BTreeMap, BTreeSet};

fn key(n: u8) -> FeedKey {
    FeedKey([n; 32])
}

fn node(me: u8) -> Node {
    Node::new(Config { me: key(me), seed: u64::from(me) })
}

fn actions(node: &mut Node) -> Vec<Action> {
    std::iter::from_fn(|| node.poll_action()).collect()
}

#[test]
fn a_known_peer_is_called_only_when_sessions_are_kept_or_somebody_asks() {
    let mut node = node(1);
    node.add_peer(0, key(2));
    assert_eq!((actions(&mut node), node.poll_timeout()), (vec![], None));
    node.call(5, &key(2), false);
    node.call(5, &key(2), true);
    assert_eq!(actions(&mut node), [Action::Dial(key(2))], "once");
    node.unreachable(10, key(2), "no route", true);
    assert_eq!(node.poll_timeout(), None);
    let why = || "no route".to_owned();
    assert_eq!(actions(&mut node), [Action::Tell(Event::Unreachable { peer: key(2), why: why() })]);
    assert_eq!(node.states()[0].connection, Connection::Closed { why: why(), again_ms: None });
    node.call(11, &key(2), false);
    assert_eq!(actions(&mut node), [], "it was silent just now");
    node.call(11, &key(2), true);
    assert_eq!(actions(&mut node), [Action::Dial(key(2))], "there is nobody else");
    node.unreachable(12, key(2), "refused", false);
    actions(&mut node);
    node.call(13, &key(2), false);
    assert_eq!(actions(&mut node), [Action::Dial(key(2))], "who refuses at once costs nothing");
    node.call(11, &key(3), true);
    assert_eq!(actions(&mut node), [], "a stranger");
    assert_eq!(node.silence(&key(2)), None);
    node.slow(14, &key(2), "it did not answer");
    assert_eq!(node.silence(&key(2)), Some("it did not answer"), "though it is still being called");
    node.dialled(15, key(2), 0, SessionId(1));
    assert_eq!(node.silence(&key(2)), None);
}

#[test]
fn a_peer_that_is_away_is_called_less_and_less_and_at_once_after_it_was_there() {
    let mut node = node(1);
    node.keep(0, true);
    node.add_peer(0, key(2));
    let (mut now, mut calls) = (0, Vec::new());
    while now < 3_600_000 {
        for action in actions(&mut node) {
            if action == Action::Dial(key(2)) {
                calls.push(now);
                node.unreachable(now, key(2), "refused", false);
            }
        }
        now = node.poll_timeout().unwrap();
        node.handle_timeout(now);
    }
    assert!((18..40).contains(&calls.len()), "{calls:?}");
    let gaps: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] <= 1_000 && gaps.iter().all(|gap| (500..=300_000).contains(gap)), "{gaps:?}");
    node.dialled(now, key(2), 0, SessionId(1));
    assert_eq!(node.poll_timeout(), None);
    node.lost(now + 60_000, SessionId(1), "the connection was lost");
    assert!(node.poll_timeout().unwrap() <= now + 61_000);
}

#[test]
fn what_is_followed_is_asked_in_every_session_and_again_where_it_was_refused() {
    let mut node = node(1);
    node.follow(FollowId(7));
    node.called(0, key(2), 0, SessionId(1));
    let connected = Action::Tell(Event::Connected { peer: key(2), way: Way::Called });
    assert_eq!(actions(&mut node), [connected, Action::Ask(SessionId(1), FollowId(7))]);
    node.follow(FollowId(8));
    assert_eq!(actions(&mut node), [Action::Ask(SessionId(1), FollowId(8))]);
    node.stated(SessionId(1), FollowId(7));
    node.stated(SessionId(1), FollowId(7));
    assert_eq!(actions(&mut node), [Action::Tell(Event::Follows { peer: key(2) })], "once");
    node.refused(100, SessionId(1), FollowId(8));
    let again = node.poll_timeout().unwrap();
    assert!((600..=1_100).contains(&again));
    node.handle_timeout(again);
    assert_eq!(actions(&mut node), [Action::Ask(SessionId(1), FollowId(8))]);
    node.ask_anew();
    let both = [7, 8].map(FollowId).into_iter();
    let anew = both.flat_map(|f| [Action::Cancel(SessionId(1), f), Action::Ask(SessionId(1), f)]);
    assert_eq!(actions(&mut node), anew.collect::<Vec<_>>());
    node.unfollow(FollowId(7));
    assert_eq!(actions(&mut node), [Action::Cancel(SessionId(1), FollowId(7))]);
    node.lost(200, SessionId(1), "gone");
    assert_eq!(actions(&mut node).len(), 1);
    assert!(node.states().is_empty(), "who only called is forgotten when it is gone");
}

#[test]
fn a_peer_that_was_removed_is_left_and_one_that_calls_stays() {
    let mut node = node(1);
    for peer in [2, 3] {
        node.add_peer(0, key(peer));
    }
    node.call(0, &key(2), false);
    node.dialled(1, key(2), 0, SessionId(1));
    node.called(1, key(3), 0, SessionId(2));
    actions(&mut node);
    node.remove_peer(&key(2));
    node.remove_peer(&key(3));
    let why = "the peer was removed".to_owned();
    let lost = Action::Tell(Event::Lost { peer: key(2), why });
    assert_eq!(actions(&mut node), [Action::Leave(SessionId(1)), lost]);
    let states = node.states();
    assert_eq!((states.len(), states[0].peer, states[0].known), (1, key(3), false));
}

#[test]
fn a_peer_that_was_removed_while_it_was_called_is_left_when_it_is_there() {
    let mut node = node(1);
    node.add_peer(0, key(2));
    node.call(0, &key(2), false);
    node.remove_peer(&key(2));
    node.dialled(1, key(2), 0, SessionId(1));
    assert_eq!(actions(&mut node), [Action::Dial(key(2)), Action::Leave(SessionId(1))]);
    assert!(node.states().is_empty() && node.sessions().next().is_none());
}

#[test]
fn one_who_called_and_is_late_is_hung_up_on_for_nobody_else_can_call_again() {
    let mut node = node(1);
    node.called(0, key(2), 0, SessionId(1));
    actions(&mut node);
    node.late(5_000, SessionId(1), "late");
    let lost = Action::Tell(Event::Lost { peer: key(2), why: "late".to_owned() });
    assert_eq!(actions(&mut node), [Action::HangUp(SessionId(1)), lost]);
}

#[test]
fn copies_of_a_folder_that_call_under_one_key_are_all_asked() {
    let mut node = node(1);
    node.follow(FollowId(7));
    for session in 1..=9 {
        node.called(session, key(2), session, SessionId(session));
    }
    let done = actions(&mut node);
    let asked: Vec<u64> =
        (1..=9).filter(|n| done.contains(&Action::Ask(SessionId(*n), FollowId(7)))).collect();
    assert_eq!(asked.len(), 9);
    assert!(done.contains(&Action::Leave(SessionId(1))), "more than anybody has");
    assert_eq!(node.sessions().count(), 8);
    node.add_peer(20, key(2));
    node.call(20, &key(2), true);
    for session in 2..=8 {
        node.lost(60_000, SessionId(session), "gone");
        assert_eq!(node.session(&key(2)), Some(SessionId(9)));
    }
    assert_eq!(actions(&mut node), []);
    node.late(60_002, SessionId(9), "said nothing for 2 s");
    assert_eq!((node.session(&key(2)), node.silence(&key(2))), (None, Some("said nothing for 2 s")));
}

/// Two nodes that call each other over a network with latency and losses.
struct World {
    nodes: [Node; 2],
    /// Which node learns what of which session when.
    mail: BTreeMap<(u64, u64), (usize, Mail)>,
    /// Sessions that neither has lost, and who dialled.
    alive: BTreeMap<SessionId, usize>,
    /// Those that each still uses.
    used: [BTreeSet<SessionId>; 2],
    now: u64,
    next: u64,
    rng: Random,
}

#[derive(Clone, Copy)]
enum Mail {
    Dialled(SessionId),
    Called(SessionId),
    Unreachable,
    Lost(SessionId),
}

impl World {
    fn send(&mut self, to: usize, delay: u64, mail: Mail) {
        self.next += 1;
        self.mail.insert((self.now + delay, self.next), (to, mail));
    }

    fn act(&mut self) {
        for me in 0..2 {
            for action in actions(&mut self.nodes[me]) {
                match action {
                    Action::Dial(_) if self.rng.chance(30) => self.send(me, 50, Mail::Unreachable),
                    Action::Dial(_) => {
                        let (session, delay) = (SessionId(self.next + 1_000), self.rng.below(80));
                        self.alive.insert(session, me);
                        self.send(1 - me, delay, Mail::Called(session));
                        let back = delay + self.rng.below(80);
                        self.send(me, back, Mail::Dialled(session));
                    }
                    Action::Leave(session) => {
                        self.used[me].remove(&session);
                        // The dialler hangs up what nobody uses.
                        if self.alive.get(&session) == Some(&me) {
                            self.end(session);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn end(&mut self, session: SessionId) {
        if self.alive.remove(&session).is_some() {
            (0..2).for_each(|to| {
                let delay = self.rng.below(50);
                self.send(to, 100 + delay, Mail::Lost(session));
            });
        }
    }

    fn step(&mut self, until: u64) -> bool {
        self.act();
        let timeout = self.nodes.iter().filter_map(Node::poll_timeout).min();
        let mail = self.mail.first_key_value().map(|(key, _)| *key);
        let at = timeout.into_iter().chain(mail.map(|(at, _)| at)).min().unwrap_or(u64::MAX);
        if at > until {
            return false;
        }
        self.now = self.now.max(at);
        if let Some(key) = mail.filter(|(at, _)| *at <= self.now) {
            let (to, mail) = self.mail.remove(&key).unwrap();
            let (now, peer) = (self.now, key_of(1 - to));
            let node = &mut self.nodes[to];
            match mail {
                // It ended before this side heard of it.
                Mail::Dialled(session) if !self.alive.contains_key(&session) => {
                    node.unreachable(now, peer, "lost", false);
                }
                Mail::Called(session) if !self.alive.contains_key(&session) => {}
                Mail::Dialled(session) => {
                    self.used[to].insert(session);
                    node.dialled(now, peer, 0, session);
                }
                Mail::Called(session) => {
                    self.used[to].insert(session);
                    node.called(now, peer, 0, session);
                }
                Mail::Unreachable => node.unreachable(now, peer, "lost", false),
                Mail::Lost(session) => {
                    self.used[to].remove(&session);
                    node.lost(now, session, "lost");
                }
            }
        } else {
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.handle_timeout(now));
        }
        self.act();
        true
    }
}

fn key_of(which: usize) -> FeedKey {
    key(u8::try_from(which + 1).unwrap())
}

#[test]
fn two_who_call_each_other_end_up_with_one_session_that_both_use() {
    for seed in seeds(0..300) {
        let mut nodes = [0, 1].map(|me| Node::new(Config { me: key_of(me), seed: seed ^ me as u64 }));
        for (me, node) in nodes.iter_mut().enumerate() {
            node.add_peer(0, key_of(1 - me));
            node.keep(0, true);
        }
        let mut world = World {
            nodes,
            mail: BTreeMap::new(),
            alive: BTreeMap::new(),
            used: Default::default(),
            now: 0,
            next: 0,
            rng: Random::new(seed),
        };
        // The network takes sessions away for a while, then it is well.
        for round in 0..20u64 {
            while world.step(round * 7_000) {}
            let alive: Vec<SessionId> = world.alive.keys().copied().collect();
            for session in alive {
                if world.rng.chance(60) {
                    world.end(session);
                }
            }
        }
        while world.step(140_000 + 700_000) {}
        let of = |me: usize| world.nodes[me].session(&key_of(1 - me));
        assert!(of(0).is_some(), "seed {seed}: nobody is connected");
        assert_eq!(of(0), of(1), "seed {seed}");
        assert_eq!(world.used[0], world.used[1], "seed {seed}");
        assert_eq!(world.used[0].len(), 1, "seed {seed}");
    }
}
