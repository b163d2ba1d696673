//! `serve`: answers until SIGINT or SIGTERM.

use super::Context;
use crate::interrupt::Interrupt;
use crate::output;
use serde_json::json;
use std::net::SocketAddr;

pub async fn serve(context: &Context, listen: SocketAddr) -> anyhow::Result<()> {
    let interrupt = Interrupt::new()?;
    let database = context.open().await?;
    let server = database.serve(listen).await?;
    let (ticket, address) = (server.ticket().to_string(), server.address());
    output::result(&json!({ "ticket": ticket, "listen": address.to_string() }), &ticket)?;
    output::say(&format!("Serving {} on {address}. Ctrl-C ends it.", database.id()));
    interrupt.wait().await;
    server.stop().await;
    Ok(database.close().await?)
}
