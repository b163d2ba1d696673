//! `chat ...`: messages in channels.

mod dm;
mod edit;
mod import;
mod lines;
mod moderate;
mod page;
mod show;
mod watch;

use super::Context;
use super::kv::Asking;
use crate::args::{AskArgs, ChatCommand};
use std::process::ExitCode;

pub async fn run(context: &Context, command: &ChatCommand) -> anyhow::Result<ExitCode> {
    match command {
        ChatCommand::Post { channel, text, emote } => edit::post(context, channel, text, *emote).await?,
        ChatCommand::Topic { channel, text: Some(text), .. } => edit::topic(context, channel, text).await?,
        ChatCommand::Topic { channel, text: None, ask } => {
            show::topic(context, channel, asking(*ask)).await?;
        }
        ChatCommand::Nick { name: Some(name) } => edit::profile(context, "nick", name).await?,
        ChatCommand::Nick { name: None } => show::nick(context).await?,
        ChatCommand::Profile { field: Some(field), value: Some(value), .. } => {
            edit::profile(context, field, value).await?;
        }
        ChatCommand::Profile { of, ask, .. } => show::profile(context, *of, asking(*ask)).await?,
        ChatCommand::Dm(args) => dm::run(context, args).await?,
        ChatCommand::Join { channel } => edit::join(context, channel).await?,
        ChatCommand::Leave { channel } => edit::leave(context, channel).await?,
        ChatCommand::Archive { channel, reason, undo } => {
            edit::archive(context, channel, reason, *undo).await?;
        }
        ChatCommand::Delete { id } => edit::delete(context, *id).await?,
        ChatCommand::MarkRead { channel, up_to } => edit::mark_read(context, channel, *up_to).await?,
        ChatCommand::Read(args) => show::read(context, args).await?,
        ChatCommand::Channels(ask) => show::channels(context, asking(*ask)).await?,
        ChatCommand::Members { channel, ask } => show::members(context, channel, asking(*ask)).await?,
        ChatCommand::Search { query, channel, limit } => {
            show::search(context, query, channel.as_deref(), *limit).await?;
        }
        ChatCommand::Unread(ask) => show::unread(context, asking(*ask)).await?,
        ChatCommand::Moderate(command) => moderate::run(context, command).await?,
        ChatCommand::Watch(args) => watch::watch(context, args).await?,
        ChatCommand::Import { file } => return import::run(context, file).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn asking(ask: AskArgs) -> Asking {
    Asking::new(ask.local, ask.stats)
}

/// A limit of the command line, where 0 is none.
fn limit(n: usize) -> Option<usize> {
    (n > 0).then_some(n)
}
