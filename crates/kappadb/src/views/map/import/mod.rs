//! Files into features: written as they are into an empty map, else compared with what is held.

mod apply;
mod error;
mod items;
mod touched;

pub use error::ImportError;
pub use kappadb_import::{Ids, Location, Skip};
pub use touched::TouchedByImport;

use crate::engine::turns::Turn;
use crate::error::{ReadError, WriteError};
use crate::views::map::change::append::Appender;
use crate::views::map::change::held;
use crate::views::map::change::judge::Verdict;
use crate::views::map::{Map, MapParts};
use crate::write;
use apply::Apply;
use kappadb_import::{Import, Progress};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Items between two reports of what is durable.
const BATCH: u64 = 1_000;

/// How to import. Fields may be set as needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// What becomes of placeholders, the ids that editors give to new elements, and of GeoJSON's row numbers. Default: each gets an id of its own.
    pub ids: Ids,
    /// The file is right wherever it differs from what is held, also where that is newer or has replaced it. Default: what is
    /// held counts.
    pub force: bool,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Features in the file, without those skipped.
    pub features: u64,
    /// Of these, OSM nodes.
    pub nodes: u64,
    /// Of these, OSM ways.
    pub ways: u64,
    /// Of these, OSM relations.
    pub relations: u64,
    /// Elements that the file says are gone.
    pub deletes: u64,
    /// Nodes without tags in the file: corners of ways, mostly.
    pub bare: u64,
    /// Features, deletes and nodes without tags that were news.
    pub taken: u64,
    /// Those that are held here just so.
    pub unchanged: u64,
    /// Those that were left out, because what is held here is of a later OSM version, or has replaced them already.
    pub older: u64,
    /// Features that could not be used.
    pub skipped: u64,
    /// How many of these for each reason, by [`kappadb_import::Reason::name`].
    pub reasons: BTreeMap<&'static str, u64>,
    /// Elements whose placeholder, and GeoJSON features whose row number, was replaced by an id of their own.
    pub renamed: u64,
    /// Elements with a version, time, changeset or author that could not be read; they are taken without it.
    pub unclear: u64,
    /// Names of what a GeoJSON file says beside its features, which is not kept.
    pub unkept: Vec<String>,
    /// Blocks appended: features that were new or had changed.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The first of the skipped features, and why.
    #[serde(skip)]
    pub skips: Vec<Skip>,
}

/// A file that was read and checked whole, to be imported.
#[derive(Debug)]
pub struct ImportFile {
    import: Import,
    started: Instant,
}

impl Map {
    /// Imports an `.osm.pbf`, `.osm`, `.osc`, GeoJSON, newline-delimited GeoJSON or GeoJSONSeq file; its content tells its
    /// format.
    ///
    /// The file is read and checked whole (spooled in the database's directory) before the first append; then its
    /// features are appended in Hilbert order, so that a box is few ranges, in durable batches. `durable` is told
    /// after each how many items of the file are safe.
    ///
    /// What is held counts: of two versions of an element the greater OSM version, of what has none what was said last. So a file that is
    /// imported again appends nothing, and completes an import that was cut off; the rule is in `design/map.md`, "Which version counts".
    /// [`ImportOptions::force`] is for a file that is right all the same. A replica that does not hold everything asks first: [`Map::read_import`],
    /// [`Map::touched_by_import`], [`Map::apply_import`].
    ///
    /// Dropped before its end it ends between two batches: what was durable stays, and the same import goes on from there.
    pub async fn import(
        &self,
        file: impl AsRef<Path>,
        options: ImportOptions,
        durable: impl Fn(u64) + Send + 'static,
    ) -> Result<ImportReport, ImportError> {
        let read = self.read_import(file, &options.ids).await?;
        self.apply_import(read, options.force, durable).await
    }

    /// Reads a file as [`Map::import`] does, and writes nothing.
    pub async fn read_import(&self, file: impl AsRef<Path>, ids: &Ids) -> Result<ImportFile, ImportError> {
        let (file, ids) = (file.as_ref().to_owned(), ids.clone());
        self.read_with(move |dir, progress| kappadb_import::read(&file, &ids, dir, progress)).await
    }

    /// The same for what `reader` gives up to its end, such as a pipe. It is copied to a temporary file in the database's directory first; errors call it
    /// `name`.
    pub async fn read_import_stream(
        &self,
        name: impl Into<String>,
        reader: impl std::io::Read + Send + 'static,
        ids: &Ids,
    ) -> Result<ImportFile, ImportError> {
        let (name, ids) = (name.into(), ids.clone());
        self.read_with(move |dir, progress| kappadb_import::read_stream(&name, reader, &ids, dir, progress))
            .await
    }

    async fn read_with(
        &self,
        read: impl FnOnce(&Path, &mut dyn FnMut(Progress)) -> Result<Import, kappadb_import::ImportError>
        + Send
        + 'static,
    ) -> Result<ImportFile, ImportError> {
        let started = Instant::now();
        self.run_writing(move |parts| {
            let progress = &mut |p: Progress| parts.progress("reading", p.bytes_done, p.bytes_total);
            Ok(ImportFile { import: read(&parts.dir, progress)?, started })
        })
        .await?
    }

    /// Asks the known peers for what a file touches, some at a time, so that [`Map::apply_import`] can compare it with all that is known: every version of
    /// what it speaks of; where the nodes of its ways are; the ways that have these nodes, the relations above, and what its relations are made
    /// of. A replica without peers asks nothing.
    pub async fn touched_by_import(
        &self,
        file: ImportFile,
    ) -> Result<(ImportFile, TouchedByImport), ImportError> {
        touched::ask_touched(self, file).await
    }

    /// Imports a file that was read, as [`Map::import`] does; dropped, it ends as that does.
    pub async fn apply_import(
        &self,
        file: ImportFile,
        force: bool,
        durable: impl Fn(u64) + Send + 'static,
    ) -> Result<ImportReport, ImportError> {
        let job = move |parts: &MapParts, turn| import(parts, file, force, &durable, turn);
        write::run_in_turn(&self.parts, job).await?
    }
}

impl ImportReport {
    fn of(import: &Import) -> Self {
        let counts = import.counts();
        ImportReport {
            features: counts.features(),
            nodes: counts.nodes,
            ways: counts.ways,
            relations: counts.relations,
            deletes: import.deletes(),
            skipped: import.skipped().count,
            reasons: import.skipped().by_reason.clone(),
            skips: import.skipped().first.clone(),
            renamed: import.renamed(),
            unclear: import.unclear(),
            unkept: import.unkept().iter().cloned().collect(),
            ..ImportReport::default()
        }
    }

    fn count(&mut self, verdict: Verdict) {
        *self.counter(verdict) += 1;
    }

    fn counter(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Taken => &mut self.taken,
            Verdict::Unchanged => &mut self.unchanged,
            Verdict::Older => &mut self.older,
        }
    }

    /// Takes back what was counted of something.
    fn uncount(&mut self, verdict: Verdict) {
        *self.counter(verdict) -= 1;
    }
}

/// How far an import has come.
struct Steps<'a> {
    parts: &'a MapParts,
    durable: &'a dyn Fn(u64),
    total: u64,
    compared: u64,
    written: u64,
}

impl Steps<'_> {
    /// Goes on after an item that was judged. One that is not taken is safe.
    fn compared(&mut self, verdict: Verdict) {
        self.compared += 1;
        self.written += u64::from(verdict != Verdict::Taken);
        if self.compared.is_multiple_of(BATCH) {
            self.parts.progress("comparing", self.compared, self.total);
        }
    }

    /// Goes on after an item that was written, if it was news. True for the last.
    fn written(&mut self) -> bool {
        self.written += 1;
        if self.written.is_multiple_of(BATCH) {
            self.parts.progress("importing", self.written, self.total);
        }
        self.written == self.total
    }

    /// What was written is durable.
    fn tell_durable(&self) {
        (self.durable)(self.written);
    }
}

fn import(
    parts: &MapParts,
    ImportFile { mut import, started }: ImportFile,
    force: bool,
    durable: &dyn Fn(u64),
    turn: Turn,
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::of(&import);
    let mut steps = Steps { parts, durable, total: import.len(), compared: 0, written: 0 };
    let ready = || parts.map.ready().map_err(|e| WriteError::from(ReadError::from(e)));
    ready()?;
    let mut appender = Appender::in_turns(parts, turn);
    let is_empty = parts.map.read(|index| index.is_empty()).map_err(ReadError::from);
    let is_empty = is_empty.and_then(|read| Ok(read?)).map_err(WriteError::from)?;
    // A way that comes twice may have lost nodes from one version to the next.
    let first = match is_empty && !import.contradicts_itself() {
        true => import_first(&mut import, &mut appender, &mut report, &mut steps)?,
        false => First::No,
    };
    if let Some(begun) = first.begun() {
        (report, steps.written) = (ImportReport::of(&import), 0);
        ready()?;
        Apply::new(&mut appender, &mut report, &mut import, &mut steps, force, begun).run()?;
    }
    appender.flush(&mut || ())?;
    (report.blocks, report.bytes) = appender.appended;
    ready()?;
    parts.progress("importing", steps.total, steps.total);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Into an empty map: all of the file, as it says.
fn import_first(
    import: &mut Import,
    appender: &mut Appender<'_>,
    report: &mut ImportReport,
    steps: &mut Steps<'_>,
) -> Result<First, ImportError> {
    let mut is_disturbed = false;
    import.each_bare(&mut |said| {
        report.bare += 1;
        report.count(Verdict::Taken);
        if let Some(feature) = held::bare(&said.node).filter(|_| !said.is_carried && !is_disturbed) {
            appender.put(&feature, &[])?;
            is_disturbed |= appender.keep_up(false, &mut || ())?;
        }
        Ok::<_, ImportError>(())
    })?;
    if is_disturbed {
        return Ok(First::Disturbed(0));
    }
    for (written, prepared) in (1..).zip(import.prepared()?) {
        appender.append(prepared?, &[])?;
        report.count(Verdict::Taken);
        let is_last = steps.written();
        if appender.keep_up(is_last, &mut || steps.tell_durable())? && !is_last {
            return Ok(First::Disturbed(written));
        }
    }
    Ok(First::Whole)
}

/// Whether a file was written as it is, into an empty map.
enum First {
    /// There is something to compare with.
    No,
    /// All of it.
    Whole,
    /// So many items of it, and nodes without tags; then somebody else wrote to the map.
    Disturbed(usize),
}

impl First {
    /// What was written, if the rest is to be compared with what is held.
    fn begun(&self) -> Option<Option<usize>> {
        match self {
            First::No => Some(None),
            First::Whole => None,
            First::Disturbed(begun) => Some(Some(*begun)),
        }
    }
}
