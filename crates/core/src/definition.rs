use crate::{DatabaseId, FeedKey, KeyError, SecretKey, Signature, Timestamp};
use bincode::{Decode, Encode};

const DOMAIN: &[u8] = b"kappadb feed v1";
const CONSENT: &[u8] = b"kappadb heir v1";

/// A feed's statement that it belongs to a database. Without a valid one no block of the feed is accepted; whether
/// the feed may be a member is asked in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct FeedDefinition {
    /// The feed.
    pub feed: FeedKey,
    /// When its writer made it.
    pub created: Timestamp,
    /// The feed that it continues, if its writer had to give that one up.
    pub continues: Option<Predecessor>,
    /// By `feed` over the bytes named at [`FeedDefinition::verify`].
    pub signature: Signature,
}

/// The feed that another one continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Predecessor {
    /// Its key.
    pub feed: FeedKey,
    /// By this feed over `"kappadb heir v1" | database id 32 | key of the feed that continues it 32`: both have one owner. None if its secret key
    /// was lost, and then anybody may have said so.
    pub consent: Option<Signature>,
}

fn consent_message(database: &DatabaseId, heir: &FeedKey) -> Vec<u8> {
    [CONSENT, &database.0, &heir.0].concat()
}

impl Predecessor {
    /// A feed whose secret key is not here.
    pub fn named(feed: FeedKey) -> Predecessor {
        Predecessor { feed, consent: None }
    }

    /// A feed whose secret key is here, for its heir.
    pub fn consenting(database: &DatabaseId, secret: &SecretKey, heir: &FeedKey) -> Predecessor {
        let consent = secret.sign(&consent_message(database, heir));
        Predecessor { feed: secret.public(), consent: Some(consent) }
    }
}

impl FeedDefinition {
    /// Defines the feed of `secret` in `database`.
    pub fn sign(
        database: &DatabaseId,
        secret: &SecretKey,
        created: Timestamp,
        continues: Option<Predecessor>,
    ) -> FeedDefinition {
        let unsigned =
            FeedDefinition { feed: secret.public(), created, continues, signature: Signature([0; 64]) };
        FeedDefinition { signature: secret.sign(&unsigned.message(database)), ..unsigned }
    }

    /// Checks the signature over `"kappadb feed v1" | database id 32 | feed key 32 | created i64 LE | has predecessor u8 (0, 1, with its consent 2) |
    /// predecessor 32 (zeros if none) | its consent 64 (zeros if none)`, 184 bytes, and the consent.
    pub fn verify(&self, database: &DatabaseId) -> Result<(), KeyError> {
        self.feed.verify(&self.message(database), &self.signature)?;
        match self.continues {
            Some(Predecessor { feed, consent: Some(consent) }) => {
                feed.verify(&consent_message(database, &self.feed), &consent)
            }
            _ => Ok(()),
        }
    }

    /// The feed whose owner this one's is, for it agreed to be continued by it. Holds of a definition that was verified.
    pub fn heir_of(&self) -> Option<FeedKey> {
        self.continues.filter(|before| before.consent.is_some()).map(|before| before.feed)
    }

    fn message(&self, database: &DatabaseId) -> Vec<u8> {
        let before = self.continues.map_or(FeedKey([0; 32]), |before| before.feed);
        let consent = self.continues.and_then(|before| before.consent);
        let flag = [u8::from(self.continues.is_some()) + u8::from(consent.is_some())];
        let consent = consent.map_or([0; 64], |consent| consent.0);
        [DOMAIN, &database.0, &self.feed.0, &self.created.0.to_le_bytes(), &flag, &before.0, &consent]
            .concat()
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
        let other = FeedDefinition { continues: Some(Predecessor::named(secret.public())), ..definition };
        assert!(other.verify(&DatabaseId([2; 32])).is_err());
    }

    #[test]
    fn only_who_has_the_key_of_a_feed_can_make_its_heir() {
        let (database, old, new) =
            (DatabaseId([2; 32]), SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let heir = |before| FeedDefinition::sign(&database, &new, Timestamp(5), Some(before));
        let agreed = heir(Predecessor::consenting(&database, &old, &new.public()));
        assert!(agreed.verify(&database).is_ok());
        assert_eq!(agreed.heir_of(), Some(old.public()));
        let claimed = heir(Predecessor::named(old.public()));
        assert!(claimed.verify(&database).is_ok());
        assert_eq!(claimed.heir_of(), None);
        // The consent for one heir is none for another, and cannot be taken away or made up.
        let other = Predecessor::consenting(&database, &old, &old.public());
        assert!(heir(other).verify(&database).is_err());
        let forged =
            Predecessor { feed: old.public(), ..Predecessor::consenting(&database, &new, &new.public()) };
        assert!(heir(forged).verify(&database).is_err());
        assert!(FeedDefinition { continues: claimed.continues, ..agreed }.verify(&database).is_err());
    }
}
