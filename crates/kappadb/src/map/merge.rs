//! Making one of several versions that were written without knowledge of each other.

use super::{Map, draft};
use crate::database::Parts;
use crate::error::WriteError;
use crate::write;
use kappadb_core::EntryId;
use kappadb_entry::rules;
use kappadb_geo::{CODE_PUT, Feature};

impl Map {
    /// Ends a conflict: writes a version that replaces all heads held here and says what they say together, by
    /// [`kappadb_geo::merge`], the winner's word first. An edit that races with a delete is kept. Durable when it returns.
    ///
    /// # Errors
    /// [`WriteError::NoConflict`] if there is at most one head; [`WriteError::NoContent`] if none of them can be read here.
    pub async fn merge(&self, id: &str) -> Result<EntryId, WriteError> {
        let id = id.to_owned();
        self.run(move |parts| parts.merge(&id)).await?
    }
}

impl Parts {
    fn merge(&self, id: &str) -> Result<EntryId, WriteError> {
        let _guard = self.writing();
        let active = write::active(&self.map, id.as_bytes())?;
        if rules::heads(&active).len() < 2 {
            return Err(WriteError::NoConflict(id.to_owned()));
        }
        let merged = self.merged(id)?.ok_or_else(|| WriteError::NoContent(id.to_owned()))?;
        self.replace(&self.map, draft(CODE_PUT, kappadb_geo::put(&merged)?))
    }

    /// What the heads say together; none if all of them delete it or cannot be read.
    fn merged(&self, id: &str) -> Result<Option<Feature>, WriteError> {
        let Some(hit) = self.feature(id)? else { return Ok(None) };
        let versions = self.load_feature(&hit)?.versions;
        let features: Vec<&Feature> =
            versions.iter().filter_map(|version| version.feature.as_ref()).collect();
        Ok(kappadb_geo::merge(&features))
    }
}
