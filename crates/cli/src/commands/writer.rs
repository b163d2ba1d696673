//! `writer list|new`.

use super::Context;
use crate::args::WriterCommand;
use crate::output;
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
        tell(&writer.name, &writer.feed.to_string())?;
    }
    Ok(database.close().await?)
}

async fn new(context: &Context, name: &str) -> anyhow::Result<()> {
    let database = context.open().await?;
    let feed = database.new_writer(name).await?;
    tell(name, &feed.to_string())?;
    Ok(database.close().await?)
}

fn tell(name: &str, feed: &str) -> anyhow::Result<()> {
    output::result(&json!({ "writer": name, "feed": feed }), &format!("{name} {feed}"))
}
