//! Peers: who is known, where this replica listens, and answering.

use super::Database;
use super::server::{Server, options};
use crate::error::{PeerError, ServeError};
use crate::folder::listen::Listen;
use crate::folder::peers::Peer;
use crate::network::{Backend, settle_doubts};
use kappadb_core::FeedKey;
use kappadb_net::{Listener, Ticket, TicketError};
use std::net::SocketAddr;

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
        if let Err(error) = settle_doubts(&parts.network).await {
            tracing::warn!(%error, "whether this folder may be written is not known");
        }
        let address = listen.address;
        let callers = self.shared.callers.clone();
        let credentials = parts.credentials();
        let options = options(&callers, self.peers().iter().map(|peer| peer.key).collect());
        let listener = Listener::bind_with(address, credentials, Backend::new(&parts.network), options)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = self.ticket_of(&Listen { address, ..listen })?;
        Ok(Server::new(ticket, listener, callers))
    }

    /// Where this replica listens when it serves: a port of this machine alone that was free when the folder was made, until
    /// [`Database::set_listen`].
    pub fn listen(&self) -> Listen {
        self.shared.listen.get()
    }

    /// Says where this replica listens from now on, for tickets and the next [`Database::serve`] with it. Durable when it returns.
    ///
    /// # Errors
    /// [`ServeError::Keep`] if it cannot be written down; [`ServeError::Ticket`] if no ticket can hold it.
    pub async fn set_listen(&self, listen: Listen) -> Result<(), ServeError> {
        self.ticket_of(&listen)?;
        let shared = self.shared.clone();
        self.run(move |_| shared.listen.set(listen)).await?.map_err(ServeError::Keep)
    }

    /// What lets another replica join by way of this one, once it serves; give it only to those who may read and write. It holds the access
    /// key, so it is a secret.
    ///
    /// # Errors
    /// If a ticket cannot hold what is advertised, or whom this replica trusts.
    pub fn ticket(&self) -> Result<Ticket, TicketError> {
        self.ticket_of(&self.listen())
    }

    /// The peers that questions are put to.
    pub fn peers(&self) -> Vec<Peer> {
        self.parts.peers.list()
    }

    /// Learns of the ticket's peer, or where it is now; `name` is what it is called here from now on. Whom it trusts stays its own business.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Own`] for a ticket of this replica, [`PeerError::OtherDatabase`], [`PeerError::Name`], [`PeerError::Taken`].
    pub async fn add_peer(&self, ticket: &Ticket, name: Option<&str>) -> Result<Peer, PeerError> {
        let (ticket, name) = (ticket.clone(), name.map(str::to_owned));
        self.run(move |parts| parts.peers.meet(&ticket, name.as_deref())).await?
    }

    /// Forgets a peer: it is not asked any more. It may go on asking this replica, as long as it has the access key. Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Unknown`].
    pub async fn remove_peer(&self, key: FeedKey) -> Result<Peer, PeerError> {
        self.run(move |parts| parts.peers.remove(&key)).await?
    }

    /// What a peer is called here: 1 to 64 bytes without control characters, or nothing. Durable when it returns.
    ///
    /// # Errors
    /// [`PeerError::Unknown`], [`PeerError::Name`], [`PeerError::Taken`].
    pub async fn rename_peer(&self, key: FeedKey, name: Option<&str>) -> Result<Peer, PeerError> {
        let name = name.map(str::to_owned);
        self.run(move |parts| parts.peers.rename(&key, name.as_deref())).await?
    }

    fn ticket_of(&self, listen: &Listen) -> Result<Ticket, TicketError> {
        let parts = &self.parts;
        listen.ticket(&parts.access, parts.identity.public(), parts.chat.state.trust.get())
    }
}
