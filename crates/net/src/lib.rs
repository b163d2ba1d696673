//! Tickets, transports, the handshake, and the driver that runs a session over a connection.
//!
//! Floor 3: tokio. From the bottom: a [`Link`](transport::Link) carries bytes (TCP, a pipe); [`noise`] makes an
//! encrypted [`Channel`](transport::Channel) of it for those who hold the [`Access`] key; a [`Connection`] adds who
//! the peer is, and frames; the [`driver`] runs a session on it. Most callers need [`connect`] and [`Listener`]
//! only.

mod access;
mod config;
mod connect;
mod connection;
pub mod driver;
mod error;
pub mod framing;
mod identity;
pub mod noise;
mod places;
mod serve;
pub mod tcp;
mod ticket;
mod traffic;
pub mod transport;

pub use access::{Access, AccessKey};
pub use config::{Allowance, Credentials};
pub use connect::{connect, connect_any};
pub use connection::{Connection, FrameReader, FrameWriter};
pub use driver::{Answered, Backend, PeerHandle, PeerStats, Question, Update};
pub use error::{AskError, ChannelError, DialError, HandshakeError, Phase, ServeError, SessionEnd};
pub use identity::Identity;
pub use places::Shares;
pub use serve::{Begun, Happening, Listener, Report, ServeOptions};
pub use ticket::{Ticket, TicketError};
pub use traffic::Traffic;
