//! `map get|history|referrers|expand`.

use super::{Context, report_failures};
use crate::commands::asked::report_ahead;
use crate::output::{self, count};
use anyhow::{bail, ensure};
use kappadb::export::texts;
use kappadb::{Hit, Revision, geojson};
use serde_json::json;
use std::io::Write;

pub async fn get(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    if !local {
        report_failures(&database.map().ask_id(id).await?);
    }
    let found = database.map().get(id).await?;
    database.close().await?;
    report_ahead(context.json, found.as_ref().map_or(0, |found| found.ahead));
    match found {
        Some(found) if !found.versions.is_empty() => {
            texts(&found).try_for_each(|text| output::line(&text))?;
            Ok(found.versions.iter().try_for_each(|version| version.held().map(drop))?)
        }
        _ => bail!("there is no feature {id:?} here"),
    }
}

/// All versions, the latest first.
pub async fn history(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    if !local {
        report_failures(&database.map().ask_history(id).await?);
    }
    let history = database.map().history(id).await?;
    database.close().await?;
    ensure!(!history.is_empty(), "nothing is known of {id:?} here");
    history.iter().try_for_each(
        |revision| if context.json { json_revision(revision) } else { print_revision(revision) },
    )
}

fn json_revision(revision: &Revision) -> anyhow::Result<()> {
    let Revision { edition, author, current } = revision;
    let feature = edition.feature.as_ref().map(geojson::to_geojson);
    output::json_line(&json!({
        "entry": edition.entry.to_string(), "author": author.to_string(), "timestamp": edition.time.0,
        "current": current, "winner": edition.winner, "deleted": edition.deleted, "feature": feature,
    }))
}

fn print_revision(revision: &Revision) -> anyhow::Result<()> {
    let Revision { edition, current, .. } = revision;
    let standing = match (edition.winner, current) {
        (true, _) => "current",
        (false, true) => "in conflict",
        (false, false) => "replaced",
    };
    let content = match (&edition.feature, edition.deleted) {
        (_, true) => "deleted".to_owned(),
        (Some(feature), false) => geojson::to_text(feature),
        (None, false) => "content not held".to_owned(),
    };
    output::line(&format!("{} {} {standing}: {content}", edition.time, edition.entry))
}

pub async fn referrers(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    let ids = [id.to_owned()];
    if !local {
        report_failures(&database.map().ask_referrers(&ids).await?);
    }
    let hits = database.map().referrers(&ids).await?;
    database.close().await?;
    print_ids(context.json, &hits)
}

/// A feature and what it is made of; what is missing is told on stderr and does not end the command.
pub async fn expand(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    if !local {
        report_failures(&database.map().ask_expand(id).await?);
    }
    let expanded = database.map().expand(id).await?;
    ensure!(!expanded.found.is_empty(), "there is no feature {id:?} here");
    for found in database.map().load(&expanded.found).await? {
        texts(&found).try_for_each(|text| output::line(&text))?;
    }
    report_missing(context.json, &expanded.missing);
    Ok(database.close().await?)
}

/// Says what is referred to and not held.
pub fn report_missing(json: bool, missing: &[String]) {
    /// Named one by one for people; programs get all.
    const NAMED: usize = 10;
    if json && !missing.is_empty() {
        eprintln!("{}", json!({ "missing": missing }));
    } else if !missing.is_empty() {
        let named = missing.get(..NAMED).unwrap_or(missing).join(", ");
        let more = if missing.len() > NAMED { ", ..." } else { "" };
        output::warn(&format!("{} not held here: {named}{more}", count(missing.len() as u64, "element")));
    }
}

pub fn print_ids(json: bool, hits: &[Hit]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for hit in hits {
        if json {
            let heads: Vec<String> = hit.heads.iter().map(ToString::to_string).collect();
            writeln!(out, "{}", json!({ "id": hit.id, "heads": heads }))?;
        } else {
            writeln!(out, "{}", hit.id)?;
        }
    }
    Ok(out.flush()?)
}
