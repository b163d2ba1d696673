use crate::{DatabaseId, FeedKey, Hash, KeyError, SecretKey, Signature, limits};
use bincode::{Decode, Encode};

const DOMAIN: &[u8] = b"kappadb head v1";

/// What a feed's signature states: how long the feed is and what its Merkle roots hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// Number of blocks.
    pub length: u64,
    /// Sum of the leaf data lengths, bytes; at most [`limits::MAX_TREE_BYTES`].
    pub byte_length: u64,
    /// Hash over the roots of the tree (see the merkle crate).
    pub root_hash: Hash,
}

/// A [`Head`] with the feed's signature. Verify before use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SignedHead {
    /// What is stated.
    pub head: Head,
    /// By the feed's key over [`Head::message`].
    pub signature: Signature,
}

impl Head {
    /// The signed bytes: `"kappadb head v1" | database id 32 | feed key 32 | length u64 LE | byte length u64 LE |
    /// root hash 32`, 127 bytes.
    pub fn message(&self, database: &DatabaseId, feed: &FeedKey) -> Vec<u8> {
        [
            DOMAIN,
            &database.0,
            &feed.0,
            &self.length.to_le_bytes(),
            &self.byte_length.to_le_bytes(),
            &self.root_hash.0,
        ]
        .concat()
    }

    /// Signs this head with the feed's secret key.
    pub fn sign(self, database: &DatabaseId, secret: &SecretKey) -> SignedHead {
        SignedHead { head: self, signature: secret.sign(&self.message(database, &secret.public())) }
    }
}

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Its signature does not hold.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It claims more than a feed may have.
    #[error("the head claims {length} blocks and {byte_length} bytes, more than a feed may have")]
    TooLarge {
        /// Claimed blocks.
        length: u64,
        /// Claimed bytes.
        byte_length: u64,
    },
}

impl SignedHead {
    /// Checks limits and signature: this head was stated by `feed` for `database`.
    pub fn verify(&self, database: &DatabaseId, feed: &FeedKey) -> Result<(), HeadError> {
        let Head { length, byte_length, .. } = self.head;
        if length > limits::MAX_FEED_BLOCKS || byte_length > limits::MAX_TREE_BYTES {
            return Err(HeadError::TooLarge { length, byte_length });
        }
        Ok(feed.verify(&self.head.message(database, feed), &self.signature)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_bound_to_database_feed_and_content() {
        let secret = SecretKey::from_seed(&[1; 32]);
        let db = DatabaseId([2; 32]);
        let head = Head { length: 3, byte_length: 30, root_hash: Hash([9; 32]) };
        let signed = head.sign(&db, &secret);
        assert_eq!(head.message(&db, &secret.public()).len(), 127);
        assert!(signed.verify(&db, &secret.public()).is_ok());
        assert!(signed.verify(&DatabaseId([3; 32]), &secret.public()).is_err());
        assert!(signed.verify(&db, &SecretKey::from_seed(&[4; 32]).public()).is_err());
        let longer = SignedHead { head: Head { length: 4, ..head }, ..signed };
        assert!(longer.verify(&db, &secret.public()).is_err());
    }
}
