//! `writer list|new`.

use super::Context;
use crate::args::WriterCommand;
use crate::console::Console;
use serde_json::json;

pub async fn run(context: &Context, command: &WriterCommand) -> anyhow::Result<()> {
    match command {
        WriterCommand::List => list(context).await,
        WriterCommand::New { name } => new(context, name).await,
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    for writer in database.writers().await? {
        tell(&context.console, &writer.name, &writer.feed.to_string())?;
    }
    context.close(database).await
}

async fn new(context: &Context, name: &str) -> anyhow::Result<()> {
    let database = context.open().await?;
    let feed = database.new_writer(name).await?;
    tell(&context.console, name, &feed.to_string())?;
    context.close(database).await
}

fn tell(console: &Console, name: &str, feed: &str) -> anyhow::Result<()> {
    console.result(&json!({ "writer": name, "feed": feed }), &format!("{name} {feed}"))
}
