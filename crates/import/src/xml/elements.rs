//! From elements to features: nodes as they come, then ways, then relations.

use super::element::{Parsed, Whole};
use super::levels::{Levels, Step};
use super::reader::{Place, Xml, explain};
use super::waiting::{Waited, Waiting};
use crate::error::ImportError;
use crate::format::{HISTORY, ONE_TIME};
use crate::ids::Names;
use crate::import::{Counts, Progress};
use crate::metered::Meter;
use crate::nested::{Gathering, Located};
use crate::osm::{Extents, Nodes, Positions, Rank, Said, Versions};
use crate::source::Source;
use crate::spool::Spool;
use kappadb_core::Extent;
use kappadb_geo::{Body, ElementKind, Feature, Shape, id};
use std::io;

/// Elements between two reports.
const REPORT: u64 = 1024;

/// Reads a file's elements into the spool; how many there are.
pub(crate) fn read(
    source: Source,
    names: &Names,
    spool: &mut Spool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Counts, Nodes), ImportError> {
    let dir = spool.dir().to_owned();
    let unspooled = |source| ImportError::Spool { dir: dir.clone(), source };
    let out = Out { spool, progress, length: source.length };
    let mut reader = Reader::new(out, names).map_err(unspooled)?;
    parse(&source, &mut reader, &unspooled)?;
    reader.finish().map_err(unspooled)
}

/// The first pass, over the text.
fn parse(
    source: &Source,
    reader: &mut Reader<'_>,
    unspooled: &dyn Fn(io::Error) -> ImportError,
) -> Result<(), ImportError> {
    let meter = Meter::new();
    let mut xml = Xml::new(source.content().map_err(|e| source.unreadable(e))?, &meter);
    let (mut levels, mut versions) = (Levels::default(), Versions::default());
    loop {
        if levels.element.is_none() {
            meter.allow_one_more();
        }
        let place = Place::of(&meter);
        let step = xml.next().and_then(|token| levels.step(token, place));
        match step {
            Ok(Step::On) => reader.out.spool.change = levels.change,
            Ok(Step::Element(element)) => {
                if !levels.change && element.repeats(&mut versions) {
                    return Err(source.unsupported(HISTORY, ONE_TIME));
                }
                reader.take(*element).map_err(unspooled)?;
                if reader.counts.features().is_multiple_of(REPORT) {
                    reader.out.report(source.position());
                }
            }
            Ok(Step::Foreign) => return Err(ImportError::Foreign { path: source.path.clone() }),
            Ok(Step::Done) => return Ok(()),
            Err(fault) => {
                let element = levels.element.map(|element| element.name());
                return Err(explain(source, &meter, place, element, fault));
            }
        }
    }
}

/// The first pass.
struct Reader<'a> {
    out: Out<'a>,
    names: &'a Names,
    counts: Counts,
    positions: Positions,
    extents: Extents,
    ways: Waiting,
    relations: Waiting,
}

impl<'a> Reader<'a> {
    fn new(out: Out<'a>, names: &'a Names) -> io::Result<Reader<'a>> {
        let dir = out.spool.dir();
        let (positions, extents) = (Positions::new(dir)?, Extents::new(dir));
        let (ways, relations) = (Waiting::new(dir)?, Waiting::new(dir)?);
        Ok(Reader { out, names, counts: Counts::default(), positions, extents, ways, relations })
    }

    fn take(&mut self, parsed: Parsed) -> io::Result<()> {
        match parsed.kind {
            ElementKind::Node => self.counts.nodes += 1,
            ElementKind::Way => self.counts.ways += 1,
            ElementKind::Relation => self.counts.relations += 1,
        }
        self.out.spool.unclear += u64::from(parsed.is_unclear);
        let (place, feature_id) = (parsed.place, parsed.feature_id());
        let rank = Rank { version: parsed.version(), sequence: self.counts.features() };
        let kind = parsed.kind;
        match parsed.finish() {
            Ok(Whole::Here { id, mut element, is_edit }) => {
                let id = self.name(kind, id);
                self.names.rename(&mut element.shape);
                self.put(Waited { id, place, rank, element, is_edit })
            }
            Ok(Whole::Gone { kind, id, meta }) => {
                let id = self.name(kind, id);
                match kind {
                    ElementKind::Node => {
                        let gone = Said {
                            id,
                            rank,
                            at: None,
                            edit: None,
                            is_tagged: false,
                            is_edit: false,
                            of_way: false,
                        };
                        self.positions.push(&gone)?;
                    }
                    ElementKind::Way => self.extents.push(id, rank, &Extent::NOWHERE)?,
                    ElementKind::Relation => {}
                }
                self.out.spool.delete(kind, id, meta.as_ref(), rank, place.location())
            }
            Err(reason) => {
                self.out.spool.skip(place.location(), feature_id, reason);
                Ok(())
            }
        }
    }

    fn name(&mut self, kind: ElementKind, number: i64) -> i64 {
        let (id, is_new) = self.names.id(kind, number);
        self.out.spool.renamed += u64::from(is_new);
        id
    }

    fn put(&mut self, new: Waited) -> io::Result<()> {
        match new.element.shape {
            Shape::Way(_) => self.ways.push(new),
            Shape::Relation { .. } => self.relations.push(new),
            Shape::Node(at) => {
                let Waited { id, rank, is_edit, .. } = new;
                let edit = new.element.meta.as_ref().map(|meta| &meta.edit);
                let is_tagged = !new.element.tags.is_empty();
                self.positions.push(&Said {
                    id,
                    rank,
                    at: Some(at),
                    edit,
                    is_tagged,
                    is_edit,
                    of_way: false,
                })?;
                // Most nodes are there for their ways only.
                if is_tagged { self.out.add(new) } else { Ok(()) }
            }
        }
    }

    /// What waits: the ways, then the relations twice.
    fn finish(self) -> io::Result<(Counts, Nodes)> {
        let Reader { mut out, counts, positions, mut extents, ways, relations, .. } = self;
        let mut nodes = positions.finish()?;
        for waited in ways.finish()?.iter()? {
            let (way, share) = waited?;
            out.way(way, &mut nodes, &mut extents)?;
            out.report_share(share / 2.0);
        }
        let mut relations = relations.finish()?;
        let mut gathering = Gathering::new(out.spool.dir(), nodes, extents.finish()?);
        for waited in relations.iter()? {
            let (relation, _) = waited?;
            let Shape::Relation { members, .. } = &relation.element.shape else { continue };
            gathering.push(
                relation.id,
                relation.rank,
                members.iter().map(|member| (member.kind, member.id)),
            )?;
        }
        let mut located = gathering.finish()?;
        for waited in relations.iter()? {
            let (relation, share) = waited?;
            out.relation(relation, &mut located)?;
            out.report_share(0.5 + share / 2.0);
        }
        out.report_share(1.0);
        Ok((counts, located.into_nodes()))
    }
}

/// Where features go.
struct Out<'a> {
    spool: &'a mut Spool,
    progress: &'a mut dyn FnMut(Progress),
    /// Bytes of the file.
    length: u64,
}

impl Out<'_> {
    fn way(&mut self, mut way: Waited, nodes: &mut Nodes, extents: &mut Extents) -> io::Result<()> {
        let Shape::Way(path) = &mut way.element.shape else { return Ok(()) };
        *path = nodes.path(std::mem::take(path))?;
        let extent = Extent::of_path(path.iter().filter_map(|node| node.at));
        extents.push(way.id, way.rank, &extent)?;
        self.add(way)
    }

    fn relation(&mut self, mut relation: Waited, located: &mut Located) -> io::Result<()> {
        let Shape::Relation { members, extent } = &mut relation.element.shape else { return Ok(()) };
        *extent = located.around(members)?;
        self.add(relation)
    }

    fn add(&mut self, waited: Waited) -> io::Result<()> {
        let id = id::osm(waited.element.shape.kind(), waited.id);
        let feature = Feature { id, body: Body::Osm(waited.element) };
        self.spool.add(&feature, waited.is_edit, waited.rank, waited.place.location())
    }

    fn report(&mut self, bytes_done: u64) {
        (self.progress)(Progress { bytes_done, bytes_total: 2 * self.length });
    }

    /// How much of the second half is done.
    fn report_share(&mut self, share: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share of the length, for people to see"
        )]
        let done = (self.length as f64 * share) as u64;
        self.report(self.length + done.min(self.length));
    }
}
