use crate::backend::Backend;
use crate::database::Database;
use crate::error::ServeError;
use crate::listen::Listen;
use kappadb_net::{Listener, Ticket};
use std::net::SocketAddr;

/// A replica that answers others. Dropping it ends the listening and its sessions without waiting for them.
pub struct Server {
    ticket: Ticket,
    address: SocketAddr,
    listener: Listener,
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
        let address = listen.address;
        let listener =
            Listener::bind(address, parts.access.clone(), parts.identity.clone(), Backend::new(parts))
                .await
                .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = parts.ticket(&Listen { address, ..listen })?;
        Ok(Server { ticket, address, listener })
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
        self.listener.stop().await;
    }
}
