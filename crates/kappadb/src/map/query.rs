//! A box asked in detail: from which size on, how many, in which order, page by page.

use super::{Hit, Map};
use crate::ask::{self, Asked, Neighbours};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_core::Extent;
use kappadb_geo::Filter;
use kappadb_query::Selector;
use kappadb_view_geo::{Cursor, Order, Query};

/// What to look for in a box. Fields may be set as needed.
#[derive(Debug, Clone, PartialEq)]
pub struct MapQuery {
    /// Features whose extent touches this (closed: touching counts).
    pub extent: Extent,
    /// Only what is at this level at least ([`kappadb_core::GeoBox::level`]); 0, the default, leaves nothing out.
    pub level: u8,
    /// Only features of which a version in the box passes. Default: all pass.
    pub filter: Filter,
    /// Features in a page, at most. Default: all.
    pub limit: Option<usize>,
    /// Which come first. Default: by id.
    pub order: Order,
    /// Go on after an earlier page of the same question.
    pub after: Option<Cursor>,
}

impl MapQuery {
    /// Everything in a box, in the order of the ids.
    pub fn new(extent: Extent) -> MapQuery {
        let Query { level, limit, after, order, .. } = Query::default();
        MapQuery { extent, level, filter: Filter::default(), limit, order, after }
    }
}

/// A part of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What was found, in the order asked for.
    pub hits: Vec<Hit>,
    /// Where to go on, if there may be more.
    pub next: Option<Cursor>,
}

/// Levels at which a question for the largest goes on from those above: few questions where much is large, and not far
/// too much fetched where nearly all is small.
const STEPS: [u8; 13] = [32, 28, 24, 21, 18, 16, 15, 14, 13, 12, 11, 10, 9];

/// Features loaded at a time to see whether they pass the filter.
const CHUNK: usize = 1_000;

impl Map {
    /// A page of what is held here. What stays as it is comes once, whatever arrives between two pages.
    ///
    /// # Errors
    /// [`ReadError::View`] if the cursor is none of this question.
    pub async fn find(&self, query: &MapQuery) -> Result<Page, ReadError> {
        let query = query.clone();
        self.run(move |parts| parts.find(&query)).await?
    }

    /// Asks the known peers for what [`Map::find`] needs. For the largest with a limit it asks from the highest level
    /// down until there are as many, and leaves the rest with the peers; then the answer is complete as far as it goes.
    pub async fn ask_find(&self, query: &MapQuery) -> Result<Asked, ReadError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        let limit = query.limit.filter(|_| query.order == Order::LargestFirst);
        let steps = STEPS.into_iter().filter(|level| limit.is_some() && *level > query.level);
        for level in steps.chain([query.level]) {
            neighbours.ask(ask::MAP, Selector::from_level(&query.extent, level)).await?;
            let page = self.find(&MapQuery { level, ..query.clone() }).await?;
            if limit.is_some_and(|limit| page.hits.len() >= limit) {
                break;
            }
        }
        neighbours.finish().await
    }
}

impl Parts {
    fn find(&self, query: &MapQuery) -> Result<Page, ReadError> {
        self.map.ready()?;
        let (level, order) = (query.level, query.order);
        let all = query.filter == Filter::default();
        let mut page = Page::default();
        let mut after = query.after.clone();
        loop {
            let left = query.limit.map(|limit| limit - page.hits.len());
            let limit = if all { left } else { Some(CHUNK) };
            let part = Query { level, limit, after: after.clone(), order, bare: false };
            let answer = self.map.read(|index| index.query(&query.extent, &part))??;
            let passing = self.passing(answer.hits, &query.filter, left)?;
            page.hits.extend(passing.hits);
            after = match passing.looked_at {
                // Enough of a part: the answer to just so many says where they end.
                Some(count) => {
                    let part = Query { limit: Some(count), ..part };
                    self.map.read(|index| index.query(&query.extent, &part))??.next
                }
                None => answer.next,
            };
            let enough = query.limit.is_some_and(|limit| page.hits.len() >= limit);
            if enough || after.is_none() {
                page.next = after;
                return Ok(page);
            }
        }
    }

    /// Those of `hits` that pass, the first `most` of them.
    fn passing(
        &self,
        hits: Vec<kappadb_view_geo::Hit>,
        filter: &Filter,
        most: Option<usize>,
    ) -> Result<Passing, ReadError> {
        let (mut passing, total) = (Passing::default(), hits.len());
        for (hit, count) in hits.into_iter().map(Hit::from).zip(1..) {
            let passes = *filter == Filter::default() || {
                let features = self.load_feature(&hit)?.versions.into_iter();
                features.filter_map(|version| version.feature).any(|feature| filter.matches(&feature))
            };
            if passes {
                passing.hits.push(hit);
                if most.is_some_and(|most| passing.hits.len() >= most) && count < total {
                    passing.looked_at = Some(count);
                    break;
                }
            }
        }
        Ok(passing)
    }
}

/// What passed of a part of an answer.
#[derive(Default)]
struct Passing {
    hits: Vec<Hit>,
    /// How many were looked at, if not all.
    looked_at: Option<usize>,
}
