//! `chat watch`.

use super::{Context, lines};
use crate::args::WatchArgs;
use crate::commands::watching;
use crate::interrupt::Interrupt;
use crate::output;
use kappadb::ChatChange;
use serde_json::json;

pub async fn watch(context: &Context, args: &WatchArgs) -> anyhow::Result<()> {
    let interrupt = Interrupt::new()?;
    let database = context.open().await?;
    let chat = database.chat();
    let mut watcher = chat.watch(&args.channels, args.limit).await?;
    let ask = async || chat.ask_latest_of(&args.channels, args.limit).await;
    watching::until_end(&database, args.local, args.every, interrupt, ask, async || {
        let Some(change) = watcher.next().await else { return Ok(false) };
        print(&change?)?;
        Ok(true)
    })
    .await?;
    drop(watcher);
    Ok(database.close().await?)
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
