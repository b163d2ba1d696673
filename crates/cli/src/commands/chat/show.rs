//! `chat read|channels|members|topic|nick|profile|search|unread`.

use super::lines::{self, Alike};
use super::{Context, page};
use crate::args::{AskArgs, EntryText, FeedText, ReadArgs, SearchArgs};
use crate::console::{self, Console, count};
use crate::exit::{Exit, NotFound};
use anyhow::ensure;
use kappadb::{ChannelInfo, Chat, Conversation, FeedKey, Marks, SearchOptions, Topic, Unread};
use serde_json::json;

pub async fn read(context: &Context, args: &ReadArgs) -> anyhow::Result<Exit> {
    let options = page::options(context.console.times(), &args.page)?;
    let console = &context.console;
    context
        .read(args.ask, async |database, question| {
            let chat = database.chat();
            let mut marks = Marks::default();
            let messages = chat.messages(&args.channel, &options);
            let count = page::print(console, &chat, question, &mut marks, messages).await?;
            if count == 0 {
                known(&chat, &args.channel).await?;
            }
            if args.page.mark {
                console.flush()?;
                chat.mark_shown(marks).await?;
            }
            Ok(count)
        })
        .await
}

async fn known(chat: &Chat, channel: &str) -> anyhow::Result<()> {
    ensure!(
        chat.exists(channel).await?.one() == Some(true),
        NotFound(format!("there is no channel {channel:?} here"))
    );
    Ok(())
}

pub async fn channels(context: &Context, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let chat = database.chat();
            let channels = question.read(chat.channels()).await?.items;
            channels.iter().try_for_each(|one| print_channel(console, one))?;
            Ok(channels.len())
        })
        .await
}

fn print_channel(console: &Console, channel: &ChannelInfo) -> anyhow::Result<()> {
    let ChannelInfo { name, topic, archived, .. } = channel;
    let about = topic.as_ref().map(|topic| format!(": {}", topic)).unwrap_or_default();
    let standing = if *archived { " (archived)" } else { "" };
    console.result(&console::fields(channel), &format!("{}{standing}{about}", name))
}

pub async fn members(context: &Context, channel: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let chat = database.chat();
            let members = question.read(chat.members(channel)).await?.items;
            if members.is_empty() {
                known(&chat, channel).await?;
            }
            let alike = Alike::members(&chat, &members).await?;
            for member in &members {
                console.result(&console::fields(member), &lines::member(member, &alike))?;
            }
            Ok(members.len())
        })
        .await
}

pub async fn topic(context: &Context, channel: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let chat = database.chat();
            let topic = question.read(chat.topic(channel)).await?.one();
            if topic.is_none() {
                known(&chat, channel).await?;
            }
            print_topic(console, channel, topic.as_ref())?;
            Ok(usize::from(topic.is_some()))
        })
        .await
}

fn print_topic(console: &Console, channel: &str, topic: Option<&Topic>) -> anyhow::Result<()> {
    match (topic, console.is_json()) {
        (Some(topic), true) => {
            let mut line = console::fields(topic);
            line.insert("channel".to_owned(), json!(channel));
            console.json_line(&line)
        }
        (None, true) => console.json_line(&json!({ "channel": channel, "topic": null })),
        (Some(topic), false) => console.line(&topic.text),
        (None, false) => Ok(()),
    }
}

/// A reading: it makes no feed for a writer that has none.
pub async fn nick(context: &Context, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let feed = context.own_feed(database).await?;
            let nick = match feed {
                Some(feed) => question.read(database.chat().nick(feed)).await?.one(),
                None => None,
            };
            match console.is_json() {
                true => {
                    console.json_line(&json!({ "feed": feed.map(|feed| feed.to_string()), "nick": nick }))?
                }
                false => nick.iter().try_for_each(|nick| console.line(nick))?,
            }
            Ok(usize::from(nick.is_some()))
        })
        .await
}

pub async fn profile(context: &Context, of: Option<&FeedText>, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let feed = match of {
                Some(feed) => Some(feed.find(database).await?),
                None => context.own_feed(database).await?,
            };
            // Who has written nothing has said nothing of himself.
            let Some(feed) = feed else { return Ok(0) };
            print_profile(console, feed, &question.read(database.chat().profile(feed)).await?.items)
        })
        .await
}

fn print_profile(console: &Console, feed: FeedKey, fields: &[(String, String)]) -> anyhow::Result<usize> {
    for (field, value) in fields {
        let line = json!({ "feed": feed.to_string(), "field": field, "value": value });
        console.result(&line, &format!("{}: {}", field, value))?;
    }
    Ok(fields.len())
}

pub async fn search(context: &Context, args: &SearchArgs) -> anyhow::Result<Exit> {
    let options = SearchOptions {
        channel: args.channel.clone(),
        limit: args.limit.number(),
        ..SearchOptions::default()
    };
    let console = &context.console;
    context
        .read(args.ask, async |database, question| {
            let chat = database.chat();
            let found = question.put(chat.search(&args.query, &options)).await?;
            question.note(found.asked)?;
            let found = found.messages;
            let alike = Alike::authors(&chat, &found).await?;
            for message in &found {
                let channel = &message.channel;
                let text = format!("{channel}: {}", lines::for_people(console, message, &alike));
                console.result(&console::fields(message), &text)?;
            }
            Ok(found.len())
        })
        .await
}

/// Of what is held here: who sees a message holds all that it said.
pub async fn history(context: &Context, id: &EntryText) -> anyhow::Result<()> {
    let database = context.open().await?;
    for edition in &database.chat().history(id.find(&database).await?).await?.items {
        let (line, text) = lines::edition(&context.console, edition);
        context.console.result(&line, &text)?;
    }
    context.close(database).await
}

pub async fn unread(context: &Context, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let chat = database.chat();
            let channels = question.read(chat.unread()).await?.items;
            channels.iter().try_for_each(|one| print_unread(console, one))?;
            Ok(channels.len())
        })
        .await
}

fn print_unread(console: &Console, unread: &Unread) -> anyhow::Result<()> {
    let Unread { of, messages, mentions, more, .. } = unread;
    let mentioned = match mentions {
        0 => String::new(),
        n => format!(", {}", count(*n, "mention")),
    };
    let name = match of {
        Conversation::Channel(channel) => channel.clone(),
        Conversation::Private { with, nick } => {
            format!("{} (private)", lines::who(nick.as_deref(), with))
        }
    };
    let or_more = if *more { " or more" } else { "" };
    console.result(
        &console::fields(unread),
        &format!("{name}: {}{or_more}{mentioned}", count(*messages, "message")),
    )
}
