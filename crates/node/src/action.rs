//! What a node begins with, what it has its driver do, and what it tells people.

use crate::peer::Way;
use kappadb_core::FeedKey;

/// Names a session. The driver chooses it, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Names something that is followed. The driver chooses it, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowId(pub u64);

/// What a node begins with.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// This replica's own identity.
    pub me: FeedKey,
    /// From a random source: by it waits differ between replicas.
    pub seed: u64,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Call this peer, and say what came of it ([`Node::dialled`](crate::Node::dialled), [`Node::unreachable`](crate::Node::unreachable)).
    Dial(FeedKey),
    /// Use this session no more: there is a better one, or the peer was forgotten. What is being answered in it may come to its end.
    Leave(SessionId),
    /// The same for one that the peer began, and that has to end for it to call again.
    HangUp(SessionId),
    /// Ask live, in this session, for what is followed.
    Ask(SessionId, FollowId),
    /// Give that up.
    Cancel(SessionId, FollowId),
    /// Tell whoever wants to know.
    Tell(Event),
}

/// What people may want to know of peers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a session with a peer, where there was none.
    Connected {
        /// Its identity.
        peer: FeedKey,
        /// Who called whom.
        way: Way,
    },
    /// It has answered something that is followed, and tells of news from now on.
    Follows {
        /// Its identity.
        peer: FeedKey,
    },
    /// There is none any more.
    Lost {
        /// Its identity.
        peer: FeedKey,
        /// Why, in words.
        why: String,
    },
    /// It was called and not reached.
    Unreachable {
        /// Its identity.
        peer: FeedKey,
        /// Why, in words.
        why: String,
    },
}
