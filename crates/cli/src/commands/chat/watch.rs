//! `chat watch`.

use super::Context;
use crate::args::WatchArgs;
use crate::commands::watching;
use crate::console::{self, Console};
use kappadb::{ChatChange, WatchOptions};
use serde_json::json;

pub async fn watch(context: &Context, args: &WatchArgs) -> anyhow::Result<()> {
    let interrupt = context.console.interrupt()?;
    let database = context.open().await?;
    let chat = database.chat();
    let options = WatchOptions {
        channels: Some(args.channels.clone()).filter(|channels| !channels.is_empty()),
        private: args.private || args.channels.is_empty(),
        past: args.past,
    };
    let mut watcher = chat.watch(&options).await?;
    if !args.local {
        watcher = watcher.live();
    }
    let asker = chat.asker(&options);
    let ask = async || asker.ask().await;
    watching::until_end(&context.console, &database, args.local, interrupt, ask, async || {
        let Some(change) = watcher.next().await else { return Ok(false) };
        print(&context.console, &change?)?;
        Ok(true)
    })
    .await?;
    drop(watcher);
    context.close(database).await
}

fn print(console: &Console, change: &ChatChange) -> anyhow::Result<()> {
    match change {
        ChatChange::Shown(message) => console.json_line(&console::fields(message)),
        ChatChange::Gone { id, channel } => {
            console.json_line(&json!({ "id": id.to_string(), "channel": named(channel), "kind": "gone" }))
        }
        ChatChange::Lagged { channel } => {
            console.json_line(&json!({ "channel": named(channel), "kind": "lagged" }))
        }
        _ => Ok(()),
    }
}

/// Private messages have no channel.
fn named(channel: &str) -> Option<&str> {
    Some(channel).filter(|channel| !channel.is_empty())
}
