use bincode::{Decode, Encode};
use kappadb_core::limits::{MAX_ADDRESS, MAX_ADDRESSES};
use kappadb_core::{DatabaseId, FeedKey, KeyError, SecretKey, Signature, Timestamp, codec};

const DOMAIN: &[u8] = b"kappadb introduction v1";

/// Where a peer of a database can be reached, as it says itself. Whoever has heard of it passes it on, and can change nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Introduction {
    /// Its identity.
    pub peer: FeedKey,
    /// When it said so, by its clock. The newest counts.
    pub at: Timestamp,
    /// `host:port` each; at most [`MAX_ADDRESSES`], of [`MAX_ADDRESS`] bytes. None: it is not to be called.
    pub addresses: Vec<String>,
    /// Its identity's, over all of this and the name of the database.
    pub signature: Signature,
}

impl Introduction {
    /// That of the replica with this identity.
    pub fn new(
        database: &DatabaseId,
        identity: &SecretKey,
        at: Timestamp,
        addresses: Vec<String>,
    ) -> Introduction {
        let peer = identity.public();
        let signature = identity.sign(&message(database, &peer, at, &addresses));
        Introduction { peer, at, addresses, signature }
    }

    /// Whether its peer said so, in this database.
    pub fn check(&self, database: &DatabaseId) -> Result<(), KeyError> {
        self.peer.verify(&message(database, &self.peer, self.at, &self.addresses), &self.signature)
    }

    /// True if it keeps the limits.
    pub(crate) fn fits(&self) -> bool {
        self.addresses.len() <= MAX_ADDRESSES && self.addresses.iter().all(|text| text.len() <= MAX_ADDRESS)
    }
}

fn message(database: &DatabaseId, peer: &FeedKey, at: Timestamp, addresses: &[String]) -> Vec<u8> {
    [DOMAIN, &database.0, &codec::encode(&(peer, at, addresses))].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_can_be_changed_by_who_passes_it_on() {
        let (database, key) = (DatabaseId([1; 32]), SecretKey::from_seed(&[2; 32]));
        let said = Introduction::new(&database, &key, Timestamp(5), vec!["a:1".to_owned()]);
        assert!(said.check(&database).is_ok());
        let other = SecretKey::from_seed(&[3; 32]).public();
        let changed = [
            Introduction { peer: other, ..said.clone() },
            Introduction { at: Timestamp(6), ..said.clone() },
            Introduction { addresses: vec!["b:1".to_owned()], ..said.clone() },
            Introduction { addresses: Vec::new(), ..said.clone() },
        ];
        assert!(changed.iter().all(|changed| changed.check(&database).is_err()));
        assert!(said.check(&DatabaseId([9; 32])).is_err(), "said in another database");
    }
}
