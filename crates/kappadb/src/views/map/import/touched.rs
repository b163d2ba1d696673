//! Asking peers for what a change touches, before it is applied (`design/map.md`, "A replica that holds a part").

use super::ImportFile;
use crate::engine;
use crate::error::{ImportError, ReadError};
use crate::network::ask::MAP;
use crate::network::{Answer, Asked, Neighbours, Read};
use crate::views::map::{Hit, Map, MapParts, join_referrers};
use futures::future::BoxFuture;
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{Body, Element, ElementKind, Feature, Shape};
use kappadb_import::{Import, Item};
use kappadb_query::Selector;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Ids that are asked for at once, about: what bounds memory.
const CHUNK: usize = 1_000;
/// Relations within the relations of a chunk that are asked for, at most.
const MAX_NESTED: usize = 4_096;

/// What came of asking for what a file touches.
#[derive(Debug)]
#[non_exhaustive]
pub struct TouchedByImport {
    /// What came of it in all.
    pub asked: Asked,
    /// Elements and features that the file speaks of.
    pub touched: u64,
    /// Of these, how many there are of which peers may know what is not known here.
    pub unknown: u64,
}

/// What a part of a change touches.
#[derive(Debug, Default)]
struct Touched {
    /// Elements and features that it speaks of.
    count: u64,
    /// Their ids, and those of nodes that it may move.
    own: BTreeSet<String>,
    /// The nodes of its ways, apart from these.
    path: BTreeSet<String>,
    /// What its relations refer to.
    members: BTreeSet<String>,
}

impl Map {
    /// Asks the known peers for what a file touches, some at a time, so that [`Map::apply_import`] can compare it with all that is known: every version of
    /// what it speaks of; where the nodes of its ways are; the ways that have these nodes, the relations above, and what its relations are made
    /// of. A replica without peers asks nothing.
    pub async fn touched_by_import(
        &self,
        mut file: ImportFile,
    ) -> Result<(ImportFile, TouchedByImport), ImportError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        if self.parts.peers.is_empty() {
            let asked = neighbours.finish().await?;
            return Ok((file, TouchedByImport { asked, touched: 0, unknown: 0 }));
        }
        let (send, mut chunks) = mpsc::channel(1);
        let reading = self.run(move |parts| {
            let total = file.import.len();
            let read = each_chunk(&mut file.import, &mut |chunk, done| {
                parts.progress("asking", done, total);
                // Nobody takes it any more if asking failed, which is told then.
                drop(send.blocking_send(chunk));
            });
            parts.progress("asking", total, total);
            read.map(|()| file)
        });
        let parts = self.parts.clone();
        let asked = async move {
            let mut asking = Asking::of(parts, &mut neighbours);
            while let Some(chunk) = chunks.recv().await {
                asking.ask(chunk).await?;
            }
            let Asking { touched, unknown, .. } = asking;
            Ok::<_, ReadError>(TouchedByImport { asked: neighbours.finish().await?, touched, unknown })
        };
        let (read, asked) = tokio::join!(reading, asked);
        Ok((read??, asked?))
    }

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

/// Gives what a file touches, some at a time, with how many items are done.
fn each_chunk(file: &mut Import, each: &mut dyn FnMut(Touched, u64)) -> Result<(), ImportError> {
    let (mut touched, mut next) = (Touched::default(), 0);
    loop {
        let items = file.items_from(next, |_, _| true)?.take(CHUNK).collect::<Result<Vec<_>, _>>()?;
        let Some((last, _)) = items.last() else { break };
        for (_, item) in &items {
            touched.take(item, file)?;
            if touched.is_full() {
                each(std::mem::take(&mut touched), next as u64);
            }
        }
        next = last + 1;
    }
    let done = next as u64;
    file.each_bare::<ImportError>(&mut |said| {
        touched.count += u64::from(!said.of_way);
        touched.own.insert(osm(ElementKind::Node, said.node.id));
        if touched.is_full() {
            each(std::mem::take(&mut touched), done);
        }
        Ok(())
    })?;
    each(touched, done);
    Ok(())
}

impl Touched {
    fn is_full(&self) -> bool {
        self.own.len() + self.path.len() + self.members.len() >= CHUNK
    }

    fn take(&mut self, item: &Item, file: &mut Import) -> Result<(), ImportError> {
        self.count += 1;
        self.own.insert(item.id().to_owned());
        match item {
            Item::Put { feature, .. } => {
                self.take_parts(&feature.body, &mut |node| Ok::<_, ImportError>(file.said(node)?.is_some()))
            }
            Item::Delete { .. } => Ok(()),
        }
    }

    /// What an element is made of. `is_said` tells of which nodes something else is said.
    fn take_parts<E>(
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
struct Asking<'a> {
    parts: Arc<MapParts>,
    neighbours: &'a mut Neighbours,
    touched: u64,
    unknown: u64,
}

impl<'a> Asking<'a> {
    fn of(parts: Arc<MapParts>, neighbours: &'a mut Neighbours) -> Self {
        // What holds for a few ids says little of later questions.
        neighbours.remember_nothing();
        Asking { parts, neighbours, touched: 0, unknown: 0 }
    }

    async fn ask(&mut self, touched: Touched) -> Result<(), ReadError> {
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
