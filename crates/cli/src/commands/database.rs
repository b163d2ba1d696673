//! `init` and `join`.

use super::Context;
use crate::output;
use anyhow::Context as _;
use kappadb::Ticket;
use serde_json::json;

pub async fn init(context: &Context) -> anyhow::Result<()> {
    let database = context.builder().create().await?;
    let writer = database.writer().await?;
    let id = database.id().to_string();
    output::result(&json!({ "database": id, "feed": writer.to_string() }), &id)?;
    output::say(&format!("A new database in {}. Share it with `kappa serve`.", context.dir.display()));
    Ok(database.close().await?)
}

pub async fn join(context: &Context, ticket: &str) -> anyhow::Result<()> {
    let ticket: Ticket = ticket.trim().parse().context("the ticket cannot be used")?;
    let database = context.builder().join(&ticket).await?;
    let id = database.id().to_string();
    output::result(&json!({ "database": id }), &id)?;
    let peer = ticket.addresses.join(" or ");
    output::say(&format!("{} is a replica; its queries ask {peer}.", context.dir.display()));
    Ok(database.close().await?)
}
