//! All features, page by page.

use super::{Found, Hit, Map};
use crate::error::ReadError;
use crate::network::Answer;
use crate::network::Read;
use crate::network::ask::{self, MAP};
use crate::views::map::MapParts;
use kappadb_geo::Filter;
use kappadb_query::Selector;
use kappadb_view::ViewError;
use kappadb_view_geo::{Cursor, Query};

/// Features looked at at a time: many where many are wanted, since what comes in the order of ids lies all over the log.
const FEW: usize = 1_000;
const MANY: usize = 128 << 10;

impl Map {
    /// The features whose ids start with `prefix`, without deleted ones, in the order of their ids, `limit` at most, from the one after `after` on.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Read<Answer<Hit, String>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Read::new(&self.parts, ask::one(MAP, Selector::Prefix(prefix.clone().into_bytes())), move |parts| {
            parts.map.ready()?;
            Ok(by_id(parts.list_features(&prefix, after.as_deref(), limit)?, limit))
        })
    }

    /// A page of the features that pass, wherever they are, also those without a place, in the order of their ids: those after an earlier page, `limit`
    /// at most. Nodes without tags are left out, as in a box. Peers are asked for every feature.
    ///
    /// # Errors
    /// [`ReadError::View`] if the cursor is none of an answer by id.
    pub fn find_anywhere(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: Option<usize>,
    ) -> Read<Answer<Hit, Cursor>> {
        let query = Query { after: after.cloned(), ..Query::default() };
        let filter = filter.clone();
        Read::new(&self.parts, ask::one(MAP, Selector::Everything), move |parts| {
            let after = query.after_id().map_err(ViewError::from)?.map(str::to_owned);
            parts.find_anywhere(&filter, after, limit.unwrap_or(usize::MAX))
        })
    }
}

/// A page of features, in the order of their ids, of which so many were wanted.
pub(super) fn by_id(hits: Vec<Hit>, limit: usize) -> Answer<Hit, String> {
    let next = hits.last().filter(|_| hits.len() >= limit).map(|last| last.id.clone());
    Answer::page(hits, next)
}

impl MapParts {
    fn find_anywhere(
        &self,
        filter: &Filter,
        mut after: Option<String>,
        limit: usize,
    ) -> Result<Answer<Hit, Cursor>, ReadError> {
        self.map.ready()?;
        let (mut hits, mut more, mut at_once) = (Vec::new(), false, limit.clamp(FEW, MANY));
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
                more = hits.len() >= limit;
                if !more {
                    last = Some(hit.id.clone());
                    hits.push(hit.clone());
                }
                Ok(())
            })?;
        }
        Ok(Answer::page(hits, last.filter(|_| more).map(Cursor::after_id)))
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
