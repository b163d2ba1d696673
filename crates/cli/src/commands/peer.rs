//! `peer ...`, and tickets as they are given.

use super::Context;
use crate::args::{PeerCommand, TicketArgs};
use crate::exit::NotFound;
use crate::output;
use anyhow::{Context as _, bail, ensure};
use kappadb::{Database, FeedKey, Peer, Ticket};
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that are read in search of a ticket: more than any has.
const MOST: u64 = 1 << 16;

pub async fn run(context: &Context, command: &PeerCommand) -> anyhow::Result<()> {
    let database = context.open().await?;
    match command {
        PeerCommand::List => database.peers().list().iter().try_for_each(tell)?,
        PeerCommand::Add { ticket, name } => {
            tell(&database.peers().add(&read(ticket)?, name.as_deref()).await?)?
        }
        PeerCommand::Remove { peer } => tell(&database.peers().remove(find(&database, peer)?).await?)?,
        PeerCommand::Rename { peer, name } => {
            tell(&database.peers().rename(find(&database, peer)?, name.as_deref()).await?)?;
        }
    }
    Ok(database.close().await?)
}

fn tell(peer: &Peer) -> anyhow::Result<()> {
    let key = peer.key.to_string();
    let name = peer.name.as_ref().map(|name| format!(" {}", name)).unwrap_or_default();
    let line = json!({ "peer": key, "name": peer.name, "addresses": peer.addresses });
    output::result(&line, &format!("{key} {}{name}", peer.addresses.join(",")))
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
pub fn read(args: &TicketArgs) -> anyhow::Result<Ticket> {
    let text = match (&args.ticket, &args.file) {
        (_, Some(file)) => text(Path::new(file))?,
        (Some(ticket), None) if ticket != "-" => ticket.clone(),
        _ => take(std::io::stdin()).context("cannot read a ticket from stdin")?,
    };
    text.trim().parse().context("the ticket cannot be used")
}

fn text(file: &Path) -> anyhow::Result<String> {
    let unread = || format!("cannot read {}", file.display());
    take(File::open(file).with_context(unread)?).with_context(unread)
}

fn take(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}
