//! What a session needs from a transport, and nothing more.
//!
//! A [`Channel`] is a pair of encrypted, ordered, reliable byte streams between two members of a database, with a
//! value that names this one connection on both ends (the binding). Everything above (identities, frames, sessions)
//! is the same for every transport. Here: Noise over any byte stream ([`crate::noise`]), so TCP or an in-memory pipe;
//! a QUIC stream would bring its own encryption and take the binding from the TLS exporter.

use crate::Traffic;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

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
