//! `map query`: asks the peers, then answers from what is held.

use super::show::{features, print_ids};
use super::{Context, report_failures};
use crate::args::{Format, QueryArgs};
use crate::output;
use kappadb::{Asked, Database, Extent, Found, Hit, svg};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::time::Instant;

/// Features read and printed at a time: what bounds memory when a box holds millions.
const CHUNK: usize = 1_000;

pub async fn query(context: &Context, args: &QueryArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let database = context.open().await?;
    let asked = if args.local { None } else { Some(database.map().ask(&args.bbox).await?) };
    asked.iter().for_each(report_failures);
    let hits = database.map().query(&args.bbox, args.limit).await?;
    print(context, &database, args, &hits).await?;
    if args.stats {
        eprintln!("{}", stats(&hits, asked.as_ref(), started.elapsed().as_secs_f64()));
    }
    Ok(database.close().await?)
}

fn stats(hits: &[Hit], asked: Option<&Asked>, seconds: f64) -> serde_json::Value {
    let none = Asked::default();
    let a = asked.unwrap_or(&none);
    json!({
        "results": hits.len(),
        "complete": asked.map(|a| a.complete),
        "peers": a.peers,
        "blocks_fetched": a.blocks_fetched,
        "bytes_received": a.bytes_received,
        "bytes_sent": a.bytes_sent,
        "round_trips": a.round_trips,
        "seconds": seconds,
    })
}

async fn print(context: &Context, database: &Database, args: &QueryArgs, hits: &[Hit]) -> anyhow::Result<()> {
    match args.format {
        Format::Count if context.json => output::json_line(&json!({ "count": hits.len() })),
        Format::Count => output::line(&hits.len().to_string()),
        Format::Ids => print_ids(context.json, hits),
        Format::Ndjson => print_features(database, hits, "", "\n", "\n").await,
        Format::Geojson => {
            print_features(
                database,
                hits,
                "{\"type\":\"FeatureCollection\",\"features\":[\n",
                ",\n",
                "\n]}\n",
            )
            .await
        }
        Format::Svg => output::line(&picture(database, &args.bbox, hits).await?),
    }
}

async fn print_features(
    database: &Database,
    hits: &[Hit],
    before: &str,
    between: &str,
    after: &str,
) -> anyhow::Result<()> {
    let mut text = before.to_owned();
    let mut first = true;
    for chunk in hits.chunks(CHUNK) {
        for found in database.map().load(chunk).await? {
            for feature in features(&found) {
                if !std::mem::take(&mut first) {
                    text.push_str(between);
                }
                text.push_str(&feature);
            }
        }
        std::io::stdout().lock().write_all(std::mem::take(&mut text).as_bytes())?;
    }
    // Lines end with a newline only if there is one; a collection is closed in any case.
    let end = if first && between == "\n" { "" } else { after };
    Ok(std::io::stdout().lock().write_all((text + end).as_bytes())?)
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
