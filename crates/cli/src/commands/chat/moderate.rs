//! `chat moderate ...`.

use super::Context;
use crate::args::{AskArgs, Flag, FlagArgs, ModerateCommand, Role};
use crate::exit::Exit;
use crate::output;
use kappadb::{ChatFlag, FeedKey, FlagChange, FlagsSet, Trusted};
use serde_json::json;

pub async fn run(context: &Context, command: &ModerateCommand) -> anyhow::Result<Exit> {
    match command {
        ModerateCommand::Set(args) => flag(context, args, FlagChange::Set).await?,
        ModerateCommand::Add(args) => flag(context, args, FlagChange::Add).await?,
        ModerateCommand::Remove(args) => flag(context, args, FlagChange::Remove).await?,
        ModerateCommand::List(ask) => return list(context, *ask).await,
        ModerateCommand::Trust { feed, role } => {
            trust(context, |trusted| {
                forget(trusted, feed);
                match role {
                    Role::Admin => trusted.admins.insert(*feed),
                    Role::Mod => trusted.mods.insert(*feed),
                };
            })
            .await?;
        }
        ModerateCommand::Distrust { feed } => trust(context, |trusted| forget(trusted, feed)).await?,
        ModerateCommand::Trusted => trusted(context).await?,
    }
    Ok(Exit::Done)
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
    output::result(&json!({ "id": id.to_string() }), &id.to_string())?;
    Ok(database.close().await?)
}

async fn list(context: &Context, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let chat = database.chat();
            question.ask(chat.ask_flags()).await?;
            let flags = chat.flags().await?;
            flags.iter().try_for_each(print)?;
            Ok(flags.len())
        })
        .await
}

fn print(set: &FlagsSet) -> anyhow::Result<()> {
    let (target, by) = (set.target.to_string(), set.by.to_string());
    let names: Vec<&str> = set.flags.iter().map(|flag| flag.name()).collect();
    let channel = set.channel.as_deref().unwrap_or("everywhere");
    let counts = if set.counts { "" } else { " (not trusted here)" };
    let text = format!("{target:.8} {} {} by {by:.8}{counts} {}", names.join(","), channel, set.reason);
    let line = json!({
        "target": target, "by": by, "channel": set.channel, "flags": names,
        "reason": set.reason, "counts": set.counts,
    });
    output::result(&line, &text)
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
            output::result(&json!({ "feed": feed.to_string(), "as": role }), &format!("{role} {feed}"))?;
        }
    }
    Ok(database.close().await?)
}
