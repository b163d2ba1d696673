use crate::backend::Backend;
use crate::chat::Trusted;
use crate::database::Database;
use crate::error::ServeError;
use crate::own;
use kappadb_net::{Listener, Ticket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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
        // What is in doubt is settled before others take this replica's word; if it cannot be, reading does not suffer for it.
        if let Err(error) = own::settle_doubts(parts).await {
            tracing::warn!(%error, "whether this folder may be written is not known");
        }
        let listener =
            Listener::bind(address, parts.access.clone(), parts.identity.clone(), Backend::new(parts))
                .await
                .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = Ticket::new(&parts.access, parts.identity.public(), reachable(address))?;
        let Trusted { admins, mods } = parts.trust.get();
        let ticket = ticket.trusting(admins.into_iter().collect(), mods.into_iter().collect())?;
        Ok(Server { ticket, address, listener })
    }
}

/// Where a listener on `address` can be reached: if that is every address of this machine, the one that it uses
/// towards others, and its own loopback.
fn reachable(address: SocketAddr) -> Vec<String> {
    if !address.ip().is_unspecified() {
        return vec![address.to_string()];
    }
    // Connecting a UDP socket sends nothing; it makes the system choose the address to send from. The target is of a
    // range kept for documentation (RFC 5737, RFC 3849).
    let (any, outside, loopback): (_, _, IpAddr) = match address {
        SocketAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9", Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9", Ipv6Addr::LOCALHOST.into()),
    };
    let chosen = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    let ips = chosen.map(|local| local.ip()).into_iter().chain([loopback]);
    ips.map(|ip| SocketAddr::new(ip, address.port()).to_string()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_never_names_every_address() {
        assert_eq!(reachable(([127, 0, 0, 1], 7).into()), ["127.0.0.1:7"]);
        let all = reachable(([0, 0, 0, 0], 7).into());
        assert!(all.contains(&"127.0.0.1:7".to_owned()) && !all.contains(&"0.0.0.0:7".to_owned()), "{all:?}");
    }
}
