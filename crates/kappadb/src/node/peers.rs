//! Peers as people see them: who they are, how it stands with them, what happens.

use crate::engine;
use crate::error::PeerError;
use crate::folder::peers::Peer;
use crate::network::Keeper;
use crate::views::Parts;
use futures::Stream;
use futures::stream::{self, BoxStream, StreamExt};
use kappadb_core::{EntryId, FeedKey};
use kappadb_net::Ticket;
use kappadb_node::{Connection, Event, Way};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// The peers of this replica. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    parts: Arc<Parts>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// How it stands with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// Its identity.
    pub key: FeedKey,
    /// What is known of it, if it is one of those that questions are put to; none for one that only calls.
    pub known: Option<Peer>,
    /// How it is connected, or why not.
    pub connection: PeerConnection,
    /// Bytes received from it in this session.
    pub bytes_received: u64,
    /// Bytes sent to it in this session.
    pub bytes_sent: u64,
    /// An entry that it left out of an answer which it signed as whole, if it was found to have done so: it lies, or is broken.
    pub omitted: Option<EntryId>,
}

/// How a peer is connected, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerConnection {
    /// Nobody has called it: nothing was asked yet, and nothing is followed or served.
    Idle,
    /// It is being called.
    Dialling,
    /// There is a session.
    Open {
        /// The peer called; else this replica did.
        called: bool,
        /// For how long.
        since: Duration,
    },
    /// It could not be reached, or was lost.
    Closed {
        /// Why, in words.
        why: String,
        /// In how long it is called again; none if not before somebody asks.
        again: Option<Duration>,
    },
}

/// What happens with peers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// There is a session with a peer, where there was none.
    Connected {
        /// Its identity.
        peer: FeedKey,
        /// The peer called; else this replica did.
        called: bool,
    },
    /// It has answered something that is followed, and tells of news from now on. Who follows from now on asks it for what came before.
    Follows {
        /// Its identity.
        peer: FeedKey,
    },
    /// There is none any more.
    Lost {
        /// Its identity.
        peer: FeedKey,
        /// Why, in words.
        why: String,
    },
    /// It was called in vain.
    Unreachable {
        /// Its identity.
        peer: FeedKey,
        /// Why, in words.
        why: String,
    },
    /// So many events came faster than they were taken, and are not told.
    Lagged(u64),
}

/// Tells of peers, until the database goes. Dropping it ends nothing else.
pub struct PeerEvents(BoxStream<'static, PeerEvent>);

impl fmt::Debug for PeerEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerEvents").finish_non_exhaustive()
    }
}

impl PeerEvents {
    /// The next event; none once the database is gone. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        self.0.next().await
    }
}

impl Stream for PeerEvents {
    type Item = PeerEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PeerEvent>> {
        self.0.as_mut().poll_next(context)
    }
}

/// Sessions are kept to all known peers until this is dropped: [`Peers::keep`].
#[must_use = "sessions are kept until this is dropped"]
pub struct Kept(#[expect(dead_code, reason = "it lives as long")] Keeper);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn of(parts: &Arc<Parts>) -> Peers {
        Peers { parts: parts.clone() }
    }

    /// Those that questions are put to, the one met last first.
    pub fn list(&self) -> Vec<Peer> {
        self.parts.peers.list()
    }

    /// Keeps sessions to all known peers until what this returns is dropped, as [`Database::serve`](crate::Database::serve) and whatever is followed do: so
    /// what is written reaches those that follow it.
    pub fn keep(&self) -> Kept {
        Kept(self.parts.links.keep(&self.parts.network))
    }

    /// How it stands with each of them, with those who called, and with those who were found to have left something out of an answer.
    pub fn states(&self) -> Vec<PeerState> {
        let (links, known) = (&self.parts.links, self.list());
        let now = links.now();
        let (ago, until) = (
            |at: u64| Duration::from_millis(now.saturating_sub(at)),
            |at: u64| Duration::from_millis(at.saturating_sub(now)),
        );
        let state = |state: kappadb_node::PeerState| {
            let stats = links.session(&state.peer).map(|session| session.stats()).unwrap_or_default();
            PeerState {
                key: state.peer,
                known: known.iter().find(|peer| peer.key == state.peer).cloned(),
                connection: match state.connection {
                    Connection::Dialling { .. } => PeerConnection::Dialling,
                    Connection::Open { way, since_ms } => {
                        PeerConnection::Open { called: way == Way::Called, since: ago(since_ms) }
                    }
                    Connection::Closed { why, again_ms } => {
                        PeerConnection::Closed { why, again: again_ms.map(until) }
                    }
                    _ => PeerConnection::Idle,
                },
                bytes_received: stats.bytes_received,
                bytes_sent: stats.bytes_sent,
                omitted: self.parts.omissions.of(&state.peer),
            }
        };
        let mut states: Vec<PeerState> = links.states(&self.parts.network).into_iter().map(state).collect();
        let mut liars = self.parts.omissions.list();
        liars.retain(|(peer, _)| states.iter().all(|state| state.key != *peer));
        states.extend(liars.into_iter().map(|(key, entry)| PeerState {
            key,
            known: None,
            connection: PeerConnection::Idle,
            bytes_received: 0,
            bytes_sent: 0,
            omitted: Some(entry),
        }));
        states
    }

    /// What happens with peers from now on.
    pub fn events(&self) -> PeerEvents {
        let events = stream::unfold(self.parts.links.events(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((told(event), events)),
                Err(RecvError::Lagged(missed)) => Some((Some(PeerEvent::Lagged(missed)), events)),
                Err(RecvError::Closed) => None,
            }
        });
        PeerEvents(events.filter_map(std::future::ready).boxed())
    }

    /// Learns of the ticket's peer, or where it is now; `name` is what it is called here from now on. Whom it trusts stays its own business.
    /// While this replica serves or follows, it is called at once. Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Own`] for a ticket of this replica, [`PeerError::OtherDatabase`], [`PeerError::Name`], [`PeerError::Taken`].
    pub async fn add(&self, ticket: &Ticket, name: Option<&str>) -> Result<Peer, PeerError> {
        let (ticket, name) = (ticket.clone(), name.map(str::to_owned));
        let meet = move |parts: &Parts| {
            let met = parts.peers.meet(&ticket, name.as_deref())?;
            refuse(parts, ticket.peer, false)?;
            Ok(met)
        };
        self.change(meet).await
    }

    /// Forgets a peer: it is not asked any more, nor called if others tell of it, and the session with it, if this replica called, ends. Its word goes
    /// with it, as with [`Peers::forget_word`]; what it sent stays, for that is proved. It may go on asking this replica, as long as it has the access
    /// key. Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Unknown`].
    pub async fn remove(&self, key: FeedKey) -> Result<Peer, PeerError> {
        let remove = move |parts: &Parts| {
            let removed = parts.peers.remove(&key)?;
            refuse(parts, key, true)?;
            Ok(removed)
        };
        let removed = self.change(remove).await?;
        self.forget_word(key).await?;
        Ok(removed)
    }

    /// Makes void what rests on the word of somebody, whether it was asked here or others passed its word on: an answer from here is complete no
    /// longer for what it said of feeds. What others still say on its word comes with the next question to them, and they name it
    /// ([`Completeness::words`](crate::Completeness::words)). Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Read`] if the database is closed.
    pub async fn forget_word(&self, key: FeedKey) -> Result<(), PeerError> {
        Ok(engine::run(&self.parts, move |parts| parts.forget_word(&key)).await?)
    }

    /// What a peer is called here: 1 to 64 bytes without control characters, or nothing. Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Unknown`], [`PeerError::Name`], [`PeerError::Taken`].
    pub async fn rename(&self, key: FeedKey, name: Option<&str>) -> Result<Peer, PeerError> {
        let name = name.map(str::to_owned);
        self.change(move |parts| parts.peers.rename(&key, name.as_deref())).await
    }

    async fn change(
        &self,
        change: impl FnOnce(&Parts) -> Result<Peer, PeerError> + Send + 'static,
    ) -> Result<Peer, PeerError> {
        let changed = engine::run(&self.parts, change).await??;
        self.parts.links.peers_changed(&self.parts.network);
        Ok(changed)
    }
}

/// Whether a peer is called if others tell of it.
fn refuse(parts: &Parts, key: FeedKey, refused: bool) -> Result<(), PeerError> {
    let written = parts.introductions.refuse(key, refused);
    written.map_err(|source| PeerError::Io { path: parts.dir.join("refused"), source })
}

fn told(event: Event) -> Option<PeerEvent> {
    Some(match event {
        Event::Connected { peer, way } => PeerEvent::Connected { peer, called: way == Way::Called },
        Event::Follows { peer } => PeerEvent::Follows { peer },
        Event::Lost { peer, why } => PeerEvent::Lost { peer, why },
        Event::Unreachable { peer, why } => PeerEvent::Unreachable { peer, why },
        _ => return None,
    })
}
