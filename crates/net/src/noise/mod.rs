//! Channels over any byte stream: Noise `XXpsk0_25519_ChaChaPoly_BLAKE2b`.
//!
//! The psk comes first (psk**0**), so an end that lacks the access key learns nothing: the listener answers nothing
//! at all, and its static key is sent only to members. Both hellos ride in the first two messages. The binding is
//! the hash of the whole handshake.
//!
//! On the wire: `len u16 LE | Noise message`, in the handshake (at most 2,048 bytes) as after it (17 to 65,535
//! bytes, of which 16 are the tag; an empty one would be a way to keep a peer busy for nothing).

mod handshake;
mod stream;

pub use handshake::{MAX_HELLO, NoiseChannel, accept, dial};
pub use stream::{NoiseReader, NoiseWriter};

/// Bytes of a message of the handshake.
pub(crate) const MAX_HANDSHAKE_MESSAGE: usize = 2048;
/// Bytes of a message after the handshake.
const MAX_MESSAGE: usize = 65_535;
/// Bytes that encryption adds to a message.
const TAG: usize = 16;
/// Bytes of content in a message.
const MAX_CONTENT: usize = MAX_MESSAGE - TAG;
