//! Features out: GeoJSON in its three forms, and OSM XML.

mod osm;
mod texts;

pub use texts::Texts;
pub(super) use texts::texts;

use super::list;
use crate::error::ReadError;
use crate::network::Completeness;
use crate::network::ask::MAP;
use crate::views::map::{ExportError, Hit, MapParts};
use kappadb_query::Selector;
use std::io::Write;

/// What features are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// One GeoJSON FeatureCollection.
    GeoJson,
    /// One GeoJSON Feature a line.
    Ndjson,
    /// A GeoJSON text sequence (RFC 8142).
    GeoJsonSeq,
    /// OSM XML 0.6: the current version of each element, the nodes of ways included. GeoJSON features have no form in
    /// it.
    OsmXml,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything that is held here.
    Everything,
    /// What was found before.
    Hits(Vec<Hit>),
}

/// What an export did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Features written.
    pub features: u64,
    /// Nodes written that are no features, only parts of ways.
    pub vertices: u64,
    /// Features left out because somebody deleted them, although a version that contradicts that is there.
    pub deleted: u64,
    /// Features left out because their content is not held here.
    pub left_out: u64,
    /// Features left out because the format has no form for them.
    pub no_form: u64,
    /// Multipolygons and boundaries whose area is not known, so that their geometry is `null`: a way is not held here, or the ways make no rings.
    /// In GeoJSON.
    pub without_area: u64,
    /// Ids of nodes of the ways that are not known here.
    pub missing: Vec<String>,
    /// Ids of nodes of the ways that were deleted.
    pub gone: Vec<String>,
    /// Versions that are dated after this machine's clock ([`Found::ahead`](crate::Found::ahead)).
    pub ahead: u64,
    /// Of an export of everything, how much of what there is was held here. Of hits the answer says it that they are of.
    pub completeness: Option<Completeness>,
}

/// Features read at a time: what bounds memory. Many, since each portion may lie all over the log.
const CHUNK: usize = 128 << 10;

/// Writes features to `out`: [`Map::export`](super::Map::export).
pub(super) fn export(
    parts: &MapParts,
    what: Selection,
    format: ExportFormat,
    out: impl Write,
) -> Result<ExportReport, ExportError> {
    let completeness = match &what {
        // Before anything is read: what comes meanwhile may be written or not.
        Selection::Everything => {
            Some(parts.network.here(&parts.name, MAP, || Selector::Everything, parts.clock.now(), false)?)
        }
        Selection::Hits(_) => None,
    };
    let report = match format {
        ExportFormat::OsmXml => osm::export(parts, what, out)?,
        _ => export_geojson(parts, what, format, out)?,
    };
    Ok(ExportReport { completeness, ..report })
}

fn export_geojson(
    parts: &MapParts,
    what: Selection,
    format: ExportFormat,
    mut out: impl Write,
) -> Result<ExportReport, ExportError> {
    let (begin, before, between, after, end) = match format {
        ExportFormat::GeoJson => {
            ("{\"type\":\"FeatureCollection\",\"features\":[\n", "", ",\n", "", "\n]}\n")
        }
        ExportFormat::GeoJsonSeq => ("", "\u{1e}", "", "\n", ""),
        ExportFormat::Ndjson | ExportFormat::OsmXml => ("", "", "", "\n", ""),
    };
    let mut report = ExportReport::default();
    out.write_all(begin.as_bytes())?;
    let mut gap = "";
    each_chunk(parts, what, &mut |hits| {
        parts.load_features(&hits, &mut |_, found| {
            report.ahead += found.ahead as u64;
            if found.deleted {
                report.deleted += 1;
                return Ok(());
            }
            let Texts { list, without_area } = texts::texts(parts, &found)?;
            for text in &list {
                write!(out, "{}{before}{text}{after}", std::mem::replace(&mut gap, between))?;
            }
            report.features += u64::from(!list.is_empty());
            report.left_out += u64::from(list.is_empty());
            report.without_area += u64::from(without_area);
            Ok(())
        })
    })?;
    out.write_all(end.as_bytes())?;
    out.flush()?;
    Ok(report)
}

/// Goes through what is selected, some at a time.
fn each_chunk(
    parts: &MapParts,
    what: Selection,
    visit: &mut dyn FnMut(Vec<Hit>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    match what {
        Selection::Hits(hits) => {
            for (chunk, number) in hits.chunks(CHUNK).zip(0u64..) {
                parts.progress("exporting", number * CHUNK as u64, hits.len() as u64);
                visit(chunk.to_vec())?;
            }
            parts.progress("exporting", hits.len() as u64, hits.len() as u64);
            Ok(())
        }
        Selection::Everything => {
            parts.map.ready().map_err(ReadError::from)?;
            let mut after: Option<String> = None;
            loop {
                let hits = list::list_features(parts, "", after.as_deref(), CHUNK)?;
                let is_last = hits.len() < CHUNK;
                after = hits.last().map(|last| last.id.clone());
                visit(hits)?;
                if is_last {
                    return Ok(());
                }
            }
        }
    }
}
