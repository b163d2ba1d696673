//! `kv watch`.

use super::{Context, lines};
use crate::args::KvWatchArgs;
use crate::commands::asked::report_failures;
use crate::output;
use kappadb::{Asked, Database, Kv, ReadError};
use std::pin::pin;
use std::time::Duration;

pub async fn watch(context: &Context, args: &KvWatchArgs) -> anyhow::Result<()> {
    let database = context.open().await?;
    print_changes(&database, args).await?;
    Ok(database.close().await?)
}

/// Until the database is closed or this program is interrupted.
async fn print_changes(database: &Database, args: &KvWatchArgs) -> anyhow::Result<()> {
    let kv = database.kv();
    let mut watcher = match &args.prefix {
        Some(prefix) => kv.watch_prefix(prefix),
        None => kv.watch(&args.keys),
    };
    if !args.local {
        report_failures(&ask(&kv, args).await?);
    }
    // Beside the printing, which must not wait for peers that are slow to answer.
    let mut asking = pin!(ask_again(database, args));
    // One for all turns: an interrupt that comes while a line is printed counts too.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            change = watcher.next() => match change {
                Some(change) => output::json_line(&lines::change(&change?))?,
                None => return Ok(()),
            },
            failed = &mut asking => failed?,
            _ = &mut interrupted => return Ok(()),
        }
    }
}

/// Asks every now and then, for ever; tells of failures when they begin.
async fn ask_again(database: &Database, args: &KvWatchArgs) -> Result<(), ReadError> {
    if args.local || database.peers().is_empty() {
        std::future::pending::<()>().await;
    }
    let (kv, mut failing) = (database.kv(), false);
    loop {
        tokio::time::sleep(Duration::from_secs_f64(args.every)).await;
        let asked = ask(&kv, args).await?;
        if !failing {
            report_failures(&asked);
        }
        failing = !asked.failures.is_empty();
    }
}

async fn ask(kv: &Kv, args: &KvWatchArgs) -> Result<Asked, ReadError> {
    match &args.prefix {
        Some(prefix) => kv.ask_prefix(prefix.as_bytes()).await,
        None => kv.ask_keys(&args.keys).await,
    }
}
