//! `kv ...`: keys and values.

mod edit;
mod import;
mod lines;
mod show;
mod watch;

pub use lines::insert_bytes;

use super::Context;
use crate::args::KvCommand;
use crate::exit::Exit;

pub async fn run(context: &Context, command: &KvCommand) -> anyhow::Result<Exit> {
    match command {
        KvCommand::Put { said, expected } => {
            edit::put(context, &said.key, &said.value, expected.as_ref()).await?;
        }
        KvCommand::Delete { key, local } => edit::delete(context, key.bytes(), *local).await?,
        KvCommand::Merge { said, local } => edit::merge(context, &said.key, &said.value, *local).await?,
        KvCommand::Get(args) if args.all => return show::heads(context, args.key.bytes(), args.ask).await,
        KvCommand::Get(args) => return show::get(context, args.key.bytes(), args.ask).await,
        KvCommand::History { key, ask } => return show::history(context, key.bytes(), *ask).await,
        KvCommand::List(args) => return show::list(context, args).await,
        KvCommand::Export { prefix, ask } => return show::export(context, prefix, *ask).await,
        KvCommand::Watch(args) => watch::watch(context, args).await?,
        KvCommand::Import { file } => return import::run(context, file).await,
    }
    Ok(Exit::Done)
}
