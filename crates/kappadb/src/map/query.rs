//! A box asked in detail: from which size on, how many, in which order, page by page.

use super::{Hit, Map};
use crate::ask::{self, Asked, Neighbours};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_core::Extent;
use kappadb_geo::Filter;
use kappadb_query::Selector;
use kappadb_view::ViewError;
use kappadb_view_geo::{Cursor, Order, Query};
use std::collections::BTreeMap;

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

    /// The same for the index, `limit` features at most.
    fn part(&self, limit: Option<usize>) -> Query {
        Query { level: self.level, limit, after: self.after.clone(), order: self.order, bare: false }
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
        match query.order {
            _ if query.filter == Filter::default() => self.find_all(query),
            Order::ById => self.find_by_id(query),
            Order::LargestFirst => self.find_largest(query),
        }
    }

    fn find_all(&self, query: &MapQuery) -> Result<Page, ReadError> {
        let answer = self.map.read(|index| index.query(&query.extent, &query.part(query.limit)))??;
        Ok(Page { hits: answer.hits.into_iter().map(Hit::from).collect(), next: answer.next })
    }

    /// Goes through the box once, in the order in which it lies, and keeps the first by their ids of those that pass.
    fn find_by_id(&self, query: &MapQuery) -> Result<Page, ReadError> {
        let after = query.part(None).after_id().map_err(ViewError::from)?.map(str::to_owned);
        let most = query.limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
        let (mut passing, mut place) = (BTreeMap::<String, Hit>::new(), None);
        loop {
            let part = Query { order: Order::LargestFirst, after: place, ..query.part(Some(CHUNK)) };
            let answer = self.map.read(|index| index.query(&query.extent, &part))??;
            for hit in answer.hits.into_iter().map(Hit::from) {
                let is_full = passing.len() >= most;
                let is_late = is_full && passing.last_key_value().is_some_and(|(last, _)| *last <= hit.id);
                if is_late
                    || after.as_ref().is_some_and(|after| hit.id <= *after)
                    || !self.passes(&hit, query)?
                {
                    continue;
                }
                passing.insert(hit.id.clone(), hit);
                if passing.len() > most {
                    passing.pop_last();
                }
            }
            place = answer.next;
            if place.is_none() {
                break;
            }
        }
        let more = query.limit.filter(|limit| passing.len() > *limit);
        let hits: Vec<Hit> = passing.into_values().take(more.unwrap_or(usize::MAX)).collect();
        let next = more.and_then(|_| {
            let last = hits.last().map(|last| Cursor::after_id(last.id.clone()));
            last.or_else(|| query.after.clone())
        });
        Ok(Page { hits, next })
    }

    fn find_largest(&self, query: &MapQuery) -> Result<Page, ReadError> {
        let (mut page, mut after) = (Page::default(), query.after.clone());
        loop {
            let left = query.limit.map(|limit| limit - page.hits.len());
            let part = Query { after: after.clone(), ..query.part(Some(CHUNK)) };
            let answer = self.map.read(|index| index.query(&query.extent, &part))??;
            let passing = self.passing(answer.hits, query, left)?;
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

    fn passes(&self, hit: &Hit, query: &MapQuery) -> Result<bool, ReadError> {
        let features = self.load_feature(hit)?.versions.into_iter();
        Ok(features.filter_map(|version| version.feature).any(|feature| query.filter.matches(&feature)))
    }

    /// Those of `hits` that pass, the first `most` of them.
    fn passing(
        &self,
        hits: Vec<kappadb_view_geo::Hit>,
        query: &MapQuery,
        most: Option<usize>,
    ) -> Result<Passing, ReadError> {
        let (mut passing, total) = (Passing::default(), hits.len());
        for (hit, count) in hits.into_iter().map(Hit::from).zip(1..) {
            if self.passes(&hit, query)? {
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
