//! `chat ...`: messages in channels.

mod dm;
mod edit;
mod export;
mod import;
mod lines;
mod moderate;
mod page;
mod pin;
mod show;
mod watch;

use super::Context;
use crate::args::ChatCommand;
use crate::exit::Exit;

pub async fn run(context: &Context, command: &ChatCommand) -> anyhow::Result<Exit> {
    match command {
        ChatCommand::Post { channel, text, emote, reply_to, attach } => {
            edit::post(context, channel, text, *emote, reply_to.as_ref(), attach).await?;
        }
        ChatCommand::Edit { id, text, attach, detach } => {
            let attach = Some(&attach[..]).filter(|blobs| *detach || !blobs.is_empty());
            edit::edit(context, id, text, attach).await?;
        }
        ChatCommand::History { id } => show::history(context, id).await?,
        ChatCommand::Topic { channel, text: Some(text), .. } => edit::topic(context, channel, text).await?,
        ChatCommand::Topic { channel, text: None, ask } => return show::topic(context, channel, *ask).await,
        ChatCommand::Nick { name: Some(name), .. } => edit::profile(context, "nick", name).await?,
        ChatCommand::Nick { name: None, ask } => return show::nick(context, *ask).await,
        ChatCommand::Profile { field: Some(field), value: Some(value), .. } => {
            edit::profile(context, field, value).await?;
        }
        ChatCommand::Profile { of, ask, .. } => return show::profile(context, of.as_ref(), *ask).await,
        ChatCommand::Dm(args) => return dm::run(context, args).await,
        ChatCommand::Pin(command) => pin::run(context, command).await?,
        ChatCommand::Join { channel } => edit::join(context, channel).await?,
        ChatCommand::Leave { channel } => edit::leave(context, channel).await?,
        ChatCommand::Archive { channel, reason, undo } => {
            edit::archive(context, channel, reason, *undo).await?;
        }
        ChatCommand::Delete { id } => edit::delete(context, id).await?,
        ChatCommand::MarkRead { channel, up_to } => edit::mark_read(context, channel, up_to.as_ref()).await?,
        ChatCommand::Read(args) => return show::read(context, args).await,
        ChatCommand::Channels(ask) => return show::channels(context, *ask).await,
        ChatCommand::Members { channel, ask } => return show::members(context, channel, *ask).await,
        ChatCommand::Search(args) => return show::search(context, args).await,
        ChatCommand::Unread(ask) => return show::unread(context, *ask).await,
        ChatCommand::Moderate(command) => return moderate::run(context, command).await,
        ChatCommand::Watch(args) => watch::watch(context, args).await?,
        ChatCommand::Export(ask) => return export::run(context, *ask).await,
        ChatCommand::Import { file } => return import::run(context, file).await,
    }
    Ok(Exit::Done)
}
