//! Asking peers for what a change touches, before it is applied (`design/map.md`, "A replica that holds a part").

use crate::engine;
use crate::error::ReadError;
use crate::network::ask::MAP;
use crate::network::{Answer, Neighbours, Read};
use crate::views::map::{Hit, Map, MapParts, join_referrers};
use futures::future::BoxFuture;
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{Body, Element, ElementKind, Feature, Shape};
use kappadb_query::Selector;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

/// Relations within the relations of a chunk that are asked for, at most.
const MAX_NESTED: usize = 4_096;

/// What a part of a change touches.
#[derive(Debug, Default)]
pub(in crate::views::map) struct Touched {
    /// Elements and features that it speaks of.
    pub count: u64,
    /// Their ids, and those of nodes that it may move.
    pub own: BTreeSet<String>,
    /// The nodes of its ways, apart from these.
    pub path: BTreeSet<String>,
    /// What its relations refer to.
    pub members: BTreeSet<String>,
}

impl Map {
    /// What a [`Map::put`] of this feature touches, as far as it is there: the feature, and what it is made of. Peers are asked for all that it has to
    /// be compared with, so it is the question to put before it where not everything is held.
    pub fn touched_by_put(&self, feature: &Feature) -> Read<Answer<Hit>> {
        let mut touched =
            Touched { count: 1, own: BTreeSet::from([feature.id.clone()]), ..Touched::default() };
        let Ok(()) = touched.take_parts(&feature.body, &mut |_| Ok::<_, Infallible>(true));
        self.touched(touched)
    }

    /// The same for a [`Map::delete`], or a [`Map::attach`].
    pub fn touched_by_delete(&self, id: &str) -> Read<Answer<Hit>> {
        self.touched(Touched { count: 1, own: BTreeSet::from([id.to_owned()]), ..Touched::default() })
    }

    fn touched(&self, touched: Touched) -> Read<Answer<Hit>> {
        let Touched { own, path, members, .. } = &touched;
        let ids: BTreeSet<String> = own.iter().chain(path).chain(members).cloned().collect();
        Read::new(&self.parts, ask_touched(self.parts.clone(), touched), move |parts| {
            let hits = ids.iter().map(|id| parts.feature(id)).collect::<Result<Vec<_>, _>>()?;
            Ok(Answer::of(hits.into_iter().flatten()))
        })
    }
}

fn ask_touched(
    parts: Arc<MapParts>,
    touched: Touched,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    move |neighbours| Box::pin(async move { Asking::of(parts, neighbours).ask(touched).await })
}

impl Touched {
    /// What an element is made of. `is_said` tells of which nodes something else is said.
    pub fn take_parts<E>(
        &mut self,
        body: &Body,
        is_said: &mut dyn FnMut(i64) -> Result<bool, E>,
    ) -> Result<(), E> {
        match body {
            Body::Osm(Element { shape: Shape::Way(nodes), .. }) => {
                for node in nodes {
                    let ids = if is_said(node.id)? { &mut self.own } else { &mut self.path };
                    ids.insert(osm(ElementKind::Node, node.id));
                }
            }
            Body::Osm(Element { shape: Shape::Relation { members, .. }, .. }) => {
                self.members.extend(members.iter().map(|member| osm(member.kind, member.id)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Questions for what a change touches.
pub(in crate::views::map) struct Asking<'a> {
    parts: Arc<MapParts>,
    neighbours: &'a mut Neighbours,
    pub touched: u64,
    pub unknown: u64,
}

impl<'a> Asking<'a> {
    pub fn of(parts: Arc<MapParts>, neighbours: &'a mut Neighbours) -> Self {
        // What holds for a few ids says little of later questions.
        neighbours.remember_nothing();
        Asking { parts, neighbours, touched: 0, unknown: 0 }
    }

    pub async fn ask(&mut self, touched: Touched) -> Result<(), ReadError> {
        self.touched += touched.count;
        let (count, before) = (touched.count, self.neighbours.incomplete());
        if self.neighbours.is_open() {
            self.ask_all(touched).await?;
            self.neighbours.settle().await?;
        } else {
            // Nobody is left to ask: what was known of everything before is all that there is.
            self.neighbours.ask(MAP, Selector::Everything).await?;
            self.neighbours.want_no_contents();
        }
        self.unknown += if self.neighbours.incomplete() > before { count } else { 0 };
        Ok(())
    }

    async fn ask_all(
        &mut self,
        Touched { own, mut path, mut members, .. }: Touched,
    ) -> Result<(), ReadError> {
        // Also what was replaced: who says that again has no news.
        self.neighbours.ask_in_parts(MAP, keys(&own), Selector::Versions).await?;
        for id in self.parts_of(own.clone()).await? {
            let is_node = parse_osm(&id).is_some_and(|(kind, _)| kind == ElementKind::Node);
            if is_node {
                path.insert(id)
            } else {
                members.insert(id)
            };
        }
        let others = path.union(&members).filter(|id| !own.contains(*id)).cloned().collect();
        self.ask_with_members(others).await?;
        let path = path.difference(&own).cloned().collect();
        join_referrers(&self.parts, self.neighbours, path).await?;
        self.ask_above(own).await
    }

    /// Elements, and what is in the relations among them, at every level.
    async fn ask_with_members(&mut self, ids: BTreeSet<String>) -> Result<(), ReadError> {
        let most = ids.len().saturating_add(MAX_NESTED);
        let (mut seen, mut wanted) = (BTreeSet::new(), ids);
        while !wanted.is_empty() && seen.len() < most {
            self.neighbours.ask_in_parts(MAP, keys(&wanted), Selector::Keys).await?;
            let relations = wanted.iter().filter(|id| is_relation(id)).cloned().collect();
            seen.append(&mut wanted);
            wanted = self.parts_of(relations).await?;
            wanted.retain(|id| !seen.contains(id));
        }
        Ok(())
    }

    /// What refers to these, and the relations above that, at every level.
    async fn ask_above(&mut self, ids: BTreeSet<String>) -> Result<(), ReadError> {
        let (mut seen, mut wanted) = (ids.clone(), ids);
        while !wanted.is_empty() {
            let found = join_referrers(&self.parts, self.neighbours, wanted.into_iter().collect()).await?;
            wanted = found.into_iter().map(|hit| hit.id).filter(|id| seen.insert(id.clone())).collect();
        }
        Ok(())
    }

    /// What these refer to, as they are held here.
    async fn parts_of(&self, ids: BTreeSet<String>) -> Result<BTreeSet<String>, ReadError> {
        engine::run(&self.parts, move |parts| parts_of(parts, &ids)).await?
    }
}

fn keys(ids: &BTreeSet<String>) -> BTreeSet<Vec<u8>> {
    ids.iter().map(|id| id.as_bytes().to_vec()).collect()
}

fn is_relation(id: &str) -> bool {
    parse_osm(id).is_some_and(|(kind, _)| kind == ElementKind::Relation)
}

fn parts_of(parts: &MapParts, ids: &BTreeSet<String>) -> Result<BTreeSet<String>, ReadError> {
    parts.map.ready()?;
    let mut all = BTreeSet::new();
    for id in ids {
        if let Some(hit) = parts.feature(id)? {
            all.append(&mut parts.refs_of(&hit.heads)?);
        }
    }
    Ok(all)
}
