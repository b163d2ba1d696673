//! `map put|delete|merge`.

use super::Context;
use crate::commands::question::look_first;
use crate::console::Console;
use anyhow::Context as _;
use kappadb::{EntryId, geojson};
use serde_json::json;
use std::io::Read;
use std::path::Path;

pub async fn put(context: &Context, file: &Path, local: bool) -> anyhow::Result<()> {
    let mut text = String::new();
    if file == Path::new("-") {
        context.console.stdin()?.read_to_string(&mut text).context("stdin is not a text")?;
    } else {
        let unread = || format!("cannot read {}", file.display());
        context.console.open(file)?.read_to_string(&mut text).with_context(unread)?;
    }
    let feature = geojson::from_text_by_id(&text)?;
    let database = context.open().await?;
    look_first(&context.console, &database, local, database.map().touched_by_put(&feature)).await?;
    tell(&context.console, &feature.id, database.map().put(feature.clone()).await?)?;
    context.close(database).await
}

pub async fn delete(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    look_first(&context.console, &database, local, database.map().touched_by_delete(id)).await?;
    tell(&context.console, id, database.map().delete(id).await?)?;
    context.close(database).await
}

pub async fn merge(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    // With what they replaced: that tells who changed what.
    look_first(&context.console, &database, local, database.map().history(id)).await?;
    tell(&context.console, id, database.map().merge(id).await?)?;
    context.close(database).await
}

fn tell(console: &Console, feature: &str, entry: EntryId) -> anyhow::Result<()> {
    console.result(&json!({ "feature": feature, "id": entry.to_string() }), feature)
}
