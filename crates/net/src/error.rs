//! What can go wrong: while dialing, on a channel that stands, and in a session.

use kappadb_core::{FeedKey, KeyError};
use kappadb_sync::{HelloError, QueryError, SessionError};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How far a dial had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The TCP connection was being made.
    Connect,
    /// The connection stood; the two ends were agreeing on keys.
    Handshake,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connecting",
            Phase::Handshake => "the handshake",
        })
    }
}

/// Why no channel to a peer came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nothing answers at the address, or its name is unknown.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// As it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The peer took too long.
    #[error("{address} did not answer within {after:?} while {phase} was under way")]
    Timeout {
        /// As it was given.
        address: String,
        /// What took too long.
        phase: Phase,
        /// How long was waited.
        after: Duration,
    },
    /// The handshake failed.
    #[error("{address}: {source}")]
    Handshake {
        /// As it was given.
        address: String,
        /// Why.
        source: HandshakeError,
    },
    /// There is no address to dial.
    #[error("the peer has no address to dial")]
    NoAddress,
}

/// Why two ends of a connection did not agree on a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer hung up on our first message, or answered with something that our key does not open. A peer that
    /// cannot read the first message says nothing, on purpose: so this is all that can be known.
    #[error(
        "the peer refused the handshake: most likely the access key is wrong or outdated, or it serves another database"
    )]
    WrongKey,
    /// The listener cannot open the dialer's first message.
    #[error("a stranger called, or a member with an outdated access key")]
    Stranger,
    /// The peer broke the handshake off after it had shown that it knows the key.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// What arrived is no message of the handshake.
    #[error("the peer does not speak the kappadb protocol: a handshake message of {len} bytes")]
    Length {
        /// Its claimed length.
        len: usize,
    },
    /// The last message of the dialer does not open: changed on the way, or an attack.
    #[error("a handshake message was tampered with")]
    Tampered,
    /// The channel stood, but the peer's proof of identity was missing or false, or ours could not be sent.
    #[error(transparent)]
    Channel(ChannelError),
    /// The two sessions have no version in common, or the peer's hello cannot be read.
    #[error(transparent)]
    Hello(HelloError),
    /// Our own hello does not fit in a handshake message.
    #[error("the session's hello has {len} bytes, more than the {limit} that fit in the handshake")]
    HelloTooLong {
        /// Its bytes.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The connection failed.
    #[error("the connection failed during the handshake: {0}")]
    Io(#[source] io::Error),
    /// The Noise implementation refused its parameters; not caused by any peer.
    #[error("Noise cannot be set up: {0}")]
    Setup(#[source] snow::Error),
}

/// Why a channel that stood cannot be used any longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The stream ended in the middle of a message.
    #[error("the peer's stream ended in the middle of a message")]
    Truncated,
    /// A message does not open with the keys of this channel: changed, repeated or out of order.
    #[error("a message was changed, repeated or out of order")]
    Tampered,
    /// An encrypted message that no peer sends: shorter than its own tag and one byte.
    #[error("an encrypted message of {0} bytes cannot be valid")]
    BadLength(usize),
    /// A frame that claims more than a frame may have, or nothing.
    #[error("a frame of {len} bytes: the limit is {limit}, and none is empty")]
    FrameLength {
        /// Claimed bytes.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The peer's proof of identity does not hold.
    #[error("the peer's proof of identity is false: {0}")]
    Identity(#[from] KeyError),
    /// Somebody else than the peer of the ticket.
    #[error("another peer answered: expected {expected}, found {found}")]
    WrongPeer {
        /// The ticket's.
        expected: FeedKey,
        /// Who it was.
        found: FeedKey,
    },
    /// The peer did not take what was sent to it for this long.
    #[error("the peer took nothing for {0:?}")]
    Stalled(Duration),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

/// Channels are byte streams, whose errors are `io::Error`; one that wraps a [`ChannelError`] is that again.
impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<ChannelError>() {
            Ok(inner) => inner,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => ChannelError::Truncated,
            Err(error) => ChannelError::Io(error),
        }
    }
}

impl From<ChannelError> for io::Error {
    fn from(error: ChannelError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Why a session is over.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// It ended itself: finished, idle, or the peer broke the protocol.
    #[error(transparent)]
    Session(SessionError),
    /// What carried it failed, or the peer is not who it should be.
    #[error(transparent)]
    Channel(Arc<ChannelError>),
    /// Storage or a view of this replica panicked.
    #[error("a command of the session panicked here")]
    Panicked,
}

impl SessionEnd {
    /// True if one side just had enough: nothing to report.
    pub fn is_orderly(&self) -> bool {
        use SessionError::{Finished, Idle, Peer};
        matches!(self, SessionEnd::Session(Finished | Idle | Peer { code: 0 | 4, .. }))
    }

    /// True if the connection was lost: the peer has gone, or what lies between.
    pub fn is_lost(&self) -> bool {
        match self {
            SessionEnd::Session(why) => matches!(why, SessionError::Lost),
            SessionEnd::Channel(why) => matches!(**why, ChannelError::Io(_) | ChannelError::Truncated),
            SessionEnd::Panicked => false,
        }
    }
}

/// Why a question got no full answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// This question only; the session goes on.
    #[error(transparent)]
    Query(QueryError),
    /// The session ended.
    #[error(transparent)]
    Ended(SessionEnd),
}

/// Why serving a peer ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The handshake took too long.
    #[error("the caller did not finish the handshake within {0:?}")]
    Timeout(Duration),
    /// Others called, and the caller had not finished the handshake.
    #[error("the caller was at the handshake when others needed its place")]
    Crowded,
    /// The session ended in an error.
    #[error("session with peer {peer}: {end}")]
    Session {
        /// The peer.
        peer: FeedKey,
        /// Why it ended.
        end: SessionEnd,
    },
}
