//! Stand-ins until the feed crate publishes its own.
use kappadb_core::{EntryId, Lseq, StoredBlock};
/// An arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Place.
    pub lseq: Lseq,
    /// Name.
    pub id: EntryId,
    /// Bytes.
    pub block: StoredBlock,
}
/// Error.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Undefined.
    #[error("undefined")]
    Undefined(kappadb_core::FeedKey),
}
