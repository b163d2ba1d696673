//! `serve` answers until it is asked to end; `ticket` says how it is reached.

use super::Context;
use crate::args::ServeArgs;
use crate::beside::Node;
use crate::console::Console;
use crate::exit::NotFound;
use crate::logging;
use anyhow::{Context as _, bail, ensure};
use kappadb::{Listen, Ticket};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

pub async fn serve(context: &Context, args: &ServeArgs) -> anyhow::Result<()> {
    let console = &context.console;
    let interrupt = console.interrupt()?;
    let _log = logging::start(&args.log, console);
    let database = context.open_as(|builder| builder.introductions(!args.no_introductions)).await?;
    let listen = listen(&database.listen(), args).await?;
    let server = database.serve_as(listen.clone()).await?;
    let address = server.address();
    // A port of the moment is of no use the next time.
    if listen.address.port() != 0 && listen != database.listen() {
        database.set_listen(listen).await?;
    }
    let _followed: Vec<_> = args.follow.iter().map(|interest| database.follow(interest)).collect();
    let node = Node::start(context, &database)?;
    tell(console, &server.ticket(), address)?;
    console.say(&format!("Serving {} on {address}. Ctrl-C ends it.", database.id()));
    interrupt.await;
    node.stop().await;
    server.stop().await;
    context.close(database).await
}

/// Asks the node to end. Whoever called waits for that.
pub fn stop(context: &Context) -> anyhow::Result<()> {
    ensure!(context.is_node(), NotFound(format!("nobody serves {}", context.dir.display())));
    Ok(kill_process(getpid(), Signal::TERM)?)
}

/// Where to listen: what the command line says, and what it leaves out as it was kept.
async fn listen(kept: &Listen, args: &ServeArgs) -> anyhow::Result<Listen> {
    let port = kept.address.port();
    let address = match &args.listen {
        Some(text) => resolve(text, port).await?,
        None => kept.address,
    };
    let said: Vec<String> = args.advertise.iter().map(|text| with_port(text, address.port())).collect();
    let advertise = if said.is_empty() && args.listen.is_none() { kept.advertise.clone() } else { said };
    Ok(Listen { address, advertise })
}

/// An address, or a name that stands for one, with a port or without.
async fn resolve(text: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let host = with_port(text, port);
    let mut found =
        tokio::net::lookup_host(&host).await.with_context(|| format!("cannot listen on {text:?}"))?;
    match found.next() {
        Some(address) => Ok(address),
        None => bail!("cannot listen on {text:?}: the name stands for no address"),
    }
}

/// The text, with this port if it has none.
fn with_port(text: &str, port: u16) -> String {
    match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) if text.starts_with('[') && text.ends_with(']') => format!("{text}:{port}"),
        Err(_) if text.contains(':') => text.to_owned(),
        Err(_) => format!("{text}:{port}"),
    }
}

/// Also while another process serves the database.
pub async fn ticket(context: &Context) -> anyhow::Result<()> {
    let (ticket, listen) = context.builder().ticket().await?;
    tell(&context.console, &ticket, listen.address)
}

fn tell(console: &Console, ticket: &Ticket, listen: SocketAddr) -> anyhow::Result<()> {
    let ticket = ticket.to_string();
    console.result(&json!({ "ticket": ticket, "listen": listen.to_string() }), &ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (text, whole) in [
            ("0.0.0.0", "0.0.0.0:7"),
            ("0.0.0.0:9", "0.0.0.0:9"),
            ("::1", "[::1]:7"),
            ("[::1]", "[::1]:7"),
            ("[::1]:9", "[::1]:9"),
            ("db.example.org", "db.example.org:7"),
            ("db.example.org:9", "db.example.org:9"),
        ] {
            assert_eq!(with_port(text, 7), whole, "{text}");
        }
    }
}
