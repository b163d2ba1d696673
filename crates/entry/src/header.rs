//! The header of an entry: everything that rules and indexes need, without the payload.

use crate::error::{check_len, check_list};
use crate::{Context, Detached, DetachedError, EntryError, Label, Places, detached, label, origin, refs};
use bincode::enc::Encoder;
use bincode::error::EncodeError;
use bincode::{Decode, Encode};
use kappadb_core::limits::{MAX_EXTENSIONS, MAX_HEADER, MAX_KEY, MAX_PAST_PLACES, MAX_PLACES};
use kappadb_core::{Timestamp, codec};

/// The version of [`Header`] that this release writes, and the only one that it understands.
pub const VERSION: u8 = 1;

/// The bit of [`Extension::kind`] that says: who does not know this extension must not act on the entry.
pub const CRITICAL: u16 = 0x8000;

/// Spaces of kinds (and of keys) that are given out. 4..=1023 are reserved; others are for third parties.
pub mod space {
    /// Bytes without meaning to this library.
    pub const RAW: u32 = 0;
    /// Key and value.
    pub const KV: u32 = 1;
    /// Messages in channels.
    pub const CHAT: u32 = 2;
    /// Features on the map.
    pub const MAP: u32 = 3;
}

/// What sort of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Kind {
    /// Whose kind: see [`mod@space`]. Keys belong to a space, too.
    pub space: u32,
    /// Which of that space's kinds.
    pub code: u8,
}

/// Something that a later release or a third party adds to a header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Extension {
    /// What it is; with [`CRITICAL`] set it must be understood.
    pub kind: u16,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The first part of a block. Byte layout: `design/formats.md`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Decode)]
pub struct Header {
    /// [`VERSION`].
    pub version: u8,
    /// What sort of entry it is.
    pub kind: Kind,
    /// When, as its writer says.
    pub time: Timestamp,
    /// What it is about, within the space of its kind; at most [`MAX_KEY`] bytes.
    pub key: Option<Vec<u8>>,
    /// The entries of the key that it names.
    pub context: Context,
    /// 1 + the greatest depth that it replaces, saturating; 0 if none.
    pub depth: u32,
    /// Where it is; at most [`MAX_PLACES`] boxes and as many moments.
    pub places: Places,
    /// A cover of where everything it replaces was; at most [`MAX_PAST_PLACES`] boxes and as many moments.
    pub past: Places,
    /// Bytes of the payload. [`crate::encode_block`] writes the true number whatever stands here.
    pub payload_len: u32,
    /// At most [`MAX_EXTENSIONS`], by ascending kind.
    pub extensions: Vec<Extension>,
}

impl Header {
    /// A header that is about nothing, nowhere, and replaces nothing.
    pub fn new(kind: Kind, time: Timestamp) -> Header {
        Header {
            version: VERSION,
            kind,
            time,
            key: None,
            context: Context::NOTHING,
            depth: 0,
            places: Places::NOWHERE,
            past: Places::NOWHERE,
            payload_len: 0,
            extensions: Vec::new(),
        }
    }

    /// Decodes a header and checks every rule and limit.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, EntryError> {
        match bytes.first() {
            Some(&version) if version != VERSION => return Err(EntryError::UnknownVersion(version)),
            _ => {}
        }
        let header: Header = codec::decode::<Header, MAX_HEADER>("header", bytes)?;
        header.check(header.payload_len as usize)?;
        Ok(header)
    }

    /// Every rule and limit but that of the encoded length, for a payload of this many bytes.
    pub(crate) fn check(&self, payload_len: usize) -> Result<(), EntryError> {
        if self.version != VERSION {
            return Err(EntryError::UnknownVersion(self.version));
        }
        check_len("key", self.key.as_ref().map_or(0, Vec::len), MAX_KEY)?;
        self.context.check()?;
        self.places.check(MAX_PLACES)?;
        self.past.check(MAX_PAST_PLACES)?;
        check_list("extensions", &self.extensions, MAX_EXTENSIONS, |a, b| a.kind < b.kind)?;
        self.check_extensions(payload_len)
    }

    fn check_extensions(&self, payload_len: usize) -> Result<(), EntryError> {
        for Extension { kind, bytes } in &self.extensions {
            match *kind {
                refs::REFS => refs::check(bytes)?,
                detached::DETACHED if payload_len > 0 => {
                    return Err(DetachedError::Inline(payload_len).into());
                }
                detached::DETACHED => drop(Detached::decode(bytes)?),
                label::LABEL => drop(Label::decode(bytes)?),
                origin::ORIGIN => drop(origin::decode(bytes)?),
                _ => {}
            }
        }
        match self.extensions.iter().find(|e| e.kind & CRITICAL != 0) {
            Some(unknown) => Err(EntryError::UnknownExtension(unknown.kind)),
            None => Ok(()),
        }
    }
}

/// A header encoded as if its payload had another length, to spare the caller a copy.
pub(crate) struct WithPayload<'a>(pub &'a Header, pub u32);

impl Encode for WithPayload<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let WithPayload(header, payload_len) = self;
        header.version.encode(encoder)?;
        header.kind.encode(encoder)?;
        header.time.encode(encoder)?;
        header.key.encode(encoder)?;
        header.context.encode(encoder)?;
        header.depth.encode(encoder)?;
        header.places.encode(encoder)?;
        header.past.encode(encoder)?;
        payload_len.encode(encoder)?;
        header.extensions.encode(encoder)
    }
}

impl Encode for Header {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        WithPayload(self, self.payload_len).encode(encoder)
    }
}
