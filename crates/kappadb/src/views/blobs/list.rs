//! Which blobs there are.

use super::{BlobInfo, Blobs};
use crate::error::{BlobError, ReadError};
use crate::network::ask::{self, BLOBS};
use crate::network::{Answer, Read};
use crate::views::blobs::BlobParts;
use kappadb_core::EntryId;
use kappadb_query::Selector;

impl Blobs {
    /// Which blobs there are, whether or not their bytes are held here: `limit` at most, the latest first by their authors' clocks, from the one after
    /// `after` on. Peers are asked for the entries that name them, not for their bytes.
    ///
    /// # Errors
    /// If the entry of `after` is not held, or is no blob.
    pub fn list(&self, after: Option<EntryId>, limit: usize) -> Read<Answer<BlobInfo, EntryId>, BlobError> {
        Read::new(&self.parts, ask::one(BLOBS, Selector::Everything), move |parts| {
            parts.blobs.ready().map_err(ReadError::from)?;
            // One more tells whether there are more.
            let mut infos = parts.list_blobs(after, limit.saturating_add(1))?;
            let more = infos.len() > limit;
            infos.truncate(limit);
            let next = infos.last().map(|last| last.id).or(after).filter(|_| more);
            Ok(Answer::page(infos, next))
        })
    }
}

impl BlobParts {
    fn list_blobs(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let time = |id| Ok::<_, BlobError>((id, self.blob(id)?.header.time));
        let after = after.map(time).transpose()?;
        let ids = self.blobs.read(|index| index.from(after).take(limit).collect::<Result<Vec<_>, _>>());
        let ids = ids.map_err(ReadError::from)?.map_err(ReadError::from)?;
        ids.into_iter().map(|id| self.blob_info(id)).collect()
    }
}
