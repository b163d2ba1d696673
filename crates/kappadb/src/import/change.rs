//! Change files of OpenStreetMap, applied to what is held.
//!
//! A change counts if what is held is of a lower OSM version, so a file may be applied again. A node without tags is no
//! feature by itself: it moves the ways that it is part of. What a file does not know of a way or a relation (where its
//! nodes and members are) is filled in from what is held. Relations are as large as the members that are known.

use super::append::Appender;
use super::{ImportReport, is_gone};
use crate::database::Parts;
use crate::error::{ReadError, WriteError};
use crate::map::Hit;
use kappadb_core::{Coord, Extent};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{
    Body, CODE_DELETE, Element, ElementKind, Feature, Member, Meta, Shape, WayNode, decode_delete,
    join_extents,
};
use kappadb_import::Item;
use std::collections::{BTreeMap, BTreeSet};

/// One batch of a change file; all of one sort.
pub(super) struct Changes<'a, 'b> {
    parts: &'a Parts,
    appender: &'b mut Appender<'a>,
    report: &'b mut ImportReport,
    /// What has another extent, or is new: relations that it is a member of may be larger or smaller now.
    moved: BTreeSet<String>,
}

/// What is held of an element.
struct Known {
    active: Vec<Version>,
    /// The greatest OSM version among its heads; 0 if they do not say.
    version: u32,
    /// What its winner, or else another head, says.
    element: Option<Element>,
}

impl Known {
    fn extent(&self) -> Extent {
        self.element.as_ref().map_or(Extent::NOWHERE, |element| Body::Osm(element.clone()).extent())
    }
}

impl<'a, 'b> Changes<'a, 'b> {
    pub fn new(appender: &'b mut Appender<'a>, report: &'b mut ImportReport) -> Self {
        Changes { parts: appender.parts(), appender, report, moved: BTreeSet::new() }
    }

    /// Applies the batch and makes it durable.
    pub fn apply(mut self, batch: Vec<Item>) -> Result<(), WriteError> {
        let mut nodes = BTreeMap::new();
        for item in batch {
            match item {
                Item::Delete { id, meta } => self.delete(&id, meta.as_ref())?,
                Item::Put(feature) => {
                    if let Some((number, at)) = self.put(feature)? {
                        nodes.insert(number, at);
                    }
                }
            }
        }
        self.move_ways(&nodes)?;
        self.appender.flush_and_index()?;
        self.resize_relations()?;
        self.appender.flush_and_index()
    }

    fn delete(&mut self, id: &str, meta: Option<&Meta>) -> Result<(), WriteError> {
        let known = self.parts.known(id)?;
        if is_gone(&known.active) {
            return Ok(());
        }
        if meta.is_some_and(|meta| meta.version != 0 && meta.version < known.version) {
            self.report.older += 1;
            return Ok(());
        }
        self.appender.append(CODE_DELETE, kappadb_geo::delete(id, meta)?, &known.active)
    }

    /// Returns where a node is now, unless it is out of date.
    fn put(&mut self, mut feature: Feature) -> Result<Option<(i64, Coord)>, WriteError> {
        let known = self.parts.known(&feature.id)?;
        let Body::Osm(element) = &mut feature.body else { return Ok(None) };
        let version = element.meta.as_ref().map_or(0, |meta| meta.version);
        if version != 0 && version <= known.version {
            self.report.older += 1;
            return Ok(None);
        }
        let mut node = None;
        match &mut element.shape {
            Shape::Node(at) => {
                node = parse_osm(&feature.id).map(|(_, number)| (number, *at));
                if element.tags.is_empty() && is_gone(&known.active) {
                    return Ok(node);
                }
            }
            Shape::Way(nodes) => self.parts.fill_in(nodes, &known)?,
            Shape::Relation { members, extent } => *extent = self.parts.around(members, extent)?,
        }
        self.store(feature, &known)?;
        Ok(node)
    }

    /// Takes a feature; counts it as skipped if it is nowhere.
    fn store(&mut self, feature: Feature, known: &Known) -> Result<(), WriteError> {
        let extent = feature.extent();
        if extent.boxes().is_empty() {
            self.report.skipped += 1;
            return Ok(());
        }
        if self.appender.put(&feature, &known.active)? && extent != known.extent() {
            self.moved.insert(feature.id);
        }
        Ok(())
    }

    /// Moves the nodes within the ways that are held.
    fn move_ways(&mut self, nodes: &BTreeMap<i64, Coord>) -> Result<(), WriteError> {
        let ids = nodes.keys().map(|number| osm(ElementKind::Node, *number)).collect();
        for Hit { id, .. } in self.parts.referrers(ids)? {
            let known = self.parts.known(&id)?;
            let Some(mut element) = known.element.clone() else { continue };
            let Shape::Way(corners) = &mut element.shape else { continue };
            for corner in corners {
                corner.at = nodes.get(&corner.id).copied().or(corner.at);
            }
            self.store(Feature { id, body: Body::Osm(element) }, &known)?;
        }
        Ok(())
    }

    /// Fits relations around members that have moved.
    fn resize_relations(&mut self) -> Result<(), WriteError> {
        let moved = std::mem::take(&mut self.moved);
        for Hit { id, .. } in self.parts.referrers(moved.into_iter().collect())? {
            let known = self.parts.known(&id)?;
            let Some(mut element) = known.element.clone() else { continue };
            let Shape::Relation { members, extent } = &mut element.shape else { continue };
            *extent = self.parts.around(members, extent)?;
            self.store(Feature { id, body: Body::Osm(element) }, &known)?;
        }
        Ok(())
    }
}

impl Parts {
    fn known(&self, id: &str) -> Result<Known, ReadError> {
        let active = self.active_now(id)?;
        let heads = rules::heads(&active);
        let winner = rules::winner(&heads, self.clock.now()).map(|head| head.id);
        let (mut version, mut element) = (0, None);
        for head in &heads {
            let (meta, found) = self.said(id, head)?;
            version = version.max(meta.map_or(0, |meta| meta.version));
            if element.is_none() || Some(head.id) == winner {
                element = found.or(element);
            }
        }
        Ok(Known { version, element, active })
    }

    /// Which OSM edit a version is, and what it says.
    fn said(&self, id: &str, version: &Version) -> Result<(Option<Meta>, Option<Element>), ReadError> {
        if version.kind.code == CODE_DELETE {
            let payload = self.entry(version.id)?.and_then(|entry| entry.payload);
            return Ok((payload.and_then(|payload| decode_delete(&payload).ok()?), None));
        }
        let feature = self.load_edition(id, version.id)?.and_then(|(_, edition)| edition.feature);
        Ok(match feature.map(|feature| feature.body) {
            Some(Body::Osm(element)) => (element.meta.clone(), Some(element)),
            _ => (None, None),
        })
    }

    /// Fills in where nodes are: from the way as it was, from nodes that are features, from other ways with the same node.
    fn fill_in(&self, nodes: &mut [WayNode], before: &Known) -> Result<(), ReadError> {
        let mut places = BTreeMap::new();
        if let Some(Element { shape: Shape::Way(nodes), .. }) = &before.element {
            places.extend(nodes.iter().filter_map(|node| Some((node.id, node.at?))));
        }
        for node in nodes.iter_mut().filter(|node| node.at.is_none()) {
            if !places.contains_key(&node.id) {
                places.extend(self.position(node.id)?.map(|at| (node.id, at)));
            }
            node.at = places.get(&node.id).copied();
        }
        Ok(())
    }

    fn position(&self, number: i64) -> Result<Option<Coord>, ReadError> {
        let id = osm(ElementKind::Node, number);
        if let Some(Element { shape: Shape::Node(at), .. }) = self.known(&id)?.element {
            return Ok(Some(at));
        }
        for Hit { id, .. } in self.referrers(vec![id])? {
            if let Some(Element { shape: Shape::Way(nodes), .. }) = self.known(&id)?.element
                && let Some(at) = nodes.iter().find_map(|node| node.at.filter(|_| node.id == number))
            {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The extent around the members that are held; with what was known before if there are others.
    fn around(&self, members: &[Member], before: &Extent) -> Result<Extent, ReadError> {
        let mut parts = Vec::new();
        let mut unknown = false;
        for member in members {
            let active = self.active_now(&osm(member.kind, member.id))?;
            let winner = rules::winner(&rules::heads(&active), self.clock.now()).cloned();
            match winner.map(|winner| winner.places).filter(|places| !places.is_empty()) {
                Some(places) => parts.extend(places.extents.iter().map(|b| Extent::from(*b))),
                None if member.at.is_some() => parts.push(Extent::of_path(member.at)),
                None => unknown = true,
            }
        }
        if unknown {
            parts.push(before.clone());
        }
        Ok(join_extents(&parts))
    }
}
