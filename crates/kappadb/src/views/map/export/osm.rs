//! OSM XML: nodes, ways, relations, each by ascending numbers, so the numbers are gathered first.

use super::{CHUNK, ExportReport, Selection, each_chunk};
use crate::error::ReadError;
use crate::views::map::{ExportError, Found, Hit, MapParts};
use kappadb_core::{Coord, EntryId, FeedKey, Seq};
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::osm_xml::{Writer, XmlError};
use kappadb_geo::{Body, Edit, Element, ElementKind, Shape, WayNode};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::Arc;

/// The elements of a file.
#[derive(Default)]
struct Elements {
    nodes: Vec<Numbered>,
    ways: Vec<Numbered>,
    relations: Vec<Numbered>,
    /// The feeds of their entries.
    feeds: Vec<FeedKey>,
    vertices: Vertices,
    /// Nodes of ways that do not know where these are.
    unplaced: Vec<i64>,
}

/// An element, so that there may be very many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Numbered {
    number: i64,
    /// The entry, if it is the only one that counts: the number of its feed, and its own.
    alone: Option<(usize, Seq)>,
}

impl Elements {
    fn of(&mut self, kind: ElementKind) -> &mut Vec<Numbered> {
        match kind {
            ElementKind::Node => &mut self.nodes,
            ElementKind::Way => &mut self.ways,
            ElementKind::Relation => &mut self.relations,
        }
    }

    fn push(&mut self, kind: ElementKind, number: i64, hit: &Hit) {
        let alone = match (hit.heads.as_slice(), hit.elsewhere.as_slice()) {
            ([id], []) => Some((self.feed(&id.feed), id.seq)),
            _ => None,
        };
        self.of(kind).push(Numbered { number, alone });
    }

    fn feed(&mut self, feed: &FeedKey) -> usize {
        // Looked for from the end: neighbours have the same, and there are few.
        self.feeds.iter().rposition(|known| known == feed).unwrap_or_else(|| {
            self.feeds.push(*feed);
            self.feeds.len() - 1
        })
    }

    /// Where an element is to be read; none if it is not there any more.
    fn hit(
        &self,
        parts: &MapParts,
        kind: ElementKind,
        numbered: &Numbered,
    ) -> Result<Option<Hit>, ReadError> {
        let id = osm(kind, numbered.number);
        let alone =
            numbered.alone.and_then(|(feed, seq)| Some(EntryId { feed: *self.feeds.get(feed)?, seq }));
        match alone {
            Some(entry) => Ok(Some(Hit { id, heads: vec![entry], elsewhere: Vec::new() })),
            None => parts.feature(&id),
        }
    }

    fn sort(&mut self) {
        for elements in [&mut self.nodes, &mut self.ways, &mut self.relations] {
            elements.sort_unstable();
            elements.dedup_by_key(|element| element.number);
        }
        self.unplaced.sort_unstable();
        self.unplaced.dedup();
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
        if self.list.len() > 16_384 && self.list.len() == self.list.capacity() {
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

pub(super) fn export(
    parts: &MapParts,
    what: Selection,
    out: impl Write,
) -> Result<ExportReport, ExportError> {
    let mut report = ExportReport::default();
    let elements = gather(parts, what, &mut report)?;
    let total = elements.count();
    let mut file = File { parts, writer: Writer::begin(out, None)?, report, total };
    file.nodes(&elements)?;
    file.elements(&elements, ElementKind::Way, &elements.ways)?;
    file.elements(&elements, ElementKind::Relation, &elements.relations)?;
    parts.progress("exporting", total, total);
    file.writer.finish()?;
    Ok(file.report)
}

/// The elements selected, and the nodes of the ways among them.
fn gather(parts: &MapParts, what: Selection, report: &mut ExportReport) -> Result<Elements, ExportError> {
    let (mut elements, everything) = (Elements::default(), what == Selection::Everything);
    // Nodes of relations, of which not all are selected.
    let mut members = Vec::new();
    each_chunk(parts, what, &mut |mut hits| {
        for hit in &hits {
            match parse_osm(&hit.id) {
                Some((kind, number)) => elements.push(kind, number, hit),
                None => report.no_form += 1,
            }
        }
        hits.retain(|hit| parse_osm(&hit.id).is_some_and(|(kind, _)| kind != ElementKind::Node));
        parts.load_features(&hits, &mut |_, found| {
            let features = found.versions.into_iter().filter_map(|version| version.feature);
            features.for_each(|feature| gather_nodes(feature.body, &mut elements, &mut members));
            Ok(())
        })
    })?;
    elements.sort();
    if !everything {
        add_features(parts, members, &mut elements)?;
    }
    let Elements { nodes, vertices, unplaced, .. } = &elements;
    let is_own = |id: &i64| nodes.binary_search_by_key(id, |node| node.number).is_ok();
    let unknown = unplaced.iter().filter(|id| !is_own(id) && vertices.find(**id).is_none());
    let mut unknown: Vec<String> = unknown.map(|number| osm(ElementKind::Node, *number)).collect();
    unknown.sort_unstable();
    (report.gone, report.missing) = parts.part_gone(unknown)?;
    Ok(elements)
}

fn gather_nodes(body: Body, elements: &mut Elements, members: &mut Vec<i64>) {
    match body {
        Body::Osm(Element { shape: Shape::Way(nodes), .. }) => {
            for node in nodes {
                match node.at {
                    Some(at) => elements.vertices.push(&node, at),
                    None => elements.unplaced.push(node.id),
                }
            }
        }
        Body::Osm(Element { shape: Shape::Relation { members: all, .. }, .. }) => {
            let nodes = all.iter().filter(|member| member.kind == ElementKind::Node);
            members.extend(nodes.map(|member| member.id));
        }
        _ => {}
    }
}

/// Nodes of the ways and relations that are features of their own.
fn add_features(parts: &MapParts, members: Vec<i64>, elements: &mut Elements) -> Result<(), ReadError> {
    let of_ways = elements.vertices.list.iter().map(|vertex| vertex.id);
    let nodes: BTreeSet<i64> = of_ways.chain(elements.unplaced.iter().copied()).chain(members).collect();
    for number in nodes {
        if let Some(hit) = parts.feature(&osm(ElementKind::Node, number))? {
            elements.push(ElementKind::Node, number, &hit);
        }
    }
    elements.sort();
    Ok(())
}

struct File<'a, W: Write> {
    parts: &'a MapParts,
    writer: Writer<W>,
    report: ExportReport,
    total: u64,
}

impl<W: Write> File<'_, W> {
    /// Nodes of both sorts, by their numbers.
    fn nodes(&mut self, elements: &Elements) -> Result<(), ExportError> {
        let vertices = &elements.vertices;
        let mut only = vertices.list.iter().peekable();
        self.each(elements, ElementKind::Node, &elements.nodes, &mut |file, number, found| {
            while let Some(vertex) = only.next_if(|vertex| vertex.id < number) {
                file.vertex(&vertices.node(vertex))?;
            }
            let of_ways = only.next_if(|vertex| vertex.id == number).map(|vertex| vertices.node(vertex));
            file.element(found, of_ways)
        })?;
        only.try_for_each(|vertex| self.vertex(&vertices.node(vertex)))
    }

    fn elements(
        &mut self,
        elements: &Elements,
        kind: ElementKind,
        numbered: &[Numbered],
    ) -> Result<(), ExportError> {
        self.each(elements, kind, numbered, &mut |file, _, found| file.element(found, None))
    }

    /// Calls `visit` with each element, by their numbers: as they were written for the most part, so what lies together is read together.
    fn each(
        &mut self,
        elements: &Elements,
        kind: ElementKind,
        numbered: &[Numbered],
        visit: &mut dyn FnMut(&mut Self, i64, Found) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let parts = self.parts;
        for numbered in numbered.chunks(CHUNK) {
            parts.progress("exporting", self.report.features + self.report.vertices, self.total);
            let hits = numbered.iter().map(|numbered| elements.hit(parts, kind, numbered));
            let hits = hits.filter_map(Result::transpose).collect::<Result<Vec<Hit>, _>>()?;
            self.report.left_out += (numbered.len() - hits.len()) as u64;
            parts.load_features(&hits, &mut |hit, found| {
                let number = parse_osm(&hit.id).map_or(0, |(_, number)| number);
                visit(self, number, found)
            })?;
        }
        Ok(())
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
    fn element(&mut self, found: Found, of_ways: Option<WayNode>) -> Result<(), ExportError> {
        self.report.ahead += found.ahead as u64;
        if found.deleted {
            self.report.deleted += 1;
            return Ok(());
        }
        let mut versions = found.versions.into_iter();
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
