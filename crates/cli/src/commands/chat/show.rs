//! `chat read|channels|members|topic|nick|profile|search|unread`.

use super::{Asking, Context, asking, limit, lines, page};
use crate::args::ReadArgs;
use crate::commands::kv::safe;
use crate::output;
use anyhow::ensure;
use kappadb::{FeedKey, SearchOptions};
use serde_json::json;

pub async fn read(context: &Context, args: &ReadArgs) -> anyhow::Result<()> {
    let (asking, options) = (asking(args.ask), page::options(&args.page));
    let database = context.open().await?;
    let chat = database.chat();
    let asked = asking.ask(chat.ask(&args.channel, &options)).await?;
    let count =
        page::print(context, options, async |options| chat.read(&args.channel, options).await).await?;
    if count == 0 {
        ensure!(chat.exists(&args.channel).await?, "there is no channel {:?} here", args.channel);
    }
    if args.mark {
        chat.mark_read(&args.channel, None).await?;
    }
    asking.tell(count, asked.as_ref());
    Ok(database.close().await?)
}

pub async fn channels(context: &Context, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let asked = asking.ask(chat.ask_channels()).await?;
    let channels = chat.channels().await?;
    for channel in &channels {
        let (name, topic) = (&channel.name, &channel.topic);
        match context.json {
            true => {
                output::json_line(&json!({ "channel": name, "topic": topic, "archived": channel.archived }))?
            }
            false => {
                let topic = topic.as_ref().map(|topic| format!(": {}", safe(topic.as_bytes())));
                let archived = if channel.archived { " (archived)" } else { "" };
                output::line(&format!("{}{archived}{}", safe(name.as_bytes()), topic.unwrap_or_default()))?;
            }
        }
    }
    asking.tell(channels.len(), asked.as_ref());
    Ok(database.close().await?)
}

pub async fn members(context: &Context, channel: &str, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let asked = asking.ask(chat.ask_state(channel)).await?;
    let members = chat.members(channel).await?;
    if members.is_empty() {
        ensure!(chat.exists(channel).await?, "there is no channel {channel:?} here");
    }
    for member in &members {
        match context.json {
            true => output::json_line(&json!({ "feed": member.feed.to_string(), "nick": member.nick }))?,
            false => output::line(&lines::member(member))?,
        }
    }
    asking.tell(members.len(), asked.as_ref());
    Ok(database.close().await?)
}

pub async fn topic(context: &Context, channel: &str, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let asked = asking.ask(chat.ask_state(channel)).await?;
    let topic = chat.topic(channel).await?;
    ensure!(topic.is_some() || chat.exists(channel).await?, "there is no channel {channel:?} here");
    match (&topic, context.json) {
        (Some(topic), true) => output::json_line(&json!({
            "channel": channel,
            "topic": topic.text,
            "id": topic.id.to_string(),
            "author": topic.id.feed.to_string(),
            "timestamp": topic.time.0,
        }))?,
        (None, true) => output::json_line(&json!({ "channel": channel, "topic": null }))?,
        (Some(topic), false) => output::line(&safe(topic.text.as_bytes()))?,
        (None, false) => {}
    }
    asking.tell(usize::from(topic.is_some()), asked.as_ref());
    Ok(database.close().await?)
}

pub async fn nick(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    let feed = database.writer().await?;
    let nick = database.chat().nick(feed).await?;
    match context.json {
        true => output::json_line(&json!({ "feed": feed.to_string(), "nick": nick }))?,
        false => nick.iter().try_for_each(|nick| output::line(&safe(nick.as_bytes())))?,
    }
    Ok(database.close().await?)
}

pub async fn profile(context: &Context, of: Option<FeedKey>, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let (chat, feed) = (database.chat(), of.unwrap_or(database.writer().await?));
    let asked = asking.ask(chat.ask_profile(feed)).await?;
    let fields = chat.profile(feed).await?;
    for (field, value) in &fields {
        match context.json {
            true => output::json_line(&json!({ "feed": feed.to_string(), "field": field, "value": value }))?,
            false => output::line(&format!("{}: {}", safe(field.as_bytes()), safe(value.as_bytes())))?,
        }
    }
    asking.tell(fields.len(), asked.as_ref());
    Ok(database.close().await?)
}

pub async fn search(
    context: &Context,
    query: &str,
    channel: Option<&str>,
    most: usize,
) -> anyhow::Result<()> {
    let options =
        SearchOptions { channel: channel.map(str::to_owned), limit: limit(most), ..SearchOptions::default() };
    let database = context.open().await?;
    for message in &database.chat().search(query, &options).await?.messages {
        match context.json {
            true => output::json_line(&lines::message(message))?,
            false => {
                let channel = safe(message.channel.as_bytes());
                output::line(&format!("{channel}: {}", lines::for_people(message)))?;
            }
        }
    }
    Ok(database.close().await?)
}

pub async fn unread(context: &Context, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let asked = asking.ask(chat.ask_unread()).await?;
    let channels = chat.unread().await?;
    for unread in &channels {
        let (channel, messages, mentions) = (&unread.channel, unread.messages, unread.mentions);
        match context.json {
            true => {
                output::json_line(&json!({ "channel": channel, "messages": messages, "mentions": mentions }))?
            }
            false => {
                let mentions = match mentions {
                    0 => String::new(),
                    n => format!(", {}", output::count(n, "mention")),
                };
                let messages = output::count(messages, "message");
                output::line(&format!("{}: {messages}{mentions}", safe(channel.as_bytes())))?;
            }
        }
    }
    asking.tell(channels.len(), asked.as_ref());
    Ok(database.close().await?)
}
