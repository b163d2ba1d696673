//! Tickets, transports, the handshake, and the driver that runs a session over a connection.
//!
//! Floor 3: tokio. From the bottom: a [`Link`](transport::Link) carries bytes (TCP, a pipe); [`noise`] makes an encrypted
//! [`Channel`](transport::Channel) of it for those who hold the [`Access`] key; a [`Connection`] adds who the peer is, and frames.

mod access;
mod config;
mod connection;
mod error;
pub mod framing;
mod identity;
pub mod noise;
pub mod tcp;
mod ticket;
mod traffic;
pub mod transport;

pub use access::{Access, AccessKey};
pub use config::Timeouts;
pub use connection::{Connection, FrameReader, FrameWriter};
pub use error::{ChannelError, DialError, HandshakeError, Phase};
pub use identity::Identity;
pub use tcp::Credentials;
pub use ticket::{MAX_ADDRESS, MAX_ADDRESSES, Ticket, TicketError};
pub use traffic::Traffic;
