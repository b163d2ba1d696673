//! A box asked in detail: from which size on, how many, in which order, page by page.

use super::load::may_pass;
use super::{Found, Hit};
use crate::engine;
use crate::engine::held::portions;
use crate::error::ReadError;
use crate::network::ask::MAP;
use crate::network::{Answer, GoesOn, Neighbours};
use crate::views::map::MapParts;
use futures::future::BoxFuture;
use kappadb_core::{EntryId, Extent, StoredBlock};
use kappadb_entry::decode_block;
use kappadb_geo::Filter;
use kappadb_query::Selector;
use kappadb_view::ViewError;
use kappadb_view_geo::{Cursor, Order, Query};
use std::collections::BTreeMap;
use std::sync::Arc;

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

impl GoesOn for Cursor {
    fn bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

/// Levels at which a question for the largest goes on from those above: few questions where much is large, and not far
/// too much fetched where nearly all is small.
const STEPS: [u8; 13] = [32, 28, 24, 21, 18, 16, 15, 14, 13, 12, 11, 10, 9];

/// Features loaded at a time to see whether they pass the filter.
const CHUNK: usize = 1_000;

pub(super) fn ask_find(
    parts: Arc<MapParts>,
    query: MapQuery,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    move |neighbours| {
        Box::pin(async move {
            let limit = query.limit.filter(|_| query.order == Order::LargestFirst);
            let steps = STEPS.into_iter().filter(|level| limit.is_some() && *level > query.level);
            for level in steps.chain([query.level]) {
                neighbours.ask(MAP, Selector::from_level(&query.extent, level)).await?;
                let Some(limit) = limit else { continue };
                let above = MapQuery { level, ..query.clone() };
                let found = engine::run(&parts, move |parts| parts.find(&above)).await??;
                if found.items.len() >= limit {
                    break;
                }
            }
            Ok(())
        })
    }
}

impl MapParts {
    pub(super) fn find(&self, query: &MapQuery) -> Result<Answer<Hit, Cursor>, ReadError> {
        self.map.ready()?;
        match query.order {
            _ if query.filter == Filter::default() => self.find_all(query),
            Order::ById => self.find_by_id(query),
            Order::LargestFirst => self.find_largest(query),
        }
    }

    fn find_all(&self, query: &MapQuery) -> Result<Answer<Hit, Cursor>, ReadError> {
        let answer = self.map.read(|index| index.query(&query.extent, &query.part(query.limit)))??;
        Ok(Answer::page(answer.hits.into_iter().map(Hit::from).collect(), answer.next))
    }

    /// Goes through what is in the box once, in the order in which it was written, and keeps the first by their ids of those that pass.
    fn find_by_id(&self, query: &MapQuery) -> Result<Answer<Hit, Cursor>, ReadError> {
        let after = query.part(None).after_id().map_err(ViewError::from)?.map(str::to_owned);
        let mut first = First::new(query.limit, after);
        let inside = self.map.read(|index| index.inside(&query.extent, query.level))??;
        for (feed, seqs) in &inside.alone {
            for seqs in portions(seqs, CHUNK) {
                for (seq, block) in self.blocks_of(feed, &seqs)? {
                    let id = EntryId { feed: *feed, seq };
                    first.extend(self.alone_if_passes(id, &block, &query.filter)?);
                }
            }
        }
        let several: Vec<Hit> = inside.several.into_iter().map(Hit::from).collect();
        self.load_matching::<ReadError>(&several, &query.filter, &mut |hit, found| {
            first.extend(passes(&found, &query.filter).then(|| hit.clone()));
            Ok(())
        })?;
        let (hits, more) = first.finish();
        let last = hits.last().map(|last| Cursor::after_id(last.id.clone()));
        Ok(Answer::page(hits, if more { last.or_else(|| query.after.clone()) } else { None }))
    }

    /// The feature of which this entry is all that there is to show, if it passes.
    fn alone_if_passes(
        &self,
        id: EntryId,
        block: &StoredBlock,
        filter: &Filter,
    ) -> Result<Option<Hit>, ReadError> {
        if !may_pass(block, filter) {
            return Ok(None);
        }
        let Ok(entry) = decode_block(block) else { return Ok(None) };
        let key = entry.header.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key else { return Ok(None) };
        let edition = self.edition(key, id, &entry)?;
        let passes = edition.feature.is_some_and(|feature| filter.matches(&feature));
        Ok(passes.then(|| Hit { id: key.to_owned(), heads: vec![id], elsewhere: Vec::new() }))
    }

    fn find_largest(&self, query: &MapQuery) -> Result<Answer<Hit, Cursor>, ReadError> {
        let (mut hits, mut after) = (Vec::new(), query.after.clone());
        loop {
            let left = query.limit.map(|limit| limit - hits.len());
            let part = Query { after: after.clone(), ..query.part(Some(CHUNK)) };
            let answer = self.map.read(|index| index.query(&query.extent, &part))??;
            let passing = self.passing(answer.hits, query, left)?;
            hits.extend(passing.hits);
            after = match passing.looked_at {
                // Enough of a part: the answer to just so many says where they end.
                Some(count) => {
                    let part = Query { limit: Some(count), ..part };
                    self.map.read(|index| index.query(&query.extent, &part))??.next
                }
                None => answer.next,
            };
            let enough = query.limit.is_some_and(|limit| hits.len() >= limit);
            if enough || after.is_none() {
                return Ok(Answer::page(hits, after));
            }
        }
    }

    /// Those of `hits` that pass, the first `most` of them.
    fn passing(
        &self,
        hits: Vec<kappadb_view_geo::Hit>,
        query: &MapQuery,
        most: Option<usize>,
    ) -> Result<Passing, ReadError> {
        let hits: Vec<Hit> = hits.into_iter().map(Hit::from).collect();
        let (mut passing, mut count, most) = (Passing::default(), 0, most.unwrap_or(usize::MAX));
        self.load_features::<ReadError>(&hits, &mut |hit, found| {
            count += 1;
            if passing.hits.len() < most && passes(&found, &query.filter) {
                passing.hits.push(hit.clone());
                passing.looked_at = (passing.hits.len() == most && count < hits.len()).then_some(count);
            }
            Ok(())
        })?;
        Ok(passing)
    }
}

fn passes(found: &Found, filter: &Filter) -> bool {
    let mut features = found.versions.iter().filter_map(|version| version.feature.as_ref());
    features.any(|feature| filter.matches(feature))
}

/// The first of what is found, by their ids.
struct First {
    hits: BTreeMap<String, Hit>,
    most: usize,
    after: Option<String>,
    more: bool,
}

impl First {
    fn new(limit: Option<usize>, after: Option<String>) -> First {
        First { hits: BTreeMap::new(), most: limit.unwrap_or(usize::MAX), after, more: false }
    }

    fn extend(&mut self, hits: impl IntoIterator<Item = Hit>) {
        for hit in hits {
            if self.after.as_ref().is_some_and(|after| hit.id <= *after) {
                continue;
            }
            self.hits.insert(hit.id.clone(), hit);
            if self.hits.len() > self.most {
                self.hits.pop_last();
                self.more = true;
            }
        }
    }

    /// What was found, and whether there is more.
    fn finish(self) -> (Vec<Hit>, bool) {
        (self.hits.into_values().collect(), self.more)
    }
}

/// What passed of a part of an answer.
#[derive(Default)]
struct Passing {
    hits: Vec<Hit>,
    /// How many were looked at, if not all.
    looked_at: Option<usize>,
}
