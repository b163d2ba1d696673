use crate::DetachedError;
use kappadb_core::GeoBox;
use kappadb_core::codec::DecodeError;

/// Why a block is no entry, or an entry no block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// More bytes than a part may have.
    #[error("{what} of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// The part: `block`, `header`, `key`, `channel`.
        what: &'static str,
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More items than a list may have.
    #[error("{count} {what} are over the limit of {limit}")]
    TooMany {
        /// The list: `context feeds`, `context ids`, `boxes`, `moments`, `extensions`.
        what: &'static str,
        /// Items found.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A list is not strictly ascending, so the same header would have several encodings.
    #[error("{what} are not in ascending order without repeats")]
    Unsorted {
        /// The list, as in [`EntryError::TooMany`].
        what: &'static str,
    },
    /// The keys that an entry refers to are not ascending, too long, or not in their one encoding.
    #[error("the keys that the entry refers to are malformed")]
    BadRefs,
    /// Where a payload lies that has blocks of its own.
    #[error("detached payload: {0}")]
    Detached(#[from] DetachedError),
    /// A box that is upside down or not on the map.
    #[error("{0} is no box on the map")]
    BadBox(GeoBox),
    /// A moment that ends before it starts.
    #[error("a moment from {from} to {to} ends before it starts")]
    BadMoment {
        /// Milliseconds since the Unix epoch.
        from: i64,
        /// Milliseconds since the Unix epoch.
        to: i64,
    },
    /// The header is of a format that this release does not know. The block is kept and passed on; no view indexes it.
    #[error("header version {0} is unknown")]
    UnknownVersion(u8),
    /// The header has an extension that must be understood and is not. Kept and passed on as with an unknown version.
    #[error("extension {0:#06x} must be understood and is unknown")]
    UnknownExtension(u16),
    /// The block ends within its header.
    #[error("the header claims {header} bytes, {left} are left in the block")]
    Truncated {
        /// Bytes claimed.
        header: usize,
        /// Bytes there.
        left: usize,
    },
    /// The name of what the entry says again has another length than a hash.
    #[error("the name of what it says again has {0} bytes, not 32")]
    BadOrigin(usize),
    /// A cleared block does not end in exactly the 32-byte digest of its payload.
    #[error("a cleared block has {0} bytes after its header, not a digest of 32")]
    BadDigest(usize),
    /// The bytes are no header at all.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// `len` bytes of `what` are allowed, or the error that says why not.
pub(crate) fn check_len(what: &'static str, len: usize, limit: usize) -> Result<(), EntryError> {
    if len > limit { Err(EntryError::TooLong { what, len, limit }) } else { Ok(()) }
}

/// `items` are at most `limit`, and each is `before` the next; or the error that says why not.
pub(crate) fn check_list<T>(
    what: &'static str,
    items: &[T],
    limit: usize,
    before: impl Fn(&T, &T) -> bool,
) -> Result<(), EntryError> {
    if items.len() > limit {
        return Err(EntryError::TooMany { what, count: items.len(), limit });
    }
    if items.is_sorted_by(before) { Ok(()) } else { Err(EntryError::Unsorted { what }) }
}
