//! What a replica does with its peers, as a state machine: whom it calls and when again, which session with a peer counts, and what is asked live of
//! whom.
//!
//! A [`Node`] is to sessions what an endpoint is to connections. What happened and the time go in (`add_peer`, `dialled`, `called`,
//! `lost`, `follow`, ...); what is to be done comes out ([`Node::poll_action`]). It does no IO, has no clock and no chance of its own: a
//! thousand of them run in one thread on virtual time. The design is in `design/node.md`.
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod action;
mod backoff;
mod node;
mod peer;

pub use action::{Action, Config, Event, FollowId, SessionId};
pub use node::Node;
pub use peer::{Connection, PeerState, Way};
