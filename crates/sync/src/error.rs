//! Why a question failed, and why a session ended.

use crate::frame::FrameError;
use kappadb_core::FeedKey;
use kappadb_query::SelectorError;
use std::fmt;
use std::time::Duration;

/// Why a question got no full answer. The session goes on, except after [`QueryError::Session`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The peer refused it.
    #[error("the peer refused: {reason}: {text:?}")]
    Refused {
        /// Why.
        reason: Refusal,
        /// In the peer's words; shown escaped.
        text: String,
    },
    /// Nothing useful came for so long, or less than the least rate brings.
    #[error("the peer sent nothing useful for {} s", Duration::from_millis(*patience_ms).as_secs_f32())]
    TimedOut {
        /// How long was waited.
        patience_ms: u64,
    },
    /// Not asked: over a limit, which is named.
    #[error("not asked: over the limit {0}")]
    Limit(&'static str),
    /// Not asked: no selector that could be sent.
    #[error("not asked: {0}")]
    Selector(#[from] SelectorError),
    /// The session ended.
    #[error("the session ended: {0}")]
    Session(SessionError),
}

/// The code of an Error frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 1: there is no such view.
    UnknownView,
    /// 2: the selector is malformed.
    BadSelector,
    /// 3: this peer does not do that.
    Unsupported,
    /// 4: over a limit.
    Limit,
    /// 5: cannot be read now.
    Unavailable,
    /// 6: what came since the token cannot be told: ask from the beginning.
    Stale,
    /// A code of a later version.
    Other(u8),
}

impl Refusal {
    /// As on the wire.
    pub fn code(self) -> u8 {
        match self {
            Refusal::UnknownView => 1,
            Refusal::BadSelector => 2,
            Refusal::Unsupported => 3,
            Refusal::Limit => 4,
            Refusal::Unavailable => 5,
            Refusal::Stale => 6,
            Refusal::Other(code) => code,
        }
    }
}

impl From<u8> for Refusal {
    fn from(code: u8) -> Self {
        match code {
            1 => Refusal::UnknownView,
            2 => Refusal::BadSelector,
            3 => Refusal::Unsupported,
            4 => Refusal::Limit,
            5 => Refusal::Unavailable,
            6 => Refusal::Stale,
            other => Refusal::Other(other),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownView => f.write_str("unknown view"),
            Refusal::BadSelector => f.write_str("malformed selector"),
            Refusal::Unsupported => f.write_str("not supported"),
            Refusal::Limit => f.write_str("over a limit"),
            Refusal::Unavailable => f.write_str("not available now"),
            Refusal::Stale => f.write_str("a token that does not fit any more"),
            Refusal::Other(code) => write!(f, "code {code}"),
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A frame that is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame about a query that is not open.
    #[error("the peer sent {frame} for query {query}, which is not open")]
    UnknownQuery {
        /// The frame's name.
        frame: &'static str,
        /// The query's number on the wire.
        query: u32,
    },
    /// A query whose number is not above those before it.
    #[error("the peer used query number {0} out of order")]
    QueryOrder(u32),
    /// A frame that has no place in this query, or not now.
    #[error("the peer sent {frame} for query {query} out of place")]
    OutOfPlace {
        /// The frame's name.
        frame: &'static str,
        /// The query's number on the wire.
        query: u32,
    },
    /// A feed number that was not defined.
    #[error("the peer named feed number {0} without defining it")]
    UndefinedFeed(u32),
    /// A feed that was defined before.
    #[error("the peer defined feed {0} twice")]
    DefinedTwice(FeedKey),
    /// A definition that belonged to nothing: no fork, no answer.
    #[error("the peer defined feed {0} and said nothing of it")]
    IdleDefinition(FeedKey),
    /// Blocks without any head.
    #[error("the peer sent blocks of feed {0} without a head")]
    NoHead(FeedKey),
    /// Blocks that are not what they may be.
    #[error("the peer sent blocks of feed {feed} that {why}")]
    Blocks {
        /// The feed.
        feed: FeedKey,
        /// What is wrong.
        why: &'static str,
    },
    /// Results beyond the credit that was given.
    #[error("the peer sent results of query {0} beyond its credit")]
    Overspent(u32),
    /// Results beyond the bytes that the question may bring.
    #[error(
        "the answer has more than the {0} bytes that one question may bring; ask again to go on from there, or allow more"
    )]
    Budget(u64),
    /// Over a limit, which is named.
    #[error("over the limit {0}")]
    Limit(&'static str),
    /// A proof that does not hold.
    #[error("the peer sent blocks that are not proved: {0}")]
    BadProof(String),
    /// A definition that its feed did not sign.
    #[error("the peer sent a feed definition that does not hold: {0}")]
    BadDefinition(String),
    /// Fork evidence that proves nothing.
    #[error("the peer sent fork evidence that does not hold: {0}")]
    BadFork(String),
    /// A statement that its peer did not sign.
    #[error("the peer's statement is not signed by it: {0}")]
    BadStatement(String),
    /// This replica's own storage failed.
    #[error("storage failed here: {0}")]
    Local(String),
    /// Nothing was heard for IDLE_MS.
    #[error("nothing was heard from the peer for IDLE_MS ({} s)", kappadb_core::limits::IDLE_MS / 1000)]
    Idle,
    /// The peer ended it.
    #[error("the peer ended the session (code {code}): {text:?}")]
    Peer {
        /// Its code: see `design/protocol.md`.
        code: u8,
        /// In the peer's words; shown escaped.
        text: String,
    },
    /// This side ended it.
    #[error("the session was ended here")]
    Finished,
    /// The connection ended without a goodbye.
    #[error("the connection was lost")]
    Lost,
}

impl SessionError {
    /// The code of the Close frame that tells the peer.
    pub(crate) fn code(&self) -> u8 {
        match self {
            SessionError::Finished | SessionError::Peer { .. } | SessionError::Lost => 0,
            SessionError::Limit(_) | SessionError::Budget(_) => 2,
            SessionError::BadProof(_) | SessionError::BadDefinition(_) => 3,
            SessionError::BadFork(_) | SessionError::BadStatement(_) => 3,
            SessionError::Idle => 4,
            SessionError::Local(_) => 5,
            _ => 1,
        }
    }
}
