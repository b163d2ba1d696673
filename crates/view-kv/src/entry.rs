//! What an entry of this view is.

use bytes::Bytes;
use kappadb_core::limits::MAX_KEY;
use kappadb_entry::rules::Version;
use kappadb_entry::space::KV;
use kappadb_entry::{Entry, Kind};
use kappadb_view::Change;

/// The code of an entry that gives its key a value: its payload.
pub const CODE_PUT: u8 = 0;
/// The code of an entry that takes its key's value away.
pub const CODE_DELETE: u8 = 1;

/// The kind of an entry of this view with one of these codes.
pub const fn kind(code: u8) -> Kind {
    Kind { space: KV, code }
}

/// Why bytes cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There are none.
    #[error("a key must not be empty")]
    Empty,
    /// More than [`MAX_KEY`].
    #[error("a key of {0} bytes; it may have at most {MAX_KEY}")]
    TooLong(usize),
}

/// Says whether bytes can be a key: 1 to [`MAX_KEY`] of them.
pub fn check_key(key: &[u8]) -> Result<(), KeyError> {
    match key.len() {
        0 => Err(KeyError::Empty),
        1..=MAX_KEY => Ok(()),
        len => Err(KeyError::TooLong(len)),
    }
}

/// True for entries that this view indexes. Codes that this release does not know take part in what replaces what, so that
/// all releases agree on it.
pub(crate) fn is_kv(change: &Change<'_>) -> bool {
    let header = &change.arrived().entry.header;
    header.kind.space == KV && header.key.as_deref().is_some_and(|key| check_key(key).is_ok())
}

/// True if the version gives its key a value.
pub(crate) fn is_put(version: &Version) -> bool {
    version.kind == kind(CODE_PUT)
}

/// Bytes of a value that lies in the view, at most; larger ones are read from the log.
pub const MAX_BESIDE: usize = 512;

/// The value that lies beside its version: a small one, if the entry has it with it.
pub(crate) fn beside(entry: &Entry) -> Option<&Bytes> {
    let is_here = entry.header.kind == kind(CODE_PUT) && entry.header.detached().is_none();
    entry.payload.as_ref().filter(|payload| is_here && payload.len() <= MAX_BESIDE)
}
