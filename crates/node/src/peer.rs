//! What is known of one peer.

use crate::action::{FollowId, SessionId};
use crate::backoff::Backoff;
use kappadb_core::FeedKey;
use std::collections::BTreeMap;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// This replica called the peer.
    Dialled,
    /// The peer called.
    Called,
}

/// How it stands with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// Its identity.
    pub peer: FeedKey,
    /// It is one of those that are called, not one that only calls.
    pub known: bool,
    /// How it is connected.
    pub connection: Connection,
}

/// How a peer is connected, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// Nobody has tried.
    Idle,
    /// It is being called.
    Dialling {
        /// Why it was not connected before, if it was tried.
        why: Option<String>,
    },
    /// There is a session.
    Open {
        /// Who called whom.
        way: Way,
        /// Since when, by the node's clock, in milliseconds.
        since_ms: u64,
    },
    /// It could not be reached, or was lost.
    Closed {
        /// Why, in words.
        why: String,
        /// When it is called again, by the node's clock, in milliseconds; none if nobody asks for it.
        again_ms: Option<u64>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// It is in the list of those that are called.
    pub known: bool,
    pub dialling: bool,
    /// When it was found to be silent, if it was when it was called or asked last.
    pub silent_at: Option<u64>,
    /// The oldest first.
    pub open: Vec<Open>,
    /// Why it is not connected.
    pub why: Option<String>,
    /// Not called before this.
    pub wait_until: u64,
    pub backoff: Backoff,
}

/// A session that is used.
#[derive(Debug)]
pub(crate) struct Open {
    pub id: SessionId,
    pub instance: u64,
    pub way: Way,
    pub since: u64,
    pub follows: BTreeMap<FollowId, Following>,
}

/// What became of asking a peer live.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Following {
    /// It was asked.
    Asked,
    /// It has answered, and tells of news.
    Stands,
    /// It refused: it is asked again at this time.
    Refused(u64, Backoff),
}

impl Peer {
    /// Nothing is worth remembering of it.
    pub fn is_forgotten(&self) -> bool {
        !self.known && !self.dialling && self.open.is_empty()
    }

    pub fn connection(&self, is_kept: bool) -> Connection {
        match (self.open.last(), &self.why) {
            (Some(open), _) => Connection::Open { way: open.way, since_ms: open.since },
            (None, why) if self.dialling => Connection::Dialling { why: why.clone() },
            (None, Some(why)) => {
                let again_ms = (is_kept && self.known).then_some(self.wait_until);
                Connection::Closed { why: why.clone(), again_ms }
            }
            (None, None) => Connection::Idle,
        }
    }
}
