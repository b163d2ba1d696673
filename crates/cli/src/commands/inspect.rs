//! `status`, `verify` and `rebuild`.

use super::Context;
use crate::console::{count, size};
use crate::exit::Exit;
use kappadb::Delivery;
use serde_json::json;

pub async fn status(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    let status = database.status().await?;
    let node = context.is_node().then(std::process::id);
    let delivery = match database.last_written().await? {
        Some(last) => Some((last, database.delivery(last).await?)),
        None => None,
    };
    if context.console.is_json() {
        let mut line = serde_json::to_value(&status)?;
        if let Some(line) = line.as_object_mut() {
            line.insert("node".to_owned(), json!(node));
            let told = delivery.map(|(last, Delivery { held_by, awaited })| {
                json!({ "last": last.to_string(), "reached": held_by.len(), "awaited": awaited.len() })
            });
            line.insert("delivery".to_owned(), json!(told));
        }
        context.console.json_line(&line)?;
        return context.close(database).await;
    }
    context.console.line(&format!("database {}", status.database))?;
    if let Some(node) = node {
        context.console.line(&format!("node process {node}, which carries out all commands"))?;
    }
    if let Some((last, Delivery { held_by, awaited })) = delivery {
        let told = super::in_words(held_by.len(), awaited.len());
        context.console.line(&format!("last entry {last}: {told}"))?;
    }
    for feed in &status.feeds {
        context.console.line(&format!("feed {:.16} {}", feed.feed, super::log::standing(feed)))?;
    }
    for view in &status.views {
        context
            .console
            .line(&format!("view {} v{}: at {}, {} behind", view.name, view.version, view.lseq, view.lag))?;
    }
    if status.conflicts.count > 0 || status.conflicts.more {
        let least = if status.conflicts.more { "at least " } else { "" };
        let features = count(status.conflicts.count, "feature");
        context.console.line(&format!("map {least}{features} in conflict"))?;
    }
    for caller in &status.callers {
        context.console.line(&format!(
            "caller {:.16} from {}: {}, {}, {} refused, {} failed, {} sent",
            caller.peer,
            caller.address,
            count(caller.sessions, "session"),
            count(caller.questions, "question"),
            caller.refused,
            caller.failed,
            size(caller.bytes)
        ))?;
    }
    context.console.line(&format!(
        "disk {} journal, {} derived",
        size(status.disk.journal),
        size(status.disk.derived)
    ))?;
    context.close(database).await
}

pub async fn verify(context: &Context) -> anyhow::Result<Exit> {
    let database = context.open().await?;
    let problems = database.verify().await?;
    let feeds = database.status().await?.feeds;
    context.close(database).await?;
    // Nothing here is wrong with what is held: it proves what its writer did.
    for (feed, seq) in feeds.iter().filter_map(|feed| Some((&feed.feed, feed.fork?))) {
        let text = format!(
            "feed {feed} forked: its writer signed two histories from block {seq} on, which do not count"
        );
        context.console.result(&json!({ "fork": { "feed": feed, "seq": seq } }), &text)?;
    }
    for problem in &problems {
        context.console.result(&json!({ "problem": problem }), problem)?;
    }
    if context.console.is_json() {
        context.console.json_line(&json!({ "problems": problems.len() }))?;
    } else if problems.is_empty() {
        context.console.say("What is held is sound.");
    } else {
        context.console.say(&count(problems.len() as u64, "problem"));
    }
    Ok(Exit::done_if(problems.is_empty()))
}

pub async fn rebuild(context: &Context) -> anyhow::Result<()> {
    let database = context.open_rebuilt().await?;
    database.ready().await?;
    let status = database.status().await?;
    let blocks: u64 = status.feeds.iter().map(|feed| feed.held).sum();
    if context.console.is_json() {
        context.console.json_line(&json!({ "blocks": blocks, "derived": status.disk.derived }))?;
    } else {
        context.console.say(&format!("Rebuilt from {} in the journal.", count(blocks, "block")));
    }
    context.close(database).await
}
