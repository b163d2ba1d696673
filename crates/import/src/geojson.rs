//! GeoJSON files: FeatureCollections one after the other, read as a stream; or a Feature, a geometry or a FeatureCollection a line (or after each record
//! separator, RFC 8142); or one Feature or geometry over several lines.

mod collection;
mod layout;
mod records;

use crate::error::{ImportError, Location, Reason};
use crate::ids::Names;
use crate::import::{Counts, Progress};
use crate::metered::{MAX_FEATURE_TEXT, Meter, Metered};
use crate::osm::{Nodes, Positions, Rank, Said};
use crate::packing::Content;
use crate::source::Source;
use crate::spool::Spool;
use kappadb_core::limits::MAX_FEATURE_ID;
use kappadb_geo::geojson::{from_text, from_text_of, id_of_text};
use kappadb_geo::id::{Rows, osm, parse_osm};
use kappadb_geo::{Body, ElementKind, Feature, GeoJsonError, Shape, WayNode};
use layout::Layout;
use std::io::{self, BufReader};

/// Reads a file's features into the spool; how many there are.
pub(crate) fn read(
    source: Source,
    names: &Names,
    spool: &mut Spool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Counts, Nodes), ImportError> {
    let meter = Meter::new();
    let layout = layout::detect(&mut || open(&source, &meter)).map_err(|e| source.unreadable(e))?;
    meter.reset();
    let reader = open(&source, &meter).map_err(|e| source.unreadable(e))?;
    let dir = spool.dir().to_owned();
    let unspooled = |source| ImportError::Spool { dir: dir.clone(), source };
    let mut sink = Sink {
        positions: Positions::new(&dir).map_err(unspooled)?,
        rows: names.rows(0),
        names,
        collections: 0,
        spool,
        progress,
        meter: &meter,
        length: source.length,
        counts: Counts::default(),
        found: 0,
        recognised: 0,
    };
    match layout {
        Layout::Collection => collection::read(&source, reader, &mut sink)?,
        Layout::Values => records::read_values(&source, reader, &mut sink)?,
        Layout::Lines(separator) => records::read_lines(&source, reader, separator, &mut sink)?,
    }
    if layout != Layout::Collection && sink.recognised == 0 {
        return Err(ImportError::Foreign { path: source.path.clone() });
    }
    sink.report();
    sink.finish().map_err(unspooled)
}

fn open<'m>(source: &Source, meter: &'m Meter) -> io::Result<Metered<'m, BufReader<Content>>> {
    meter.allow_one_more();
    Ok(Metered { inner: BufReader::with_capacity(1 << 20, source.text()?), meter })
}

/// Names of members of collections that are told, at most.
const MAX_UNKEPT: usize = 100;

/// Where a text starts.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// From 1.
    line: u64,
    /// Bytes before it.
    offset: u64,
}

impl Place {
    fn location(self) -> Location {
        Location::Text { line: self.line, offset: self.offset }
    }

    /// So many bytes of `text` later.
    fn after(self, text: &str) -> Place {
        Place { line: self.line + lines_in(text), offset: self.offset + text.len() as u64 }
    }
}

fn lines_in(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// Where features go.
struct Sink<'a> {
    names: &'a Names,
    /// What row numbers are of now; none if they are ids.
    rows: Option<Rows>,
    /// Collections that have begun.
    collections: u64,
    spool: &'a mut Spool,
    progress: &'a mut dyn FnMut(Progress),
    meter: &'a Meter,
    length: u64,
    /// What elements of OpenStreetMap say of nodes.
    positions: Positions,
    counts: Counts,
    found: u64,
    /// Of these, how many are Features at all, good or bad.
    recognised: u64,
}

impl Sink<'_> {
    /// Takes the text of a feature, which starts at `place`.
    fn take(&mut self, text: &str, place: Place) -> io::Result<()> {
        self.found += 1;
        let read = self.rows.as_ref().map_or_else(|| from_text(text), |rows| from_text_of(text, rows));
        match read {
            Ok(feature) => {
                self.recognised += 1;
                self.spool.renamed += u64::from(self.rows.as_ref().is_some_and(|rows| rows.has(&feature.id)));
                self.keep(&feature, place.location())?;
            }
            Err(e) => {
                let foreign = matches!(e, GeoJsonError::NotJson { .. } | GeoJsonError::NotAFeature { .. });
                self.recognised += u64::from(!foreign);
                self.counts.free += 1;
                // What is too long for an id is too long to be told.
                let id = id_of_text(text).filter(|id| (1..=MAX_FEATURE_ID).contains(&id.len()));
                self.skip(place, id, e.into());
            }
        }
        if self.found.is_multiple_of(1024) {
            self.report();
        }
        Ok(())
    }

    fn keep(&mut self, feature: &Feature, location: Location) -> io::Result<()> {
        let Body::Osm(element) = &feature.body else {
            self.counts.free += 1;
            return self.spool.add(feature, false, Rank { version: 0, sequence: self.found }, location);
        };
        match &element.shape {
            Shape::Node(_) => {
                self.counts.nodes += 1;
                self.say_node(feature)?;
            }
            Shape::Way(nodes) => {
                self.counts.ways += 1;
                nodes.iter().try_for_each(|node| self.say_of_way(node))?;
            }
            Shape::Relation { .. } => self.counts.relations += 1,
        }
        if feature.is_bare() {
            return Ok(());
        }
        // Whoever edits what the program wrote leaves the version as it was.
        let rank = Rank { version: element.version(), sequence: self.found };
        self.spool.add(feature, true, rank, location)
    }

    /// What a node says of itself counts before what a way of the same file says, if that is of the same version.
    fn say_node(&mut self, feature: &Feature) -> io::Result<()> {
        let Some((_, id)) = parse_osm(&feature.id) else { return Ok(()) };
        let Some(node) = WayNode::of(id, &feature.body) else { return Ok(()) };
        self.say(&node, self.found, !feature.is_bare(), false)
    }

    fn say_of_way(&mut self, node: &WayNode) -> io::Result<()> {
        if node.at.is_some() { self.say(node, 0, false, true) } else { Ok(()) }
    }

    fn say(&mut self, node: &WayNode, sequence: u64, is_tagged: bool, of_way: bool) -> io::Result<()> {
        let rank = Rank { version: node.version, sequence };
        let (id, at, edit) = (node.id, node.at, node.edit.as_deref());
        self.positions.push(&Said { id, rank, at, edit, is_tagged, is_edit: true, of_way })
    }

    /// Nodes that are torn are told: only one of the places can be meant.
    fn finish(self) -> io::Result<(Counts, Nodes)> {
        let Sink { spool, positions, counts, .. } = self;
        let nodes = positions.finish()?;
        for number in nodes.torn()? {
            spool.torn = true;
            spool.skip(Location::File, Some(osm(ElementKind::Node, number)), Reason::Torn);
        }
        Ok((counts, nodes))
    }

    fn skip(&mut self, place: Place, id: Option<String>, reason: Reason) {
        self.spool.skip(place.location(), id, reason);
    }

    /// A collection begins: its rows are others than those before.
    fn begin_collection(&mut self) {
        self.rows = self.names.rows(self.collections);
        self.collections += 1;
    }

    /// Takes note of a member of a collection, which is no feature's.
    fn note_member(&mut self, name: String) {
        if self.spool.unkept.len() < MAX_UNKEPT {
            self.spool.unkept.insert(name);
        }
    }

    /// Where a text starts that was just read.
    fn place_of(&self, text: &str) -> Place {
        let end = Place { line: self.meter.lines.get() + 1, offset: self.meter.bytes.get() };
        let offset = end.offset.saturating_sub(text.len() as u64);
        Place { line: end.line.saturating_sub(lines_in(text)), offset }
    }

    fn unspooled(&self, source: io::Error) -> ImportError {
        ImportError::Spool { dir: self.spool.dir().to_owned(), source }
    }

    /// What the parser's error means for the file; `within` is what was being read.
    fn explain(&self, source: &Source, error: &serde_json::Error, within: &'static str) -> ImportError {
        let (path, line) = (source.path.clone(), self.meter.lines.get() + 1);
        if self.meter.is_spent() {
            ImportError::FeatureTooLong { path, line, limit: MAX_FEATURE_TEXT }
        } else if let Some(kind) = error.io_error_kind() {
            source.unreadable(kind.into())
        } else if error.is_eof() {
            source.truncated(within)
        } else {
            ImportError::NotJson { path, line, reason: error.to_string() }
        }
    }

    fn report(&mut self) {
        let bytes_done = self.meter.bytes.get().min(self.length);
        (self.progress)(Progress { bytes_done, bytes_total: self.length });
    }
}
