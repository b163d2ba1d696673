//! `map query --follow`.

use super::Context;
use super::query::shown;
use crate::args::QueryArgs;
use crate::commands::watching;
use kappadb::{Extent, MapChange, Source, geojson};
use serde_json::{Value, json};

/// Prints what is in a box, then each change, until interrupted.
pub async fn watch(context: &Context, args: &QueryArgs, bbox: &Extent) -> anyhow::Result<()> {
    let interrupt = context.console.interrupt()?;
    let database = context.open().await?;
    let map = database.map();
    let mut watcher = map.watch(bbox);
    if !args.ask.local {
        watcher = watcher.live();
    }
    let ask = async || map.query(bbox, None).from(Source::Peers).await.map(|answer| answer.asked);
    watching::until_end(&context.console, &database, args.ask.local, interrupt, ask, async || {
        let Some(change) = watcher.next().await else { return Ok(false) };
        context.console.json_line(&line(change?))?;
        Ok(true)
    })
    .await?;
    drop(watcher);
    context.close(database).await
}

/// The feature as it is, or nothing if it is not in the box any more.
fn line(change: MapChange) -> Value {
    let MapChange { id, found, heads, lagged } = change;
    let feature = found.and_then(shown);
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    json!({ "feature": id, "geojson": feature.as_ref().map(geojson::to_geojson), "heads": heads, "lagged": lagged })
}
