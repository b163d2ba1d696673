//! Making one of several versions that were written without knowledge of each other.

use super::Map;
use crate::engine::keyed::active;
use crate::error::{ReadError, WriteError};
use crate::views::map::MapParts;
use crate::write::Write;
use kappadb_core::EntryId;
use kappadb_entry::rules::{self, Version};
use kappadb_geo::Feature;

impl Map {
    /// Ends a conflict: writes a version that replaces all heads held here and says what they say together, the winner's
    /// word first: by [`kappadb_geo::merge3`] if a version that all of them replaced can be read here, else by
    /// [`kappadb_geo::merge`]. An edit that races with a delete is kept. Durable when it returns.
    /// A replica that does not hold everything asks first ([`Map::history`] from [`Source::Peers`](crate::Source::Peers)).
    ///
    /// # Errors
    /// [`WriteError::NoConflict`] if there is at most one head, or all say the same; [`WriteError::NoContent`] if none of them can be read here.
    pub fn merge(&self, id: &str) -> Write<EntryId, WriteError> {
        let id = id.to_owned();
        Write::apart(&self.parts, move |parts, _| parts.merge(&id))
    }
}

impl MapParts {
    /// The caller has the turn.
    fn merge(&self, id: &str) -> Result<EntryId, WriteError> {
        let active = active(&self.map, id.as_bytes())?;
        let found = self.feature(id)?.map(|hit| self.load_feature(&hit)).transpose()?;
        if rules::heads(&active).len() < 2 || found.is_some_and(|found| !found.is_conflict()) {
            return Err(WriteError::NoConflict(id.to_owned()));
        }
        let merged = self.merged(id)?.ok_or_else(|| WriteError::NoContent(id.to_owned()))?;
        self.put_by_hand(merged)
    }

    /// What the heads say together; none if all of them delete it or cannot be read.
    fn merged(&self, id: &str) -> Result<Option<Feature>, WriteError> {
        let Some(hit) = self.feature(id)? else { return Ok(None) };
        let versions = self.load_feature(&hit)?.versions;
        let (heads, features): (Vec<EntryId>, Vec<&Feature>) =
            versions.iter().filter_map(|version| Some((version.entry, version.feature.as_ref()?))).unzip();
        Ok(match self.ancestor(id, &heads)? {
            Some(base) => kappadb_geo::merge3(&base, &features),
            None => kappadb_geo::merge(&features),
        })
    }

    /// The latest version that all of `heads` replaced, if there is one and it can be read here.
    fn ancestor(&self, key: &str, heads: &[EntryId]) -> Result<Option<Feature>, ReadError> {
        let versions = self.map.read(|index| index.history(key.as_bytes()))??;
        let heads: Vec<&Version> = versions.iter().filter(|version| heads.contains(&version.id)).collect();
        let common = versions.iter().filter(|old| heads.iter().all(|head| rules::replaces(head, old)));
        // Whatever replaces another is of greater depth.
        let Some(latest) = common.max_by_key(|old| (old.depth, old.time, old.id)) else { return Ok(None) };
        Ok(self.load_edition(key, latest.id)?.and_then(|(_, edition)| edition.feature))
    }
}
