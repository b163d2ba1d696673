//! `demo`: the main job on a bundled piece of Helsinki. A full replica, an empty one, a real connection between
//! them, a box; then the same question to the full copy.

use super::map::query;
use super::question;
use crate::args::DemoArgs;
use crate::console::{Console, count, size};
use anyhow::{Context as _, ensure};
use kappadb::{Answer, Asked, Database, Extent, Hit, ImportOptions, Source, Status, svg};
use serde_json::json;
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

/// © OpenStreetMap contributors, Open Database License 1.0 (see the README beside it).
const EXTRACT: &[u8] = include_bytes!("../../data/helsinki-centre.osm.pbf");
/// Some blocks around the central railway station.
const STATION: &str = "24.9390,60.1695,24.9440,60.1725";

pub async fn demo(console: &Console, args: &DemoArgs) -> anyhow::Result<()> {
    let bbox = args.bbox.clone().map_or_else(|| STATION.parse(), Ok)?;
    let scratch = tempfile::tempdir().context("the demo needs a temporary directory")?;
    let file = scratch.path().join("helsinki-centre.osm.pbf");
    std::fs::write(&file, EXTRACT)?;

    let full = Database::builder(scratch.path().join("full")).create().await?;
    let report = full.map().import(&file, ImportOptions::default(), |_| ()).await?;
    say(
        console,
        &format!("A full replica holds {} of central Helsinki.", count(report.features, "map feature")),
    )?;

    let server = full.serve(([127, 0, 0, 1], 0).into()).await?;
    let fresh = Database::builder(scratch.path().join("fresh")).join(&server.ticket()).await?;
    say(console, &format!("An empty one joins it at {} and asks for {bbox}.", server.address()))?;

    let answer = fresh.map().query(&bbox, None).from(Source::Peers).await?;
    question::tell(console, &answer.asked, &fresh.peers().list());
    let expected = full.map().query(&bbox, None).await?.items;
    ensure!(answer.is_complete(), "the answer is not complete");
    let Answer { items: hits, asked, .. } = answer;
    ensure!(ids(&hits) == ids(&expected), "the answer differs from the full copy's");
    draw(console, &full, &fresh, &bbox, &args.svg).await?;
    tell(console, &asked, &hits, &full.status().await?, &args.svg)?;

    fresh.close().await?;
    server.stop().await;
    Ok(full.close().await?)
}

/// For people alone.
fn say(console: &Console, text: &str) -> anyhow::Result<()> {
    if console.is_json() { Ok(()) } else { console.line(text) }
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

fn tell(console: &Console, asked: &Asked, hits: &[Hit], full: &Status, svg: &Path) -> anyhow::Result<()> {
    let blocks: u64 = full.feeds.iter().map(|feed| feed.length).sum();
    let bytes: u64 = full.feeds.iter().map(|feed| feed.bytes).sum();
    if console.is_json() {
        return console.json_line(&json!({
            "results": hits.len(), "complete": true, "equal": true,
            "blocks_fetched": asked.blocks_fetched, "blocks": blocks,
            "bytes_received": asked.bytes_received, "bytes": bytes,
            "round_trips": asked.round_trips, "svg": svg,
        }));
    }
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let share = |part: u64, whole: u64| format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64);
    let fetched = asked.blocks_fetched;
    let received = asked.bytes_received;
    console.line(&format!("  features found   {}", hits.len()))?;
    console.line(&format!("  blocks fetched   {fetched} of {blocks} ({})", share(fetched, blocks)))?;
    console.line(&format!(
        "  bytes received   {} of {} ({})",
        size(received),
        size(bytes),
        share(received, bytes)
    ))?;
    console
        .line(&format!("  round trips      {}, from dialling to the last proved block", asked.round_trips))?;
    console.line("  checked          the full copy gives the same features; the answer is complete")?;
    console.line(&format!("  picture          {} (what was fetched is in colour)", svg.display()))?;
    console.line("Map data © OpenStreetMap contributors, Open Database License.")
}

/// Draws all of the full copy in grey and what the fresh replica holds in colour.
async fn draw(
    console: &Console,
    full: &Database,
    fresh: &Database,
    bbox: &Extent,
    path: &Path,
) -> anyhow::Result<()> {
    let world = Extent::from(kappadb::GeoBox::WORLD);
    let fetched = fresh.map().query(&world, None).await?.items;
    let fetched: HashSet<&str> = ids(&fetched).into_iter().collect();
    let all = full.map().query(&world, None).await?.items;
    let mut shapes = Vec::new();
    for found in full.map().load(&all).await? {
        if let Some(feature) = query::shown(found) {
            shapes.push(svg::Shape { fetched: fetched.contains(feature.id.as_str()), feature });
        }
    }
    let view = svg::around(&shapes).unwrap_or_else(|| bbox.clone());
    let picture = svg::render(&view, &shapes);
    console.replace(path, async |mut out| Ok(out.write_all(picture.as_bytes())?)).await
}
