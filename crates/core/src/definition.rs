use crate::{DatabaseId, FeedKey, KeyError, SecretKey, Signature, Timestamp};
use bincode::{Decode, Encode};

const DOMAIN: &[u8] = b"kappadb feed v1";

/// A feed's statement that it belongs to a database. Without a valid one no block of the feed is accepted; whether
/// the feed may be a member is asked in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct FeedDefinition {
    /// The feed.
    pub feed: FeedKey,
    /// When its writer made it.
    pub created: Timestamp,
    /// The feed that it continues, if its writer had to give that one up.
    pub continues: Option<FeedKey>,
    /// By `feed` over the bytes named at [`FeedDefinition::verify`].
    pub signature: Signature,
}

fn message(database: &DatabaseId, feed: &FeedKey, created: Timestamp, continues: Option<FeedKey>) -> Vec<u8> {
    let flag = [u8::from(continues.is_some())];
    let before = continues.unwrap_or(FeedKey([0; 32]));
    [DOMAIN, &database.0, &feed.0, &created.0.to_le_bytes(), &flag, &before.0].concat()
}

impl FeedDefinition {
    /// Defines the feed of `secret` in `database`.
    pub fn sign(
        database: &DatabaseId,
        secret: &SecretKey,
        created: Timestamp,
        continues: Option<FeedKey>,
    ) -> FeedDefinition {
        let feed = secret.public();
        let signature = secret.sign(&message(database, &feed, created, continues));
        FeedDefinition { feed, created, continues, signature }
    }

    /// Checks the signature over `"kappadb feed v1" | database id 32 | feed key 32 | created i64 LE | has
    /// predecessor u8 (0, 1) | predecessor 32 (zeros if none)`, 120 bytes.
    pub fn verify(&self, database: &DatabaseId) -> Result<(), KeyError> {
        self.feed.verify(&message(database, &self.feed, self.created, self.continues), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_belongs_to_one_database() {
        let secret = SecretKey::from_seed(&[1; 32]);
        let definition = FeedDefinition::sign(&DatabaseId([2; 32]), &secret, Timestamp(5), None);
        assert!(definition.verify(&DatabaseId([2; 32])).is_ok());
        assert!(definition.verify(&DatabaseId([3; 32])).is_err());
        let other = FeedDefinition { continues: Some(secret.public()), ..definition };
        assert!(other.verify(&DatabaseId([2; 32])).is_err());
    }
}
