//! Where this replica listens when it serves: `DIR/listen`. A port is chosen once, so that tickets stay good.

use super::trust::Trusted;
use crate::error::OpenError;
use crate::folder::files::{read_file, write_file};
use kappadb_core::FeedKey;
use kappadb_net::transport::Transport;
use kappadb_net::{Access, Ticket, TicketError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where a replica listens, and where it says that it can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where it listens. An unspecified address (`0.0.0.0`, `[::]`) stands for all of this machine.
    pub address: SocketAddr,
    /// What tickets say instead of that, `host:port` each; empty if just that. For a name in the DNS, or a port that is forwarded.
    pub advertise: Vec<String>,
}

impl Listen {
    /// On this address, which tickets say as well.
    pub fn on(address: SocketAddr) -> Listen {
        Listen { address, advertise: Vec::new() }
    }

    /// On a port of this machine alone that is free now. Any other if none can be had: it is told when serving starts.
    pub(crate) fn on_a_free_port(transport: &dyn Transport) -> Listen {
        Listen::on(transport.free_address().unwrap_or_else(|_| (Ipv4Addr::LOCALHOST, 0).into()))
    }

    fn text(&self) -> String {
        let advertise = self.advertise.iter().map(|address| format!("advertise {address}\n"));
        std::iter::once(format!("listen {}\n", self.address)).chain(advertise).collect()
    }

    fn parse(text: &str) -> Option<Listen> {
        let mut lines = text.lines();
        let address = lines.next()?.strip_prefix("listen ")?.parse().ok()?;
        let advertise = lines.map(|line| line.strip_prefix("advertise ").map(str::to_owned));
        Some(Listen { address, advertise: advertise.collect::<Option<_>>()? })
    }

    /// A ticket of whoever listens here.
    pub(crate) fn ticket(
        &self,
        access: &Access,
        identity: FeedKey,
        trusted: Trusted,
    ) -> Result<Ticket, TicketError> {
        let addresses = match self.advertise.is_empty() {
            true => reachable(self.address),
            false => self.advertise.clone(),
        };
        let Trusted { admins, mods, .. } = trusted;
        Ticket::new(access, identity, addresses)?
            .trusting(admins.into_iter().collect(), mods.into_iter().collect())
    }
}

/// Writes the file anew, as a whole.
pub(crate) fn save(dir: &Path, listen: &Listen) -> io::Result<()> {
    write_file(&path(dir), &listen.text())
}

fn path(dir: &Path) -> PathBuf {
    dir.join("listen")
}

/// What the file says; none if there is none.
pub(crate) fn load(dir: &Path) -> Result<Option<Listen>, OpenError> {
    let Some(text) = read_file(&path(dir))? else { return Ok(None) };
    let wanted = "`listen <address>` and `advertise <address>` lines";
    Listen::parse(&text).map(Some).ok_or(OpenError::Damaged { path: path(dir), wanted })
}

/// The file, with what it says kept at hand.
pub(crate) struct ListenFile {
    dir: PathBuf,
    listen: Mutex<Listen>,
}

impl ListenFile {
    pub fn load(dir: &Path, transport: &dyn Transport) -> Result<ListenFile, OpenError> {
        let listen = load(dir)?.unwrap_or_else(|| Listen::on_a_free_port(transport));
        Ok(ListenFile { dir: dir.to_owned(), listen: Mutex::new(listen) })
    }

    pub fn get(&self) -> Listen {
        self.listen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, listen: Listen) -> io::Result<()> {
        let mut now = self.listen.lock().unwrap_or_else(PoisonError::into_inner);
        save(&self.dir, &listen)?;
        *now = listen;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_never_names_every_address() {
        assert_eq!(reachable(([127, 0, 0, 1], 7).into()), ["127.0.0.1:7"]);
        let all = reachable(([0, 0, 0, 0], 7).into());
        assert!(all.contains(&"127.0.0.1:7".to_owned()) && !all.contains(&"0.0.0.0:7".to_owned()), "{all:?}");
    }

    #[test]
    fn where_it_listens_comes_back_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), None);
        let file = ListenFile::load(dir.path(), &kappadb_net::Tcp).unwrap();
        assert!(file.get().address.ip().is_loopback() && file.get().address.port() > 0);
        let advertise = vec!["db.example.org:7".to_owned(), "[::1]:8".to_owned()];
        let listen = Listen { address: ([0, 0, 0, 0], 7001).into(), advertise };
        file.set(listen.clone()).unwrap();
        assert_eq!((load(dir.path()).unwrap(), file.get()), (Some(listen.clone()), listen));
        for damage in ["", "listen\n", "listen x\n", "listen 127.0.0.1:1\nshout a:1\n"] {
            std::fs::write(dir.path().join("listen"), damage).unwrap();
            assert!(matches!(load(dir.path()), Err(OpenError::Damaged { .. })), "{damage:?}");
        }
    }
}
