//! How long things may take and how many there may be. The defaults are those of `kappadb_core::limits`.

use kappadb_core::limits;
use std::time::Duration;

/// How long a peer may take.
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
