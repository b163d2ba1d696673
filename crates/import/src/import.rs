use crate::error::{ImportError, Skip};
use crate::format::{self, Format};
use crate::spool::{Spool, Spooled};
use crate::{geojson, pbf};
use kappadb_geo::Feature;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Never decreases.
    pub bytes_done: u64,
    /// The file's length, counted as often as it is read: twice for `.osm.pbf`.
    pub bytes_total: u64,
}

/// How many of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// OSM nodes.
    pub nodes: u64,
    /// OSM ways.
    pub ways: u64,
    /// OSM relations.
    pub relations: u64,
    /// GeoJSON features.
    pub free: u64,
}

impl Counts {
    /// All together.
    pub fn features(&self) -> u64 {
        self.nodes + self.ways + self.relations + self.free
    }
}

/// Features that were left out because something is wrong with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// The first [`Skipped::DETAILED`] of them.
    pub first: Vec<Skip>,
}

impl Skipped {
    /// How many are told one by one.
    pub const DETAILED: usize = 100;

    /// Counts one, and keeps it if it is one of the first.
    pub(crate) fn add(&mut self, skip: impl FnOnce() -> Skip) {
        self.count += 1;
        if self.first.len() < Self::DETAILED {
            self.first.push(skip());
        }
    }
}

/// A file that was read and checked whole, and its features.
#[derive(Debug)]
pub struct Import {
    spool_dir: PathBuf,
    spooled: Spooled,
    elements: Counts,
}

/// Reads the file at `path`, whose content tells its format. Temporary files are made in `spool_dir`.
pub fn read(
    path: &Path,
    spool_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Import, ImportError> {
    let unreadable = |source| ImportError::Read { path: path.to_owned(), source };
    let unspooled = |source| ImportError::Spool { dir: spool_dir.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let format = format::detect(&mut file).map_err(unreadable)?;
    let source = Source { path, file, length };
    let mut spool = Spool::new(spool_dir).map_err(unspooled)?;
    let elements = match format {
        Some(Format::Pbf) => pbf::read(source, &mut spool, progress)?,
        Some(Format::Json) => geojson::read(source, &mut spool, progress)?,
        None => return Err(ImportError::Foreign { path: path.to_owned() }),
    };
    let spooled = spool.finish().map_err(unspooled)?;
    Ok(Import { spool_dir: spool_dir.to_owned(), spooled, elements })
}

impl Import {
    /// How many features there are.
    pub fn len(&self) -> u64 {
        self.counts().features()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many features there are of each sort.
    pub fn counts(&self) -> Counts {
        self.spooled.counts
    }

    /// How many elements or GeoJSON features the file has, also those that are no features by themselves (nodes without
    /// tags, elements that are nowhere) and those that were skipped.
    pub fn elements(&self) -> Counts {
        self.elements
    }

    /// What was left out because something is wrong with it.
    pub fn skipped(&self) -> &Skipped {
        &self.spooled.skipped
    }

    /// The features in Hilbert order, from the first; the same order for the same file. May be called again.
    pub fn features(
        &mut self,
    ) -> Result<impl Iterator<Item = Result<Feature, ImportError>> + use<'_>, ImportError> {
        let failed = |source: io::Error| ImportError::Spool { dir: self.spool_dir.clone(), source };
        let features = self.spooled.features().map_err(failed)?;
        Ok(features.map(move |feature| feature.map_err(failed)))
    }
}

/// The file that is being read.
pub(crate) struct Source<'a> {
    pub path: &'a Path,
    /// At its start.
    pub file: File,
    /// Bytes.
    pub length: u64,
}

impl Source<'_> {
    pub(crate) fn unreadable(&self, source: io::Error) -> ImportError {
        ImportError::Read { path: self.path.to_owned(), source }
    }

    pub(crate) fn truncated(&self, within: &'static str) -> ImportError {
        ImportError::Truncated { path: self.path.to_owned(), length: self.length, within }
    }
}
