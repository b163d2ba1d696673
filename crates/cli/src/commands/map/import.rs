//! `map import`.

use super::Context;
use crate::commands::input::progress;
use crate::output::{self, count, size};
use kappadb::ImportOptions;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Warnings about bad features printed one by one; the rest is only counted.
const WARNINGS: usize = 20;

pub async fn run(context: &Context, file: &Path, force: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    // For scripts: what survives a power cut from here on.
    let safe = Arc::new(AtomicU64::new(0));
    let told = safe.clone();
    let durable = move |features: u64| {
        told.store(features, Ordering::Relaxed);
        output::progress(&json!({ "durable": features }));
    };
    let (map, options) = (database.map(), ImportOptions { force });
    let imported = if file == Path::new("-") {
        map.import_stream("standard input", std::io::stdin(), options, durable).await
    } else {
        map.import(file, options, durable).await
    };
    let report = imported.map_err(|error| match safe.load(Ordering::Relaxed) {
        0 => anyhow::Error::from(error),
        safe => anyhow::Error::from(error).context(progress(file, &count(safe, "feature"))),
    })?;
    for skip in report.skips.iter().take(WARNINGS) {
        output::warn(&format!("skipped {skip}"));
    }
    if report.skipped > WARNINGS as u64 {
        output::warn(&format!("skipped {} in all", count(report.skipped, "feature")));
    }
    let text = format!(
        "{} ({}, {}, {}): {} taken, {} unchanged, {} older, {} skipped; {} of {} appended in {:.1} s",
        count(report.features, "feature"),
        count(report.nodes, "node"),
        count(report.ways, "way"),
        count(report.relations, "relation"),
        report.taken,
        report.unchanged,
        report.older,
        report.skipped,
        count(report.blocks, "block"),
        size(report.bytes),
        report.seconds
    );
    output::result(&report, &text)?;
    Ok(database.close().await?)
}
