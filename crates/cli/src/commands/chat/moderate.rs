//! `chat moderate ...`.

use super::Context;
use crate::args::{AskArgs, FeedText, Flag, FlagArgs, ModerateCommand, Role};
use crate::console::{self, Console};
use crate::exit::Exit;
use kappadb::{ChatFlag, FeedKey, FlagChange, FlagsSet, Trusted};
use serde_json::json;

pub async fn run(context: &Context, command: &ModerateCommand) -> anyhow::Result<Exit> {
    match command {
        ModerateCommand::Set(args) => flag(context, args, FlagChange::Set).await?,
        ModerateCommand::Add(args) => flag(context, args, FlagChange::Add).await?,
        ModerateCommand::Remove(args) => flag(context, args, FlagChange::Remove).await?,
        ModerateCommand::List(ask) => return list(context, *ask).await,
        ModerateCommand::Trust { feed, role } => {
            trust(context, feed, |trusted, feed| match role {
                Role::Admin => trusted.admins.extend([feed]),
                Role::Mod => trusted.mods.extend([feed]),
            })
            .await?;
        }
        ModerateCommand::Distrust { feed } => {
            trust(context, feed, |trusted, feed| trusted.distrusted.extend([feed])).await?;
        }
        ModerateCommand::Trusted => trusted(context).await?,
    }
    Ok(Exit::Done)
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
        Flag::Allow => ChatFlag::Allow,
    });
    let change = change(flags.collect());
    let database = context.open().await?;
    let target = args.target.find(&database).await?;
    let id = database.chat().flag(args.channel.as_deref(), target, change, &args.reason).await?;
    context.console.result(&json!({ "id": id.to_string() }), &id.to_string())?;
    context.close(database).await
}

async fn list(context: &Context, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let flags = question.read(database.chat().flags()).await?.items;
            flags.iter().try_for_each(|set| print(&context.console, set))?;
            Ok(flags.len())
        })
        .await
}

fn print(console: &Console, set: &FlagsSet) -> anyhow::Result<()> {
    let names: Vec<&str> = set.flags.iter().map(|flag| flag.name()).collect();
    let channel = set.channel.as_deref().unwrap_or("everywhere");
    let counts = if set.counts { "" } else { " (not trusted here)" };
    let text = format!(
        "{} {} {channel} by {}{counts} {}",
        set.target.fingerprint(),
        names.join(","),
        set.by.fingerprint(),
        set.reason
    );
    console.result(&console::fields(set), &text)
}

/// Forgets what a feed was trusted as, and does this.
async fn trust(
    context: &Context,
    feed: &FeedText,
    change: impl FnOnce(&mut Trusted, FeedKey),
) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    let mut trusted = chat.trusted();
    let feed = feed.find(&database).await?;
    trusted.admins.remove(&feed);
    trusted.mods.remove(&feed);
    trusted.distrusted.remove(&feed);
    change(&mut trusted, feed);
    chat.set_trusted(trusted).await?;
    context.close(database).await
}

async fn trusted(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    let Trusted { admins, mods, distrusted } = database.chat().trusted();
    for (role, feeds) in [("admin", admins), ("mod", mods), ("not", distrusted)] {
        for feed in feeds {
            context
                .console
                .result(&json!({ "feed": feed.to_string(), "as": role }), &format!("{role} {feed}"))?;
        }
    }
    context.close(database).await
}
