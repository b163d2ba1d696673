//! `map export`: everything, or a box, as a file.

use super::show::report_missing;
use super::{Context, report_failures};
use crate::args::{ExportArgs, ExportFormat as Format};
use crate::commands::asked::report_ahead;
use crate::output::{self, count};
use anyhow::Context as _;
use kappadb::export::{ExportFormat, ExportReport, Selection};
use kappadb::{Database, MapQuery};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub async fn run(context: &Context, args: &ExportArgs) -> anyhow::Result<()> {
    let database = context.open().await?;
    let what = select(context, &database, args).await?;
    let format = match args.format {
        Format::Geojson => ExportFormat::GeoJson,
        Format::Geojsonseq => ExportFormat::GeoJsonSeq,
        Format::Ndjson => ExportFormat::Ndjson,
        Format::Osm => ExportFormat::OsmXml,
    };
    let report = match &args.output {
        Some(path) => to_file(&database, what, format, path).await?,
        None => database.map().export(what, format, BufWriter::new(std::io::stdout())).await?,
    };
    report_left_out(context.json, &report);
    report_missing(context.json, &report.missing);
    let line = json!({
        "features": report.features, "vertices": report.vertices,
        "left_out": report.left_out, "missing": report.missing.len(),
    });
    output::note(context.json, &line, &format!("{} written", count(report.features, "feature")));
    Ok(database.close().await?)
}

/// Asks the peers and says what is to be written.
async fn select(context: &Context, database: &Database, args: &ExportArgs) -> anyhow::Result<Selection> {
    let Some(bbox) = &args.bbox else {
        if !args.local {
            report_failures(&database.map().ask_all().await?);
        }
        return Ok(Selection::Everything);
    };
    if args.osm_api {
        let (asked, page) = super::osm_api(context, database, bbox, args.local).await?;
        asked.iter().for_each(report_failures);
        return Ok(Selection::Hits(page.hits));
    }
    let query = MapQuery::new(bbox.clone());
    if !args.local {
        report_failures(&database.map().ask_find(&query).await?);
    }
    Ok(Selection::Hits(database.map().find(&query).await?.hits))
}

/// Writes beside the file and renames at the end, so that no half of it is ever there.
async fn to_file(
    database: &Database,
    what: Selection,
    format: ExportFormat,
    path: &Path,
) -> anyhow::Result<ExportReport> {
    let failed = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As any file that a program writes: temporary ones are for their owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let beside = builder.tempfile_in(folder).with_context(failed)?;
    let out: BufWriter<File> = BufWriter::new(beside.reopen().with_context(failed)?);
    let report = database.map().export(what, format, out).await?;
    let mut file = beside.persist(path).map_err(|error| error.error).with_context(failed)?;
    file.flush().and_then(|()| file.sync_all()).with_context(failed)?;
    Ok(report)
}

/// Says what is not in the output.
pub fn report_left_out(json: bool, report: &ExportReport) {
    report_ahead(json, usize::try_from(report.ahead).unwrap_or(usize::MAX));
    if report.left_out > 0 && !json {
        let left_out = count(report.left_out, "feature");
        output::warn(&format!(
            "{left_out} left out: content not held here, or no form for it in this format"
        ));
    }
}
