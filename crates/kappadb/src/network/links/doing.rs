//! Doing what the node says, and telling it what came of that.

use super::{Link, Links, State};
use crate::error::AskError;
use crate::folder::peers::Peer;
use crate::network::follow;
use crate::network::link::{Call, in_words};
use kappadb_core::FeedKey;
use kappadb_net::{PeerHandle, SessionEnd};
use kappadb_node::{Action, FollowId, Node, SessionId};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::sleep_until;

impl Links {
    pub(super) fn act(self: &Arc<Self>, state: &mut State, action: Action) {
        match action {
            Action::Dial(peer) => self.dial(state, peer),
            Action::Leave(session) => drop(leave(state, session)),
            Action::HangUp(session) => leave(state, session).iter().for_each(|link| link.session.hang_up()),
            Action::Ask(session, follow) => {
                let link = state.open.get(&session).cloned();
                let asked = state.wants.get(follow).cloned().zip(link).zip(state.parts.upgrade());
                if let Some(((what, link), parts)) = asked {
                    let links = Arc::downgrade(self);
                    let tell = move |stated: bool| {
                        if let Some(links) = links.upgrade() {
                            match stated {
                                true => links.note(|node, _| node.stated(session, follow)),
                                false => links.refused(session, follow),
                            }
                        }
                    };
                    let task = state.spawn(follow::run(Arc::downgrade(&parts), link, what, tell));
                    state.asking.extend(task.map(|task| ((session, follow), task)));
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
        let known = parts.peers.list().into_iter().chain(parts.introductions.chosen());
        let known = known.into_iter().find(|known| known.key == peer);
        let nowhere = || Peer { key: peer, addresses: Vec::new(), name: None };
        let (call, links) = (Call::to(&parts, known.unwrap_or_else(nowhere)), Arc::downgrade(self));
        let task = state.spawn(async move {
            let dialled = call.dial().await;
            if let Some(links) = links.upgrade() {
                links.dialled(peer, dialled);
            }
        });
        state.calls.extend(task.map(|task| (peer, task)));
    }

    /// A peer does not answer what is followed.
    fn refused(self: &Arc<Self>, session: SessionId, follow: FollowId) {
        let mut state = self.lock();
        // Of a session that is over nothing follows.
        let ask = if state.open.contains_key(&session) { state.wants.refuse(follow) } else { Vec::new() };
        self.tell_locked(state, |node, now| {
            node.refused(now, session, follow);
            ask.into_iter().for_each(|id| node.follow(id));
        });
    }

    fn dialled(self: &Arc<Self>, peer: FeedKey, dialled: Result<PeerHandle, AskError>) {
        let parts = {
            let mut state = self.lock();
            state.calls.remove(&peer);
            state.parts.upgrade()
        };
        if let Some(parts) = &parts {
            Links::note_call(parts, &peer, dialled.is_ok());
        }
        match dialled {
            Ok(session) => {
                session.keep();
                if let (Some(parts), Some(theirs)) = (&parts, session.clock()) {
                    parts.clocks.note(peer, theirs.0.saturating_sub(parts.clock.now().0));
                }
                let instance = session.instance();
                self.begun(session, |node, now, id| node.dialled(now, peer, instance, id));
            }
            Err(error) => {
                let (why, silent) = (in_words(&error), error.is_late());
                self.lock().failed.insert(peer, error);
                self.note(|node, now| node.unreachable(now, peer, &why, silent));
            }
        }
    }

    pub(super) fn begun(self: &Arc<Self>, session: PeerHandle, tell: impl FnOnce(&mut Node, u64, SessionId)) {
        let mut state = self.lock();
        let id = SessionId(state.next);
        state.next += 1;
        state.open.insert(id, Link::new(id, session.clone()));
        let others = state.parts.upgrade().map(|parts| parts.introductions.to_tell(&session.peer()));
        if let Some(others) = others.filter(|others| !others.is_empty()) {
            session.introduce(others);
        }
        let (end, links) = (session.end(), Arc::downgrade(self));
        state.spawn(async move {
            let why = end.await;
            if let Some(links) = links.upgrade() {
                links.lost(id, &why);
            }
        });
        self.tell_locked(state, |node, now| tell(node, now, id));
    }

    pub(super) fn lost(self: &Arc<Self>, id: SessionId, why: &SessionEnd) {
        let mut state = self.lock();
        state.open.remove(&id);
        state.asking.retain(|(of, _), _| *of != id);
        self.tell_locked(state, |node, now| node.lost(now, id, &why.to_string()));
    }
}

/// Lets the node's time pass, until there is nothing to wait for. Keeps nothing alive meanwhile.
pub(super) async fn keep_time(links: Weak<Links>) {
    while let Some(strong) = links.upgrade() {
        let retime = strong.retime.clone();
        let at = {
            let mut state = strong.lock();
            let at = state.node.poll_timeout();
            if at.is_none() {
                state.timer = None;
            }
            at.map(|at| strong.started + Duration::from_millis(at))
        };
        drop(strong);
        let Some(at) = at else { return };
        tokio::select! {
            biased;
            () = sleep_until(at) => match links.upgrade() {
                Some(links) => links.note(|node, now| node.handle_timeout(now)),
                None => return,
            },
            () = retime.notified() => {}
        }
    }
}

/// Asks for nothing that is followed in a session any more.
fn leave(state: &mut State, session: SessionId) -> Option<Link> {
    state.asking.retain(|(of, _), task| {
        let stays = *of != session;
        if !stays {
            task.abort();
        }
        stays
    });
    state.open.remove(&session)
}
