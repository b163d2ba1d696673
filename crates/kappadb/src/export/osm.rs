//! OSM XML: nodes, ways, relations, each by ascending numbers, so the numbers are gathered first.

use super::{CHUNK, ExportReport, Selection};
use crate::database::Parts;
use crate::error::ExportError;
use kappadb_core::Coord;
use kappadb_geo::ElementKind;
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::osm_xml::{Writer, XmlError};
use std::io::Write;

/// The elements of a file.
#[derive(Default)]
struct Elements {
    nodes: Vec<i64>,
    ways: Vec<i64>,
    relations: Vec<i64>,
    /// Nodes that only ways know.
    vertices: Vec<(i64, Coord)>,
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
        for numbers in [&mut self.nodes, &mut self.ways, &mut self.relations] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        self.vertices.sort_unstable();
        // A node that several ways put in several places can be written once.
        self.vertices.dedup_by_key(|(number, _)| *number);
    }

    fn count(&self) -> u64 {
        (self.nodes.len() + self.ways.len() + self.relations.len() + self.vertices.len()) as u64
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
    let mut elements = Elements::default();
    parts.each_chunk(what, &mut |hits| {
        for hit in hits {
            let Some((kind, number)) = parse_osm(&hit.id) else {
                report.left_out += 1;
                continue;
            };
            elements.of(kind).push(number);
            for corner in parts.corners(hit)? {
                match (corner.feature, corner.at.first()) {
                    (Some(_), _) => elements.nodes.push(corner.number),
                    (None, Some(at)) => elements.vertices.push((corner.number, *at)),
                    (None, None) => report.missing.push(corner.id),
                }
            }
        }
        // Neighbours share nodes: what is gathered must not grow with how often.
        if elements.vertices.len() > 16 * CHUNK && elements.vertices.len() == elements.vertices.capacity() {
            elements.sort();
        }
        Ok(())
    })?;
    elements.sort();
    report.missing.sort_unstable();
    report.missing.dedup();
    Ok(elements)
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
        let mut vertices = elements.vertices.iter().peekable();
        for number in &elements.nodes {
            while let Some((vertex, at)) = vertices.next_if(|(vertex, _)| vertex < number) {
                self.vertex(*vertex, *at)?;
            }
            self.element(ElementKind::Node, *number)?;
        }
        vertices.try_for_each(|(vertex, at)| self.vertex(*vertex, *at))
    }

    fn elements(&mut self, kind: ElementKind, numbers: &[i64]) -> Result<(), ExportError> {
        numbers.iter().try_for_each(|number| self.element(kind, *number))
    }

    fn vertex(&mut self, number: i64, at: Coord) -> Result<(), ExportError> {
        self.report.vertices += 1;
        Ok(self.writer.write_vertex(number, at)?)
    }

    /// Writes an element's winner, or if that deletes it or cannot be read, another of its current versions.
    fn element(&mut self, kind: ElementKind, number: i64) -> Result<(), ExportError> {
        let done = self.report.features + self.report.vertices;
        if done.is_multiple_of(CHUNK as u64) {
            self.parts.progress("exporting", done, self.total);
        }
        let hit = self.parts.feature(&osm(kind, number))?;
        let found = hit.map(|hit| self.parts.load_feature(&hit)).transpose()?;
        self.report.ahead += found.as_ref().map_or(0, |found| found.ahead as u64);
        let mut versions = found.into_iter().flat_map(|found| found.versions);
        let Some(feature) = versions.find_map(|version| version.feature) else {
            self.report.left_out += 1;
            return Ok(());
        };
        match self.writer.write(&feature) {
            Ok(()) => self.report.features += 1,
            Err(XmlError::Io(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "left out");
                self.report.left_out += 1;
            }
        }
        Ok(())
    }
}
