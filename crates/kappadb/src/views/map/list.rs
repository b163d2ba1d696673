//! All features, page by page.

use super::{Found, Hit};
use crate::error::ReadError;
use crate::network::Answer;
use crate::views::map::MapParts;
use kappadb_geo::Filter;
use kappadb_view_geo::Cursor;

/// Features looked at at a time: many where many are wanted, since what comes in the order of ids lies all over the log.
const FEW: usize = 1_000;
const MANY: usize = 128 << 10;

/// A page of features, in the order of their ids, of which so many were wanted.
pub(super) fn by_id(hits: Vec<Hit>, limit: usize) -> Answer<Hit, String> {
    let next = hits.last().filter(|_| hits.len() >= limit).map(|last| last.id.clone());
    Answer::page(hits, next)
}

pub(super) fn find_anywhere(
    parts: &MapParts,
    filter: &Filter,
    mut after: Option<String>,
    limit: usize,
) -> Result<Answer<Hit, Cursor>, ReadError> {
    parts.map.ready()?;
    let (mut hits, mut more, mut at_once) = (Vec::new(), false, limit.clamp(FEW, MANY));
    let mut last = after.clone();
    while !more {
        let listed = list_features(parts, "", after.as_deref(), at_once)?;
        let Some(end) = listed.last() else { break };
        after = Some(end.id.clone());
        // Few pass: what is still to be looked at is much.
        at_once = at_once.saturating_mul(4).min(MANY);
        parts.load_matching::<ReadError>(&listed, filter, &mut |hit, found| {
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
    parts: &MapParts,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Hit>, ReadError> {
    let hits = parts.map.read(|index| index.list(prefix, after, limit))??;
    Ok(hits.into_iter().map(Hit::from).collect())
}

/// True if a version passes that is not a node without tags. What cannot be read passes if all do.
fn is_shown(found: Found, filter: &Filter) -> bool {
    found.versions.into_iter().any(|version| match version.feature {
        Some(feature) => !feature.is_bare() && filter.matches(&feature),
        None => !version.deleted && *filter == Filter::default(),
    })
}
