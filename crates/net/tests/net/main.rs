//! Peers over pipes and loopback sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod common;
mod handshake;
mod live;
mod sessions;
mod storage;
