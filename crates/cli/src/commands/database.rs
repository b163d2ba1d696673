//! `init` and `join`.

use super::Context;
use crate::output;
use anyhow::Context as _;
use kappadb::Ticket;
use serde_json::json;

pub async fn init(context: &Context) -> anyhow::Result<()> {
    let database = context.builder().create().await?;
    let writer = database.writer().await?;
    if context.json {
        output::json_line(&json!({ "database": database.id().to_string(), "writer": writer.to_string() }))?;
    } else {
        output::line(&database.id().to_string())?;
        eprintln!("A new database in {}. Share it with `kappa serve`.", context.dir.display());
    }
    Ok(database.close().await?)
}

pub async fn join(context: &Context, ticket: &str) -> anyhow::Result<()> {
    let ticket: Ticket = ticket.trim().parse().context("the ticket cannot be used")?;
    let database = context.builder().join(&ticket).await?;
    if context.json {
        output::json_line(&json!({ "database": database.id().to_string() }))?;
    } else {
        output::line(&database.id().to_string())?;
        eprintln!(
            "{} is a replica; its queries ask {}.",
            context.dir.display(),
            ticket.addresses.join(" or ")
        );
    }
    Ok(database.close().await?)
}
