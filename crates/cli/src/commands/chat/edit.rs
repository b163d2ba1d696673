//! `chat post|topic|nick|profile|join|leave|archive|delete|mark-read`.

use super::Context;
use crate::output;
use anyhow::Context as _;
use kappadb::{Chat, ChatError, EntryId};
use serde_json::json;
use std::io::Read;

/// Bytes of stdin that are looked at: more than any text may have.
const MOST: u64 = 1 << 20;

/// Does one thing and prints the id of the entry that it made.
pub async fn write<F>(context: &Context, job: impl FnOnce(Chat) -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<EntryId, ChatError>>,
{
    let database = context.open().await?;
    let id = job(database.chat()).await?.to_string();
    output::result(&json!({ "id": id }), &id)?;
    Ok(database.close().await?)
}

pub async fn post(context: &Context, channel: &str, text: &str, emote: bool) -> anyhow::Result<()> {
    let text = text_or_stdin(text)?;
    write(context, async |chat| match emote {
        true => chat.emote(channel, &text).await,
        false => chat.post(channel, &text).await,
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
    write(context, async |chat| chat.set_topic(channel, text).await).await
}

pub async fn profile(context: &Context, field: &str, value: &str) -> anyhow::Result<()> {
    write(context, async |chat| chat.set_profile(field, value).await).await
}

pub async fn join(context: &Context, channel: &str) -> anyhow::Result<()> {
    write(context, async |chat| chat.join(channel).await).await
}

pub async fn leave(context: &Context, channel: &str) -> anyhow::Result<()> {
    write(context, async |chat| chat.leave(channel).await).await
}

pub async fn archive(context: &Context, channel: &str, reason: &str, undo: bool) -> anyhow::Result<()> {
    write(context, async |chat| match undo {
        true => chat.unarchive(channel, reason).await,
        false => chat.archive(channel, reason).await,
    })
    .await
}

pub async fn delete(context: &Context, id: EntryId) -> anyhow::Result<()> {
    write(context, async |chat| chat.delete(id).await).await
}

pub async fn mark_read(context: &Context, channel: &str, up_to: Option<EntryId>) -> anyhow::Result<()> {
    let database = context.open().await?;
    database.chat().mark_read(channel, up_to).await?;
    Ok(database.close().await?)
}
