//! Private messages: sealed so that their author and their recipient can read them, and nobody else.
//!
//! Two feeds agree on a key by X25519 between their own keys, as `crypto_box` does (XChaCha20-Poly1305 under HChaCha20 of what was
//! agreed on). What a message was sealed with it binds to author, recipient and order time, for the nonce is a hash of them: moved
//! to another place or another feed it does not open.
//!
//! Nothing about a message names its recipient. It lies in a lane, a number that only the two can work out, one for each direction; so
//! the recipient asks for its lanes, and others see that an author wrote to somebody, how often, and how long within a factor of
//! two. `design/chat.md` says what else can be learnt, and by whom.
//!
//! ```text
//! payload    salt 16 | recipient 32 | box of: length u16 big-endian | text | answered | zeros up to a power of two of at least 64
//! answered   01 | feed 32 | seq u64 big-endian: the message that it answers; or nothing
//! recipient  its key, exclusive-or blake2b256("kappadb chat recipient" | the author's X25519 secret | order | salt): for the author alone
//! nonce      the first 24 bytes of blake2b256("kappadb chat private" | author | recipient | order i64 little-endian | salt)
//! lane       the 16 bytes that an empty box is under the nonce of blake2b256("kappadb chat lane" | author | recipient)
//! channel    00 | lane in hex: no name of a channel that people can give
//! ```

use crate::content::{at, check_text, code, kind};
use crate::{Prepared, SayError};
use bincode::{Decode, Encode};
use crypto_box::aead::Aead;
use crypto_box::{ChaChaBox, PublicKey};
use data_encoding::HEXLOWER;
use kappadb_core::{EntryId, FeedKey, KeyError, SecretKey, Timestamp, blake2b256};
use kappadb_entry::{Context, Header};

const NONCE: usize = 24;
const SALT: usize = 16;
const KEY: usize = 32;
/// Bytes that a box is longer than what is in it.
const TAG: usize = 16;
/// Bytes of the length.
const LENGTH: usize = 2;
/// That an id follows.
const ANSWERED: u8 = 1;
const SHORTEST: usize = 64;
const LONGEST: usize = 8192;

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// The other's key is none with which a secret can be shared.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The text is empty or too long.
    #[error(transparent)]
    Text(#[from] SayError),
    /// It was not sealed between these two, or for another place, or was changed.
    #[error("the message was not sealed for this place between these two feeds")]
    Sealed,
}

/// What a private message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateText {
    /// Its words, of 1 byte to 4 KiB.
    pub text: String,
    /// The message that it answers.
    pub reply_to: Option<EntryId>,
}

impl From<&str> for PrivateText {
    fn from(text: &str) -> PrivateText {
        PrivateText { text: text.to_owned(), reply_to: None }
    }
}

/// What lies between two feeds in one direction: see [`Pair::outbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Lane(pub [u8; TAG]);

impl Lane {
    /// What the channels of all lanes begin with.
    pub const MARK: &'static str = "\0";

    /// Its channel.
    pub fn channel(&self) -> String {
        format!("{}{}", Lane::MARK, HEXLOWER.encode(&self.0))
    }
}

/// What two feeds share.
pub struct Pair {
    own: FeedKey,
    other: FeedKey,
    secret: SecretKey,
    shared: ChaChaBox,
}

impl Pair {
    /// What the feed of this secret shares with another.
    ///
    /// # Errors
    /// [`PrivateError::Key`] if the other key is none.
    pub fn new(own: &SecretKey, other: &FeedKey) -> Result<Pair, PrivateError> {
        let public = PublicKey::from(other.x25519()?);
        let secret = crypto_box::SecretKey::from(*own.x25519());
        let shared = ChaChaBox::new(&public, &secret);
        Ok(Pair { own: own.public(), other: *other, secret: own.clone(), shared })
    }

    /// Checks that a text can be sealed for this feed.
    ///
    /// # Errors
    /// [`PrivateError::Key`], [`PrivateError::Text`].
    pub fn check(other: &FeedKey, text: &str) -> Result<(), PrivateError> {
        other.x25519()?;
        Ok(check_text(text)?)
    }

    /// Where what is written to the other lies.
    pub fn outbox(&self) -> Lane {
        self.lane(&self.own, &self.other)
    }

    /// Where what the other writes to this one lies.
    pub fn inbox(&self) -> Lane {
        self.lane(&self.other, &self.own)
    }

    fn lane(&self, author: &FeedKey, recipient: &FeedKey) -> Lane {
        let nonce = nonce(&[b"kappadb chat lane", &author.0, &recipient.0]);
        // Encrypting in memory fails for lengths alone that no text has.
        let empty = self.shared.encrypt(&nonce.into(), &[][..]).unwrap_or_default();
        Lane(empty.try_into().unwrap_or_default())
    }

    /// The entry that says this to the other at `order`. `salt` is random.
    ///
    /// # Errors
    /// [`PrivateError::Text`].
    pub fn prepare(
        &self,
        says: &PrivateText,
        order: Timestamp,
        salt: [u8; SALT],
    ) -> Result<Prepared, PrivateError> {
        let payload = self.seal(says, order, salt)?;
        let places = at(&self.outbox().channel(), order);
        Ok(Prepared { key: None, context: Context::NOTHING, kind: kind(code::PRIVATE), places, payload })
    }

    /// The entry that says that a message to the other, which stands at `order`, says this now. `salt` is random.
    ///
    /// # Errors
    /// [`PrivateError::Text`].
    pub fn prepare_edit(
        &self,
        target: EntryId,
        says: &PrivateText,
        order: Timestamp,
        salt: [u8; SALT],
    ) -> Result<Prepared, PrivateError> {
        let mut edit = self.prepare(says, order, salt)?;
        edit.kind = kind(code::EDIT);
        edit.context.ids.push(target);
        Ok(edit)
    }

    fn seal(&self, says: &PrivateText, order: Timestamp, salt: [u8; SALT]) -> Result<Vec<u8>, PrivateError> {
        let PrivateText { text, reply_to } = says;
        check_text(text)?;
        let mut plain = Vec::with_capacity(LONGEST);
        plain.extend_from_slice(&u16::try_from(text.len()).map_err(|_| PrivateError::Sealed)?.to_be_bytes());
        plain.extend_from_slice(text.as_bytes());
        if let Some(EntryId { feed, seq }) = reply_to {
            plain.push(ANSWERED);
            plain.extend_from_slice(&feed.0);
            plain.extend_from_slice(&seq.to_be_bytes());
        }
        plain.resize(plain.len().next_power_of_two().max(SHORTEST), 0);
        let nonce = message_nonce(&self.own, &self.other, order, &salt);
        let sealed = self.shared.encrypt(&nonce.into(), &plain[..]).map_err(|_| PrivateError::Sealed)?;
        let recipient = masked(&self.secret, &self.other, order, &salt);
        Ok([&salt[..], &recipient.0, &sealed].concat())
    }

    /// What a message says that `author`, one of the two, posted at `order`.
    ///
    /// # Errors
    /// [`PrivateError::Sealed`].
    pub fn open(
        &self,
        author: &FeedKey,
        order: Timestamp,
        payload: &[u8],
    ) -> Result<PrivateText, PrivateError> {
        let recipient = if *author == self.own { &self.other } else { &self.own };
        let says = || {
            check_sealed(payload).ok()?;
            let (salt, rest) = payload.split_first_chunk::<SALT>()?;
            let (_, sealed) = rest.split_first_chunk::<KEY>()?;
            let nonce = message_nonce(author, recipient, order, salt);
            let plain = self.shared.decrypt(&nonce.into(), sealed).ok()?;
            let (length, rest) = plain.split_first_chunk::<LENGTH>()?;
            let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let text = String::from_utf8(text.to_vec()).ok()?;
            let (reply_to, padding) = answered(rest)?;
            let sound = padding.iter().all(|byte| *byte == 0) && check_text(&text).is_ok();
            sound.then_some(PrivateText { text, reply_to })
        };
        says().ok_or(PrivateError::Sealed)
    }
}

/// What a message answers, and what is left.
fn answered(rest: &[u8]) -> Option<(Option<EntryId>, &[u8])> {
    let Some((&ANSWERED, rest)) = rest.split_first() else { return Some((None, rest)) };
    let (feed, rest) = rest.split_first_chunk::<KEY>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    Some((Some(EntryId { feed: FeedKey(*feed), seq: u64::from_be_bytes(*seq) }), rest))
}

/// True if an entry lies in a lane: what it says is sealed.
pub fn is_private(header: &Header) -> bool {
    header.places.moments.first().is_some_and(|moment| moment.channel.starts_with(Lane::MARK.as_bytes()))
}

/// Refuses what is not as long as something sealed is.
pub(crate) fn check_sealed(payload: &[u8]) -> Result<(), SayError> {
    let plain = payload.len().saturating_sub(SALT + KEY + TAG);
    let sound = (SHORTEST..=LONGEST).contains(&plain) && plain.is_power_of_two();
    if sound { Ok(()) } else { Err(SayError::Malformed) }
}

/// Whom the feed of this secret wrote a message for; what that is of a message by another means nothing.
pub fn recipient(own: &SecretKey, order: Timestamp, payload: &[u8]) -> Option<FeedKey> {
    let (salt, rest) = payload.split_first_chunk::<SALT>()?;
    Some(masked(own, &FeedKey(*rest.first_chunk::<KEY>()?), order, salt))
}

/// A key that only the author can tell from noise; masked twice it is itself.
fn masked(author: &SecretKey, key: &FeedKey, order: Timestamp, salt: &[u8; SALT]) -> FeedKey {
    let secret = author.x25519();
    let mask = blake2b256(&[b"kappadb chat recipient", &secret[..], &order.0.to_le_bytes(), salt]);
    let mut masked = *key;
    masked.0.iter_mut().zip(mask.0).for_each(|(byte, mask)| *byte ^= mask);
    masked
}

fn message_nonce(author: &FeedKey, recipient: &FeedKey, order: Timestamp, salt: &[u8; SALT]) -> [u8; NONCE] {
    nonce(&[b"kappadb chat private", &author.0, &recipient.0, &order.0.to_le_bytes(), salt])
}

fn nonce(parts: &[&[u8]]) -> [u8; NONCE] {
    let hash = blake2b256(parts).0;
    let mut nonce = [0; NONCE];
    nonce.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, decode};
    use proptest::prelude::*;

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn pair(own: u8, other: u8) -> Pair {
        Pair::new(&secret(own), &secret(other).public()).unwrap()
    }

    const AT: Timestamp = Timestamp(1_000);

    fn seal(text: &str) -> Vec<u8> {
        pair(1, 2).seal(&text.into(), AT, [7; 16]).unwrap()
    }

    #[test]
    fn the_two_read_it_and_nobody_else() {
        let sealed = seal("hello");
        let anna = secret(1).public();
        assert_eq!(pair(1, 2).open(&anna, AT, &sealed), Ok("hello".into()));
        assert_eq!(pair(2, 1).open(&anna, AT, &sealed), Ok("hello".into()));
        for (own, other) in [(3, 1), (3, 2), (2, 3), (1, 3)] {
            assert_eq!(pair(own, other).open(&anna, AT, &sealed), Err(PrivateError::Sealed));
        }
    }

    #[test]
    fn it_does_not_open_in_another_place() {
        let sealed = seal("hello");
        // The recipient posts it as its own, or somebody posts it later.
        assert!(pair(1, 2).open(&secret(2).public(), AT, &sealed).is_err());
        assert!(pair(2, 1).open(&secret(1).public(), Timestamp(1_001), &sealed).is_err());
    }

    #[test]
    fn lanes_are_known_to_the_two_alone_and_differ() {
        assert_eq!(pair(1, 2).outbox(), pair(2, 1).inbox());
        assert_eq!(pair(1, 2).inbox(), pair(2, 1).outbox());
        let all = [pair(1, 2).outbox(), pair(2, 1).outbox(), pair(1, 3).outbox(), pair(3, 2).outbox()];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(all.iter().all(|lane| crate::Channel::new(&lane.channel()).is_err()));
    }

    #[test]
    fn what_no_seal_can_be_is_malformed() {
        let prepared = pair(1, 2).prepare(&"x".repeat(4_096)[..].into(), AT, [0; 16]).unwrap();
        let header = Header { places: prepared.places, ..Header::new(prepared.kind, AT) };
        let longest = prepared.payload;
        let read = decode(&header, Some(&longest)).unwrap();
        assert_eq!((read.content, read.order), (Content::Private(longest.clone()), AT));
        let longer = [&longest[..], &[0]].concat();
        for bad in [&longer[..], &longest[..longest.len() - 1], &[], &longest[..SHORTEST]] {
            assert!(matches!(decode(&header, Some(bad)), Err(SayError::Malformed)), "{}", bad.len());
        }
    }

    #[test]
    fn lengths_show_within_a_factor_of_two() {
        let len = |text: usize| seal(&"x".repeat(text)).len() - SALT - KEY - TAG;
        assert_eq!(
            [1, 62, 63, 126, 127, 4_094, 4_095, 4_096].map(len),
            [64, 64, 128, 128, 256, 4_096, 8_192, 8_192]
        );
        for text in ["", &"x".repeat(4_097)] {
            assert!(matches!(pair(1, 2).seal(&text.into(), AT, [0; 16]), Err(PrivateError::Text(_))));
        }
    }

    #[test]
    fn the_author_alone_knows_whom_it_is_for() {
        let sealed = seal("hello");
        assert_eq!(recipient(&secret(1), AT, &sealed), Some(secret(2).public()));
        for (own, at) in [(2, AT), (3, AT), (1, Timestamp(1_001))] {
            assert_ne!(recipient(&secret(own), at, &sealed), Some(secret(2).public()));
        }
        assert_eq!(recipient(&secret(1), AT, &sealed[..SALT + KEY - 1]), None);
        assert!(!sealed.windows(KEY).any(|window| window == secret(2).public().0));
    }

    #[test]
    fn with_a_weak_key_nothing_is_shared() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut no_point = [0; 32];
        no_point[0] = 2;
        for weak in [[0; 32], identity, no_point] {
            assert!(matches!(Pair::new(&secret(1), &FeedKey(weak)), Err(PrivateError::Key(_))), "{weak:?}");
        }
    }

    #[test]
    fn what_it_answers_is_sealed_with_it_and_an_edit_is_sealed_as_it_is() {
        let anna = secret(1).public();
        let id = EntryId { feed: secret(9).public(), seq: u64::MAX - 1 };
        for text in ["x", &"x".repeat(4_096)] {
            let says = PrivateText { text: text.to_owned(), reply_to: Some(id) };
            let sealed = pair(1, 2).seal(&says, AT, [7; 16]).unwrap();
            assert_eq!(pair(2, 1).open(&anna, AT, &sealed), Ok(says.clone()));
            assert!(!sealed.windows(KEY).any(|window| window == id.feed.0));
            let edit = pair(1, 2).prepare_edit(id, &says, AT, [8; 16]).unwrap();
            let header = Header { places: edit.places, context: edit.context, ..Header::new(edit.kind, AT) };
            assert!(is_private(&header) && crate::edited(&header) == Some(id));
            let Content::Private(sealed) = decode(&header, Some(&edit.payload)).unwrap().content else {
                panic!("an edit in a lane is sealed");
            };
            assert_eq!(pair(2, 1).open(&anna, AT, &sealed), Ok(says));
        }
    }

    proptest! {
        #[test]
        fn what_was_changed_anywhere_does_not_open(text in "\\PC{1,100}", at: prop::sample::Index, bit in 0u8..8) {
            let mut sealed = seal(&text);
            prop_assert_eq!(pair(2, 1).open(&secret(1).public(), AT, &sealed), Ok(text[..].into()));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            let opened = pair(2, 1).open(&secret(1).public(), AT, &sealed);
            // The author's note for itself is nothing that the recipient looks at.
            prop_assert_eq!(opened.is_ok(), (SALT..SALT + KEY).contains(&at));
        }

        #[test]
        fn any_bytes_are_an_error(bytes: Vec<u8>) {
            prop_assert!(pair(1, 2).open(&secret(2).public(), AT, &bytes).is_err());
        }
    }
}
