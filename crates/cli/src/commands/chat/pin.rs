//! `chat pin ...`: which feed a name stands for here.

use super::Context;
use crate::args::PinCommand;
use crate::console::Console;
use kappadb::{Pin, visible_name};
use serde_json::json;

pub async fn run(context: &Context, command: &PinCommand) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    match command {
        PinCommand::List => chat.pins().iter().try_for_each(|pin| print(&context.console, pin))?,
        PinCommand::Add { name, feed } => chat.pin(name, feed.find(&database).await?).await?,
        PinCommand::Remove { name } => chat.unpin(name).await?,
    }
    context.close(database).await
}

fn print(console: &Console, Pin { name, feed }: &Pin) -> anyhow::Result<()> {
    let line = json!({ "nick": name, "feed": feed.to_string() });
    console.result(&line, &format!("{} {}", feed.fingerprint(), visible_name(name)))
}
