//! Tickets, transports, the handshake, and the driver that runs a session over a connection.
//!
//! Floor 3: tokio. From the bottom: a [`Link`](transport::Link) carries bytes (TCP, a pipe) and comes from a [`Transport`](transport::Transport); [`noise`] makes an
//! encrypted [`Channel`](transport::Channel) of it for those who hold the [`Access`] key; a [`Connection`] adds who
//! the peer is, and frames; the [`driver`] runs a session on it. Most callers need [`connect`] and [`Listener`]
//! only.

mod access;
mod config;
mod connect;
mod connection;
mod dial;
pub mod driver;
mod error;
pub mod framing;
mod identity;
pub mod noise;
mod places;
mod serve;
mod signal;
mod tcp;
mod ticket;
mod traffic;
pub mod transport;

pub use access::{Access, AccessKey};
pub use config::{Allowance, Credentials};
pub use connect::{connect, connect_any};
pub use connection::{Connection, FrameReader, FrameWriter};
pub use dial::{dial, dial_any};
pub use driver::{Answered, Backend, PeerHandle, PeerStats, Question, Update};
pub use error::{AskError, ChannelError, DialError, HandshakeError, Phase, ServeError, SessionEnd};
pub use identity::Identity;
pub use places::Shares;
pub use serve::{Begun, Happening, Listener, Report, ServeOptions};
pub use signal::Signal;
pub use tcp::Tcp;
pub use ticket::{Ticket, TicketError};
pub use traffic::Traffic;
