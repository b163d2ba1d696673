//! OSM XML: nodes, ways, relations, each by ascending numbers, so the numbers are gathered first.

use super::{CHUNK, ExportReport, Selection};
use crate::database::Parts;
use crate::error::{ExportError, ReadError};
use crate::map::Hit;
use kappadb_core::Coord;
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::osm_xml::{Writer, XmlError};
use kappadb_geo::{Body, Edit, Element, ElementKind, Shape, WayNode};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

/// The elements of a file.
#[derive(Default)]
struct Elements {
    nodes: Vec<i64>,
    ways: Vec<i64>,
    relations: Vec<i64>,
    vertices: Vertices,
    /// Nodes of ways that do not know where these are.
    unplaced: Vec<i64>,
}

impl Elements {
    fn of(&mut self, kind: ElementKind) -> &mut Vec<i64> {
        match kind {
            ElementKind::Node => &mut self.nodes,
            ElementKind::Way => &mut self.ways,
            ElementKind::Relation => &mut self.relations,
        }
    }

    fn sort(&mut self) {
        for numbers in [&mut self.nodes, &mut self.ways, &mut self.relations, &mut self.unplaced] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        self.vertices.sort();
    }

    fn count(&self) -> u64 {
        let own = self.nodes.len() + self.ways.len() + self.relations.len();
        (own + self.vertices.list.len()) as u64
    }
}

/// What ways say of their nodes.
#[derive(Default)]
struct Vertices {
    list: Vec<Vertex>,
    /// Each edit once.
    edits: Vec<Arc<Edit>>,
    numbers: HashMap<Arc<Edit>, u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Vertex {
    id: i64,
    /// Of several statements that with the greatest version counts.
    version: Reverse<u32>,
    at: Coord,
    edit: Option<u32>,
}

impl Vertices {
    fn push(&mut self, node: &WayNode, at: Coord) {
        let edit = node.edit.as_ref().map(|edit| self.number(edit));
        self.list.push(Vertex { id: node.id, version: Reverse(node.version), at, edit });
        // Neighbours share nodes: what is gathered must not grow with how often.
        if self.list.len() > 16 * CHUNK && self.list.len() == self.list.capacity() {
            self.sort();
        }
    }

    fn number(&mut self, edit: &Arc<Edit>) -> u32 {
        if let Some(number) = self.numbers.get(edit) {
            return *number;
        }
        let number = u32::try_from(self.edits.len()).unwrap_or(u32::MAX);
        self.edits.push(edit.clone());
        self.numbers.insert(edit.clone(), number);
        number
    }

    fn sort(&mut self) {
        self.list.sort_unstable();
        self.list.dedup_by_key(|vertex| vertex.id);
    }

    fn node(&self, vertex: &Vertex) -> WayNode {
        let edit = vertex.edit.and_then(|number| self.edits.get(usize::try_from(number).ok()?));
        WayNode { id: vertex.id, at: Some(vertex.at), version: vertex.version.0, edit: edit.cloned() }
    }

    fn find(&self, id: i64) -> Option<WayNode> {
        let at = self.list.binary_search_by_key(&id, |vertex| vertex.id).ok()?;
        self.list.get(at).map(|vertex| self.node(vertex))
    }
}

pub(super) fn export(parts: &Parts, what: Selection, out: impl Write) -> Result<ExportReport, ExportError> {
    let mut report = ExportReport::default();
    let elements = gather(parts, what, &mut report)?;
    let total = elements.count();
    let mut file = File { parts, writer: Writer::begin(out, None)?, report, total };
    file.nodes(&elements)?;
    file.elements(ElementKind::Way, &elements.ways)?;
    file.elements(ElementKind::Relation, &elements.relations)?;
    parts.progress("exporting", total, total);
    file.writer.finish()?;
    Ok(file.report)
}

/// The elements selected, and the nodes of the ways among them.
fn gather(parts: &Parts, what: Selection, report: &mut ExportReport) -> Result<Elements, ExportError> {
    let (mut elements, everything) = (Elements::default(), what == Selection::Everything);
    parts.each_chunk(what, &mut |hits| {
        for hit in hits {
            match parse_osm(&hit.id) {
                Some((kind, number)) => elements.of(kind).push(number),
                None => report.no_form += 1,
            }
            gather_nodes(parts, hit, &mut elements)?;
        }
        Ok(())
    })?;
    elements.sort();
    if !everything {
        add_features(parts, &mut elements)?;
    }
    let Elements { nodes, vertices, unplaced, .. } = &elements;
    let unknown =
        unplaced.iter().filter(|id| nodes.binary_search(id).is_err() && vertices.find(**id).is_none());
    report.missing = unknown.map(|number| osm(ElementKind::Node, *number)).collect();
    report.missing.sort_unstable();
    Ok(elements)
}

fn gather_nodes(parts: &Parts, hit: &Hit, elements: &mut Elements) -> Result<(), ReadError> {
    let is_node = parse_osm(&hit.id).is_none_or(|(kind, _)| kind == ElementKind::Node);
    for body in if is_node { Vec::new() } else { parts.bodies(hit)? } {
        match body {
            Body::Osm(Element { shape: Shape::Way(nodes), .. }) => {
                for node in nodes {
                    match node.at {
                        Some(at) => elements.vertices.push(&node, at),
                        None => elements.unplaced.push(node.id),
                    }
                }
            }
            Body::Osm(Element { shape: Shape::Relation { members, .. }, .. }) => {
                let nodes = members.iter().filter(|member| member.kind == ElementKind::Node);
                for member in nodes {
                    let is_feature = parts.feature(&osm(ElementKind::Node, member.id))?.is_some();
                    elements.nodes.extend(is_feature.then_some(member.id));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Nodes of the ways that are features of their own.
fn add_features(parts: &Parts, elements: &mut Elements) -> Result<(), ReadError> {
    let of_ways = elements.vertices.list.iter().map(|vertex| vertex.id);
    let of_ways: Vec<i64> = of_ways.chain(elements.unplaced.iter().copied()).collect();
    for number in of_ways {
        if parts.feature(&osm(ElementKind::Node, number))?.is_some() {
            elements.nodes.push(number);
        }
    }
    elements.sort();
    Ok(())
}

struct File<'a, W: Write> {
    parts: &'a Parts,
    writer: Writer<W>,
    report: ExportReport,
    total: u64,
}

impl<W: Write> File<'_, W> {
    /// Nodes of both sorts, by their numbers.
    fn nodes(&mut self, elements: &Elements) -> Result<(), ExportError> {
        let vertices = &elements.vertices;
        let mut only = vertices.list.iter().peekable();
        for number in &elements.nodes {
            while let Some(vertex) = only.next_if(|vertex| vertex.id < *number) {
                self.vertex(&vertices.node(vertex))?;
            }
            let of_ways = only.next_if(|vertex| vertex.id == *number).map(|vertex| vertices.node(vertex));
            self.element(ElementKind::Node, *number, of_ways)?;
        }
        only.try_for_each(|vertex| self.vertex(&vertices.node(vertex)))
    }

    fn elements(&mut self, kind: ElementKind, numbers: &[i64]) -> Result<(), ExportError> {
        numbers.iter().try_for_each(|number| self.element(kind, *number, None))
    }

    fn vertex(&mut self, node: &WayNode) -> Result<(), ExportError> {
        let written = self.writer.write_vertex(node);
        if self.is_written(written)? {
            self.report.vertices += 1;
        }
        Ok(())
    }

    /// Writes an element's winner, or if that cannot be read, another of its current versions; a node where a way says that
    /// it is, if that is of a greater version.
    fn element(
        &mut self,
        kind: ElementKind,
        number: i64,
        of_ways: Option<WayNode>,
    ) -> Result<(), ExportError> {
        let done = self.report.features + self.report.vertices;
        if done.is_multiple_of(CHUNK as u64) {
            self.parts.progress("exporting", done, self.total);
        }
        let hit = self.parts.feature(&osm(kind, number))?;
        let found = hit.map(|hit| self.parts.load_feature(&hit)).transpose()?;
        self.report.ahead += found.as_ref().map_or(0, |found| found.ahead as u64);
        if found.as_ref().is_some_and(|found| found.deleted) {
            self.report.deleted += 1;
            return Ok(());
        }
        let mut versions = found.into_iter().flat_map(|found| found.versions);
        let Some(mut feature) = versions.find_map(|version| version.feature) else {
            self.report.left_out += 1;
            return Ok(());
        };
        // Of two statements of a node that of the greater version counts.
        if let (Some(node), Body::Osm(element)) = (of_ways, &mut feature.body)
            && node.version > element.version()
        {
            element.move_to(&node);
        }
        let written = self.writer.write(&feature);
        if self.is_written(written)? {
            self.report.features += 1;
        }
        Ok(())
    }

    /// False, and counted, for what has no form in the format.
    fn is_written(&mut self, written: Result<(), XmlError>) -> Result<bool, ExportError> {
        match written {
            Ok(()) => Ok(true),
            Err(XmlError::Io(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "left out");
                self.report.no_form += 1;
                Ok(false)
            }
        }
    }
}
