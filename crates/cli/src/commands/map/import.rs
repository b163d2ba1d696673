//! `map import`.

use super::Context;
use crate::args::AskArgs;
use crate::commands::input::progress;
use crate::commands::question::Question;
use crate::console::{Console, count, size};
use crate::exit::Exit;
use kappadb::{Database, Ids, ImportFile, ImportOptions, ImportReport, Location, Map, TouchedByImport};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Warnings about bad features printed one by one; the rest is only counted.
const WARNINGS: usize = 20;

pub async fn run(
    context: &Context,
    file: &Path,
    options: ImportOptions,
    ask: AskArgs,
) -> anyhow::Result<Exit> {
    let mut left_out = 0;
    let exit = context
        .read(ask, async |database, question| {
            let read = read(&context.console, &database.map(), file, &options.ids).await?;
            let read = if question.asks() {
                ask_first(&context.console, database, question, read).await?
            } else {
                read
            };
            let report = apply(&context.console, &database.map(), file, read, options.force).await?;
            tell_left_out(&context.console, &report);
            context.console.result(&report, &sentence(&report))?;
            left_out = report.skipped;
            Ok(usize::try_from(report.features).unwrap_or(usize::MAX))
        })
        .await?;
    Ok(if left_out > 0 { Exit::Failed } else { exit })
}

async fn read(console: &Console, map: &Map, file: &Path, ids: &Ids) -> anyhow::Result<ImportFile> {
    let source = console.open(file)?;
    let name = if file == Path::new("-") { "standard input".into() } else { file.to_string_lossy() };
    Ok(match &source.file {
        Some(file) => map.read_import(file, ids).await?,
        None => map.read_import_stream(name, source, ids).await?,
    })
}

/// Asks the peers what they know of what the file speaks of, and says of how much that is not certain.
async fn ask_first(
    console: &Console,
    database: &Database,
    question: &mut Question,
    file: ImportFile,
) -> anyhow::Result<ImportFile> {
    let (file, TouchedByImport { asked, touched, unknown, .. }) =
        database.map().touched_by_import(file).await?;
    if unknown > 0 {
        let text = format!(
            "of {} (the file has {touched}) and what they touch, peers may know what is not known here",
            count(unknown, "element")
        );
        console.remark(&json!({ "unknown": unknown, "touched": touched }), &text);
    }
    question.note(asked)?;
    Ok(file)
}

async fn apply(
    console: &Console,
    map: &Map,
    path: &Path,
    file: ImportFile,
    force: bool,
) -> anyhow::Result<ImportReport> {
    // For scripts: what survives a power cut from here on.
    let safe = Arc::new(AtomicU64::new(0));
    let (told, console) = (safe.clone(), console.clone());
    let durable = move |features: u64| {
        told.store(features, Ordering::Relaxed);
        console.progress(&json!({ "durable": features }));
    };
    map.apply_import(file, force, durable).await.map_err(|error| match safe.load(Ordering::Relaxed) {
        0 => anyhow::Error::from(error),
        safe => anyhow::Error::from(error).context(progress(path, &count(safe, "feature"))),
    })
}

/// What of the file is not here.
fn tell_left_out(console: &Console, report: &ImportReport) {
    for skip in report.skips.iter().take(if console.is_json() { usize::MAX } else { WARNINGS }) {
        let (line, byte) = match skip.location {
            Location::Text { line, offset } => (Some(line), Some(offset)),
            Location::Blob(offset) => (None, Some(offset)),
            _ => (None, None),
        };
        let told = json!({
            "feature": skip.id, "line": line, "byte": byte,
            "reason": skip.reason.name(), "error": skip.reason.to_string(),
        });
        console.remark(&told, &format!("left out {skip}"));
    }
    if report.skipped > WARNINGS as u64 && !console.is_json() {
        console.warn(&format!("{} left out in all", count(report.skipped, "feature")));
    }
    if report.renamed > 0 {
        let features = count(report.renamed, "feature");
        let text = format!(
            "{features} with placeholders or row numbers for ids got ids of their own; `--ids NAME` gives the same ones in all files of that name, `--ids keep` leaves them"
        );
        console.remark(&json!({ "renamed": report.renamed }), &text);
    }
    if report.unclear > 0 {
        let elements = count(report.unclear, "element");
        let text = format!(
            "of {elements} the version, time, changeset or author cannot be read; they are taken without it"
        );
        console.remark(&json!({ "unclear": report.unclear }), &text);
    }
    if !report.unkept.is_empty() {
        let text =
            format!("what the file says beside its features is not kept: {}", report.unkept.join(", "));
        console.remark(&json!({ "unkept": report.unkept }), &text);
    }
}

fn sentence(report: &ImportReport) -> String {
    let reasons: Vec<String> =
        report.reasons.iter().map(|(name, n)| format!("{n} {}", name.replace('_', " "))).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    format!(
        "{} ({}, {}, {}), {}, {}: {} taken, {} unchanged, {} older, {} left out{reasons}; {} of {} appended in {:.1} s",
        count(report.features, "feature"),
        count(report.nodes, "node"),
        count(report.ways, "way"),
        count(report.relations, "relation"),
        count(report.bare, "bare node"),
        count(report.deletes, "delete"),
        report.taken,
        report.unchanged,
        report.older,
        report.skipped,
        count(report.blocks, "block"),
        size(report.bytes),
        report.seconds
    )
}
