//! `kv watch`.

use super::Context;
use crate::args::KvWatchArgs;
use crate::commands::watching;
use crate::console;
use kappadb::Source;
use kappadb::view::Selector;

pub async fn watch(context: &Context, args: &KvWatchArgs) -> anyhow::Result<()> {
    let interrupt = context.console.interrupt()?;
    let database = context.open().await?;
    let kv = database.kv();
    let mut watcher = match &args.prefix {
        Some(prefix) => kv.watch_prefix(prefix),
        None => kv.watch(&args.keys),
    };
    if !args.local {
        watcher = watcher.live();
    }
    let ask = async || match &args.prefix {
        Some(prefix) => {
            let prefix = Selector::Prefix(prefix.as_bytes().to_vec());
            database.ask("kv", prefix).from(Source::Peers).await.map(|answer| answer.asked)
        }
        None => kv.get_all(&args.keys).from(Source::Peers).await.map(|answer| answer.asked),
    };
    watching::until_end(&context.console, &database, args.local, interrupt, ask, async || {
        let Some(change) = watcher.next().await else { return Ok(false) };
        context.console.json_line(&console::fields(&change?))?;
        Ok(true)
    })
    .await?;
    drop(watcher);
    context.close(database).await
}
