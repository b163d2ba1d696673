//! All features in the order of their ids, page by page.

use crate::{Hit, MapIndex};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::CODE_DELETE;
use kappadb_view::ViewError;

impl MapIndex {
    /// The features whose ids start with `prefix`, without deleted ones, ascending; `limit` at most, from the one after
    /// `after` on. A hit's heads are those that do not delete it.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ViewError> {
        let mut hits = Vec::new();
        for row in self.keyed.read().scan(prefix.as_bytes(), after.map(str::as_bytes)) {
            if hits.len() == limit {
                break;
            }
            let (key, active) = row?;
            hits.extend(living(key, &active)?);
        }
        Ok(hits)
    }
}

/// The feature; none if all of its heads delete it.
fn living(key: Vec<u8>, active: &[Version]) -> Result<Option<Hit>, ViewError> {
    let (gone, living): (Vec<_>, Vec<_>) =
        rules::heads(active).into_iter().partition(|head| head.kind.code == CODE_DELETE);
    if living.is_empty() {
        return Ok(None);
    }
    let ids = |heads: Vec<&Version>| heads.into_iter().map(|head| head.id).collect();
    let key = String::from_utf8(key).map_err(|_| ViewError::Inconsistent("a feature's key is no id"))?;
    Ok(Some(Hit { key, heads: ids(living), elsewhere: ids(gone) }))
}
