//! Features with several heads: a row for each.

use crate::{Hit, MapIndex, rows};
use kappadb_entry::rules::{self, Version};
use kappadb_store::Overlay;
use kappadb_view::{KeyUpdate, ViewError};
use std::ops::Bound;

/// Keeps the list of features with several heads.
pub fn note(update: &KeyUpdate, rows: &mut Overlay<'_>) {
    let is_one_of_several = |active: &[Version]| active.len() > 1 && rules::heads(active).len() > 1;
    let key = || rows::key(rows::SEVERAL, &[&update.key]);
    match (is_one_of_several(&update.before), is_one_of_several(&update.after)) {
        (false, true) => rows.put(key(), Vec::new()),
        (true, false) => rows.delete(key()),
        _ => {}
    }
}

impl MapIndex {
    /// The features of which several versions are heads, from the one after `after` on, `limit` at most: people who had not seen each other's change wrote
    /// them, or said the same. Costs as much as there are such features.
    pub fn several(&self, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ViewError> {
        let first = rows::key(rows::SEVERAL, &[after.unwrap_or_default().as_bytes()]);
        let from = if after.is_some() { Bound::Excluded(&first[..]) } else { Bound::Included(&first[..]) };
        let mut hits = Vec::new();
        for row in self.tree.range(from, Bound::Excluded(&[rows::SEVERAL + 1])).take(limit) {
            let (_, key) =
                row?.0.split_first().map_or((0, Vec::new()), |(prefix, key)| (*prefix, key.to_vec()));
            let heads = self.heads(&key)?.into_iter().map(|head| head.id).collect();
            let key =
                String::from_utf8(key).map_err(|_| ViewError::Inconsistent("a feature's key is no id"))?;
            hits.push(Hit { key, heads, elsewhere: Vec::new() });
        }
        Ok(hits)
    }
}
