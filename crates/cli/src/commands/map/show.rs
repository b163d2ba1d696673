//! `map get|history|referrers|expand`.

use super::Context;
use super::export::report_without_area;
use crate::args::AskArgs;
use crate::commands::question::Question;
use crate::console::{self, Console, count};
use crate::exit::{Exit, NotFound};
use anyhow::bail;
use kappadb::{CarriedNode, Database, Found, Hit, Revision, geojson, visible_json};
use serde_json::json;
use std::io::Write;

/// Named one by one for people; programs get all.
const NAMED: usize = 10;

pub async fn get(context: &Context, id: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| match question.read(database.map().get(id)).await?.one() {
            Some(found) if !found.versions.is_empty() => {
                question.note_ahead(found.ahead);
                report_without_area(
                    &context.console,
                    print(&context.console, database, &found).await?.into(),
                );
                found.versions.iter().try_for_each(|version| version.held().map(drop))?;
                Ok(1)
            }
            _ => get_carried(&context.console, database, question, id).await,
        })
        .await
}

/// Prints a node that is no feature of its own, as the ways that have it say it.
async fn get_carried(
    console: &Console,
    database: &Database,
    question: &mut Question,
    id: &str,
) -> anyhow::Result<usize> {
    if !id.starts_with('n') {
        bail!(unknown(database, id).await?);
    }
    let carried = question.read(database.map().carried(id)).await?.one();
    let Some(CarriedNode { node, ways }) = carried else {
        bail!(unknown(database, id).await?);
    };
    console.form(&visible_json(&geojson::to_text(&node)))?;
    let of = ways.get(..NAMED).unwrap_or(&ways).join(", ");
    console.remark(&json!({ "carried_by": ways }), &format!("{id} has no tags and is a corner of {of}"));
    Ok(1)
}

/// Prints a feature; true if it is an area of which it is not known where it is.
async fn print(console: &Console, database: &Database, found: &Found) -> anyhow::Result<bool> {
    let texts = database.map().texts(found).await?;
    texts.list.iter().try_for_each(|text| console.form(&visible_json(text)))?;
    Ok(texts.without_area)
}

async fn unknown(database: &Database, id: &str) -> anyhow::Result<NotFound> {
    let was_there = !database.map().history(id).await?.items.is_empty();
    let any_more = if was_there { " any more: it was deleted" } else { "" };
    Ok(NotFound(format!("there is no feature {id:?} here{any_more}")))
}

/// All versions, the latest first.
pub async fn history(context: &Context, id: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let history = question.read(database.map().history(id)).await?.items;
            if history.is_empty() {
                bail!(unknown(database, id).await?);
            }
            for revision in &history {
                print_revision(&context.console, id, revision)?;
            }
            Ok(history.len())
        })
        .await
}

fn print_revision(console: &Console, id: &str, revision: &Revision) -> anyhow::Result<()> {
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
    let mut line = console::fields(revision);
    line.insert("feature".to_owned(), json!(id));
    console.result(&line, &format!("{} {} {standing}: {content}", console.time(edition.time), edition.entry))
}

pub async fn referrers(context: &Context, id: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    let ids = [id.to_owned()];
    context
        .read(ask, async |database, question| {
            let hits = question.read(database.map().referrers(&ids)).await?.items;
            print_ids(&context.console, &hits)?;
            Ok(hits.len())
        })
        .await
}

/// A feature and what it is made of; what is missing is told on stderr and does not end the command.
pub async fn expand(context: &Context, id: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let Some(expanded) = question.read(database.map().expand(id)).await?.one() else {
                bail!(unknown(database, id).await?);
            };
            let mut without_area = 0;
            for found in database.map().load(&expanded.found).await? {
                without_area += u64::from(print(&context.console, database, &found).await?);
            }
            report_without_area(&context.console, without_area);
            report_absent(&context.console, &expanded.missing, &expanded.gone);
            Ok(expanded.found.len())
        })
        .await
}

/// Says what is referred to and not held, and what is and was deleted.
pub fn report_absent(console: &Console, missing: &[String], gone: &[String]) {
    report(console, missing, "not_held", "not held here");
    report(console, gone, "gone", "deleted");
}

fn report(console: &Console, ids: &[String], name: &str, what: &str) {
    if ids.is_empty() {
        return;
    }
    let named = ids.get(..NAMED).unwrap_or(ids).join(", ");
    let more = if ids.len() > NAMED { ", ..." } else { "" };
    let elements = count(ids.len() as u64, "element");
    console.remark(&json!({ name: ids }), &format!("{elements} {what}: {named}{more}"));
}

pub fn print_ids(console: &Console, hits: &[Hit]) -> anyhow::Result<()> {
    let mut out = console.stdout();
    for hit in hits {
        if console.is_json() {
            let heads: Vec<String> = hit.heads.iter().map(ToString::to_string).collect();
            writeln!(out, "{}", json!({ "feature": hit.id, "heads": heads }))?;
        } else {
            writeln!(out, "{}", hit.id)?;
        }
    }
    Ok(out.flush()?)
}
