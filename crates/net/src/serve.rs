//! Answers peers that call.
//!
//! Each connection has a task of its own; what one peer does wrong ends that one. All callers are heard at once: who has a place, and
//! who makes room for whom, is for [`Shares`].

use crate::connect::agree;
use crate::driver::{self, Backend, Guest, PeerHandle, PeerStats};
use crate::error::{HandshakeError, ServeError, SessionEnd};
use crate::places::Places;
use crate::transport::{AnyLink, Socket};
use crate::{Access, Allowance, Connection, Credentials, Identity, Shares, Signal, noise};
use kappadb_core::FeedKey;
use kappadb_sync::{Outcome, Served};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long to wait after the system refused a connection (no more file handles, usually) before trying again.
const RETRY: Duration = Duration::from_millis(100);

/// Something that a caller did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Happening<'a> {
    /// It has a session.
    Came(FeedKey),
    /// A question of its ended.
    Asked(FeedKey, &'a Served),
    /// It has gone, or was sent away, without an error; what the connection cost.
    Left(FeedKey, &'a SessionEnd, PeerStats),
    /// It came to nothing, or ended in an error.
    Failed(&'a ServeError),
}

/// Told of all that callers do, with the address they call from. Called on the executor: it must not block.
pub type Report = Arc<dyn Fn(SocketAddr, &Happening<'_>) + Send + Sync>;

/// How to serve.
#[derive(Clone)]
pub struct ServeOptions {
    /// How long peers may take.
    pub allowance: Allowance,
    /// How many may be there.
    pub shares: Shares,
    /// Says of a peer whether it was met before: then it has its place before all that are new. Default: none was.
    pub is_known: Arc<dyn Fn(&FeedKey) -> bool + Send + Sync>,
    /// Told of all that happens, besides `tracing`. Default: nobody.
    pub report: Option<Report>,
    /// Is given a handle of each session that begins, by which the caller can be asked in turn. Called on the executor: it must not block.
    pub begun: Option<Begun>,
}

/// Is given the sessions of those who call.
pub type Begun = Arc<dyn Fn(PeerHandle) + Send + Sync>;

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            allowance: Allowance::default(),
            shares: Shares::default(),
            is_known: Arc::new(|_| false),
            report: None,
            begun: None,
        }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServeOptions { allowance, shares, .. } = self;
        f.debug_struct("ServeOptions").field("allowance", allowance).field("shares", shares).finish()
    }
}

/// Listens on an address and answers every peer that has the access key. Dropping it ends the listening and the
/// sessions, without waiting for them.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shutdown: Arc<Signal>,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on `address` (port 0 takes a free one), with the default options.
    pub async fn bind(
        address: SocketAddr,
        access: Access,
        identity: Identity,
        backend: Arc<dyn Backend>,
    ) -> io::Result<Listener> {
        Self::bind_with(address, Credentials::new(access, identity), backend, ServeOptions::default()).await
    }

    /// Listens on `address`.
    pub async fn bind_with(
        address: SocketAddr,
        credentials: Credentials,
        backend: Arc<dyn Backend>,
        options: ServeOptions,
    ) -> io::Result<Listener> {
        let socket = credentials.transport.listen(address).await?;
        let address = socket.address()?;
        let shutdown = Arc::new(Signal::default());
        let places = Places::new(options.shares.clone());
        let house = Arc::new(House { credentials, backend, options, places });
        let accepting = tokio::spawn(accept(socket, house, shutdown.clone()));
        Ok(Listener { address, shutdown, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends listening and all sessions, telling the peers, and waits until storage is done with them.
    pub async fn stop(mut self) {
        self.shutdown.raise();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shutdown.raise();
    }
}

/// What every session of a listener shares.
struct House {
    credentials: Credentials,
    backend: Arc<dyn Backend>,
    options: ServeOptions,
    places: Arc<Places>,
}

async fn accept(socket: Box<dyn Socket>, house: Arc<House>, shutdown: Arc<Signal>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // Also when the listener was dropped.
            () = shutdown.raised() => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, from)) => {
                    sessions.spawn(house.clone().welcome(stream, from, shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(RETRY).await;
                }
            },
            Some(_) = sessions.join_next() => {}
        }
    }
    drop(socket);
    while sessions.join_next().await.is_some() {}
}

impl House {
    async fn welcome(self: Arc<Self>, stream: AnyLink, from: SocketAddr, shutdown: Arc<Signal>) {
        if let Err(error) = self.session(stream, from, shutdown).await {
            self.tell(from, &Happening::Failed(&error));
        }
    }

    async fn session(
        self: &Arc<Self>,
        stream: AnyLink,
        from: SocketAddr,
        shutdown: Arc<Signal>,
    ) -> Result<(), ServeError> {
        let limit = self.options.allowance.handshake;
        let stranger = self.places.stranger(from.ip());
        let (connection, peer) = tokio::select! {
            biased;
            shaken = timeout(limit, self.handshake(stream)) => shaken.map_err(|_| ServeError::Timeout(limit))??,
            () = stranger.called_back() => return Err(ServeError::Crowded),
            () = shutdown.raised() => return Ok(()),
        };
        let (agreed, who) = agree(&self.credentials, &connection, peer).map_err(HandshakeError::Hello)?;
        let traffic = connection.traffic().clone();
        let newcomer = !(self.options.is_known)(&peer);
        let place = self.places.member(from.ip(), peer, newcomer);
        if place.is_ok() {
            drop(stranger);
            self.tell(from, &Happening::Came(peer));
        }
        let house = self.clone();
        let told = Box::new(move |served: &Served| house.tell(from, &Happening::Asked(peer, served)));
        let guest = Guest { peer: who, place, told };
        let (backend, allowance) = (self.backend.clone(), &self.options.allowance);
        let begun = |session| {
            if let Some(begun) = &self.options.begun {
                begun(session);
            }
        };
        let end = driver::answer(connection, agreed, guest, backend, allowance, shutdown, begun).await;
        if !end.is_orderly() {
            return Err(ServeError::Session { peer, end });
        }
        self.tell(from, &Happening::Left(peer, &end, PeerStats::of(&traffic)));
        Ok(())
    }

    async fn handshake(&self, stream: AnyLink) -> Result<(Connection, FeedKey), HandshakeError> {
        let Credentials { access, identity, .. } = &self.credentials;
        let channel = noise::accept(stream, access, identity, &self.credentials.hello_now()).await?;
        let opened = Connection::open(channel, identity, None, &self.options.allowance).await;
        let mut connection = opened.map_err(HandshakeError::Channel)?;
        let peer = connection.reader.peer().await.map_err(HandshakeError::Channel)?;
        Ok((connection, peer))
    }

    fn tell(&self, from: SocketAddr, happening: &Happening<'_>) {
        log(from, happening);
        if let Some(report) = &self.options.report {
            report(from, happening);
        }
    }
}

/// A line for people who watch a server.
fn log(from: SocketAddr, happening: &Happening<'_>) {
    match happening {
        Happening::Came(peer) => tracing::info!(%peer, %from, "connected"),
        Happening::Asked(peer, served) => {
            let Served { asked, blocks, bytes, ms, outcome } = served;
            match outcome {
                Outcome::Answered => tracing::info!(%peer, %from, asked, blocks, bytes, ms, "answered"),
                Outcome::Cancelled => {
                    tracing::info!(%peer, %from, asked, blocks, bytes, ms, "given up by the peer")
                }
                Outcome::Refused { reason, text } => {
                    tracing::warn!(%peer, %from, asked, blocks, bytes, ms, %reason, text, "refused");
                }
            }
        }
        Happening::Left(peer, end, stats) => {
            let PeerStats { bytes_received, bytes_sent, .. } = stats;
            tracing::info!(%peer, %from, bytes_received, bytes_sent, why = %end, "disconnected");
        }
        Happening::Failed(ServeError::Session { peer, end }) => {
            tracing::warn!(%peer, %from, why = %end, "session failed");
        }
        Happening::Failed(error) => tracing::warn!(%from, why = %error, "turned away"),
    }
}
