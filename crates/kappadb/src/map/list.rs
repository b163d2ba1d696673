//! All features, page by page.

use super::{Hit, Map};
use crate::ask::{self, Asked};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_query::Selector;

impl Map {
    /// The features whose ids start with `prefix`, without deleted ones, in the order of their ids, `limit` at most,
    /// from the one after `after` on. From what is held here.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Hit>, ReadError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.run(move |parts| {
            parts.map.ready()?;
            parts.list_features(&prefix, after.as_deref(), limit)
        })
        .await?
    }

    /// Asks the known peers for every feature.
    pub async fn ask_all(&self) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, ask::MAP, Selector::Everything).await
    }
}

impl Parts {
    pub(crate) fn list_features(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Hit>, ReadError> {
        let hits = self.map.read(|index| index.list(prefix, after, limit))??;
        Ok(hits.into_iter().map(Hit::from).collect())
    }
}
