//! Answers peers that call.
//!
//! Each connection has a task of its own; what one peer does wrong ends that one. When as many are served as
//! allowed, the next callers wait in the system's queue and give up by their own timeout.

use crate::connect::agree;
use crate::driver::{self, Backend, shut_down};
use crate::error::{HandshakeError, ServeError};
use crate::{Access, Allowance, Connection, Credentials, Identity, noise};
use kappadb_core::limits::MAX_SESSIONS;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// How long to wait after the system refused a connection (no more file handles, usually) before trying again.
const RETRY: Duration = Duration::from_millis(100);

/// Told of every session that ended in an error, with the peer's address.
pub type Report = Arc<dyn Fn(SocketAddr, &ServeError) + Send + Sync>;

/// How to serve.
#[derive(Clone)]
pub struct ServeOptions {
    /// How long peers may take.
    pub allowance: Allowance,
    /// Sessions at the same time, handshakes included. Default [`MAX_SESSIONS`].
    pub max_sessions: usize,
    /// Told of what went wrong, besides `tracing`. Default: nobody.
    pub report: Option<Report>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions { allowance: Allowance::default(), max_sessions: MAX_SESSIONS, report: None }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServeOptions { allowance, max_sessions, .. } = self;
        f.debug_struct("ServeOptions")
            .field("allowance", allowance)
            .field("max_sessions", max_sessions)
            .finish()
    }
}

/// Listens on a TCP address and answers every peer that has the access key. Dropping it ends the listening and the
/// sessions, without waiting for them.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Listens on `address` (port 0 takes a free one), with the default options.
    pub async fn bind(
        address: impl ToSocketAddrs,
        access: Access,
        identity: Identity,
        backend: Arc<dyn Backend>,
    ) -> io::Result<Listener> {
        Self::bind_with(address, Credentials::new(access, identity), backend, ServeOptions::default()).await
    }

    /// Listens on `address`.
    pub async fn bind_with(
        address: impl ToSocketAddrs,
        credentials: Credentials,
        backend: Arc<dyn Backend>,
        options: ServeOptions,
    ) -> io::Result<Listener> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let (shutdown, down) = watch::channel(false);
        let house = Arc::new(House { credentials, backend, options });
        let accepting = tokio::spawn(accept(socket, house, down));
        Ok(Listener { address, shutdown, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends listening and all sessions, telling the peers, and waits until storage is done with them.
    pub async fn stop(self) {
        self.shutdown.send_replace(true);
        let _ = self.accepting.await;
    }
}

/// What every session of a listener shares.
struct House {
    credentials: Credentials,
    backend: Arc<dyn Backend>,
    options: ServeOptions,
}

async fn accept(socket: TcpListener, house: Arc<House>, shutdown: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(house.options.max_sessions));
    let mut sessions = JoinSet::new();
    let mut down = shutdown.clone();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, socket.accept().await)
        };
        tokio::select! {
            (place, accepted) = next => match accepted {
                Ok((stream, from)) => {
                    let session = house.clone().welcome(stream, from, shutdown.clone());
                    sessions.spawn(async move {
                        session.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(RETRY).await;
                }
            },
            Some(_) = sessions.join_next() => {}
            // Also when the listener was dropped.
            () = shut_down(&mut down) => break,
        }
    }
    drop(socket);
    while sessions.join_next().await.is_some() {}
}

impl House {
    async fn welcome(self: Arc<Self>, stream: TcpStream, from: SocketAddr, shutdown: watch::Receiver<bool>) {
        let Err(error) = self.session(stream, shutdown).await else { return };
        tracing::debug!(%from, %error, "session failed");
        if let Some(report) = &self.options.report {
            report(from, &error);
        }
    }

    async fn session(
        &self,
        stream: TcpStream,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), ServeError> {
        let House { credentials, backend, options } = self;
        let limit = options.allowance.handshake;
        let mut connection = tokio::select! {
            connection = timeout(limit, self.handshake(stream)) => connection.map_err(|_| ServeError::Timeout(limit))??,
            () = shut_down(&mut shutdown) => return Ok(()),
        };
        let agreed = agree(credentials, &connection).map_err(HandshakeError::Hello)?;
        let peer = connection.reader.peer().await.map_err(HandshakeError::Channel)?;
        let end =
            driver::answer(connection, agreed, peer, backend.clone(), &options.allowance, shutdown).await;
        if end.is_orderly() { Ok(()) } else { Err(ServeError::Session { peer, end }) }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Connection, HandshakeError> {
        stream.set_nodelay(true).map_err(HandshakeError::Io)?;
        let Credentials { access, identity, hello } = &self.credentials;
        let channel = noise::accept(stream, access, identity, &hello.encode()).await?;
        Connection::open(channel, identity, None, &self.options.allowance)
            .await
            .map_err(HandshakeError::Channel)
    }
}
