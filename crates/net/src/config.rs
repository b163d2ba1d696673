//! What a replica brings to every connection: who it is, and how long its peers may take.

use crate::{Access, Identity};
use kappadb_core::limits;
use kappadb_sync::Hello;
use std::time::Duration;

/// How long a peer may take. The defaults are those of [`limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connect. Default [`limits::CONNECT_MS`].
    pub connect: Duration,
    /// From connect to the end of the handshake. Default [`limits::HANDSHAKE_MS`].
    pub handshake: Duration,
    /// For taking the next bytes that we send. Default [`limits::ANSWER_MS`].
    pub stall: Duration,
    /// For the last frames of a session that is being closed. Default 1 s.
    pub farewell: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_millis(limits::CONNECT_MS),
            handshake: Duration::from_millis(limits::HANDSHAKE_MS),
            stall: Duration::from_millis(limits::ANSWER_MS),
            farewell: Duration::from_secs(1),
        }
    }
}

/// What a replica shows and demands at every handshake.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The database and its key.
    pub access: Access,
    /// Who we are.
    pub identity: Identity,
    /// Versions and limits of our sessions.
    pub hello: Hello,
}

impl Credentials {
    /// With the hello of this release.
    pub fn new(access: Access, identity: Identity) -> Self {
        Credentials { access, identity, hello: Hello::default() }
    }
}
