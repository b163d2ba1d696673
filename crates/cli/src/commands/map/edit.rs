//! `map put|delete|merge`.

use super::{Context, report_failures};
use crate::output;
use anyhow::Context as _;
use kappadb::geojson;
use serde_json::json;
use std::io::Read;
use std::path::Path;

pub async fn put(context: &Context, file: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("stdin is not a text")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let feature = geojson::from_text(&text)?;
    let database = context.open().await?;
    let entry = database.map().put(feature.clone()).await?;
    if context.json {
        output::json_line(&json!({ "id": feature.id, "entry": entry.to_string() }))?;
    } else {
        output::line(&feature.id)?;
    }
    Ok(database.close().await?)
}

pub async fn delete(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    if !local {
        report_failures(&database.map().ask_id(id).await?);
    }
    let entry = database.map().delete(id).await?;
    if context.json {
        output::json_line(&json!({ "id": id, "entry": entry.to_string() }))?;
    } else {
        output::line(id)?;
    }
    Ok(database.close().await?)
}

pub async fn merge(context: &Context, id: &str, local: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    if !local {
        // With what they replaced: that tells who changed what.
        report_failures(&database.map().ask_history(id).await?);
    }
    let entry = database.map().merge(id).await?;
    if context.json {
        output::json_line(&json!({ "id": id, "entry": entry.to_string() }))?;
    } else {
        output::line(id)?;
    }
    Ok(database.close().await?)
}
