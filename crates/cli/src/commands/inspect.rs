//! `status`, `verify` and `rebuild`.

use super::Context;
use crate::exit::Exit;
use crate::output::{self, count, size};
use serde_json::json;

pub async fn status(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    let status = database.status().await?;
    if output::is_json() {
        output::json_line(&status)?;
        return Ok(database.close().await?);
    }
    output::line(&format!("database {}", status.database))?;
    for feed in &status.feeds {
        output::line(&format!("feed {:.16} {}", feed.feed, super::log::standing(feed)))?;
    }
    for view in &status.views {
        output::line(&format!(
            "view {} v{}: at {}, {} behind",
            view.name, view.version, view.lseq, view.lag
        ))?;
    }
    if status.conflicts.count > 0 || status.conflicts.more {
        let least = if status.conflicts.more { "at least " } else { "" };
        let features = count(status.conflicts.count, "feature");
        output::line(&format!("map {least}{features} in conflict"))?;
    }
    for caller in &status.callers {
        output::line(&format!(
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
    output::line(&format!(
        "disk {} journal, {} derived",
        size(status.disk.journal),
        size(status.disk.derived)
    ))?;
    Ok(database.close().await?)
}

pub async fn verify(context: &Context) -> anyhow::Result<Exit> {
    let database = context.open().await?;
    let problems = database.verify().await?;
    let feeds = database.status().await?.feeds;
    database.close().await?;
    // Nothing here is wrong with what is held: it proves what its writer did.
    for (feed, seq) in feeds.iter().filter_map(|feed| Some((&feed.feed, feed.fork?))) {
        let text = format!(
            "feed {feed} forked: its writer signed two histories from block {seq} on, which do not count"
        );
        output::result(&json!({ "fork": { "feed": feed, "seq": seq } }), &text)?;
    }
    for problem in &problems {
        output::result(&json!({ "problem": problem }), problem)?;
    }
    if output::is_json() {
        output::json_line(&json!({ "problems": problems.len() }))?;
    } else if problems.is_empty() {
        output::say("What is held is sound.");
    } else {
        output::say(&count(problems.len() as u64, "problem"));
    }
    Ok(Exit::done_if(problems.is_empty()))
}

pub async fn rebuild(context: &Context) -> anyhow::Result<()> {
    let database = context.builder().rebuild().open().await?;
    // That it could not be put on the disk, for one.
    database.warnings().iter().for_each(|warning| output::warn(warning));
    database.ready().await?;
    let status = database.status().await?;
    let blocks: u64 = status.feeds.iter().map(|feed| feed.held).sum();
    if output::is_json() {
        output::json_line(&json!({ "blocks": blocks, "derived": status.disk.derived }))?;
    } else {
        output::say(&format!("Rebuilt from {} in the journal.", count(blocks, "block")));
    }
    Ok(database.close().await?)
}
