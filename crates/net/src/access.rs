//! What gives access to a database, and what is derived from it.
//!
//! One secret per database and epoch. What goes over a wire is never that secret but a key derived from it in a
//! domain of its own, so that a topic seen in public says nothing about the key that opens a session.

use kappadb_core::{DatabaseId, derive_key};
use std::fmt;
use zeroize::Zeroizing;

/// The secret that members of a database share in one epoch. Wiped from memory when dropped; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey(Zeroizing<[u8; 32]>);

impl AccessKey {
    /// The key of these bytes, which come from a random source.
    pub fn new(bytes: [u8; 32]) -> Self {
        AccessKey(Zeroizing::new(bytes))
    }

    /// The secret bytes, for storing them in their own file or in a ticket.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(secret)")
    }
}

/// A database and the key that opens it in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The database.
    pub database: DatabaseId,
    /// Which of the database's successive access keys this is, from 0.
    pub epoch: u32,
    /// The key.
    pub key: AccessKey,
}

impl Access {
    /// The pre-shared key of the Noise handshake: who lacks it learns nothing, not even the answering side's key.
    pub fn psk(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.derive("kappadb psk v1"))
    }

    /// Under what name members may find each other on a discovery service, which learns nothing from it.
    pub fn topic(&self) -> [u8; 32] {
        self.derive("kappadb topic v1")
    }

    /// The form of the database id that may be shown outside: the id itself stays among members.
    pub fn public_id(&self) -> [u8; 32] {
        derive_key("kappadb public id v1", &[&self.database.0])
    }

    fn derive(&self, domain: &str) -> [u8; 32] {
        derive_key(domain, &[self.key.expose(), &self.database.0, &self.epoch.to_le_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access { database: DatabaseId([1; 32]), epoch: 3, key: AccessKey::new([2; 32]) }
    }

    #[test]
    fn what_is_derived_differs_by_purpose_database_key_and_epoch() {
        let a = access();
        let others = [
            Access { database: DatabaseId([9; 32]), ..a.clone() },
            Access { epoch: 4, ..a.clone() },
            Access { key: AccessKey::new([9; 32]), ..a.clone() },
        ];
        let mut all = vec![*a.psk(), a.topic(), a.public_id()];
        all.extend(others.iter().flat_map(|o| [*o.psk(), o.topic()]));
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(!all.contains(a.key.expose()) && !all.contains(&a.database.0));
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", AccessKey::new([0xab; 32])), "AccessKey(secret)");
        assert!(!format!("{:?}", access()).contains("2, 2"));
    }
}
