//! `map query`: asks the peers, then answers from what is held.

use super::export::report_left_out;
use super::show::print_ids;
use super::{Context, report_failures};
use crate::args::{Format, QueryArgs};
use crate::commands::asked;
use crate::output;
use kappadb::export::{ExportFormat, Selection};
use kappadb::{Asked, Database, Extent, Filter, Found, Hit, MapQuery, Order, Page, svg};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

/// Features read at a time.
const CHUNK: usize = 1_000;

pub async fn query(context: &Context, args: &QueryArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let database = context.open().await?;
    let (asked, page) = if args.osm_api {
        super::osm_api(context, &database, &args.bbox, args.local).await?
    } else {
        find(&database, args).await?
    };
    asked.iter().for_each(report_failures);
    print(context, &database, args, &page.hits).await?;
    if let Some(next) = page.next.as_ref().filter(|_| !args.stats) {
        output::note(
            context.json,
            &json!({ "next": next.to_string() }),
            &format!("more with --after '{next}'"),
        );
    }
    if args.stats {
        eprintln!("{}", stats(&page, asked.as_ref(), started.elapsed().as_secs_f64()));
    }
    Ok(database.close().await?)
}

async fn find(database: &Database, args: &QueryArgs) -> anyhow::Result<(Option<Asked>, Page)> {
    let query = MapQuery {
        filter: Filter {
            kinds: args.kind.clone(),
            tags: args.tag.clone(),
            min_extent: args.min_extent.unwrap_or(0),
        },
        limit: args.limit,
        order: if args.largest { Order::LargestFirst } else { Order::ById },
        after: args.after.clone(),
        ..MapQuery::new(args.bbox.clone())
    };
    let asked = if args.local { None } else { Some(database.map().ask_find(&query).await?) };
    Ok((asked, database.map().find(&query).await?))
}

fn stats(page: &Page, asked: Option<&Asked>, seconds: f64) -> serde_json::Value {
    let mut stats = asked::stats(page.hits.len(), asked, seconds);
    if let (Some(next), Some(stats)) = (&page.next, stats.as_object_mut()) {
        stats.insert("next".to_owned(), json!(next.to_string()));
    }
    stats
}

async fn print(context: &Context, database: &Database, args: &QueryArgs, hits: &[Hit]) -> anyhow::Result<()> {
    let format = match args.format {
        Format::Count if context.json => return output::json_line(&json!({ "count": hits.len() })),
        Format::Count => return output::line(&hits.len().to_string()),
        Format::Ids => return print_ids(context.json, hits),
        Format::Svg => return output::line(&picture(database, &args.bbox, hits).await?),
        Format::Ndjson => ExportFormat::Ndjson,
        Format::Geojson => ExportFormat::GeoJson,
        Format::Geojsonseq => ExportFormat::GeoJsonSeq,
        Format::Osm => ExportFormat::OsmXml,
    };
    let out = std::io::BufWriter::new(std::io::stdout());
    let report = database.map().export(Selection::Hits(hits.to_vec()), format, out).await?;
    report_left_out(context.json, &report);
    Ok(())
}

async fn picture(database: &Database, bbox: &Extent, hits: &[Hit]) -> anyhow::Result<String> {
    let mut shapes = Vec::new();
    for chunk in hits.chunks(CHUNK) {
        let found = database.map().load(chunk).await?;
        shapes
            .extend(found.into_iter().filter_map(shown).map(|feature| svg::Shape { feature, fetched: true }));
    }
    let outlines = outlines(database, &shapes).await?;
    shapes.extend(outlines);
    Ok(svg::render(bbox, &shapes))
}

/// The ways outside the box that give areas in it their shape, as far as they are held here.
async fn outlines(database: &Database, shapes: &[svg::Shape]) -> anyhow::Result<Vec<svg::Shape>> {
    let shown_already: HashSet<&str> = shapes.iter().map(|shape| shape.feature.id.as_str()).collect();
    let mut wanted: BTreeSet<String> = shapes.iter().flat_map(|shape| svg::outline(&shape.feature)).collect();
    wanted.retain(|id| !shown_already.contains(id.as_str()));
    let mut out = Vec::new();
    for id in &wanted {
        let found = database.map().get(id).await?;
        out.extend(found.and_then(shown).map(|feature| svg::Shape { feature, fetched: true }));
    }
    Ok(out)
}

/// The version of a feature that is drawn: the winner, or another one in the box if that is elsewhere.
pub fn shown(found: Found) -> Option<kappadb::Feature> {
    found.versions.into_iter().find_map(|version| version.feature)
}
