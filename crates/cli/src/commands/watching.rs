//! What `kv watch` and `chat watch` have in common: they print what a watcher tells, and ask the peers again every now and then, until
//! they are asked to end.

use super::question;
use crate::console::Console;
use crate::outside::Interrupt;
use kappadb::{Asked, Database};
use std::time::Duration;

/// Asks the peers, unless `local`; then prints with `print` until there is nothing more, or the program is interrupted, and goes on asking
/// meanwhile.
pub async fn until_end<E>(
    console: &Console,
    database: &Database,
    local: bool,
    every: f64,
    mut interrupted: Interrupt,
    ask: impl AsyncFn() -> Result<Asked, E>,
    print: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()>
where
    anyhow::Error: From<E>,
{
    let every = (!local && !database.peers().list().is_empty()).then(|| Duration::from_secs_f64(every));
    let failing = tokio::select! {
        failing = ask_once(console, database, every.is_some(), false, &ask) => failing?,
        () = &mut interrupted => return Ok(()),
    };
    // Beside the printing, which must not wait for peers that are slow to answer.
    tokio::select! {
        done = print_all(print) => done,
        failed = ask_again(console, database, every, failing, &ask) => Ok(failed?),
        () = &mut interrupted => Ok(()),
    }
}

async fn print_all(mut print: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    while print().await? {}
    Ok(())
}

/// Asks every now and then, for ever.
async fn ask_again<E>(
    console: &Console,
    database: &Database,
    every: Option<Duration>,
    mut failing: bool,
    ask: &impl AsyncFn() -> Result<Asked, E>,
) -> Result<(), E> {
    let Some(every) = every else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        failing = ask_once(console, database, true, failing, ask).await?;
    }
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
