//! `map ...`: features.

mod edit;
mod export;
mod import;
pub mod query;
mod show;

use super::asked::report_failures;
use super::{Context, blob};
use crate::args::MapCommand;
use kappadb::{Asked, Database, Extent, Page};

pub async fn run(context: &Context, command: &MapCommand) -> anyhow::Result<()> {
    match command {
        MapCommand::Import { file } => import::run(context, file).await,
        MapCommand::Put { file } => edit::put(context, file).await,
        MapCommand::Delete { id, local } => edit::delete(context, id, *local).await,
        MapCommand::Merge { id, local } => edit::merge(context, id, *local).await,
        MapCommand::Attach { id, local, file, name, media_type } => {
            blob::attach(context, id, *local, file, name.clone(), media_type.clone()).await
        }
        MapCommand::Get { id, local } => show::get(context, id, *local).await,
        MapCommand::History { id, local } => show::history(context, id, *local).await,
        MapCommand::Referrers { id, local } => show::referrers(context, id, *local).await,
        MapCommand::Expand { id, local } => show::expand(context, id, *local).await,
        MapCommand::Export(args) => export::run(context, args).await,
        MapCommand::Query(args) => query::query(context, args).await,
    }
}

/// Asks the peers for what belongs to a box by the rule of OpenStreetMap's API, and answers; says what is missing.
async fn osm_api(
    context: &Context,
    database: &Database,
    bbox: &Extent,
    local: bool,
) -> anyhow::Result<(Option<Asked>, Page)> {
    let asked = if local { None } else { Some(database.map().osm_ask(bbox).await?) };
    let answer = database.map().osm_query(bbox).await?;
    show::report_missing(context.json, &answer.missing);
    Ok((asked, Page { hits: answer.into_hits(), next: None }))
}
