//! What refers to a feature, and what a feature is made of.

use super::{Hit, osm};
use crate::engine;
use crate::engine::keyed::active;
use crate::error::ReadError;
use crate::network::Neighbours;
use crate::network::ask::MAP;
use crate::views::map::MapParts;
use futures::future::BoxFuture;
use kappadb_core::EntryId;
use kappadb_geo::id::osm;
use kappadb_geo::{Body, Element, ElementKind, Expansion, Shape, expand};
use kappadb_query::Selector;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A feature and what it is made of, with what that is made of, and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Expanded {
    /// The feature first, then what it refers to, the nearest first; each once, so a relation that contains itself, by
    /// whatever way, does no harm.
    pub found: Vec<Hit>,
    /// The ids of what is referred to and not held here. Nodes that only ways have are said by these.
    pub missing: Vec<String>,
    /// The ids of what is referred to and was deleted.
    pub gone: Vec<String>,
}

/// Asks what refers to `ids`.
pub(crate) fn ask_referrers(
    parts: Arc<MapParts>,
    ids: Vec<String>,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    move |neighbours| Box::pin(async move { join_referrers(&parts, neighbours, ids).await.map(drop) })
}

/// Who refers to `ids`, as the union of all that take part says: then the referrers' own current versions are known.
pub(crate) async fn join_referrers(
    parts: &Arc<MapParts>,
    neighbours: &mut Neighbours,
    ids: Vec<String>,
) -> Result<Vec<Hit>, ReadError> {
    neighbours.ask_in_parts(MAP, keys(&ids), Selector::Referrers).await?;
    // What is taken for a referrer here may have been replaced by a version that refers to something else.
    let wanted = ids.clone();
    let candidates = engine::run(parts, move |parts| parts.referrers(wanted)).await??;
    let candidates = candidates.into_iter().map(|hit| hit.id.into_bytes()).collect();
    neighbours.ask_in_parts(MAP, candidates, Selector::Keys).await?;
    engine::run(parts, move |parts| parts.referrers(ids)).await?
}

pub(super) fn ask_expand(
    parts: Arc<MapParts>,
    id: String,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    move |neighbours| {
        Box::pin(async move {
            let mut known: BTreeSet<String> = BTreeSet::new();
            let mut wanted: Vec<String> = vec![id.clone()];
            while !wanted.is_empty() {
                neighbours.ask_in_parts(MAP, keys(&wanted), Selector::Keys).await?;
                known.append(&mut wanted.into_iter().collect());
                let from = id.clone();
                let reach = engine::run(&parts, move |parts| parts.reach(from)).await??;
                let Expansion { found, missing, .. } = reach;
                let all = found.into_iter().map(|hit| hit.id).chain(missing);
                wanted = all.filter(|id| !known.contains(id)).collect();
            }
            Ok(())
        })
    }
}

fn keys(ids: &[String]) -> BTreeSet<Vec<u8>> {
    ids.iter().map(|id| id.as_bytes().to_vec()).collect()
}

impl MapParts {
    pub(crate) fn referrers(&self, ids: Vec<String>) -> Result<Vec<Hit>, ReadError> {
        self.map.ready()?;
        let keys: Vec<Vec<u8>> = keys(&ids).into_iter().collect();
        let hits = self.map.read(|index| index.referrers(&keys))??;
        Ok(hits.into_iter().map(Hit::from).collect())
    }

    /// The ids that these entries refer to, ascending.
    pub(crate) fn refs_of(&self, entries: &[EntryId]) -> Result<BTreeSet<String>, ReadError> {
        let mut refs = BTreeSet::new();
        for &id in entries {
            let entry = self.entry(id)?;
            let keys = entry.map(|entry| entry.header.refs()).unwrap_or_default();
            refs.extend(keys.into_iter().filter_map(|key| String::from_utf8(key).ok()));
        }
        Ok(refs)
    }

    fn reach(&self, id: String) -> Result<Expansion<Hit>, ReadError> {
        expand([id], usize::MAX, |id| self.with_refs(id))
    }

    pub(super) fn expand(&self, id: String) -> Result<Expanded, ReadError> {
        let Expansion { found, missing, .. } = self.reach(id)?;
        let (gone, mut missing) = self.part_gone(missing)?;
        let mut known = BTreeSet::new();
        for hit in &found {
            known.extend(self.placed_nodes(hit)?);
        }
        missing.retain(|id| !known.contains(id));
        Ok(Expanded { found, missing, gone })
    }

    /// The nodes of a way of which it says where they are.
    fn placed_nodes(&self, hit: &Hit) -> Result<Vec<String>, ReadError> {
        if !hit.id.starts_with(ElementKind::Way.letter()) {
            return Ok(Vec::new());
        }
        let nodes = osm::bodies(self, hit)?.into_iter().filter_map(|body| match body {
            Body::Osm(Element { shape: Shape::Way(nodes), .. }) => Some(nodes),
            _ => None,
        });
        let placed = nodes.flatten().filter(|node| node.at.is_some());
        Ok(placed.map(|node| osm(ElementKind::Node, node.id)).collect())
    }

    /// Of features that are not there, those that were deleted, and those of which nothing is known.
    pub(crate) fn part_gone(&self, ids: Vec<String>) -> Result<(Vec<String>, Vec<String>), ReadError> {
        let (mut gone, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            let is_known = !active(&self.map, id.as_bytes())?.is_empty();
            if is_known { gone.push(id) } else { missing.push(id) }
        }
        Ok((gone, missing))
    }

    /// A feature, and what it refers to.
    fn with_refs(&self, id: &str) -> Result<Option<(Hit, Vec<String>)>, ReadError> {
        let Some(hit) = self.feature(id)? else { return Ok(None) };
        let refs = self.refs_of(&hit.heads)?.into_iter().collect();
        Ok(Some((hit, refs)))
    }
}
