use crate::error::{ImportError, Skip};
use crate::format::{self, Format};
use crate::ids::{Ids, Names};
use crate::source::Source;
use crate::spool::{Spool, Spooled};
use crate::{geojson, pbf, xml};
use kappadb_geo::{Bare, ElementKind, Item, Prepared, WayNode};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Never decreases.
    pub bytes_done: u64,
    /// The file's length; twice that for `.osm.pbf`, `.osm` and `.osc`, whose ways and relations are gone through again.
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
    /// How many for each reason, by [`Reason::name`](crate::Reason::name).
    pub by_reason: BTreeMap<&'static str, u64>,
    /// The first [`Skipped::DETAILED`] of them.
    pub first: Vec<Skip>,
}

impl Skipped {
    /// How many are told one by one.
    pub const DETAILED: usize = 100;

    /// Counts one, and keeps it if it is one of the first.
    pub(crate) fn add(&mut self, skip: impl FnOnce() -> Skip) {
        let skip = skip();
        self.count += 1;
        *self.by_reason.entry(skip.reason.name()).or_default() += 1;
        if self.first.len() < Self::DETAILED {
            self.first.push(skip);
        }
    }
}

/// A file that was read and checked whole, and its items.
#[derive(Debug)]
pub struct Import {
    spool_dir: PathBuf,
    spooled: Spooled,
    elements: Counts,
}

/// Reads the file at `path`, whose content tells its format and how it is packed. Temporary files are made in `spool_dir`.
pub fn read(
    path: &Path,
    ids: &Ids,
    spool_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Import, ImportError> {
    read_source(Source::open(path, spool_dir)?, ids, spool_dir, progress)
}

/// The same for what `reader` gives up to its end. It is copied to a temporary file first, and called `name` in errors.
pub fn read_stream(
    name: &str,
    reader: impl Read,
    ids: &Ids,
    spool_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Import, ImportError> {
    read_source(Source::spool(name.as_ref(), reader, spool_dir)?, ids, spool_dir, progress)
}

fn read_source(
    source: Source,
    ids: &Ids,
    spool_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Import, ImportError> {
    let unspooled = |source| ImportError::Spool { dir: spool_dir.to_owned(), source };
    let format = source.content().and_then(format::detect).map_err(|e| source.unreadable(e))?;
    let names = Names::new(ids, &source).map_err(|e| source.unreadable(e))?;
    let mut spool = Spool::new(spool_dir).map_err(unspooled)?;
    let (elements, nodes) = match format {
        Some(Format::Pbf) => {
            let source = source.unpacked(spool_dir)?;
            pbf::read(source, &names, &mut spool, progress).map(|(all, nodes)| (all, Some(nodes)))?
        }
        Some(Format::Json) => {
            geojson::read(source, &names, &mut spool, progress).map(|(all, nodes)| (all, Some(nodes)))?
        }
        Some(Format::Xml) => {
            xml::read(source, &names, &mut spool, progress).map(|(all, nodes)| (all, Some(nodes)))?
        }
        Some(Format::Utf16) => return Err(source.unsupported("the text encoding UTF-16", format::TO_UTF8)),
        Some(Format::JsonArray) => {
            return Err(source.unsupported("a reader of bare JSON arrays", format::TO_COLLECTION));
        }
        None => return Err(ImportError::Foreign { path: source.path }),
    };
    let spooled = spool.finish(nodes).map_err(unspooled)?;
    Ok(Import { spool_dir: spool_dir.to_owned(), spooled, elements })
}

impl Import {
    /// How many items there are: features and deletes.
    pub fn len(&self) -> u64 {
        self.counts().features() + self.deletes()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many features there are of each sort.
    pub fn counts(&self) -> Counts {
        self.spooled.counts
    }

    /// How many deletes there are.
    pub fn deletes(&self) -> u64 {
        self.spooled.deletes
    }

    /// True if the file has a way more than once: then a node that a way of the file has ([`Bare::is_carried`]) may be one that the way's last
    /// version has no more. True, too, if ways of the file have a node at different places.
    pub fn contradicts_itself(&self) -> bool {
        self.spooled.contradicts_itself
    }

    /// True for an osmChange file: its items are no map but changes to one.
    pub fn is_change(&self) -> bool {
        self.spooled.change
    }

    /// How many elements or GeoJSON features the file has, also those that are no features by themselves (nodes without
    /// tags, elements that are nowhere), that are gone, and those that were skipped.
    pub fn elements(&self) -> Counts {
        self.elements
    }

    /// Names of what a GeoJSON file says beside its features, which is not kept: members of its collection, a hundred of them at most.
    pub fn unkept(&self) -> &BTreeSet<String> {
        &self.spooled.unkept
    }

    /// Elements whose placeholder, and GeoJSON features whose row number, was replaced by an id of their own.
    pub fn renamed(&self) -> u64 {
        self.spooled.renamed
    }

    /// Elements with a version, time, changeset or author that could not be read. They are there, without it.
    pub fn unclear(&self) -> u64 {
        self.spooled.unclear
    }

    /// What was left out because something is wrong with it.
    pub fn skipped(&self) -> &Skipped {
        &self.spooled.skipped
    }

    /// The items from the first, each id once; the same order for the same file. May be called again.
    ///
    /// What is there comes in Hilbert order, at its end what is nowhere; then deletes. Nodes without tags are not among them.
    pub fn items(&self) -> Result<impl Iterator<Item = Result<Item, ImportError>> + use<'_>, ImportError> {
        Ok(self.items_from(0, |_, _| true)?.map(|item| item.map(|(_, item)| item)))
    }

    /// The items from that with the number `from` on, from 0, with their numbers: those that `wanted` says, by its number and kind; others are
    /// not read.
    pub fn items_from<'a, W: Fn(usize, Option<ElementKind>) -> bool + 'a>(
        &'a self,
        from: usize,
        wanted: W,
    ) -> Result<impl Iterator<Item = Result<(usize, Item), ImportError>> + use<'a, W>, ImportError> {
        let items = self.spooled.items(from, wanted).map_err(|source| self.failed(source))?;
        Ok(items.map(|item| item.map_err(|source| self.failed(source))))
    }

    /// What is to be written of the items, in their order, where nothing is to be compared with: as [`kappadb_geo::put`] and [`kappadb_geo::delete`]
    /// prepare it.
    pub fn prepared(
        &self,
    ) -> Result<impl Iterator<Item = Result<Prepared, ImportError>> + use<'_>, ImportError> {
        let prepared = self.spooled.prepared().map_err(|source| self.failed(source))?;
        Ok(prepared.map(|prepared| prepared.map_err(|source| self.failed(source))))
    }

    /// Calls `each` with the nodes without tags that the file has, by their ids. The first error of `each` ends it.
    pub fn each_bare<E: From<ImportError>>(
        &mut self,
        each: &mut dyn FnMut(Bare) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut stopped = None;
        let read = self.spooled.each_bare(&mut |bare| {
            each(bare).map_err(|error| {
                stopped = Some(error);
                io::Error::other("stopped")
            })
        });
        match (stopped, read) {
            (Some(error), _) => Err(error),
            (None, read) => Ok(read.map_err(|source| self.failed(source))?),
        }
    }

    /// What the file says of a node, whether or not it has tags, and whether that is an edit, as in [`Item::Put`]; none if it does not have
    /// it or says that it is gone.
    pub fn said(&mut self, node: i64) -> Result<Option<(WayNode, bool)>, ImportError> {
        self.spooled.said(node).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ImportError {
        ImportError::Spool { dir: self.spool_dir.clone(), source }
    }
}
