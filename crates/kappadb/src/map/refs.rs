//! What refers to a feature, and what a feature is made of.

use super::{Hit, Map};
use crate::ask::{self, Asked, Neighbours};
use crate::database::Parts;
use crate::error::ReadError;
use crate::write;
use kappadb_core::EntryId;
use kappadb_geo::id::osm;
use kappadb_geo::{Body, Element, ElementKind, Expansion, Shape, expand};
use kappadb_query::Selector;
use std::collections::BTreeSet;

/// A feature and what it is made of, with what that is made of, and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The feature first, then what it refers to, the nearest first; each once, so a relation that contains itself, by
    /// whatever way, does no harm.
    pub found: Vec<Hit>,
    /// The ids of what is referred to and not held here. Nodes that only ways have are said by these.
    pub missing: Vec<String>,
    /// The ids of what is referred to and was deleted.
    pub gone: Vec<String>,
}

impl Map {
    /// The features of which a current version refers to one of `ids`: ways to their nodes, relations to their members.
    /// From what is held here, in the order of their ids. A hit's heads are those that refer.
    pub async fn referrers(&self, ids: &[String]) -> Result<Vec<Hit>, ReadError> {
        let ids = ids.to_vec();
        self.run(move |parts| parts.referrers(ids)).await?
    }

    /// Asks the known peers what refers to `ids`. After that [`Map::referrers`] answers as the peers' and this replica's
    /// union would.
    pub async fn ask_referrers(&self, ids: &[String]) -> Result<Asked, ReadError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        self.join_referrers(&mut neighbours, ids.to_vec()).await?;
        neighbours.finish().await
    }

    /// Who refers to `ids`, as the union of all that take part says: then the referrers' own current versions are known.
    pub(crate) async fn join_referrers(
        &self,
        neighbours: &mut Neighbours,
        ids: Vec<String>,
    ) -> Result<Vec<Hit>, ReadError> {
        neighbours.ask_in_parts(ask::MAP, keys(&ids), Selector::Referrers).await?;
        // What is taken for a referrer here may have been replaced by a version that refers to something else.
        let wanted = ids.clone();
        let candidates = self.run(move |parts| parts.referrers(wanted)).await??;
        let candidates = candidates.into_iter().map(|hit| hit.id.into_bytes()).collect();
        neighbours.ask_in_parts(ask::MAP, candidates, Selector::Keys).await?;
        self.run(move |parts| parts.referrers(ids)).await?
    }

    /// A feature and all that it is made of, from what is held here. Nothing found if it is not there.
    pub async fn expand(&self, id: &str) -> Result<Expanded, ReadError> {
        let id = id.to_owned();
        self.run(move |parts| parts.expand(id)).await?
    }

    /// Asks the known peers for a feature and all that it is made of.
    pub async fn ask_expand(&self, id: &str) -> Result<Asked, ReadError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut wanted: Vec<String> = vec![id.to_owned()];
        while !wanted.is_empty() {
            neighbours.ask_in_parts(ask::MAP, keys(&wanted), Selector::Keys).await?;
            known.append(&mut wanted.into_iter().collect());
            let from = id.to_owned();
            let Expansion { found, missing, .. } = self.run(move |parts| parts.reach(from)).await??;
            let all = found.into_iter().map(|hit| hit.id).chain(missing);
            wanted = all.filter(|id| !known.contains(id)).collect();
        }
        neighbours.finish().await
    }
}

fn keys(ids: &[String]) -> BTreeSet<Vec<u8>> {
    ids.iter().map(|id| id.as_bytes().to_vec()).collect()
}

impl Parts {
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

    fn expand(&self, id: String) -> Result<Expanded, ReadError> {
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
        let nodes = self.bodies(hit)?.into_iter().filter_map(|body| match body {
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
            let is_known = !write::active(&self.map, id.as_bytes())?.is_empty();
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
