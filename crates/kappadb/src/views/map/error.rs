use crate::error::{PutBlobError, ReadError, WriteError};
use std::io;

/// Why features could not be written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// They could not be read here.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What they were to be written to takes no more.
    #[error("cannot write what is exported")]
    Write(#[from] io::Error),
}

/// Why nothing was attached to a feature. If only the feature could not be written, the blob is there, and named by nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such feature here.
    #[error("there is no feature {0:?} here to attach to")]
    NoFeature(String),
    /// It has several current versions, by people who had not seen each other's change.
    #[error("{0} has several current versions; merge them, or put the one that is right, first")]
    Conflict(String),
    /// It is known, but what it says was cleared here or is not held.
    #[error("the content of {0} is not held here")]
    NoContent(String),
    /// Empty, too long, or with control characters.
    #[error("{0:?} cannot be the name of an attachment: 1 to 244 bytes, no control characters")]
    Name(String),
    /// The blob was not written.
    #[error(transparent)]
    Blob(#[from] PutBlobError),
    /// The feature was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
