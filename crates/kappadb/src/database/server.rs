use crate::engine::pool::Pool;
use crate::folder::callers::Callers;
use crate::node::Serving;
use kappadb_core::FeedKey;
use kappadb_net::{Listener, ServeOptions, Ticket};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often it is written down who called.
const WRITE_DOWN: Duration = Duration::from_secs(10);

/// A replica that answers others. Dropping it ends the listening and its sessions without waiting for them.
pub struct Server {
    ticket: Ticket,
    address: SocketAddr,
    listener: Listener,
    callers: Arc<Callers>,
    pool: Arc<Pool>,
    /// Writes down who called, until the server goes.
    _writing: JoinSet<()>,
    /// Sessions to the known peers are kept, and what it follows is followed, until the server goes.
    _serving: Serving,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Those who were met before have their places first, and what callers do is counted.
pub(super) fn options(callers: &Arc<Callers>, peers: BTreeSet<FeedKey>) -> ServeOptions {
    let (met, told) = (callers.clone(), callers.clone());
    ServeOptions {
        is_known: Arc::new(move |peer| peers.contains(peer) || met.is_known(peer)),
        report: Some(Arc::new(move |from, happening| told.happened(from, happening))),
        ..ServeOptions::default()
    }
}

async fn write_down(callers: Arc<Callers>, pool: Arc<Pool>) {
    loop {
        tokio::time::sleep(WRITE_DOWN).await;
        save(callers.clone(), &pool).await;
    }
}

async fn save(callers: Arc<Callers>, pool: &Pool) {
    if let Ok(Err(error)) = pool.run(move || callers.save()).await {
        tracing::warn!(%error, "cannot write down who called");
    }
}

impl Server {
    /// One that listens, and whose callers are written down.
    pub(super) fn new(
        ticket: Ticket,
        listener: Listener,
        callers: Arc<Callers>,
        pool: &Arc<Pool>,
        serving: Serving,
    ) -> Server {
        let mut writing = JoinSet::new();
        writing.spawn(write_down(callers.clone(), pool.clone()));
        Server {
            ticket,
            address: listener.address(),
            listener,
            callers,
            pool: pool.clone(),
            _writing: writing,
            _serving: serving,
        }
    }

    /// What lets another replica join: give it only to those who may read and write.
    pub fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends listening and all sessions, and waits for them.
    pub async fn stop(self) {
        let Server { listener, callers, pool, .. } = self;
        listener.stop().await;
        save(callers, &pool).await;
    }
}
