//! Which blobs there are.

use super::{BlobInfo, Blobs};
use crate::ask::{self, Asked, BLOBS};
use crate::database::Parts;
use crate::error::{BlobError, ReadError};
use kappadb_core::EntryId;
use kappadb_query::Selector;

impl Blobs {
    /// The blobs whose entries are held here, whether or not their bytes are: `limit` at most, the latest first by their authors'
    /// clocks, from the one after `after` on.
    ///
    /// # Errors
    /// If the entry of `after` is not held, or is no blob.
    pub async fn list(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.run(move |parts| {
            parts.blobs.ready().map_err(ReadError::from)?;
            parts.list_blobs(after, limit)
        })
        .await?
    }

    /// Asks the known peers which blobs there are: for the entries that name them, not for their bytes.
    pub async fn ask_all(&self) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, BLOBS, Selector::Everything).await
    }
}

impl Parts {
    fn list_blobs(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let time = |id| Ok::<_, BlobError>((id, self.blob(id)?.header.time));
        let after = after.map(time).transpose()?;
        let ids = self.blobs.read(|index| index.from(after).take(limit).collect::<Result<Vec<_>, _>>());
        let ids = ids.map_err(ReadError::from)?.map_err(ReadError::from)?;
        ids.into_iter().map(|id| self.blob_info(id)).collect()
    }
}
