//! `serve`: answers until SIGINT or SIGTERM.

use super::Context;
use crate::args::LogArgs;
use crate::{logging, output};
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};

pub async fn serve(context: &Context, listen: SocketAddr, log: &LogArgs) -> anyhow::Result<()> {
    // Before the ticket is printed: whoever reads it may end us at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let _log = logging::start(log, context.json);
    let database = context.open().await?;
    let server = database.serve(listen).await?;
    output::line(&server.ticket().to_string())?;
    eprintln!("Serving {} on {}. Ctrl-C ends it.", database.id(), server.address());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.stop().await;
    Ok(database.close().await?)
}
