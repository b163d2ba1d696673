use crate::backend::Backend;
use crate::database::Database;
use crate::error::ServeError;
use kappadb_net::{Listener, Ticket};
use std::net::SocketAddr;

/// A replica that answers others. Dropping it ends the listening and its sessions without waiting for them.
pub struct Server {
    ticket: Ticket,
    address: SocketAddr,
    listener: Listener,
}

impl Database {
    /// Listens on `address` (port 0 takes a free one) and answers every peer that has this database's access key.
    pub async fn serve(&self, address: SocketAddr) -> Result<Server, ServeError> {
        let parts = &self.parts;
        let listener =
            Listener::bind(address, parts.access.clone(), parts.identity.clone(), Backend::new(parts))
                .await
                .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = Ticket::new(&parts.access, parts.identity.public(), vec![address.to_string()])?;
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
