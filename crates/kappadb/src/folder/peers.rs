//! The peers that this replica knows and may ask: `DIR/peers`, `<key> <address>,... [name]` a line, in the order in which they were met, the
//! latest first.

use crate::error::{OpenError, PeerError};
use crate::folder::files::{read_file, write_file};
use kappadb_core::{DatabaseId, FeedKey};
use kappadb_net::Ticket;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes in a name, at most.
const MAX_NAME: usize = 64;

/// A peer that this replica may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its identity; a dial that meets another one fails.
    pub key: FeedKey,
    /// Where it may be, `host:port` each.
    pub addresses: Vec<String>,
    /// What it is called here; nobody else knows that.
    pub name: Option<String>,
}

/// The file, with what it says kept at hand.
pub(crate) struct Peers {
    path: PathBuf,
    /// Whose folder it is: nobody is a peer of himself.
    identity: FeedKey,
    database: DatabaseId,
    list: Mutex<Vec<Peer>>,
}

impl Peers {
    pub fn load(dir: &Path, identity: FeedKey, database: DatabaseId) -> Result<Peers, OpenError> {
        let path = dir.join("peers");
        let text = read_file(&path)?.unwrap_or_default();
        let list = text.lines().map(parse).collect::<Option<Vec<_>>>();
        let wanted = "`<peer key> <address>,... [name]` a line";
        let damaged = || OpenError::Damaged { path: path.clone(), wanted };
        Ok(Peers { list: Mutex::new(list.ok_or_else(damaged)?), path, identity, database })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Peer>> {
        // Only changed once the file is: a panic elsewhere cannot have left it half changed.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn list(&self) -> Vec<Peer> {
        self.lock().clone()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Changes the list; durable when it returns.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Peer>) -> Result<T, PeerError>) -> Result<T, PeerError> {
        let mut list = self.lock();
        let mut new = list.clone();
        let done = change(&mut new)?;
        write_file(&self.path, &new.iter().map(line).collect::<String>())
            .map_err(|source| PeerError::Io { path: self.path.clone(), source })?;
        *list = new;
        Ok(done)
    }

    /// Adds the ticket's peer, or takes its new addresses. It keeps its name, unless it gets one.
    pub fn meet(&self, ticket: &Ticket, name: Option<&str>) -> Result<Peer, PeerError> {
        if ticket.database != self.database {
            return Err(PeerError::OtherDatabase(ticket.database));
        }
        if ticket.peer == self.identity {
            return Err(PeerError::Own);
        }
        self.change(|list| {
            let before = list.iter().position(|peer| peer.key == ticket.peer).map(|at| list.remove(at));
            let name = match name {
                Some(name) => Some(check_name(list, name)?),
                None => before.and_then(|before| before.name),
            };
            let peer = Peer { key: ticket.peer, addresses: ticket.addresses.clone(), name };
            list.insert(0, peer.clone());
            Ok(peer)
        })
    }

    pub fn remove(&self, key: &FeedKey) -> Result<Peer, PeerError> {
        self.change(|list| {
            let at = list.iter().position(|peer| peer.key == *key);
            at.map(|at| list.remove(at)).ok_or(PeerError::Unknown(*key))
        })
    }

    pub fn rename(&self, key: &FeedKey, name: Option<&str>) -> Result<Peer, PeerError> {
        self.change(|list| {
            let at = list.iter().position(|peer| peer.key == *key).ok_or(PeerError::Unknown(*key))?;
            let mut peer = list.remove(at);
            peer.name = name.map(|name| check_name(list, name)).transpose()?;
            list.insert(at, peer.clone());
            Ok(peer)
        })
    }
}

fn parse(text: &str) -> Option<Peer> {
    let mut words = text.splitn(3, ' ');
    let (key, addresses) = (words.next()?.parse().ok()?, words.next()?);
    let addresses = addresses.split(',').filter(|address| !address.is_empty()).map(str::to_owned).collect();
    Some(Peer { key, addresses, name: words.next().map(str::to_owned) })
}

fn line(Peer { key, addresses, name }: &Peer) -> String {
    let name = name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{key} {}{name}\n", addresses.join(","))
}

/// The name, if it may be one and no other peer has it.
fn check_name(others: &[Peer], name: &str) -> Result<String, PeerError> {
    let name = name.trim();
    if !(1..=MAX_NAME).contains(&name.len()) || name.chars().any(char::is_control) {
        return Err(PeerError::Name(name.to_owned()));
    }
    if others.iter().any(|peer| peer.name.as_deref() == Some(name)) {
        return Err(PeerError::Taken(name.to_owned()));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::SecretKey;
    use kappadb_net::{Access, AccessKey};

    const DATABASE: DatabaseId = DatabaseId([1; 32]);

    fn ticket(database: DatabaseId, peer: u8, address: &str) -> Ticket {
        let access = Access { database, epoch: 1, key: AccessKey::new([2; 32]) };
        Ticket::new(&access, SecretKey::from_seed(&[peer; 32]).public(), vec![address.to_owned()]).unwrap()
    }

    fn load(dir: &Path) -> Peers {
        Peers::load(dir, SecretKey::from_seed(&[7; 32]).public(), DATABASE).unwrap()
    }

    #[test]
    fn peers_come_back_from_the_file_with_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let peers = load(dir.path());
        assert!(peers.is_empty());
        let anna = peers.meet(&ticket(DATABASE, 1, "a:1"), Some(" Anna's shed ")).unwrap();
        let bert = peers.meet(&ticket(DATABASE, 2, "b:1"), None).unwrap();
        assert_eq!(anna.name.as_deref(), Some("Anna's shed"));
        assert_eq!(load(dir.path()).list(), [bert.clone(), anna.clone()]);
        // Met again somewhere else, it keeps its name.
        let moved = peers.meet(&ticket(DATABASE, 1, "a:2"), None).unwrap();
        assert_eq!((&moved.name, &moved.addresses[..]), (&anna.name, &["a:2".to_owned()][..]));
        assert!(matches!(peers.rename(&bert.key, Some("Anna's shed")), Err(PeerError::Taken(_))));
        for name in ["", " ", "a\nb", &"x".repeat(65)] {
            assert!(matches!(peers.rename(&bert.key, Some(name)), Err(PeerError::Name(_))), "{name:?}");
        }
        peers.rename(&anna.key, None).unwrap();
        peers.remove(&bert.key).unwrap();
        assert!(matches!(peers.remove(&bert.key), Err(PeerError::Unknown(_))));
        assert_eq!(load(dir.path()).list(), [Peer { name: None, ..moved }]);
    }

    #[test]
    fn nobody_is_a_peer_of_himself_or_of_another_database() {
        let dir = tempfile::tempdir().unwrap();
        let peers = load(dir.path());
        assert!(matches!(peers.meet(&ticket(DATABASE, 7, "a:1"), None), Err(PeerError::Own)));
        let other = DatabaseId([9; 32]);
        assert!(matches!(peers.meet(&ticket(other, 1, "a:1"), None), Err(PeerError::OtherDatabase(_))));
        assert!(peers.is_empty() && !dir.path().join("peers").exists());
    }

    #[test]
    fn a_damaged_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["x a:1\n", "00\n", "\n"] {
            std::fs::write(dir.path().join("peers"), text).unwrap();
            let loaded = Peers::load(dir.path(), FeedKey([0; 32]), DATABASE);
            assert!(matches!(loaded, Err(OpenError::Damaged { .. })), "{text:?}");
        }
    }
}
