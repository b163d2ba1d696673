//! Blocks that are a part of another entry's payload.

use crate::{EntryError, Header, Kind, decode_block, encode_block, space};
use bytes::Bytes;
use kappadb_core::{Form, StoredBlock, Timestamp};

/// Codes of entries in [`space::RAW`]. Others are free for whoever uses that space.
pub mod raw {
    /// Bytes.
    pub const BYTES: u8 = 0;
    /// A part of the payload of a later entry of the feed, which names it ([`crate::Detached`]).
    pub const CHUNK: u8 = 1;
    /// Bytes of any number under a name, with a [`crate::Label`].
    pub const BLOB: u8 = 2;
}

const CHUNK: Kind = Kind { space: space::RAW, code: raw::CHUNK };

/// Why a block is not the chunk that an entry says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// Its content was cleared here.
    #[error("it was cleared")]
    Cleared,
    /// It is no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It is another kind of entry.
    #[error("it is an entry of space {}, code {}", .0.space, .0.code)]
    Kind(Kind),
    /// It is of another length.
    #[error("it has {found} bytes, not {wanted}")]
    Length {
        /// Bytes there.
        found: u64,
        /// Bytes that its place in the payload asks for.
        wanted: u64,
    },
}

/// True for an entry that is a part of another one's payload.
pub fn is_chunk(header: &Header) -> bool {
    header.kind == CHUNK
}

/// The block of a chunk.
pub fn chunk_block(time: Timestamp, payload: &[u8]) -> Result<Bytes, EntryError> {
    encode_block(&Header::new(CHUNK, time), payload)
}

/// The bytes of a chunk of which there should be `wanted`.
pub fn chunk_payload(block: &StoredBlock, wanted: u64) -> Result<Bytes, ChunkError> {
    let entry = decode_block(block)?;
    if entry.header.kind != CHUNK {
        return Err(ChunkError::Kind(entry.header.kind));
    }
    let found = u64::from(entry.header.payload_len);
    if found != wanted {
        return Err(ChunkError::Length { found, wanted });
    }
    match entry.payload {
        Some(payload) => Ok(payload),
        None if block.form == Form::Cleared => Err(ChunkError::Cleared),
        None => Err(ChunkError::Length { found: 0, wanted }),
    }
}
