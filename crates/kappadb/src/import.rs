use crate::database::Parts;
use crate::error::{ImportError, ReadError, WriteError};
use crate::map::{Map, draft};
use kappadb_core::FeedKey;
use kappadb_entry::decode_block;
use kappadb_entry::rules::{self, Version};
use kappadb_geo::{CODE_PUT, Feature, Prepared};
use kappadb_import::{Import, Skip};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// Features in one durable batch.
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
    /// Imports an `.osm.pbf`, `.osm`, GeoJSON or newline-delimited GeoJSON file; its content tells its format.
    ///
    /// The file is read and checked whole (spooled in the database's directory) before the first append; then its
    /// features are appended in Hilbert order, so that a box is few ranges, in durable batches. `durable` is told
    /// after each how many features of the file are safe. A feature that is held already with the same content is
    /// left as it is: importing a file again appends nothing, and completes an import that was cut off.
    pub async fn import(
        &self,
        file: impl AsRef<Path>,
        durable: impl Fn(u64) + Send + 'static,
    ) -> Result<ImportReport, ImportError> {
        let file = file.as_ref().to_owned();
        self.run(move |parts| parts.import(&file, &durable)).await.map_err(WriteError::from)?
    }
}

impl Parts {
    fn import(&self, file: &Path, durable: &dyn Fn(u64)) -> Result<ImportReport, ImportError> {
        let started = Instant::now();
        let progress =
            &mut |p: kappadb_import::Progress| self.progress("reading", p.bytes_done, p.bytes_total);
        let mut import = kappadb_import::read(file, &self.dir, progress)?;
        let mut report = report_of(&import);
        let total = report.features;
        let _guard = self.writing();
        self.map.ready().map_err(ReadError::from).map_err(WriteError::from)?;
        let mut done = 0;
        let mut batch = Vec::with_capacity(BATCH);
        for item in import.items()? {
            // What a change file leaves open, and deletes, are not applied yet.
            match item?.into_feature().filter(|feature| !feature.extent().boxes().is_empty()) {
                Some(feature) => batch.push(feature),
                None => report.skipped += 1,
            }
            if batch.len() == BATCH {
                done += self.import_batch(&mut batch, &mut report)?;
                durable(done);
                self.progress("importing", done, total);
            }
        }
        done += self.import_batch(&mut batch, &mut report)?;
        durable(done);
        self.map.ready().map_err(|e| WriteError::from(ReadError::from(e)))?;
        self.progress("importing", total, total);
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Appends those of `batch` that are new or have changed; returns how many features are safe now.
    fn import_batch(&self, batch: &mut Vec<Feature>, report: &mut ImportReport) -> Result<u64, WriteError> {
        let features = batch.len() as u64;
        let mut blocks = Vec::with_capacity(batch.len());
        let mut feed = None;
        for feature in batch.drain(..) {
            let prepared = kappadb_geo::put(&feature)?;
            // Ids occur once in an import, so nothing appended by it needs to be looked up again.
            let active = self
                .map
                .read(|index| index.active(&prepared.key))
                .map_err(ReadError::from)?
                .map_err(ReadError::from)?;
            if self.is_current(&prepared, &active)? {
                continue;
            }
            let feed: &FeedKey = match &feed {
                Some(feed) => feed,
                None => feed.insert(self.writer()?),
            };
            blocks.push(self.block(draft(CODE_PUT, prepared), &active, feed)?);
        }
        report.blocks += blocks.len() as u64;
        report.bytes += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        if let Some(feed) = feed {
            self.append(feed, blocks)?;
        }
        Ok(features)
    }

    /// True if the only head among `active` says just this.
    fn is_current(&self, prepared: &Prepared, active: &[Version]) -> Result<bool, ReadError> {
        let heads = rules::heads(active);
        let [head] = heads.as_slice() else { return Ok(false) };
        if head.kind.code != CODE_PUT || head.places != prepared.places {
            return Ok(false);
        }
        let payload = self.feeds.block(&head.id)?.and_then(|block| decode_block(&block).ok()?.payload);
        Ok(payload.is_some_and(|payload| payload == prepared.payload))
    }
}

fn report_of(import: &Import) -> ImportReport {
    let counts = import.counts();
    ImportReport {
        features: counts.features(),
        nodes: counts.nodes,
        ways: counts.ways,
        relations: counts.relations,
        skipped: import.skipped().count,
        skips: import.skipped().first.clone(),
        ..ImportReport::default()
    }
}
