//! How many features are in conflict.

use super::Hit;
use crate::error::ReadError;
use crate::views::map::MapParts;
use crate::views::part::Conflicts;

/// Features with several heads that are looked at to count conflicts.
const LOOKED_AT: usize = 10_000;

pub(super) fn several(parts: &MapParts, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ReadError> {
    parts.map.ready()?;
    let hits = parts.map.read(|index| index.several(after, limit))??;
    Ok(hits.into_iter().map(Hit::from).collect())
}

/// Costs a reading of the current versions of those features that have several, 10,000 features at most.
pub(super) fn conflicts(parts: &MapParts) -> Result<Conflicts, ReadError> {
    if !parts.map.runs() {
        return Ok(Conflicts::default());
    }
    let hits = several(parts, None, LOOKED_AT + 1)?;
    let mut conflicts = Conflicts { count: 0, more: hits.len() > LOOKED_AT };
    parts.load_features::<ReadError>(hits.get(..LOOKED_AT).unwrap_or(&hits), &mut |_, found| {
        conflicts.count += u64::from(found.is_conflict());
        Ok(())
    })?;
    Ok(conflicts)
}
