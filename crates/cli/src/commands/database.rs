//! `init` and `join`.

use super::{Context, peer};
use crate::args::TicketArgs;
use serde_json::json;

pub async fn init(context: &Context) -> anyhow::Result<()> {
    let database = context.builder().create().await?;
    let writer = database.writer().await?;
    let id = database.id().to_string();
    context.console.result(&json!({ "database": id, "feed": writer.to_string() }), &id)?;
    context
        .console
        .say(&format!("A new database in {}. Share it with `kappa serve`.", context.dir.display()));
    context.close(database).await
}

pub async fn join(context: &Context, ticket: &TicketArgs) -> anyhow::Result<()> {
    let ticket = peer::read(&context.console, ticket)?;
    let database = context.join(&ticket).await?;
    let id = database.id().to_string();
    context.console.result(&json!({ "database": id }), &id)?;
    let addresses = ticket.addresses.join(" or ");
    context.console.say(&format!("{} is a replica; its queries ask {addresses}.", context.dir.display()));
    context.close(database).await
}
