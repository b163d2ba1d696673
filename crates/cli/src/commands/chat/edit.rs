//! `chat post|topic|nick|profile|join|leave|archive|delete|mark-read`.

use super::Context;
use crate::args::EntryText;
use crate::output;
use anyhow::Context as _;
use kappadb::{Chat, Database, EntryId};
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
    output::result(&json!({ "id": id }), &id)?;
    Ok(database.close().await?)
}

pub async fn post(context: &Context, channel: &str, text: &str, emote: bool) -> anyhow::Result<()> {
    let text = text_or_stdin(text)?;
    write(context, async |chat, _| match emote {
        true => Ok(chat.emote(channel, &text).await?),
        false => Ok(chat.post(channel, &text).await?),
    })
    .await
}

/// The text itself, or what stdin has for `-`.
pub fn text_or_stdin(text: &str) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().take(MOST).read_to_string(&mut text).context("cannot read text from stdin")?;
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
    Ok(database.close().await?)
}
