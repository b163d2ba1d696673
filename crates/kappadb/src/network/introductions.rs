//! Peers that other peers told of: who was met by one ticket finds the others by itself (`design/node.md`, "Peers from peers").
//!
//! Derived data, but for whom the owner will not have. Losing it costs a while, until somebody tells again.
//!
//! | key | value |
//! |---|---|
//! | a peer, 32 bytes | what it said of itself ([`Introduction`]) |

use super::Network;
use super::links::Links;
use crate::folder::derived::INTRODUCED;
use crate::folder::peers::Peer;
use crate::folder::refused::Refused;
use kappadb_core::codec;
use kappadb_core::limits::{MAX_ADDRESS, MAX_ADDRESSES, MAX_INTRODUCED};
use kappadb_core::{FeedKey, Timestamp, blake2b256};
use kappadb_store::{Batch, Store, StoreError};
use kappadb_sync::Introduction;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Peers of which it is known what they said, at most. Identities cost nothing.
const MOST: usize = 256;
/// Introductions that wait to be looked at, at most. What comes beyond that is let fall.
const MOST_WAITING: usize = 256;
/// How many peers a replica wants to call: those that its owner named, and others to fill up.
const WANTED: usize = 5;
/// So often in a row a peer may be called in vain before it is let be, until it says something new.
const TRIES: u32 = 3;
/// Of so many others a peer is told when a session begins.
const TOLD_FIRST: usize = 8;
/// Introductions that are passed on in a minute, at most.
const PASSED_ON: usize = 64;
/// What a peer says anew is passed on if what it said before is so old, in milliseconds.
const FRESH_MS: i64 = 60_000;
/// What is dated so far ahead is not believed, in milliseconds.
const AHEAD_MS: i64 = 86_400_000;
/// Bytes of a row.
const MAX_ROW: usize = 256 + MAX_ADDRESSES * (MAX_ADDRESS + 10);

struct Heard {
    said: Introduction,
    /// Calls in vain since it was reached, or said something new.
    failures: u32,
    /// It was reached once.
    was_there: bool,
}

#[derive(Default)]
struct State {
    heard: BTreeMap<FeedKey, Heard>,
    /// Those that are called.
    chosen: Vec<Peer>,
    /// What this replica says of itself, while it listens.
    mine: Option<Introduction>,
    /// By whom, and what.
    waiting: VecDeque<(FeedKey, Introduction)>,
    /// Somebody looks at them, or is about to.
    is_looked_at: bool,
    /// In which minute how many were passed on.
    passed_on: (i64, usize),
}

/// What peers said of themselves, or others passed on.
pub(crate) struct Introductions {
    is_on: bool,
    me: FeedKey,
    store: Arc<dyn Store>,
    refused: Refused,
    state: Mutex<State>,
}

impl Introductions {
    /// None are made or taken unless it `is_on`.
    pub fn open(is_on: bool, me: FeedKey, store: Arc<dyn Store>, refused: Refused) -> Introductions {
        let all = Introductions { is_on, me, store, refused, state: Mutex::default() };
        if is_on && let Err(error) = all.load() {
            tracing::warn!(%error, "the peers that others told of cannot be read");
        }
        all
    }

    fn load(&self) -> Result<(), StoreError> {
        let (tree, mut state) = (self.store.tree(INTRODUCED)?, self.lock());
        for row in tree.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).take(MOST) {
            if let Ok(said) = codec::decode::<Introduction, MAX_ROW>("introduction", &row?.1) {
                state.heard.insert(said.peer, Heard { said, failures: 0, was_there: false });
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of it is whole before the lock goes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are called besides those that the owner named.
    pub fn chosen(&self) -> Vec<Peer> {
        self.lock().chosen.clone()
    }

    /// Chooses whom to call, so that they are enough with those that are `known`. Who is called already stays; which others are taken differs from
    /// replica to replica, so that a swarm does not hang on a few.
    pub fn choose(&self, known: &[Peer]) {
        let mut state = self.lock();
        let State { heard, chosen, .. } = &mut *state;
        let may = |peer: &FeedKey, heard: &Heard| {
            heard.failures < TRIES && !heard.said.addresses.is_empty() && !self.refused.contains(peer)
        };
        let is_known = |peer: &FeedKey| known.iter().any(|known| known.key == *peer);
        chosen.retain(|peer| {
            heard.get(&peer.key).is_some_and(|heard| may(&peer.key, heard)) && !is_known(&peer.key)
        });
        let wanted = WANTED.saturating_sub(known.len());
        chosen.truncate(wanted);
        let is_chosen: BTreeSet<FeedKey> = chosen.iter().map(|peer| peer.key).collect();
        let mut others: Vec<_> = heard
            .iter()
            .filter(|(peer, heard)| may(peer, heard) && !is_known(peer) && !is_chosen.contains(peer))
            .map(|(peer, _)| (blake2b256(&[&self.me.0, &peer.0]), *peer))
            .collect();
        others.sort_unstable();
        chosen.extend(others.into_iter().map(|(_, key)| Peer { key, addresses: Vec::new(), name: None }));
        chosen.truncate(wanted);
        for peer in chosen {
            peer.addresses =
                heard.get(&peer.key).map(|heard| heard.said.addresses.clone()).unwrap_or_default();
        }
    }

    /// The owner will not have this peer, or will again.
    pub fn refuse(&self, peer: FeedKey, refused: bool) -> std::io::Result<()> {
        self.refused.set(peer, refused)?;
        if refused && self.lock().heard.remove(&peer).is_some() {
            let mut batch = Batch::new();
            batch.delete(peer.0.to_vec());
            self.keep(&batch);
        }
        Ok(())
    }

    /// A peer was called, in vain or not.
    fn called(&self, peer: &FeedKey, was_there: bool) {
        if let Some(heard) = self.lock().heard.get_mut(peer) {
            heard.failures = if was_there { 0 } else { heard.failures + 1 };
            heard.was_there |= was_there;
        }
    }

    /// What a peer with whom a session begins is told: where this replica listens, and of others those that said so last.
    pub fn to_tell(&self, to: &FeedKey) -> Vec<Introduction> {
        if !self.is_on {
            return Vec::new();
        }
        let state = self.lock();
        let others = state.heard.values().filter(|heard| heard.failures < TRIES).map(|heard| &heard.said);
        let mut others: Vec<&Introduction> = others.filter(|said| said.peer != *to).collect();
        others.sort_by_key(|said| std::cmp::Reverse(said.at));
        state.mine.iter().chain(others.into_iter().take(TOLD_FIRST)).cloned().collect()
    }

    /// Takes what a peer says in, to be looked at later. True if nobody looks yet.
    fn wait(&self, from: FeedKey, said: Vec<Introduction>) -> bool {
        if !self.is_on || said.is_empty() {
            return false;
        }
        let mut state = self.lock();
        let room = MOST_WAITING.saturating_sub(state.waiting.len());
        state.waiting.extend(said.into_iter().take(room).map(|said| (from, said)));
        !std::mem::replace(&mut state.is_looked_at, true)
    }

    fn next(&self) -> Option<(FeedKey, Introduction)> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.is_looked_at = next.is_some();
        next
    }

    /// Whether it is news, and may be believed if its peer said so.
    fn is_news(&self, said: &Introduction, now: Timestamp) -> bool {
        let state = self.lock();
        let is_newer = state.heard.get(&said.peer).is_none_or(|heard| heard.said.at < said.at);
        is_newer
            && said.peer != self.me
            && said.at.0 < now.0.saturating_add(AHEAD_MS)
            && !self.refused.contains(&said.peer)
    }

    /// Notes what a peer said. True if it is to be passed on.
    fn note(&self, said: Introduction, now: Timestamp) -> bool {
        let (peer, mut batch) = (said.peer, Batch::new());
        batch.put(peer.0.to_vec(), codec::encode(&said));
        let mut state = self.lock();
        let before = state.heard.remove(&peer);
        let is_fresh = before.as_ref().is_none_or(|before| before.said.at.0 + FRESH_MS <= said.at.0);
        let was_there = before.is_some_and(|before| before.was_there);
        if state.heard.len() >= MOST {
            // Who was never reached goes first, and of these whoever was silent for the longest.
            let last = state
                .heard
                .values()
                .min_by_key(|heard| (heard.was_there, heard.said.at))
                .map(|heard| heard.said.peer);
            if let Some(last) = last {
                state.heard.remove(&last);
                batch.delete(last.0.to_vec());
            }
        }
        state.heard.insert(peer, Heard { said, failures: 0, was_there });
        let minute = now.0.div_euclid(60_000);
        if state.passed_on.0 != minute {
            state.passed_on = (minute, 0);
        }
        let may = is_fresh && state.passed_on.1 < PASSED_ON;
        state.passed_on.1 += usize::from(may);
        drop(state);
        self.keep(&batch);
        may
    }

    fn keep(&self, batch: &Batch) {
        if let Err(error) = self.store.tree(INTRODUCED).and_then(|tree| tree.apply(batch)) {
            tracing::warn!(%error, "a peer that others told of cannot be noted");
        }
    }
}

impl Introductions {
    /// This replica listens at these addresses from now on, or at none, and says so to those with whom it has a session.
    pub fn listen(network: &Network, addresses: Option<Vec<String>>) {
        let Network { identity, introductions, links, .. } = network;
        if !introductions.is_on {
            return;
        }
        let said = |addresses| identity.introduce(&network.id, network.clock.now(), addresses);
        let mine = addresses.map(said);
        introductions.lock().mine.clone_from(&mine);
        if let Some(mine) = mine {
            links.introduce(&[(identity.public(), mine)]);
        }
    }

    /// A peer tells of others. Must not block.
    pub fn hear(network: &Arc<Network>, from: FeedKey, said: Vec<Introduction>) {
        if network.introductions.wait(from, said) {
            let looking = network.clone();
            network.peers_pool.start(move || Introductions::look(&looking));
        }
    }

    fn look(network: &Arc<Network>) {
        let (all, mut told, mut news) = (&network.introductions, Vec::new(), false);
        while let Some((from, said)) = all.next() {
            let now = network.clock.now();
            if !all.is_news(&said, now) || said.check(&network.id).is_err() {
                continue;
            }
            news = true;
            if all.note(said.clone(), now) {
                told.push((from, said));
            }
        }
        if news {
            network.links.peers_changed(network);
            network.links.introduce(&told);
        }
    }
}

impl Links {
    /// Passes on what was heard, to all but those from whom it was.
    fn introduce(&self, told: &[(FeedKey, Introduction)]) {
        for session in self.open_sessions() {
            let others =
                told.iter().filter(|(from, said)| *from != session.peer() && said.peer != session.peer());
            let others: Vec<Introduction> = others.map(|(_, said)| said.clone()).collect();
            for some in others.chunks(MAX_INTRODUCED) {
                session.introduce(some.to_vec());
            }
        }
    }

    /// A peer that others told of was called.
    pub(super) fn note_call(network: &Arc<Network>, peer: &FeedKey, was_there: bool) {
        network.introductions.called(peer, was_there);
        if !was_there {
            network.introductions.choose(&network.peers.list());
        }
    }
}
