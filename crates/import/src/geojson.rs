//! GeoJSON files: a FeatureCollection, read as a stream; or a Feature a line (or after each record separator, RFC 8142);
//! or one Feature over several lines.

mod collection;
mod layout;
mod records;

use crate::error::{ImportError, Location, Reason};
use crate::import::{Counts, Progress};
use crate::metered::{MAX_FEATURE_TEXT, Meter, Metered};
use crate::osm::Rank;
use crate::source::{Content, Source};
use crate::spool::Spool;
use kappadb_geo::GeoJsonError;
use kappadb_geo::geojson::from_text;
use layout::Layout;
use std::io::{self, BufReader};

/// Reads a file's features into the spool; how many there are.
pub(crate) fn read(
    source: Source<'_>,
    spool: &mut Spool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Counts, ImportError> {
    let meter = Meter::new();
    let layout = layout::detect(&mut || open(&source, &meter)).map_err(|e| source.unreadable(e))?;
    meter.reset();
    let reader = open(&source, &meter).map_err(|e| source.unreadable(e))?;
    let mut sink = Sink { spool, progress, meter: &meter, length: source.length, found: 0, recognised: 0 };
    match layout {
        Layout::Collection => collection::read(&source, reader, &mut sink)?,
        Layout::Values => records::read_values(&source, reader, &mut sink)?,
        Layout::Lines(separator) => records::read_lines(&source, reader, separator, &mut sink)?,
    }
    if layout != Layout::Collection && sink.recognised == 0 {
        return Err(ImportError::Foreign { path: source.path.to_owned() });
    }
    sink.report();
    Ok(Counts { free: sink.found, ..Counts::default() })
}

fn open<'m>(source: &Source<'_>, meter: &'m Meter) -> io::Result<Metered<'m, BufReader<Content>>> {
    meter.allow_one_more();
    Ok(Metered { inner: BufReader::with_capacity(1 << 20, source.text()?), meter })
}

/// Where features go.
struct Sink<'a> {
    spool: &'a mut Spool,
    progress: &'a mut dyn FnMut(Progress),
    meter: &'a Meter,
    length: u64,
    found: u64,
    /// Of these, how many are Features at all, good or bad.
    recognised: u64,
}

impl Sink<'_> {
    /// Takes the text of a feature, which starts at a line.
    fn take(&mut self, text: &str, line: u64) -> io::Result<()> {
        self.found += 1;
        match from_text(text) {
            Ok(feature) => {
                self.recognised += 1;
                let rank = Rank { version: 0, sequence: self.found };
                self.spool.add(&feature, false, rank, Location::Line(line))?;
            }
            Err(e) => {
                let foreign = matches!(e, GeoJsonError::NotJson { .. } | GeoJsonError::NotAFeature { .. });
                self.recognised += u64::from(!foreign);
                self.skip(line, e.into());
            }
        }
        if self.found.is_multiple_of(1024) {
            self.report();
        }
        Ok(())
    }

    fn skip(&mut self, line: u64, reason: Reason) {
        self.spool.skip(Location::Line(line), None, reason);
    }

    /// Where a text starts that was just read.
    fn line_of(&self, text: &str) -> u64 {
        let inside = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        (self.meter.lines.get() + 1).saturating_sub(inside)
    }

    fn unspooled(&self, source: io::Error) -> ImportError {
        ImportError::Spool { dir: self.spool.dir().to_owned(), source }
    }

    /// What the parser's error means for the file; `within` is what was being read.
    fn explain(&self, source: &Source<'_>, error: &serde_json::Error, within: &'static str) -> ImportError {
        let (path, line) = (source.path.to_owned(), self.meter.lines.get() + 1);
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
