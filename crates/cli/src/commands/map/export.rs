//! `map export`: everything, or a box, as a file.

use super::Context;
use super::show::report_absent;
use crate::args::{ExportArgs, ExportFormat as Format};
use crate::commands::question::{Question, tell_ahead};
use crate::console::{self, Console, count};
use crate::exit::Exit;
use kappadb::export::{ExportFormat, ExportReport, Selection};
use kappadb::{Database, Filter, MapQuery};
use serde_json::json;

pub async fn run(context: &Context, args: &ExportArgs) -> anyhow::Result<Exit> {
    let format = match args.format {
        Format::Geojson => ExportFormat::GeoJson,
        Format::Geojsonseq => ExportFormat::GeoJsonSeq,
        Format::Ndjson => ExportFormat::Ndjson,
        Format::Osm => ExportFormat::OsmXml,
    };
    let console = &context.console;
    context
        .read(args.ask, async |database, question| {
            let what = select(console, database, question, args).await?;
            let map = database.map();
            let report = match &args.output {
                Some(path) => {
                    console.replace(path, async |out| Ok(map.export(what, format, console::buffered(out)).await?))
                        .await?
                }
                None => map.export(what, format, console.stdout()).await?,
            };
            report_left_out(console, &report);
            report_absent(console, &report.missing, &report.gone);
            let line = json!({
                "features": report.features, "vertices": report.vertices,
                "deleted": report.deleted, "without_area": report.without_area, "left_out": report.left_out, "no_form": report.no_form, "missing": report.missing.len(), "gone": report.gone.len(),
            });
            console.note(&line, &format!("{} written", count(report.features, "feature")));
            Ok(usize::try_from(report.features).unwrap_or(usize::MAX))
        })
        .await
}

/// Asks the peers and says what is to be written.
async fn select(
    console: &Console,
    database: &Database,
    question: &mut Question,
    args: &ExportArgs,
) -> anyhow::Result<Selection> {
    let Some(bbox) = &args.bbox else {
        // All of it is asked for, and none of it read before it is written.
        let all = database.map().find_anywhere(&Filter::default(), None, Some(0));
        let _ = question.read(all).await?;
        return Ok(Selection::Everything);
    };
    if args.osm_api {
        return Ok(Selection::Hits(super::osm_api(console, database, question, bbox).await?));
    }
    let query = MapQuery::new(bbox.clone());
    Ok(Selection::Hits(question.read(database.map().find(&query)).await?.items))
}

/// Says how many areas have no geometry.
pub fn report_without_area(console: &Console, areas: u64) {
    if areas > 0 {
        let have = if areas == 1 { "relation has" } else { "relations have" };
        console.remark(
            &json!({ "without_area": areas }),
            &format!("{areas} {have} no geometry: ways that bound them are not held here, or do not close"),
        );
    }
}

/// Says what is not in the output.
pub fn report_left_out(console: &Console, report: &ExportReport) {
    tell_ahead(console, usize::try_from(report.ahead).unwrap_or(usize::MAX));
    report_without_area(console, report.without_area);
    if report.left_out > 0 {
        let left_out = count(report.left_out, "feature");
        let text = format!("{left_out} left out: their content is not held here");
        console.remark(&json!({ "left_out": report.left_out }), &text);
    }
    if report.no_form > 0 {
        let no_form = count(report.no_form, "feature");
        let text = format!("{no_form} left out: OSM XML has no form for them; GeoJSON has");
        console.remark(&json!({ "no_form": report.no_form }), &text);
    }
}
