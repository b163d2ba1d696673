//! Blocks: a header, and a payload or its digest, as bytes and as tree leaves.

use crate::error::check_len;
use crate::header::{VERSION, WithPayload};
use crate::{Context, EntryError, Header, Kind};
use bincode::{Decode, Encode};
use bytes::Bytes;
use kappadb_core::limits::{MAX_BLOCK, MAX_HEADER};
use kappadb_core::{Form, Hash, StoredBlock, Timestamp, blake2b256, codec};
use kappadb_merkle::{self as merkle, Node};

/// A block decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The header.
    pub header: Header,
    /// None if it was cleared, or is not of the length that the header states. These are treated alike so that
    /// clearing a payload never changes what an entry means, not even one that a careless writer made.
    pub payload: Option<Bytes>,
}

/// Bytes of [`kappadb_core::Hash`].
const DIGEST: usize = 32;

/// Room for the varint of any length up to [`MAX_HEADER`].
const PREFIX: usize = 5;

/// A block cut at the two places that its tree leaf needs. Nothing is said about the header's content.
struct Split<'a> {
    /// The whole block.
    bytes: &'a [u8],
    /// `varint header_len | header`.
    head: &'a [u8],
    /// The header alone.
    header: &'a [u8],
    /// What the leaf has only the digest of; none if the block's bytes are its leaf data as they are.
    payload: Option<&'a [u8]>,
}

impl<'a> Split<'a> {
    fn of(block: &'a StoredBlock) -> Result<Split<'a>, EntryError> {
        let bytes = &block.bytes[..];
        check_len("block", bytes.len(), MAX_BLOCK)?;
        let (claimed, used) = codec::number("header length", bytes)?;
        let claimed = usize::try_from(claimed).unwrap_or(usize::MAX);
        check_len("header", claimed, MAX_HEADER)?;
        let truncated = EntryError::Truncated { header: claimed, left: bytes.len() - used };
        let (head, rest) = bytes.split_at_checked(used + claimed).ok_or(truncated)?;
        let payload = match block.form {
            Form::Whole => Some(rest).filter(|rest| !rest.is_empty()),
            Form::Cleared if rest.len() == DIGEST => None,
            Form::Cleared => return Err(EntryError::BadDigest(rest.len())),
        };
        Ok(Split { bytes, head, header: head.get(used..).unwrap_or_default(), payload })
    }

    /// The leaf data in two parts, given the digest of the payload if there is one.
    fn leaf_parts<'b>(&self, digest: Option<&'b Hash>) -> [&'b [u8]; 2]
    where
        'a: 'b,
    {
        digest.map_or([self.bytes, &[]], |digest| [self.head, &digest.0])
    }
}

/// The bytes of a whole block. `header.payload_len` is not read: the payload's true length is written.
///
/// # Errors
/// Anything over a limit, unsorted, off the map, of an unknown version or with a critical extension: what
/// [`decode_block`] would refuse.
pub fn encode_block(header: &Header, payload: &[u8]) -> Result<Bytes, EntryError> {
    header.check(payload.len())?;
    let too_long = EntryError::TooLong { what: "block", len: payload.len(), limit: MAX_BLOCK };
    let payload_len = u32::try_from(payload.len()).map_err(|_| too_long)?;
    check_len("block", payload.len(), MAX_BLOCK)?;
    // The header's length goes before it and is known after it: it is written into room left at the front.
    let mut out = Vec::with_capacity(PREFIX + room(header) + payload.len());
    out.resize(PREFIX, 0);
    codec::encode_into(&WithPayload(header, payload_len), &mut out);
    let header_len = out.len() - PREFIX;
    check_len("header", header_len, MAX_HEADER)?;
    let prefix = codec::encode(&(header_len as u64));
    let start = PREFIX - prefix.len();
    for (to, from) in out.iter_mut().skip(start).zip(prefix) {
        *to = from;
    }
    out.extend_from_slice(payload);
    check_len("block", out.len() - start, MAX_BLOCK)?;
    Ok(Bytes::from(out).slice(start..))
}

/// About as many bytes as the header takes, so that one allocation is enough.
fn room(header: &Header) -> usize {
    let context = header.context.vector.len() * 15 + header.context.ids.len() * (DIGEST + 9);
    let boxes = (header.places.extents.len() + header.past.extents.len()) * 20;
    let key = header.key.as_ref().map_or(0, Vec::len);
    64 + context + boxes + key
}

/// Decodes and checks a block.
///
/// # Errors
/// [`EntryError::UnknownVersion`] and [`EntryError::UnknownExtension`] come from a newer release: keep the block,
/// do not act on it. Any other error means that its writer made no valid entry; it is treated the same way.
pub fn decode_block(block: &StoredBlock) -> Result<Entry, EntryError> {
    let split = Split::of(block)?;
    let header = Header::decode(split.header)?;
    let len = split.bytes.len() - split.head.len();
    let whole = block.form == Form::Whole && len as u64 == u64::from(header.payload_len);
    let payload = whole.then(|| block.bytes.slice(split.head.len()..));
    Ok(Entry { header, payload })
}

/// The payload that is in the block itself, whether or not the header before it is sound; none if it was cleared, or lies elsewhere.
pub fn payload_of(block: &StoredBlock) -> Option<&[u8]> {
    Split::of(block).ok()?.payload
}

/// What [`decode_block`] finds first in a header, in its order.
type Front = (u8, Kind, Timestamp, Option<Vec<u8>>, Context);

/// The front of the block's header, as far as `T` goes; none if it is no entry's that this release understands.
fn front<T: Decode<()> + Encode>(block: &StoredBlock, version: impl FnOnce(&T) -> u8) -> Option<T> {
    let split = Split::of(block).ok()?;
    let (front, _) = codec::decode_prefix::<T, MAX_HEADER>("header", split.header).ok()?;
    (version(&front) == VERSION).then_some(front)
}

/// The block's kind, with a look at its first bytes alone; none if they are no entry's that this release understands. Whether the rest makes
/// sense, [`decode_block`] says.
pub fn kind_of(block: &StoredBlock) -> Option<Kind> {
    front(block, |(version, _): &(u8, Kind)| *version).map(|(_, kind)| kind)
}

/// The entries that the block's names, without a look at what comes after them; none as with [`kind_of`].
pub fn context_of(block: &StoredBlock) -> Option<Context> {
    front(block, |front: &Front| front.0).map(|(.., context)| context)
}

/// The bytes that the block's tree leaf is hashed over: `varint header_len | header | H(payload)`, without the last
/// part if there is no payload. The same for a block and for what is left of it when its payload is cleared. The
/// header is not looked into, so that a block of a later release can be stored and proved.
pub fn leaf_data(block: &StoredBlock) -> Result<Vec<u8>, EntryError> {
    let split = Split::of(block)?;
    let digest = split.payload.map(|payload| blake2b256(&[payload]));
    Ok(split.leaf_parts(digest.as_ref()).concat())
}

/// The digest of a block's payload, also of one that was cleared; empty if it has none.
pub(crate) fn payload_digest(block: &StoredBlock) -> Result<Vec<u8>, EntryError> {
    let head = Split::of(block)?.head.len();
    Ok(leaf_data(block)?.split_off(head))
}

/// What is left of a block when its payload is cleared: the header and the payload's digest. None if there is nothing to
/// clear: it was cleared before, or has no payload, or is no entry.
pub fn clear_block(block: &StoredBlock) -> Option<StoredBlock> {
    let split = Split::of(block).ok()?;
    let digest = blake2b256(&[split.payload?]);
    Some(StoredBlock { form: Form::Cleared, bytes: [split.head, &digest.0].concat().into() })
}

/// The tree leaves of many blocks, hashed side by side: payloads first, then leaves.
pub fn leaf_nodes(blocks: &[StoredBlock]) -> Result<Vec<Node>, EntryError> {
    leaf_nodes_or_index(blocks).map_err(|(_, error)| error)
}

/// [`leaf_nodes`]; an error comes with the index of its block.
pub(crate) fn leaf_nodes_or_index(blocks: &[StoredBlock]) -> Result<Vec<Node>, (usize, EntryError)> {
    let split = |(i, block)| Split::of(block).map_err(|error| (i, error));
    let splits = blocks.iter().enumerate().map(split).collect::<Result<Vec<_>, _>>()?;
    let payloads: Vec<&[u8]> = splits.iter().filter_map(|split| split.payload).collect();
    let mut digests = merkle::digests(&payloads).into_iter();
    let digests: Vec<Option<Hash>> =
        splits.iter().map(|split| split.payload.and_then(|_| digests.next())).collect();
    let parts = splits.iter().zip(&digests).map(|(split, digest)| split.leaf_parts(digest.as_ref()));
    Ok(merkle::leaves(&parts.collect::<Vec<_>>()))
}
