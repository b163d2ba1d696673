//! What a session needs from a transport, and nothing more.
//!
//! A [`Channel`] is a pair of encrypted, ordered, reliable byte streams between two members of a database, with a
//! value that names this one connection on both ends (the binding). Everything above (identities, frames, sessions)
//! is the same for every transport. Here: Noise over any byte stream ([`crate::noise`]), so TCP or an in-memory pipe;
//! a QUIC stream would bring its own encryption and take the binding from the TLS exporter. Where byte streams come from is
//! for a [`Transport`].

use crate::Traffic;
use futures::future::BoxFuture;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Which end of a channel this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that called.
    Dialer,
    /// The end that was called.
    Listener,
}

impl Role {
    /// The role of the other end.
    pub fn other(self) -> Role {
        match self {
            Role::Dialer => Role::Listener,
            Role::Listener => Role::Dialer,
        }
    }

    /// Its byte in signed messages: 0 dialer, 1 listener.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Role::Dialer => 0,
            Role::Listener => 1,
        }
    }
}

/// Names one connection: equal on both ends, never twice, and out of the control of either end alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding(pub [u8; 64]);

/// A byte stream before encryption: a TCP socket, one end of a pipe.
pub trait Link: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Link for T {}

/// A byte stream of any transport.
pub struct AnyLink(Box<dyn Link>);

impl AnyLink {
    /// Of this one.
    pub fn new(link: impl Link) -> AnyLink {
        AnyLink(Box::new(link))
    }
}

impl AsyncRead for AnyLink {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for AnyLink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// An encrypted connection between two members of a database, before they told each other who they are.
pub trait Channel: Send + 'static {
    /// What arrives, decrypted. Changed, repeated or reordered bytes end it with an error.
    type Read: AsyncRead + Unpin + Send + 'static;
    /// What is sent. May hold bytes back until flushed.
    type Write: AsyncWrite + Unpin + Send + 'static;

    /// Which end this is.
    fn role(&self) -> Role;
    /// What both ends sign.
    fn binding(&self) -> Binding;
    /// What the other end's session said in the handshake: its versions and limits, not yet decoded.
    fn hello(&self) -> &[u8];
    /// Counts what goes over the wire; goes on counting after [`Channel::split`].
    fn traffic(&self) -> Arc<Traffic>;
    /// The two directions.
    fn split(self) -> (Self::Read, Self::Write);
}

/// Carries bytes between replicas: TCP, or what a simulation has in its place.
pub trait Transport: Send + Sync + 'static {
    /// Connects to an address (`host:port`). The caller bounds the time.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<AnyLink>>;

    /// Listens at an address; port 0 takes a free one.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>>;

    /// An address of this machine alone that is free now.
    ///
    /// # Errors
    /// If none can be had.
    fn free_address(&self) -> io::Result<SocketAddr>;
}

/// Where somebody listens, until it is dropped.
pub trait Socket: Send + Sync + 'static {
    /// Where that is.
    fn address(&self) -> io::Result<SocketAddr>;

    /// The next who connects, and from where. Safe to cancel.
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyLink, SocketAddr)>>;
}
