//! One side of a session: hands each thing that comes in to the part that it is for.

use crate::command::{Command, CommandId, Reply};
use crate::error::SessionError;
use crate::event::{Ask, Event, Fetch, QueryId};
use crate::hello::Agreed;
use kappadb_core::limits::QUERY_CREDIT;

/// How a session behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What the hellos amounted to.
    pub agreed: Agreed,
    /// Bytes of results that each question asked here may have in flight. Default: [`QUERY_CREDIT`].
    pub credit: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { agreed: Agreed::default(), credit: QUERY_CREDIT }
    }
}

/// One side of a session. Times are milliseconds of any clock that does not go back.
///
/// After anything went in, poll `poll_transmit`, `poll_command` and `poll_event` until all give `None`: taking from
/// one may fill another. Then wait for input or for the time of `poll_timeout`.
#[derive(Debug)]
pub struct Session;

impl Session {
    /// A session whose handshake ended at `now_ms`.
    pub fn new(config: Config, now_ms: u64) -> Self {
        let _ = (config, now_ms);
        Session
    }
    /// Takes a frame (kind and body). After an error the session is over; the peer is told by the frames that are left.
    pub fn receive(&mut self, now_ms: u64, frame: &[u8]) -> Result<(), SessionError> {
        let _ = (now_ms, frame);
        Ok(())
    }
    /// Takes the outcome of a command. A reply that nobody waits for any more is ignored.
    pub fn reply(&mut self, now_ms: u64, id: CommandId, reply: Reply) {
        let _ = (now_ms, id, reply);
    }
    /// The next frame (kind and body) to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        None
    }
    /// The next command to carry out.
    pub fn poll_command(&mut self) -> Option<(CommandId, Command)> {
        None
    }
    /// The next thing that the caller should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    /// When to call [`Session::handle_timeout`] if nothing else happens; `None` when the session is over.
    pub fn poll_timeout(&self) -> Option<u64> {
        None
    }
    /// Lets time pass.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        let _ = now_ms;
    }
    /// False while the driver should not read from the connection, because what came is not stored yet.
    pub fn wants_read(&self) -> bool {
        true
    }
    /// Asks the peer's view.
    pub fn ask(&mut self, now_ms: u64, ask: Ask) -> QueryId {
        let _ = (now_ms, ask);
        QueryId(0)
    }
    /// Asks for blocks by name.
    pub fn fetch(&mut self, now_ms: u64, fetch: Fetch) -> QueryId {
        let _ = (now_ms, fetch);
        QueryId(0)
    }
    /// Gives up a question: nothing more is said of it. What is on its way is still kept.
    pub fn cancel(&mut self, now_ms: u64, query: QueryId) {
        let _ = (now_ms, query);
    }
    /// Ends the session and says so to the peer.
    pub fn close(&mut self) {}
    /// The connection is gone: ends the session without a word.
    pub fn lost(&mut self) {}
    /// Why the session ended, if it did.
    pub fn closed(&self) -> Option<&SessionError> {
        None
    }
}
