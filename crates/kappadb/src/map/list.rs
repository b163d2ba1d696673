//! All features, page by page.

use super::{Found, Hit, Map, Page};
use crate::ask::{self, Asked};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_geo::Filter;
use kappadb_query::Selector;
use kappadb_view::ViewError;
use kappadb_view_geo::{Cursor, Query};

/// Features looked at at a time: many where many are wanted, since what comes in the order of ids lies all over the log.
const FEW: usize = 1_000;
const MANY: usize = 128 << 10;

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

    /// A page of the features that pass, wherever they are, also those without a place, in the order of their ids: those after an earlier page, `limit`
    /// at most. Nodes without tags are left out, as in a box. From what is held here.
    ///
    /// # Errors
    /// [`ReadError::View`] if the cursor is none of an answer by id.
    pub async fn find_anywhere(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: Option<usize>,
    ) -> Result<Page, ReadError> {
        let query = Query { after: after.cloned(), ..Query::default() };
        let after = query.after_id().map_err(ViewError::from)?.map(str::to_owned);
        let filter = filter.clone();
        self.run(move |parts| parts.find_anywhere(&filter, after, limit.unwrap_or(usize::MAX))).await?
    }

    /// Asks the known peers for every feature.
    pub async fn ask_all(&self) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, ask::MAP, Selector::Everything).await
    }
}

impl Parts {
    fn find_anywhere(
        &self,
        filter: &Filter,
        mut after: Option<String>,
        limit: usize,
    ) -> Result<Page, ReadError> {
        self.map.ready()?;
        let (mut page, mut more, mut at_once) = (Page::default(), false, limit.clamp(FEW, MANY));
        let mut last = after.clone();
        while !more {
            let listed = self.list_features("", after.as_deref(), at_once)?;
            let Some(end) = listed.last() else { break };
            after = Some(end.id.clone());
            // Few pass: what is still to be looked at is much.
            at_once = at_once.saturating_mul(4).min(MANY);
            self.load_matching::<ReadError>(&listed, filter, &mut |hit, found| {
                if !is_shown(found, filter) {
                    return Ok(());
                }
                more = page.hits.len() >= limit;
                if !more {
                    last = Some(hit.id.clone());
                    page.hits.push(hit.clone());
                }
                Ok(())
            })?;
        }
        page.next = last.filter(|_| more).map(Cursor::after_id);
        Ok(page)
    }

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

/// True if a version passes that is not a node without tags. What cannot be read passes if all do.
fn is_shown(found: Found, filter: &Filter) -> bool {
    found.versions.into_iter().any(|version| match version.feature {
        Some(feature) => !feature.is_bare() && filter.matches(&feature),
        None => !version.deleted && *filter == Filter::default(),
    })
}
