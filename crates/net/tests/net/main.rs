//! Peers over pipes and loopback sockets.

mod common;
mod handshake;
