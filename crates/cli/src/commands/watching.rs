//! What commands that watch have in common: they print what a watcher tells, until they are asked to end, and ask each peer that tells of news for
//! what it has already.

use super::question;
use crate::console::Console;
use crate::outside::Interrupt;
use kappadb::{Asked, Database, PeerEvent, PeerEvents};

/// Asks the peers, unless `local`; then prints with `print` until there is nothing more, or the program is interrupted. Asks again whenever a peer
/// begins to tell of news: what came to it until then is in none of them.
pub async fn until_end<E>(
    console: &Console,
    database: &Database,
    local: bool,
    mut interrupted: Interrupt,
    ask: impl AsyncFn() -> Result<Asked, E>,
    print: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()>
where
    anyhow::Error: From<E>,
{
    let asks = !local && !database.peers().states().is_empty();
    let events = database.peers().events();
    let failing = tokio::select! {
        failing = ask_once(console, database, asks, false, &ask) => failing?,
        () = &mut interrupted => return Ok(()),
    };
    // Beside the printing, which must not wait for peers that are slow to answer.
    tokio::select! {
        done = print_all(print) => done,
        failed = ask_again(console, database, events, !local, failing, &ask) => Ok(failed?),
        () = &mut interrupted => Ok(()),
    }
}

async fn print_all(mut print: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    while print().await? {}
    Ok(())
}

/// Asks whenever a peer begins to tell of news, for ever.
async fn ask_again<E>(
    console: &Console,
    database: &Database,
    mut events: PeerEvents,
    asks: bool,
    mut failing: bool,
    ask: &impl AsyncFn() -> Result<Asked, E>,
) -> Result<(), E> {
    while let Some(event) = events.next().await {
        if let PeerEvent::Follows { .. } | PeerEvent::Lagged(_) = event {
            failing = ask_once(console, database, asks, failing, ask).await?;
        }
    }
    std::future::pending().await
}

/// Tells of what is lacking when that begins. True if a peer did not answer.
async fn ask_once<E>(
    console: &Console,
    database: &Database,
    wanted: bool,
    failing: bool,
    ask: &impl AsyncFn() -> Result<Asked, E>,
) -> Result<bool, E> {
    if !wanted {
        return Ok(false);
    }
    let asked = ask().await?;
    if !failing {
        question::tell(console, &asked, &database.peers().list());
    }
    Ok(!asked.failures.is_empty())
}
