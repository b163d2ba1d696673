//! `map import|put|delete|get`.

use super::Context;
use crate::output::{self, count, size};
use anyhow::{Context as _, bail};
use kappadb::{Edition, Feature, Found, geojson};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Warnings about bad features printed one by one; the rest is only counted.
const WARNINGS: usize = 20;

pub async fn import(context: &Context, file: &Path) -> anyhow::Result<()> {
    let database = context.open().await?;
    let json = context.json;
    // For scripts: what survives a power cut from here on.
    let durable = move |features: u64| {
        if json {
            eprintln!("{}", json!({ "durable": features }));
        }
    };
    let report = database.map().import(file, durable).await?;
    for skip in report.skips.iter().take(WARNINGS) {
        output::warn(&format!("skipped {skip}"));
    }
    if report.skipped > WARNINGS as u64 {
        output::warn(&format!("skipped {} in all", count(report.skipped, "feature")));
    }
    if json {
        output::json_line(&report)?;
    } else {
        output::line(&format!(
            "{} ({}, {}, {}), {} skipped; {} of {} appended in {:.1} s",
            count(report.features, "feature"),
            count(report.nodes, "node"),
            count(report.ways, "way"),
            count(report.relations, "relation"),
            report.skipped,
            count(report.blocks, "block"),
            size(report.bytes),
            report.seconds
        ))?;
    }
    Ok(database.close().await?)
}

pub async fn put(context: &Context, file: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("stdin is not a text")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let feature = geojson::from_text(&text)?;
    let database = context.open().await?;
    let entry = database.map().put(feature.clone()).await?;
    if context.json {
        output::json_line(&json!({ "id": feature.id, "entry": entry.to_string() }))?;
    } else {
        output::line(&feature.id)?;
    }
    Ok(database.close().await?)
}

pub async fn delete(context: &Context, id: &str) -> anyhow::Result<()> {
    let database = context.open().await?;
    let entry = database.map().delete(id).await?;
    if context.json {
        output::json_line(&json!({ "id": id, "entry": entry.to_string() }))?;
    } else {
        output::line(id)?;
    }
    Ok(database.close().await?)
}

pub async fn get(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    if !local {
        super::query::report_failures(&database.map().ask_id(id).await?);
    }
    let found = database.map().get(id).await?;
    database.close().await?;
    match found {
        Some(found) if !found.versions.is_empty() => {
            features(&found).try_for_each(|text| output::line(&text))
        }
        _ => bail!("there is no feature {id:?} here"),
    }
}

/// A feature as GeoJSON: its winner, or each of its versions, marked, if they are in conflict.
pub fn features(found: &Found) -> impl Iterator<Item = String> + '_ {
    let conflict = found.is_conflict();
    found.versions.iter().filter_map(move |version| {
        let feature: &Feature = version.feature.as_ref()?;
        let text = geojson::to_text(feature);
        Some(if conflict { marked(&text, version) } else { text })
    })
}

/// The object with one more member in front, all else as it was written.
fn marked(object: &str, version: &Edition) -> String {
    let mark = json!({ "entry": version.entry.to_string(), "winner": version.winner });
    format!("{{\"kappa:conflict\":{mark},{}", object.trim_start().trim_start_matches('{'))
}
