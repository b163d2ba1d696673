use super::MAX_VALUE;
use crate::error::{ReadError, WriteError, ids};
use kappadb_core::EntryId;
use kappadb_view::ViewError;
use kappadb_view_kv::KeyError;

/// Why nothing was written under a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// It cannot be a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// More bytes than [`MAX_VALUE`].
    #[error("a value of {0} bytes; it may have at most {MAX_VALUE}, and what is larger can be a blob")]
    TooLong(usize),
    /// The key's heads are others than those that were expected. Nothing was written.
    #[error("the key was changed meanwhile: its heads are {}", ids(found))]
    Changed {
        /// The heads that are held, ascending. None: nothing is known of the key.
        found: Vec<EntryId>,
    },
    /// It has one head, or none.
    #[error("the key is not in conflict: there is nothing to merge")]
    NoConflict,
    /// An entry that was named as a predecessor is no version of the key that is held.
    #[error("{0} is no version of the key that is held here")]
    NotHeld(EntryId),
    /// The log, or what the write rests on.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ReadError> for KvError {
    fn from(error: ReadError) -> Self {
        KvError::Write(error.into())
    }
}

impl From<ViewError> for KvError {
    fn from(error: ViewError) -> Self {
        ReadError::from(error).into()
    }
}
