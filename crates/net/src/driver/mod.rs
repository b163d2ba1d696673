//! Runs a session over a connection: the only place where the state machine of `kappadb_sync` meets tokio.
//!
//! One task owns the session, so there is no lock. A second task reads frames, a third writes them. Commands run where
//! the backend says, never on the executor. Nothing is buffered without a bound: when the session has
//! enough it is not read for, and it makes no more answers while what it made waits to be written.
//!
//! Dropping every [`PeerHandle`] and [`Question`] of a dialed session ends it; so does the shutdown signal.

mod actor;
mod handle;
mod updates;
mod wire;

use crate::error::SessionEnd;
use crate::places::Place;
use crate::{Allowance, Connection, Signal};
use actor::Driver;
pub use handle::{Answered, PeerHandle, PeerStats, Question, Update};
use handle::{Request, Shared};
use kappadb_core::{FeedKey, RangeSet, Timestamp};
use kappadb_query::Selector;
use kappadb_sync::{Agreed, Command, Config, Introduction, Reply, Served, Session};
use std::any::Any;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Storage and views, as a session sees them.
pub trait Backend: Send + Sync + 'static {
    /// Carries a command out. May block; runs beside other commands of the same and of other sessions. Gives the
    /// kind of reply that the command's documentation names.
    fn run(&self, command: Command) -> Reply;

    /// Calls `news` whenever there may be something new for a live question of a peer to a view, until what it returns is dropped. May be called
    /// often, also for nothing. Must not block. Default: never.
    fn stand(
        &self,
        peer: FeedKey,
        view: &str,
        selector: &Selector,
        news: Box<dyn Fn() + Send + Sync>,
    ) -> Box<dyn Any + Send> {
        let _ = (peer, view, selector);
        Box::new(news)
    }

    /// These blocks, which were sent to a live question of a peer, are stored and durable there. Must not block. Default: nothing is done.
    fn reached(&self, peer: FeedKey, blocks: Vec<(FeedKey, RangeSet)>) {
        let _ = (peer, blocks);
    }

    /// A peer tells of others; nobody has checked yet that they said so. May be called often, also for nothing. Must not block. Default: nothing is done.
    fn introduced(&self, peer: FeedKey, others: Vec<Introduction>) {
        let _ = (peer, others);
    }

    /// Does work that may block where that is allowed. Default: on the runtime's blocking threads.
    fn start(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}

/// Runs the asking side of a session with `peer` over `connection` in tasks of its own.
pub fn spawn(
    connection: Connection,
    agreed: Agreed,
    peer: Peer,
    backend: Arc<dyn Backend>,
    allowance: &Allowance,
) -> PeerHandle {
    let (shared, requests, inbox) = shared(&connection, peer);
    // The handles are the only ones who can end it.
    let never = Arc::new(Signal::default());
    let session = session(agreed, allowance, &connection, peer.key);
    let driver = Driver::new(connection, session, backend, shared.clone(), allowance, never);
    tokio::spawn(async move {
        let end = driver.run(Some(inbox)).await;
        tracing::debug!(peer = %peer.key, %end, "session ended");
    });
    PeerHandle::new(shared, requests)
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its identity.
    pub key: FeedKey,
    /// What its clock showed in the handshake, if it said so.
    pub clock: Option<Timestamp>,
    /// Which opening of its folder it is; 0 if it did not say.
    pub instance: u64,
}

/// Who called.
pub(crate) struct Guest {
    pub peer: Peer,
    /// Its place, or why there is none.
    pub place: Result<Place, &'static str>,
    /// Told of each of its questions that ended.
    pub told: Box<dyn Fn(&Served) + Send + Sync>,
}

fn shared(
    connection: &Connection,
    peer: Peer,
) -> (Arc<Shared>, mpsc::UnboundedSender<Request>, mpsc::UnboundedReceiver<Request>) {
    let shared = Arc::new(Shared::new(connection.traffic().clone(), peer));
    let (requests, inbox) = mpsc::unbounded_channel();
    (shared, requests, inbox)
}

/// Runs a session with one who called over `connection`, until it ends or `shutdown` is raised. `begun` is given a
/// handle by which the caller can be asked; dropping it ends nothing. Storage is done with the session when this returns.
pub(crate) async fn answer(
    connection: Connection,
    agreed: Agreed,
    guest: Guest,
    backend: Arc<dyn Backend>,
    allowance: &Allowance,
    shutdown: Arc<Signal>,
    begun: impl FnOnce(PeerHandle),
) -> SessionEnd {
    let (shared, requests, inbox) = shared(&connection, guest.peer);
    let has_place = guest.place.is_ok();
    let session = session(agreed, allowance, &connection, guest.peer.key);
    let driver = Driver::new(connection, session, backend, shared.clone(), allowance, shutdown);
    if has_place {
        begun(PeerHandle::new(shared, requests));
    }
    driver.with_guest(guest).run(Some(inbox)).await
}

/// Its clock starts now: see `Driver::now`.
fn session(agreed: Agreed, allowance: &Allowance, connection: &Connection, peer: FeedKey) -> Session {
    let patience_ms = u64::try_from(allowance.patience.as_millis()).unwrap_or(u64::MAX);
    let question_bytes = allowance.question_bytes;
    let config = Config { agreed, patience_ms, question_bytes, ..Config::default() };
    Session::new(config, 0).between(connection.signer(), peer)
}
