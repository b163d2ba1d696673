//! How many features are in conflict.

use super::list::by_id;
use super::{Hit, Map};
use crate::error::ReadError;
use crate::network::Answer;
use crate::network::Read;
use crate::network::ask::{self, MAP};
use crate::views::map::MapParts;
use kappadb_query::Selector;
use serde::Serialize;

/// Features with several heads that are looked at to count conflicts.
const LOOKED_AT: usize = 10_000;

/// How many features are in conflict: people who had not seen each other's change say different things of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Conflicts {
    /// So many at least.
    pub count: u64,
    /// True if there may be more: not all features with several current versions were looked at, or none, for the view of the map does not run.
    pub more: bool,
}

impl Map {
    /// The features of which several current versions are known, from the one after `after` on, in the order of their ids, `limit` at most. In
    /// conflict are those of which these say different things: [`Map::load`] tells. Peers are asked for every feature.
    pub fn several(&self, after: Option<&str>, limit: usize) -> Read<Answer<Hit, String>> {
        let after = after.map(str::to_owned);
        Read::new(&self.parts, ask::one(MAP, Selector::Everything), move |parts| {
            Ok(by_id(parts.several(after.as_deref(), limit)?, limit))
        })
    }
}

impl MapParts {
    fn several(&self, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ReadError> {
        self.map.ready()?;
        let hits = self.map.read(|index| index.several(after, limit))??;
        Ok(hits.into_iter().map(Hit::from).collect())
    }

    /// Costs a reading of the current versions of those features that have several, 10,000 features at most.
    pub(crate) fn conflicts(&self) -> Result<Conflicts, ReadError> {
        if !self.map.runs() {
            return Ok(Conflicts { count: 0, more: true });
        }
        let hits = self.several(None, LOOKED_AT + 1)?;
        let mut conflicts = Conflicts { count: 0, more: hits.len() > LOOKED_AT };
        self.load_features::<ReadError>(hits.get(..LOOKED_AT).unwrap_or(&hits), &mut |_, found| {
            conflicts.count += u64::from(found.is_conflict());
            Ok(())
        })?;
        Ok(conflicts)
    }
}
