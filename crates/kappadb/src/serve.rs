use crate::database::Database;
use crate::error::ServeError;
use crate::folder::callers::Callers;
use crate::folder::listen::Listen;
use crate::node::Serving;
use crate::network::backend::Backend;
use crate::network::links::Keeper;
use crate::network::own;
use kappadb_core::FeedKey;
use kappadb_net::{Listener, ServeOptions, Ticket};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};

/// How often it is written down who called.
const WRITE_DOWN: Duration = Duration::from_secs(10);

/// A replica that answers others. Dropping it ends the listening and its sessions without waiting for them.
pub struct Server {
    ticket: Ticket,
    address: SocketAddr,
    listener: Listener,
    callers: Arc<Callers>,
    /// Writes down who called, until the server goes.
    _writing: JoinSet<()>,
    /// Sessions to the known peers are kept, until the server goes.
    _keeper: Keeper,
    /// And so is what it follows.
    _serving: Serving,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Database {
    /// Listens on `address` (port 0 takes a free one) and answers every peer that has this database's access key. [`Database::listen`] has an
    /// address that stays the same.
    pub async fn serve(&self, address: SocketAddr) -> Result<Server, ServeError> {
        self.serve_as(Listen { address, ..self.listen() }).await
    }

    /// The same with what tickets are to say. Nothing of it is kept; [`Database::set_listen`] does that.
    pub async fn serve_as(&self, listen: Listen) -> Result<Server, ServeError> {
        let parts = &self.parts;
        // What is in doubt is settled before others take this replica's word; if it cannot be, reading does not suffer for it.
        if let Err(error) = own::settle_doubts(parts).await {
            tracing::warn!(%error, "whether this folder may be written is not known");
        }
        let address = listen.address;
        let callers = parts.callers.clone();
        let credentials = parts.credentials();
        let mut options = options(&callers, parts.peers.list().iter().map(|peer| peer.key).collect());
        let (links, root) = (Arc::downgrade(&parts.links), Arc::downgrade(&parts.root()));
        options.begun = Some(Arc::new(move |session| {
            if let Some(links) = links.upgrade() {
                links.called(&root, session);
            }
        }));
        let listener = Listener::bind_with(address, credentials, Backend::new(parts), options)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = parts.ticket(&Listen { address, ..listen })?;
        let mut writing = JoinSet::new();
        writing.spawn(write_down(callers.clone()));
        let (keeper, serving) = (parts.links.keep(parts), Serving::begin(parts));
        Ok(Server { ticket, address, listener, callers, _writing: writing, _keeper: keeper, _serving: serving })
    }
}

/// Those who were met before have their places first, and what callers do is counted.
fn options(callers: &Arc<Callers>, peers: BTreeSet<FeedKey>) -> ServeOptions {
    let (met, told) = (callers.clone(), callers.clone());
    ServeOptions {
        is_known: Arc::new(move |peer| peers.contains(peer) || met.is_known(peer)),
        report: Some(Arc::new(move |from, happening| told.happened(from, happening))),
        ..ServeOptions::default()
    }
}

async fn write_down(callers: Arc<Callers>) {
    loop {
        tokio::time::sleep(WRITE_DOWN).await;
        save(callers.clone()).await;
    }
}

async fn save(callers: Arc<Callers>) {
    if let Ok(Err(error)) = spawn_blocking(move || callers.save()).await {
        tracing::warn!(%error, "cannot write down who called");
    }
}

impl Server {
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
        let Server { listener, callers, .. } = self;
        listener.stop().await;
        save(callers).await;
    }
}
