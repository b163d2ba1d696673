//! `map put|delete|merge`.

use super::Context;
use crate::commands::question::look_first;
use crate::output;
use anyhow::Context as _;
use kappadb::{EntryId, geojson};
use serde_json::json;
use std::io::Read;
use std::path::Path;

pub async fn put(context: &Context, file: &Path, local: bool) -> anyhow::Result<()> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("stdin is not a text")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let feature = geojson::from_text_by_id(&text)?;
    let database = context.open().await?;
    look_first(&database, local, database.map().touched_by_put(&feature)).await?;
    tell(&feature.id, database.map().put(feature.clone()).await?)?;
    Ok(database.close().await?)
}

pub async fn delete(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    look_first(&database, local, database.map().touched_by_delete(id)).await?;
    tell(id, database.map().delete(id).await?)?;
    Ok(database.close().await?)
}

pub async fn merge(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    // With what they replaced: that tells who changed what.
    look_first(&database, local, database.map().history(id)).await?;
    tell(id, database.map().merge(id).await?)?;
    Ok(database.close().await?)
}

fn tell(feature: &str, entry: EntryId) -> anyhow::Result<()> {
    output::result(&json!({ "feature": feature, "id": entry.to_string() }), feature)
}
