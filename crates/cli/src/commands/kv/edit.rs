//! `kv put|delete|merge`.

use super::{Context, lines};
use crate::args::Heads;
use crate::commands::question::look_first;
use crate::console::Console;
use crate::exit::NotFound;
use anyhow::{Context as _, bail};
use kappadb::EntryId;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

pub async fn put(
    context: &Context,
    key: &[u8],
    value: &OsStr,
    expected: Option<&Heads>,
) -> anyhow::Result<()> {
    let value = bytes(&context.console, value)?;
    let database = context.open().await?;
    let id = match expected {
        Some(Heads(heads)) => {
            let mut expected = Vec::new();
            for head in heads {
                expected.push(head.find(&database).await?);
            }
            database.kv().put_if(key, value, &expected).await?
        }
        None => database.kv().put(key, value).await?,
    };
    tell(&context.console, key, id)?;
    context.close(database).await
}

pub async fn merge(context: &Context, key: &[u8], value: &OsStr, local: bool) -> anyhow::Result<()> {
    let value = bytes(&context.console, value)?;
    let database = context.open().await?;
    look_first(&context.console, &database, local, database.kv().state(key)).await?;
    tell(&context.console, key, database.kv().merge(key, value).await?)?;
    context.close(database).await
}

pub async fn delete(context: &Context, key: &[u8], local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    look_first(&context.console, &database, local, database.kv().state(key)).await?;
    let Some(id) = database.kv().delete(key).await? else {
        bail!(NotFound(format!("{} has no value here to delete", lines::quoted(key))));
    };
    tell(&context.console, key, id)?;
    context.close(database).await
}

/// A value from the command line, or all of stdin for `-`.
fn bytes(console: &Console, value: &OsStr) -> anyhow::Result<Vec<u8>> {
    if value != "-" {
        return Ok(value.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    // One byte more than a value may have is enough to refuse it.
    let most = kappadb::MAX_VALUE as u64 + 1;
    console.stdin()?.take(most).read_to_end(&mut bytes).context("cannot read stdin")?;
    Ok(bytes)
}

fn tell(console: &Console, key: &[u8], id: EntryId) -> anyhow::Result<()> {
    console.result(&lines::written(key, &id.to_string()), &id.to_string())
}
