//! Files into features: maps as they are, change files as what they say has changed.

mod append;
mod change;

use crate::database::Parts;
use crate::error::{ImportError, ReadError, WriteError};
use crate::map::Map;
use append::Appender;
use change::Changes;
use kappadb_entry::rules::{self, Version};
use kappadb_geo::{CODE_DELETE, CODE_PUT, Feature, Prepared};
use kappadb_import::{Import, Item, Skip};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// Items in one durable batch.
const BATCH: usize = 1_000;

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
    /// Changes of a change file that were left out, because what is held here is of the same OSM version or a later one.
    pub older: u64,
    /// Features that could not be used.
    pub skipped: u64,
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

impl Map {
    /// Imports an `.osm.pbf`, `.osm`, `.osc`, GeoJSON, newline-delimited GeoJSON or GeoJSONSeq file; its content tells its
    /// format.
    ///
    /// The file is read and checked whole (spooled in the database's directory) before the first append; then its
    /// features are appended in Hilbert order, so that a box is few ranges, in durable batches. `durable` is told
    /// after each how many items of the file are safe. A feature that is held already with the same content is
    /// left as it is: importing a file again appends nothing, and completes an import that was cut off.
    ///
    /// A change file (`.osc`) is applied to what is held: see `design/views.md`, "Change files".
    pub async fn import(
        &self,
        file: impl AsRef<Path>,
        durable: impl Fn(u64) + Send + 'static,
    ) -> Result<ImportReport, ImportError> {
        let file = file.as_ref().to_owned();
        self.run_writing(move |parts| parts.import(&file, &durable)).await?
    }
}

impl Parts {
    fn import(&self, file: &Path, durable: &dyn Fn(u64)) -> Result<ImportReport, ImportError> {
        let started = Instant::now();
        let progress =
            &mut |p: kappadb_import::Progress| self.progress("reading", p.bytes_done, p.bytes_total);
        let mut import = kappadb_import::read(file, &self.dir, progress)?;
        let mut report = report_of(&import);
        let (total, is_change) = (import.len(), import.is_change());
        let _guard = self.writing();
        self.map.ready().map_err(ReadError::from).map_err(WriteError::from)?;
        let mut appender = Appender::new(self);
        let (mut done, mut batch) = (0, Vec::with_capacity(BATCH));
        let mut items = import.items()?.peekable();
        while let Some(item) = items.next() {
            batch.push(item?);
            let ends = items
                .peek()
                .is_none_or(|next| is_change && next.as_ref().is_ok_and(|next| starts(next, &batch)));
            if ends || batch.len() == BATCH {
                done += batch.len() as u64;
                match is_change {
                    true => Changes::new(&mut appender, &mut report).apply(std::mem::take(&mut batch))?,
                    false => self.import_batch(&mut appender, batch.drain(..))?,
                }
                appender.flush()?;
                durable(done);
                self.progress("importing", done, total);
            }
        }
        (report.blocks, report.bytes) = appender.appended();
        self.map.ready().map_err(|e| WriteError::from(ReadError::from(e)))?;
        self.progress("importing", total, total);
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Takes those of `batch` that are new or have changed.
    fn import_batch(
        &self,
        appender: &mut Appender<'_>,
        batch: impl Iterator<Item = Item>,
    ) -> Result<(), WriteError> {
        for item in batch {
            // Ids occur once in an import, so nothing appended by it needs to be looked up again.
            let active = self.active_now(item.id())?;
            match item {
                Item::Put(feature) => {
                    appender.put(&feature, &active)?;
                }
                Item::Delete { id, meta } if !is_gone(&active) => {
                    appender.append(CODE_DELETE, kappadb_geo::delete(&id, meta.as_ref())?, &active)?;
                }
                Item::Delete { .. } => {}
            }
        }
        Ok(())
    }

    /// The active versions of a feature, as far as they are indexed.
    fn active_now(&self, id: &str) -> Result<Vec<Version>, ReadError> {
        Ok(self.map.read(|index| index.active(id.as_bytes()))??)
    }
}

impl Appender<'_> {
    /// Takes a feature unless the only head among its `active` versions says just this. True if it was taken.
    fn put(&mut self, feature: &Feature, active: &[Version]) -> Result<bool, WriteError> {
        let prepared = kappadb_geo::put(feature)?;
        if self.parts().is_current(&prepared, active)? {
            return Ok(false);
        }
        self.append(CODE_PUT, prepared, active)?;
        Ok(true)
    }
}

impl Parts {
    fn is_current(&self, prepared: &Prepared, active: &[Version]) -> Result<bool, ReadError> {
        let heads = rules::heads(active);
        let [head] = heads.as_slice() else { return Ok(false) };
        if head.kind.code != CODE_PUT || head.places != prepared.places {
            return Ok(false);
        }
        let Some(entry) = self.entry(head.id)? else { return Ok(false) };
        let payload = self.load_payload(head.id, &entry)?;
        Ok(payload.is_some_and(|payload| payload == prepared.payload))
    }
}

/// True if there is no version that does not delete it.
fn is_gone(active: &[Version]) -> bool {
    rules::heads(active).iter().all(|head| head.kind.code == CODE_DELETE)
}

/// True if `next` is of another sort than what is in `batch`: what it refers to may have to be indexed first.
fn starts(next: &Item, batch: &[Item]) -> bool {
    let sort = |item: &Item| {
        let kind = kappadb_geo::id::parse_osm(item.id()).map(|(kind, _)| kind);
        (matches!(item, Item::Delete { .. }), kind)
    };
    batch.last().is_some_and(|last| sort(last) != sort(next))
}

fn report_of(import: &Import) -> ImportReport {
    let counts = import.counts();
    ImportReport {
        features: counts.features(),
        nodes: counts.nodes,
        ways: counts.ways,
        relations: counts.relations,
        deletes: import.deletes(),
        skipped: import.skipped().count,
        skips: import.skipped().first.clone(),
        ..ImportReport::default()
    }
}
