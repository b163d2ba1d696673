//! Who a replica is to its peers, and how each end of a channel proves it.
//!
//! The first 96 bytes that each end sends inside a channel are an `Auth`: its Ed25519 key and a signature over
//! `"kappadb auth v1" | channel binding 64 | role u8`. The binding ties it to this one connection, the role keeps an
//! end from being shown its own proof. So it works over any channel that has a binding, whatever encrypts it.

use crate::transport::{Binding, Role};
use kappadb_core::{DatabaseId, FeedKey, KeyError, SecretKey, Signature, Timestamp, derive_key};
use kappadb_sync::Introduction;
use zeroize::Zeroizing;

const DOMAIN: &[u8] = b"kappadb auth v1";

/// Bytes of an `Auth`.
pub(crate) const AUTH_LEN: usize = 32 + 64;

/// A replica's own key pair towards its peers. Not the key of a feed.
#[derive(Debug, Clone)]
pub struct Identity(SecretKey);

impl Identity {
    /// The identity with this secret key.
    pub fn new(secret: SecretKey) -> Self {
        Identity(secret)
    }

    /// The name that peers know it by; it stands in tickets.
    pub fn public(&self) -> FeedKey {
        self.0.public()
    }

    /// Says where this replica can be reached, for others to pass on.
    pub fn introduce(&self, database: &DatabaseId, at: Timestamp, addresses: Vec<String>) -> Introduction {
        Introduction::new(database, &self.0, at, addresses)
    }

    /// What it signs with.
    pub(crate) fn secret(&self) -> SecretKey {
        self.0.clone()
    }

    /// The X25519 secret of the Noise handshake, in its own domain so that the two uses of one secret never meet.
    pub(crate) fn noise_static(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive_key("kappadb noise static v1", &[&*self.0.seed()]))
    }

    /// The `Auth` of this identity as `role` of the channel with `binding`.
    pub(crate) fn auth(&self, binding: &Binding, role: Role) -> [u8; AUTH_LEN] {
        let mut out = [0; AUTH_LEN];
        let (key, signature) = out.split_at_mut(32);
        key.copy_from_slice(&self.public().0);
        signature.copy_from_slice(&self.0.sign(&message(binding, role)).0);
        out
    }
}

/// The key that `auth` proves to be at the end of the channel with `binding` that has `role`.
pub(crate) fn verify_auth(auth: &[u8; AUTH_LEN], binding: &Binding, role: Role) -> Result<FeedKey, KeyError> {
    let (mut key, mut signature) = ([0; 32], [0; 64]);
    let (front, back) = auth.split_at(32);
    key.copy_from_slice(front);
    signature.copy_from_slice(back);
    FeedKey(key).verify(&message(binding, role), &Signature(signature))?;
    Ok(FeedKey(key))
}

fn message(binding: &Binding, role: Role) -> Vec<u8> {
    [DOMAIN, &binding.0, &[role.byte()]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_proof_holds_for_one_channel_and_one_end() {
        let identity = Identity::new(SecretKey::from_seed(&[1; 32]));
        let (here, elsewhere) = (Binding([2; 64]), Binding([3; 64]));
        let auth = identity.auth(&here, Role::Dialer);
        assert_eq!(verify_auth(&auth, &here, Role::Dialer), Ok(identity.public()));
        assert!(verify_auth(&auth, &elsewhere, Role::Dialer).is_err());
        assert!(verify_auth(&auth, &here, Role::Listener).is_err());
    }

    #[test]
    fn the_noise_key_is_not_the_signing_seed() {
        let identity = Identity::new(SecretKey::from_seed(&[1; 32]));
        assert_ne!(*identity.noise_static(), [1; 32]);
    }

    proptest! {
        #[test]
        fn a_changed_proof_is_refused(at in 0..AUTH_LEN, by in 1u8..) {
            let identity = Identity::new(SecretKey::from_seed(&[1; 32]));
            let mut auth = identity.auth(&Binding([2; 64]), Role::Listener);
            if let Some(byte) = auth.get_mut(at) { *byte ^= by; }
            prop_assert!(verify_auth(&auth, &Binding([2; 64]), Role::Listener).is_err());
        }
    }
}
