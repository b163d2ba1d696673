//! `chat post|edit|topic|nick|profile|join|leave|archive|delete|mark-read`.

use super::Context;
use crate::args::EntryText;
use crate::console::Console;
use anyhow::Context as _;
use kappadb::{Chat, Database, EntryId, PostOptions};
use serde_json::json;
use std::io::Read;

/// Bytes of stdin that are looked at: more than any text may have.
const MOST: u64 = 1 << 20;

/// Does one thing and prints the id of the entry that it made.
pub async fn write(
    context: &Context,
    job: impl AsyncFnOnce(Chat, &Database) -> anyhow::Result<EntryId>,
) -> anyhow::Result<()> {
    let database = context.open().await?;
    let id = job(database.chat(), &database).await?.to_string();
    context.console.result(&json!({ "id": id }), &id)?;
    if let Some(doubt) = database.clock_doubt().await? {
        context.console.warn(&doubt.to_string());
    }
    context.close(database).await
}

pub async fn post(
    context: &Context,
    channel: &str,
    text: &str,
    emote: bool,
    reply_to: Option<&EntryText>,
    attach: &[EntryText],
) -> anyhow::Result<()> {
    let text = text_or_stdin(&context.console, text)?;
    write(context, async |chat, database| {
        let reply_to = match reply_to {
            Some(id) => Some(id.find(database).await?),
            None => None,
        };
        let attachments = entries(database, attach).await?;
        let options = PostOptions { emote, reply_to, attachments };
        Ok(chat.post_with(channel, &text, &options).await?)
    })
    .await
}

async fn entries(database: &Database, names: &[EntryText]) -> anyhow::Result<Vec<EntryId>> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(name.find(database).await?);
    }
    Ok(ids)
}

pub async fn edit(
    context: &Context,
    id: &EntryText,
    text: &str,
    attach: Option<&[EntryText]>,
) -> anyhow::Result<()> {
    let text = text_or_stdin(&context.console, text)?;
    write(context, async |chat, database| {
        let attachments = match attach {
            Some(attach) => Some(entries(database, attach).await?),
            None => None,
        };
        Ok(chat.edit(id.find(database).await?, &text, attachments).await?)
    })
    .await
}

/// The text itself, or what stdin has for `-`.
pub fn text_or_stdin(console: &Console, text: &str) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    console.stdin()?.take(MOST).read_to_string(&mut text).context("cannot read text from stdin")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

pub async fn topic(context: &Context, channel: &str, text: &str) -> anyhow::Result<()> {
    write(context, async |chat, _| Ok(chat.set_topic(channel, text).await?)).await
}

pub async fn profile(context: &Context, field: &str, value: &str) -> anyhow::Result<()> {
    write(context, async |chat, _| Ok(chat.set_profile(field, value).await?)).await
}

pub async fn join(context: &Context, channel: &str) -> anyhow::Result<()> {
    write(context, async |chat, _| Ok(chat.join(channel).await?)).await
}

pub async fn leave(context: &Context, channel: &str) -> anyhow::Result<()> {
    write(context, async |chat, _| Ok(chat.leave(channel).await?)).await
}

pub async fn archive(context: &Context, channel: &str, reason: &str, undo: bool) -> anyhow::Result<()> {
    write(context, async |chat, _| match undo {
        true => Ok(chat.unarchive(channel, reason).await?),
        false => Ok(chat.archive(channel, reason).await?),
    })
    .await
}

pub async fn delete(context: &Context, id: &EntryText) -> anyhow::Result<()> {
    write(context, async |chat, database| Ok(chat.delete(id.find(database).await?).await?)).await
}

pub async fn mark_read(context: &Context, channel: &str, up_to: Option<&EntryText>) -> anyhow::Result<()> {
    let database = context.open().await?;
    let up_to = match up_to {
        Some(id) => Some(id.find(&database).await?),
        None => None,
    };
    database.chat().mark_read(channel, up_to).await?;
    context.close(database).await
}
