//! `chat moderate ...`.

use super::{Asking, Context};
use crate::args::{Flag, FlagArgs, ModerateCommand, Role};
use crate::commands::kv::safe;
use crate::output;
use kappadb::{ChatFlag, FeedKey, FlagChange, Trusted};
use serde_json::json;

pub async fn run(context: &Context, command: &ModerateCommand) -> anyhow::Result<()> {
    match command {
        ModerateCommand::Set(args) => flag(context, args, FlagChange::Set).await,
        ModerateCommand::Add(args) => flag(context, args, FlagChange::Add).await,
        ModerateCommand::Remove(args) => flag(context, args, FlagChange::Remove).await,
        ModerateCommand::List(ask) => list(context, super::asking(*ask)).await,
        ModerateCommand::Trust { feed, role } => {
            trust(context, |trusted| {
                forget(trusted, feed);
                match role {
                    Role::Admin => trusted.admins.insert(*feed),
                    Role::Mod => trusted.mods.insert(*feed),
                };
            })
            .await
        }
        ModerateCommand::Distrust { feed } => trust(context, |trusted| forget(trusted, feed)).await,
        ModerateCommand::Trusted => trusted(context).await,
    }
}

fn forget(trusted: &mut Trusted, feed: &FeedKey) {
    trusted.admins.remove(feed);
    trusted.mods.remove(feed);
}

async fn flag(
    context: &Context,
    args: &FlagArgs,
    change: fn(Vec<ChatFlag>) -> FlagChange,
) -> anyhow::Result<()> {
    let flags = args.flags.iter().map(|flag| match flag {
        Flag::Hide => ChatFlag::Hide,
        Flag::Mute => ChatFlag::Mute,
        Flag::Block => ChatFlag::Block,
        Flag::Mod => ChatFlag::Mod,
        Flag::Admin => ChatFlag::Admin,
    });
    let change = change(flags.collect());
    let database = context.open().await?;
    let id = database.chat().flag(args.channel.as_deref(), args.target, change, &args.reason).await?;
    match context.json {
        true => output::json_line(&json!({ "id": id.to_string() }))?,
        false => output::line(&id.to_string())?,
    }
    Ok(database.close().await?)
}

async fn list(context: &Context, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let asked = asking.ask(chat.ask_flags()).await?;
    let flags = chat.flags().await?;
    for set in &flags {
        let (target, by) = (set.target.to_string(), set.by.to_string());
        let names: Vec<&str> = set.flags.iter().map(|flag| flag.name()).collect();
        match context.json {
            true => output::json_line(&json!({
                "target": target, "by": by, "channel": set.channel, "flags": names,
                "reason": set.reason, "counts": set.counts,
            }))?,
            false => {
                let channel = set.channel.as_deref().map_or("everywhere", |channel| channel);
                let counts = if set.counts { "" } else { " (not trusted here)" };
                output::line(&format!(
                    "{target:.8} {} {} by {by:.8}{counts} {}",
                    names.join(","),
                    safe(channel.as_bytes()),
                    safe(set.reason.as_bytes())
                ))?;
            }
        }
    }
    asking.tell(flags.len(), asked.as_ref());
    Ok(database.close().await?)
}

async fn trust(context: &Context, change: impl FnOnce(&mut Trusted)) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let mut trusted = chat.trusted();
    change(&mut trusted);
    chat.set_trusted(trusted).await?;
    Ok(database.close().await?)
}

async fn trusted(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    let Trusted { admins, mods } = database.chat().trusted();
    for (role, feeds) in [("admin", admins), ("mod", mods)] {
        for feed in feeds {
            match context.json {
                true => output::json_line(&json!({ "feed": feed.to_string(), "as": role }))?,
                false => output::line(&format!("{role} {feed}"))?,
            }
        }
    }
    Ok(database.close().await?)
}
