//! `chat watch`.

use super::{Context, lines};
use crate::args::WatchArgs;
use crate::commands::asked::report_failures;
use crate::output;
use kappadb::{ChatChange, ChatError, ChatWatcher, Database};
use serde_json::json;
use std::pin::pin;
use std::time::Duration;

pub async fn watch(context: &Context, args: &WatchArgs) -> anyhow::Result<()> {
    let database = context.open().await?;
    let chat = database.chat();
    if !args.local {
        report_failures(&chat.ask_latest_of(&args.channels, args.limit).await?);
    }
    let mut watcher = chat.watch(&args.channels, args.limit).await?;
    until_end(&database, args, &mut watcher).await?;
    drop(watcher);
    Ok(database.close().await?)
}

async fn until_end(database: &Database, args: &WatchArgs, watcher: &mut ChatWatcher) -> anyhow::Result<()> {
    // Beside the printing, which must not wait for peers that are slow to answer.
    let mut asking = pin!(ask_again(database, args));
    // One for all turns: an interrupt that comes while a line is printed counts too.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            change = watcher.next() => match change {
                Some(change) => print(&change?)?,
                None => return Ok(()),
            },
            failed = &mut asking => failed?,
            _ = &mut interrupted => return Ok(()),
        }
    }
}

fn print(change: &ChatChange) -> anyhow::Result<()> {
    match change {
        ChatChange::Shown(message) => output::json_line(&lines::message(message)),
        ChatChange::Gone { id, channel } => {
            output::json_line(&json!({ "id": id.to_string(), "channel": channel, "kind": "gone" }))
        }
        ChatChange::Lagged { channel } => output::json_line(&json!({ "channel": channel, "kind": "lagged" })),
        _ => Ok(()),
    }
}

/// Asks every now and then, for ever; tells of failures when they begin.
async fn ask_again(database: &Database, args: &WatchArgs) -> Result<(), ChatError> {
    if args.local || database.peers().is_empty() {
        std::future::pending::<()>().await;
    }
    let (chat, mut failing) = (database.chat(), false);
    loop {
        tokio::time::sleep(Duration::from_secs_f64(args.every)).await;
        let asked = chat.ask_latest_of(&args.channels, args.limit).await?;
        if !failing {
            report_failures(&asked);
        }
        failing = !asked.failures.is_empty();
    }
}
