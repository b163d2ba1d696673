//! `init` and `join`.

use super::{Context, peer};
use crate::args::TicketArgs;
use crate::output;
use serde_json::json;

pub async fn init(context: &Context) -> anyhow::Result<()> {
    let database = context.builder().create().await?;
    let writer = database.writer().await?;
    let id = database.id().to_string();
    output::result(&json!({ "database": id, "feed": writer.to_string() }), &id)?;
    output::say(&format!("A new database in {}. Share it with `kappa serve`.", context.dir.display()));
    Ok(database.close().await?)
}

pub async fn join(context: &Context, ticket: &TicketArgs) -> anyhow::Result<()> {
    let ticket = peer::read(ticket)?;
    let database = context.builder().join(&ticket).await?;
    let id = database.id().to_string();
    output::result(&json!({ "database": id }), &id)?;
    let addresses = ticket.addresses.join(" or ");
    output::say(&format!("{} is a replica; its queries ask {addresses}.", context.dir.display()));
    Ok(database.close().await?)
}
