//! Making one of several versions that were written without knowledge of each other.

use super::change::put_by_hand;
use crate::engine::keyed::active;
use crate::error::{ReadError, WriteError};
use crate::views::map::MapParts;
use kappadb_core::EntryId;
use kappadb_entry::rules::{self, Version};
use kappadb_geo::Feature;

/// The caller has the turn.
pub(super) fn merge(parts: &MapParts, id: &str) -> Result<EntryId, WriteError> {
    let active = active(&parts.map, id.as_bytes())?;
    let found = parts.feature(id)?.map(|hit| parts.load_feature(&hit)).transpose()?;
    if rules::heads(&active).len() < 2 || found.is_some_and(|found| !found.is_conflict()) {
        return Err(WriteError::NoConflict(id.to_owned()));
    }
    let merged = merged(parts, id)?.ok_or_else(|| WriteError::NoContent(id.to_owned()))?;
    put_by_hand(parts, merged)
}

/// What the heads say together; none if all of them delete it or cannot be read.
fn merged(parts: &MapParts, id: &str) -> Result<Option<Feature>, WriteError> {
    let Some(hit) = parts.feature(id)? else { return Ok(None) };
    let versions = parts.load_feature(&hit)?.versions;
    let (heads, features): (Vec<EntryId>, Vec<&Feature>) =
        versions.iter().filter_map(|version| Some((version.entry, version.feature.as_ref()?))).unzip();
    Ok(match ancestor(parts, id, &heads)? {
        Some(base) => kappadb_geo::merge3(&base, &features),
        None => kappadb_geo::merge(&features),
    })
}

/// The latest version that all of `heads` replaced, if there is one and it can be read here.
fn ancestor(parts: &MapParts, key: &str, heads: &[EntryId]) -> Result<Option<Feature>, ReadError> {
    let versions = parts.map.read(|index| index.history(key.as_bytes()))??;
    let heads: Vec<&Version> = versions.iter().filter(|version| heads.contains(&version.id)).collect();
    let common = versions.iter().filter(|old| heads.iter().all(|head| rules::replaces(head, old)));
    // Whatever replaces another is of greater depth.
    let Some(latest) = common.max_by_key(|old| (old.depth, old.time, old.id)) else { return Ok(None) };
    Ok(parts.load_edition(key, latest.id)?.and_then(|(_, edition)| edition.feature))
}
