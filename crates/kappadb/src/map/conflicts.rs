//! How many features are in conflict.

use super::{Hit, Map};
use crate::database::Parts;
use crate::error::ReadError;
use serde::Serialize;

/// Features with several heads that are looked at to count conflicts.
const LOOKED_AT: usize = 10_000;

/// How many features are in conflict: people who had not seen each other's change say different things of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Conflicts {
    /// So many at least.
    pub count: u64,
    /// True if there may be more: not all features with several current versions were looked at.
    pub more: bool,
}

impl Map {
    /// The features of which several current versions are held, from the one after `after` on, in the order of their ids, `limit` at most. In
    /// conflict are those of which these say different things: [`Map::load`] tells.
    pub async fn several(&self, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ReadError> {
        let after = after.map(str::to_owned);
        self.run(move |parts| parts.several(after.as_deref(), limit)).await?
    }
}

impl Parts {
    fn several(&self, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ReadError> {
        self.map.ready()?;
        let hits = self.map.read(|index| index.several(after, limit))??;
        Ok(hits.into_iter().map(Hit::from).collect())
    }

    /// Costs a reading of the current versions of those features that have several, 10,000 features at most.
    pub(crate) fn conflicts(&self) -> Result<Conflicts, ReadError> {
        let hits = self.several(None, LOOKED_AT + 1)?;
        let mut conflicts = Conflicts { count: 0, more: hits.len() > LOOKED_AT };
        self.load_features::<ReadError>(hits.get(..LOOKED_AT).unwrap_or(&hits), &mut |_, found| {
            conflicts.count += u64::from(found.is_conflict());
            Ok(())
        })?;
        Ok(conflicts)
    }
}
