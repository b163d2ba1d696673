//! `map query`: asks the peers, then answers from what is held.

use super::Context;
use super::export::report_left_out;
use super::show::print_ids;
use crate::args::{Format, QueryArgs};
use crate::commands::question::Question;
use crate::console::Console;
use crate::exit::Exit;
use anyhow::Context as _;
use kappadb::export::{ExportFormat, Selection};
use kappadb::{Cursor, Database, Extent, Filter, Found, Hit, MapQuery, Order, svg};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};

/// Features read at a time.
const CHUNK: usize = 1_000;

pub async fn query(context: &Context, args: &QueryArgs) -> anyhow::Result<Exit> {
    context
        .read(args.ask, async |database, question| {
            let (hits, next) = match &args.bbox {
                Some(bbox) if args.osm_api => {
                    (super::osm_api(&context.console, database, question, bbox).await?, None)
                }
                Some(bbox) => find(database, question, args, bbox).await?,
                None => find_anywhere(database, question, args).await?,
            };
            print(&context.console, database, args, &hits).await?;
            next.iter().for_each(|next| question.go_on_with(next));
            Ok(hits.len())
        })
        .await
}

fn filter(args: &QueryArgs) -> Filter {
    Filter { kinds: args.kind.clone(), tags: args.tag.clone(), min_extent: args.min_extent.unwrap_or(0) }
}

async fn find_anywhere(
    database: &Database,
    question: &mut Question,
    args: &QueryArgs,
) -> anyhow::Result<(Vec<Hit>, Option<Cursor>)> {
    let find = database.map().find_anywhere(&filter(args), args.after.as_ref(), args.limit.number());
    let page = question.read(find).await?;
    Ok((page.items, page.next))
}

async fn find(
    database: &Database,
    question: &mut Question,
    args: &QueryArgs,
    bbox: &Extent,
) -> anyhow::Result<(Vec<Hit>, Option<Cursor>)> {
    let query = MapQuery {
        filter: filter(args),
        limit: args.limit.number(),
        order: if args.largest { Order::LargestFirst } else { Order::ById },
        after: args.after.clone(),
        ..MapQuery::new(bbox.clone())
    };
    let page = question.read(database.map().find(&query)).await?;
    Ok((page.items, page.next))
}

async fn print(console: &Console, database: &Database, args: &QueryArgs, hits: &[Hit]) -> anyhow::Result<()> {
    let format = match args.format {
        Format::Count => return console.result(&json!({ "count": hits.len() }), &hits.len().to_string()),
        Format::Ids => return print_ids(console, hits),
        Format::Svg => {
            let bbox = args.bbox.as_ref().context("a picture needs a box")?;
            return console.form(&picture(console, database, bbox, hits).await?);
        }
        Format::Ndjson => ExportFormat::Ndjson,
        Format::Geojson => ExportFormat::GeoJson,
        Format::Geojsonseq => ExportFormat::GeoJsonSeq,
        Format::Osm => ExportFormat::OsmXml,
    };
    let report = database.map().export(Selection::Hits(hits.to_vec()), format, console.stdout()).await?;
    report_left_out(console, &report);
    Ok(())
}

async fn picture(
    console: &Console,
    database: &Database,
    bbox: &Extent,
    hits: &[Hit],
) -> anyhow::Result<String> {
    let mut shapes = Vec::new();
    for chunk in hits.chunks(CHUNK) {
        let found = database.map().load(chunk).await?.items;
        shapes
            .extend(found.into_iter().filter_map(shown).map(|feature| svg::Shape { feature, fetched: true }));
    }
    if shapes.is_empty() {
        console.remark(&json!({ "empty": hits.len() }), why_empty(hits.len()));
    }
    let outlines = outlines(database, &shapes).await?;
    shapes.extend(outlines);
    Ok(svg::render(bbox, &shapes))
}

/// Why there is nothing in a picture.
fn why_empty(found: usize) -> &'static str {
    if found == 0 {
        "the picture is empty: nothing that is held here touches the box and passes the filter"
    } else {
        "the picture is empty: the contents of what was found are not held here"
    }
}

/// The ways outside the box that give areas in it their shape, as far as they are held here.
async fn outlines(database: &Database, shapes: &[svg::Shape]) -> anyhow::Result<Vec<svg::Shape>> {
    let shown_already: HashSet<&str> = shapes.iter().map(|shape| shape.feature.id.as_str()).collect();
    let mut wanted: BTreeSet<String> = shapes.iter().flat_map(|shape| svg::outline(&shape.feature)).collect();
    wanted.retain(|id| !shown_already.contains(id.as_str()));
    let mut out = Vec::new();
    for id in &wanted {
        let found = database.map().get(id).await?.one();
        out.extend(found.and_then(shown).map(|feature| svg::Shape { feature, fetched: true }));
    }
    Ok(out)
}

/// The version of a feature that is drawn: the winner, or another one in the box if that is elsewhere.
pub fn shown(found: Found) -> Option<kappadb::Feature> {
    found.versions.into_iter().find_map(|version| version.feature)
}
