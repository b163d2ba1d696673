//! A box as OpenStreetMap's API 0.6 answers it (`GET /api/0.6/map`): a join of boxes, keys and referrers.

use super::Hit;
use super::refs::join_referrers;
use crate::engine;
use crate::error::ReadError;
use crate::network::Neighbours;
use crate::network::ask::MAP;
use crate::views::map::MapParts;
use futures::future::BoxFuture;
use kappadb_core::{Extent, GeoBox};
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{Body, Element, ElementKind, Shape, WayNode};
use kappadb_query::Selector;
use kappadb_view_geo::Query;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What belongs to a box by the rule of the API: the nodes inside, the ways that have one of them, all nodes of these
/// ways, the relations that refer to any of these nodes or ways, and the relations that refer to these relations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsmAnswer {
    /// Nodes that are features of their own, with tags or without: those inside, and those of the ways. In the order of
    /// their ids, as the others.
    pub nodes: Vec<Hit>,
    /// Nodes that only the ways know.
    pub vertices: Vec<WayNode>,
    /// Ways with at least one node inside.
    pub ways: Vec<Hit>,
    /// Relations that refer to a node or way of this answer, and those that refer to such a relation: one level, and no further.
    pub relations: Vec<Hit>,
    /// Nodes of the ways of which nothing here says where they are.
    pub missing: Vec<String>,
    /// Nodes of the ways that were deleted.
    pub gone: Vec<String>,
}

pub(super) fn ask_osm(
    parts: Arc<MapParts>,
    extent: Extent,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    move |neighbours| {
        Box::pin(async move {
            neighbours.ask(MAP, Selector::from(&extent)).await?;
            let inside = join(&parts, &extent, |join| Ok(join.inside.keys().cloned().collect())).await?;
            join_referrers(&parts, neighbours, inside).await?;
            // Also of ways that turn out not to belong to it: a node of theirs may have left the box, or come into it.
            let of_ways = join(&parts, &extent, |join| join.nodes_of_candidates()).await?;
            let keys = of_ways.into_iter().map(String::into_bytes).collect();
            neighbours.ask_in_parts(MAP, keys, Selector::Keys).await?;
            let members = join(&parts, &extent, |join| Ok(join.answer()?.members())).await?;
            let found = join_referrers(&parts, neighbours, members).await?;
            join_referrers(&parts, neighbours, relations(found).map(|hit| hit.id).collect()).await.map(drop)
        })
    }
}

/// What belongs to a box.
pub(super) fn answer(parts: &MapParts, extent: &Extent) -> Result<OsmAnswer, ReadError> {
    Join::new(parts, extent)?.answer()
}

/// Looks at the answer as far as it is known.
async fn join<T: Send + 'static>(
    parts: &Arc<MapParts>,
    extent: &Extent,
    look: impl FnOnce(Join<'_>) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let extent = extent.clone();
    engine::run(parts, move |parts| look(Join::new(parts, &extent)?)).await?
}

impl OsmAnswer {
    /// All features: nodes, then ways, then relations.
    pub fn into_hits(self) -> Vec<Hit> {
        [self.nodes, self.ways, self.relations].concat()
    }

    /// The nodes and ways, which relations may refer to.
    fn members(&self) -> Vec<String> {
        let vertices = self.vertices.iter().map(|node| osm(ElementKind::Node, node.id));
        let hits = self.nodes.iter().chain(&self.ways).map(|hit| hit.id.clone());
        hits.chain(vertices).chain(self.missing.iter().chain(&self.gone).cloned()).collect()
    }
}

/// An answer in the making.
struct Join<'a> {
    parts: &'a MapParts,
    extent: Extent,
    /// Node features in the box.
    inside: BTreeMap<String, Hit>,
    /// Ways that may have a node inside: they touch the box, or refer to a node feature that is inside.
    candidates: BTreeSet<String>,
}

impl<'a> Join<'a> {
    fn new(parts: &'a MapParts, extent: &Extent) -> Result<Join<'a>, ReadError> {
        let hits = parts.in_box(extent, Query { bare: true, ..Query::default() })?;
        let of = |kind| hits.iter().filter(move |hit| is(&hit.id, kind));
        let inside: BTreeMap<_, _> = of(ElementKind::Node).map(|hit| (hit.id.clone(), hit.clone())).collect();
        let mut candidates: BTreeSet<_> = of(ElementKind::Way).map(|hit| hit.id.clone()).collect();
        let referrers = parts.referrers(inside.keys().cloned().collect())?;
        candidates.extend(referrers.into_iter().map(|hit| hit.id).filter(|id| is(id, ElementKind::Way)));
        Ok(Join { parts, extent: extent.clone(), inside, candidates })
    }

    fn nodes_of_candidates(&self) -> Result<BTreeSet<String>, ReadError> {
        let mut nodes = BTreeSet::new();
        for id in &self.candidates {
            if let Some(way) = self.parts.feature(id)? {
                nodes.append(&mut self.parts.refs_of(&way.heads)?);
            }
        }
        Ok(nodes)
    }

    fn answer(self) -> Result<OsmAnswer, ReadError> {
        let Join { parts, extent, inside, candidates } = self;
        let is_inside =
            |node: &WayNode| node.at.is_some_and(|at| extent.intersects(&GeoBox::point(at).into()));
        let (mut nodes, mut vertices) = (inside, BTreeMap::new());
        let (mut ways, mut missing) = (Vec::new(), BTreeSet::new());
        for id in candidates {
            let Some(way) = parts.feature(&id)? else { continue };
            let corners = corners(parts, &way)?;
            if !corners.iter().any(|corner| corner.said.iter().any(is_inside)) {
                continue;
            }
            ways.push(way);
            for Corner { id, said, feature } in corners {
                match (feature, said.into_iter().next_back()) {
                    (Some(hit), _) => drop(nodes.insert(id, hit)),
                    (None, Some(node)) => drop(vertices.insert(node.id, node)),
                    (None, None) => drop(missing.insert(id)),
                }
            }
        }
        let (gone, missing) = parts.part_gone(missing.into_iter().collect())?;
        let mut answer = OsmAnswer {
            nodes: nodes.into_values().collect(),
            vertices: vertices.into_values().collect(),
            ways,
            relations: Vec::new(),
            missing,
            gone,
        };
        let own: Vec<Hit> = relations(parts.referrers(answer.members())?).collect();
        let above = parts.referrers(own.iter().map(|hit| hit.id.clone()).collect())?;
        // Of one that refers to both, the heads that refer to nodes and ways say more.
        let all = relations(above).chain(own).map(|hit| (hit.id.clone(), hit));
        answer.relations = all.collect::<BTreeMap<_, _>>().into_values().collect();
        Ok(answer)
    }
}

/// A node of a way.
struct Corner {
    id: String,
    /// Where it is: what the node's own versions say, or if it is no feature, the way; the greatest version last. Several if that is contested.
    said: Vec<WayNode>,
    feature: Option<Hit>,
}

/// The nodes of all current versions of a way, each once.
fn corners(parts: &MapParts, hit: &Hit) -> Result<Vec<Corner>, ReadError> {
    let mut places: BTreeMap<i64, Vec<WayNode>> = BTreeMap::new();
    for body in bodies(parts, hit)? {
        let Body::Osm(Element { shape: Shape::Way(nodes), .. }) = body else { continue };
        for node in nodes {
            let said = places.entry(node.id).or_default();
            said.extend(Some(node).filter(|node| node.at.is_some()));
        }
    }
    let corner = |(number, mut said): (i64, Vec<WayNode>)| {
        let id = osm(ElementKind::Node, number);
        let feature = parts.feature(&id)?;
        if let Some(hit) = &feature {
            let own = bodies(parts, hit)?.into_iter();
            said = own.filter_map(|body| WayNode::of(number, &body)).collect();
        }
        said.sort_by_key(|node| node.version);
        Ok(Corner { id, said, feature })
    };
    places.into_iter().map(corner).collect()
}

/// What the versions of a hit say, as far as they can be read.
pub(crate) fn bodies(parts: &MapParts, hit: &Hit) -> Result<Vec<Body>, ReadError> {
    let versions = parts.load_feature(hit)?.versions.into_iter();
    Ok(versions.filter_map(|version| version.feature).map(|feature| feature.body).collect())
}

fn relations(hits: Vec<Hit>) -> impl Iterator<Item = Hit> {
    hits.into_iter().filter(|hit| is(&hit.id, ElementKind::Relation))
}

fn is(id: &str, kind: ElementKind) -> bool {
    parse_osm(id).is_some_and(|(found, _)| found == kind)
}
