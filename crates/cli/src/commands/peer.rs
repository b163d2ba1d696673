//! `peer ...`, and tickets as they are given.

use super::Context;
use crate::args::{PeerCommand, TicketArgs};
use crate::console::Console;
use crate::exit::NotFound;
use anyhow::{Context as _, bail, ensure};
use kappadb::{Database, FeedKey, Peer, Ticket};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Bytes that are read in search of a ticket: more than any has.
const MOST: u64 = 1 << 16;

pub async fn run(context: &Context, command: &PeerCommand) -> anyhow::Result<()> {
    let (console, database) = (&context.console, context.open().await?);
    match command {
        PeerCommand::List => database.peers().list().iter().try_for_each(|peer| tell(console, peer))?,
        PeerCommand::Add { ticket, name } => {
            tell(console, &database.peers().add(&read(console, ticket)?, name.as_deref()).await?)?
        }
        PeerCommand::Remove { peer } => {
            tell(console, &database.peers().remove(find(&database, peer)?).await?)?
        }
        PeerCommand::Rename { peer, name } => {
            tell(console, &database.peers().rename(find(&database, peer)?, name.as_deref()).await?)?;
        }
    }
    context.close(database).await
}

fn tell(console: &Console, peer: &Peer) -> anyhow::Result<()> {
    let key = peer.key.to_string();
    let name = peer.name.as_ref().map(|name| format!(" {}", name)).unwrap_or_default();
    let line = json!({ "peer": key, "name": peer.name, "addresses": peer.addresses });
    console.result(&line, &format!("{key} {}{name}", peer.addresses.join(",")))
}

/// The peer of that name, or the only one whose key or fingerprint begins so.
fn find(database: &Database, text: &str) -> anyhow::Result<FeedKey> {
    let peers = database.peers().list();
    if let Some(peer) = peers.iter().find(|peer| peer.name.as_deref() == Some(text)) {
        return Ok(peer.key);
    }
    let mut matching = peers.iter().filter(|peer| peer.key.begins_with(text));
    let found = matching.next();
    let others: Vec<String> = matching.map(|peer| peer.key.fingerprint()).collect();
    ensure!(
        others.is_empty(),
        "several peers begin with {text:?}, write more of it: {}",
        found.iter().map(|peer| peer.key.fingerprint()).chain(others).collect::<Vec<_>>().join(", ")
    );
    match found {
        Some(peer) => Ok(peer.key),
        None => bail!(NotFound(format!("no peer is called {text:?} here; `kappa peer list` shows them"))),
    }
}

/// The ticket of the command line, of stdin or of a file.
pub fn read(console: &Console, args: &TicketArgs) -> anyhow::Result<Ticket> {
    let text = match (&args.ticket, &args.file) {
        (_, Some(file)) => text(console, Path::new(file))?,
        (Some(ticket), None) if ticket != "-" => ticket.clone(),
        _ => take(console.stdin()?).context("cannot read a ticket from stdin")?,
    };
    text.trim().parse().context("the ticket cannot be used")
}

fn text(console: &Console, file: &Path) -> anyhow::Result<String> {
    let unread = || format!("cannot read {}", file.display());
    take(console.open(file)?).with_context(unread)
}

fn take(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}
