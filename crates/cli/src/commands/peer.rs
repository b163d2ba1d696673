//! `peer ...`, and tickets as they are given.

use super::Context;
use crate::args::{PeerCommand, TicketArgs};
use crate::console::Console;
use crate::exit::NotFound;
use anyhow::{Context as _, bail, ensure};
use kappadb::{Database, FeedKey, Peer, PeerConnection, PeerState, Ticket};
use serde_json::json;
use std::io::Read;
use std::path::Path;

/// Bytes that are read in search of a ticket: more than any has.
const MOST: u64 = 1 << 16;

pub async fn run(context: &Context, command: &PeerCommand) -> anyhow::Result<()> {
    let (console, database) = (&context.console, context.open().await?);
    match command {
        PeerCommand::List => list(console, &database)?,
        PeerCommand::Add { ticket, name } => {
            tell(console, &database.peers().add(&read(console, ticket)?, name.as_deref()).await?)?
        }
        PeerCommand::Remove { peer } => remove(console, &database, peer).await?,
        PeerCommand::Rename { peer, name } => {
            tell(console, &database.peers().rename(find(&database, peer)?, name.as_deref()).await?)?;
        }
    }
    context.close(database).await
}

/// Of who is not known its word is forgotten all the same, if all of its key is given: others may have passed it on.
async fn remove(console: &Console, database: &Database, text: &str) -> anyhow::Result<()> {
    match (find(database, text), text.parse()) {
        (Err(_), Ok(key)) => {
            database.peers().forget_word(key).await?;
            tell(console, &Peer { key, addresses: Vec::new(), name: None })
        }
        (found, _) => tell(console, &database.peers().remove(found?).await?),
    }
}

fn tell(console: &Console, peer: &Peer) -> anyhow::Result<()> {
    let key = peer.key.to_string();
    let name = peer.name.as_ref().map(|name| format!(" {}", name)).unwrap_or_default();
    let line = json!({ "peer": key, "name": peer.name, "addresses": peer.addresses });
    console.result(&line, &format!("{key} {}{name}", peer.addresses.join(",")))
}

/// Those who are asked in the order in which they are, then those who called.
fn list(console: &Console, database: &Database) -> anyhow::Result<()> {
    let mut states = database.peers().states();
    let known = database.peers().list();
    states.sort_by_key(|state| known.iter().position(|peer| peer.key == state.key).unwrap_or(known.len()));
    states.iter().try_for_each(|state| tell_state(console, state))
}

fn tell_state(console: &Console, state: &PeerState) -> anyhow::Result<()> {
    let key = state.key.to_string();
    let (name, addresses) = match &state.known {
        Some(peer) => (peer.name.clone(), peer.addresses.clone()),
        None => (None, Vec::new()),
    };
    let mut line = json!({ "peer": key, "name": name, "addresses": addresses, "known": state.known.is_some(), "omitted": state.omitted });
    let (how, fields) = match &state.connection {
        PeerConnection::Open { called, since } => {
            let (received, sent) = (state.bytes_received, state.bytes_sent);
            let who = if *called { "it called" } else { "connected" };
            let words = format!("{who} {} s ago, {received} bytes received, {sent} sent", since.as_secs());
            let fields = json!({ "connected": true, "called": called, "seconds": since.as_secs_f64(), "bytes_received": received, "bytes_sent": sent });
            (words, fields)
        }
        PeerConnection::Dialling => {
            ("being called".to_owned(), json!({ "connected": false, "calling": true }))
        }
        PeerConnection::Closed { why, again } => {
            let again = again.map(|again| again.as_secs_f64());
            let when = again.map(|again| format!("; called again in {again:.0} s")).unwrap_or_default();
            (
                format!("not connected: {why}{when}"),
                json!({ "connected": false, "why": why, "again_seconds": again }),
            )
        }
        _ => (String::new(), json!({})),
    };
    if let (Some(line), Some(fields)) = (line.as_object_mut(), fields.as_object()) {
        line.extend(fields.clone());
    }
    let lie =
        state.omitted.map(|entry| format!("left entry {entry} out of an answer that it signed as whole"));
    let words = [Some(key), Some(addresses.join(",")), name, Some(how), lie];
    let words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    console.result(&line, &words.join(" "))
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
