//! Saying again, in another feed, what an entry says that counts no more.

use crate::error::{BlobError, RecoverError, WriteError};
use kappadb_core::{EntryId, FeedKey, Seq};
use kappadb_entry::EntryError;

/// Why an entry was not appended again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecovered {
    /// Its content is not here.
    #[error("its content is not held here")]
    NotHeld,
    /// It takes back or changes what its feed said before the fork.
    #[error("it takes back or changes what the feed said before its fork, which only that feed could")]
    Withdrawal,
    /// It is a private message that cannot be opened.
    #[error("it is a private message that cannot be opened, and so not be sealed again")]
    Sealed,
    /// It is for a view that this library was built without, which alone knows how it is said again.
    #[error("it is for the view {0:?}, which this program was built without")]
    NoView(&'static str),
    /// It would break a limit.
    #[error("it can be no entry: {0}")]
    Entry(String),
}

/// Why an entry was not appended again, or none was.
pub(crate) enum Refused {
    /// The entry is such that it cannot be.
    Entry(NotRecovered),
    /// Nothing can.
    All(RecoverError),
}

impl From<EntryError> for Refused {
    fn from(error: EntryError) -> Self {
        Refused::Entry(NotRecovered::Entry(error.to_string()))
    }
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        Refused::All(error.into())
    }
}

impl From<BlobError> for Refused {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Read(error) => Refused::All(error.into()),
            _ => Refused::Entry(NotRecovered::NotHeld),
        }
    }
}

/// From where to where something is said again.
pub(crate) struct Carry<'a> {
    /// The feed, and where it forked.
    pub fork: EntryId,
    /// The feed that says it now.
    pub to: FeedKey,
    /// As what an entry beyond the fork was appended again, now or before.
    pub again: &'a mut dyn FnMut(Seq) -> Result<Option<EntryId>, WriteError>,
}
