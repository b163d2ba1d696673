use crate::error::{ReadError, WriteError};

/// Why an import ended early. What was appended before is durable; importing again goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file; nothing was appended.
    #[error(transparent)]
    File(#[from] kappadb_import::ImportError),
    /// The database.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ReadError> for ImportError {
    fn from(error: ReadError) -> Self {
        ImportError::Write(error.into())
    }
}
