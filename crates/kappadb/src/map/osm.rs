//! A box as OpenStreetMap's API 0.6 answers it (`GET /api/0.6/map`): a join of boxes, keys and referrers.

use super::{Hit, Map};
use crate::ask::{self, Asked, Neighbours};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_core::Extent;
use kappadb_geo::ElementKind;
use kappadb_geo::id::parse_osm;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet};

/// What belongs to a box by the rule of the API: the nodes inside, the ways that have one of them, all nodes of these
/// ways, and the relations that refer to any of these nodes or ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsmAnswer {
    /// Nodes inside, and those that ways lead to. In the order of their ids, as the others.
    pub nodes: Vec<Hit>,
    /// Ways with at least one node inside.
    pub ways: Vec<Hit>,
    /// Relations that refer to a node or way of this answer. Relations of relations do not belong to it.
    pub relations: Vec<Hit>,
    /// Nodes of the ways that are not held here, or were deleted.
    pub missing: Vec<String>,
}

impl OsmAnswer {
    /// All elements: nodes, then ways, then relations.
    pub fn into_hits(self) -> Vec<Hit> {
        [self.nodes, self.ways, self.relations].concat()
    }
}

impl Map {
    /// What belongs to a box by the rule of OpenStreetMap's API 0.6, from what is held here.
    pub async fn osm_query(&self, extent: &Extent) -> Result<OsmAnswer, ReadError> {
        let extent = extent.clone();
        self.run(move |parts| parts.osm_answer(&extent)).await?
    }

    /// Asks the known peers for what belongs to a box by that rule. After that [`Map::osm_query`] answers as the peers'
    /// and this replica's union would: of each element of the answer that lies outside the box, too, all heads are known.
    pub async fn osm_ask(&self, extent: &Extent) -> Result<Asked, ReadError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        neighbours.ask(ask::MAP, Selector::from(extent)).await?;
        let within = extent.clone();
        let inside = self.run(move |parts| parts.nodes_inside(&within)).await??;
        let inside: Vec<String> = inside.into_keys().collect();
        let ways = self.join_referrers(&mut neighbours, inside.clone()).await?;
        let ways: Vec<Hit> = ways.into_iter().filter(|hit| is(&hit.id, ElementKind::Way)).collect();
        let of_ways: BTreeSet<String> = {
            let ways = ways.clone();
            self.run(move |parts| parts.nodes_of(&ways)).await??
        };
        let keys = of_ways.iter().map(|id| id.clone().into_bytes()).collect();
        neighbours.ask_in_parts(ask::MAP, keys, Selector::Keys).await?;
        let all = inside.into_iter().chain(of_ways).chain(ways.into_iter().map(|way| way.id)).collect();
        self.join_referrers(&mut neighbours, all).await?;
        Ok(neighbours.finish().await)
    }
}

fn is(id: &str, kind: ElementKind) -> bool {
    parse_osm(id).is_some_and(|(found, _)| found == kind)
}

impl Parts {
    fn osm_answer(&self, extent: &Extent) -> Result<OsmAnswer, ReadError> {
        let mut nodes = self.nodes_inside(extent)?;
        let mut ways = self.referrers(nodes.keys().cloned().collect())?;
        ways.retain(|hit| is(&hit.id, ElementKind::Way));
        let mut missing = Vec::new();
        for id in self.nodes_of(&ways)? {
            match self.feature(&id)? {
                Some(node) => drop(nodes.insert(id, node)),
                None => missing.push(id),
            }
        }
        let all = nodes.keys().cloned().chain(ways.iter().map(|way| way.id.clone())).collect();
        let mut relations = self.referrers(all)?;
        relations.retain(|hit| is(&hit.id, ElementKind::Relation));
        Ok(OsmAnswer { nodes: nodes.into_values().collect(), ways, relations, missing })
    }

    fn nodes_inside(&self, extent: &Extent) -> Result<BTreeMap<String, Hit>, ReadError> {
        let hits = self.in_box(extent, None)?.into_iter().filter(|hit| is(&hit.id, ElementKind::Node));
        Ok(hits.map(|hit| (hit.id.clone(), hit)).collect())
    }

    fn nodes_of(&self, ways: &[Hit]) -> Result<BTreeSet<String>, ReadError> {
        let mut nodes = BTreeSet::new();
        for way in ways {
            nodes.append(&mut self.refs_of(&way.heads)?);
        }
        Ok(nodes)
    }
}
