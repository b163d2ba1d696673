//! The replication session and query extension as a state machine.
//!
//! A [`Session`] is one side of one connection. Frames, replies and the time go in ([`Session::receive`],
//! [`Session::reply`], [`Session::handle_timeout`]); frames, commands and events come out (`poll_*`). It does no IO, has
//! no clock and never blocks, so a thousand of them run in one thread on virtual time. What is sent when is in
//! `design/protocol.md`.
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod answerer;
mod asked;
mod asker;
mod command;
mod credit;
mod error;
mod event;
mod feeds;
mod forks;
pub mod frame;
mod hello;
mod inbox;
mod introduction;
mod ledger;
mod live;
mod outbox;
mod patience;
mod served;
mod session;
mod shared;
mod signed;
pub mod statement;
mod stating;
mod words;

pub use command::{Answer, AnswerError, Command, CommandId, Coverage, PutRefusal, Reply, Stored};
pub use error::{QueryError, Refusal, SessionError};
pub use event::{Ask, Event, Fetch, Fork, Have, Outcome, QueryId, Rest, Served, Since, Stats};
pub use hello::{Agreed, Hello, HelloError, VERSION};
pub use introduction::Introduction;
pub use session::{Config, Session};
pub use signed::{About, Claimed, RootTag, SignedStatement};
pub use words::{Word, Words};
