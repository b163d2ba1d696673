use crate::backend::Backend;
use crate::callers::Callers;
use crate::chat::Trusted;
use crate::database::Database;
use crate::error::ServeError;
use kappadb_core::FeedKey;
use kappadb_net::{Credentials, Listener, ServeOptions, Ticket};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
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
}

impl Database {
    /// Listens on `address` (port 0 takes a free one) and answers every peer that has this database's access key.
    pub async fn serve(&self, address: SocketAddr) -> Result<Server, ServeError> {
        let parts = &self.parts;
        let callers = parts.callers.clone();
        let credentials = Credentials::new(parts.access.clone(), parts.identity.clone());
        let options = options(&callers, parts.peers.iter().map(|peer| peer.key).collect());
        let listener = Listener::bind_with(address, credentials, Backend::new(parts), options)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = Ticket::new(&parts.access, parts.identity.public(), reachable(address))?;
        let Trusted { admins, mods } = parts.trust.get();
        let ticket = ticket.trusting(admins.into_iter().collect(), mods.into_iter().collect())?;
        let mut writing = JoinSet::new();
        writing.spawn(write_down(callers.clone()));
        Ok(Server { ticket, address, listener, callers, _writing: writing })
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
        let Server { listener, callers, .. } = self;
        listener.stop().await;
        save(callers).await;
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
