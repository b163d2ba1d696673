//! `map ...`: features.

mod edit;
mod export;
mod import;
pub mod query;
mod show;
mod watch;

use super::question::Question;
use super::{Context, blob};
use crate::args::MapCommand;
use crate::console::Console;
use crate::exit::Exit;
use kappadb::{Database, Extent, Hit, ImportOptions};

pub async fn run(context: &Context, command: &MapCommand) -> anyhow::Result<Exit> {
    match command {
        MapCommand::Import { file, force, ids, ask } => {
            let options = ImportOptions { force: *force, ids: ids.clone() };
            return import::run(context, file, options, *ask).await;
        }
        MapCommand::Put { local, file } => edit::put(context, file, *local).await?,
        MapCommand::Delete { id, local } => edit::delete(context, id, *local).await?,
        MapCommand::Merge { id, local } => edit::merge(context, id, *local).await?,
        MapCommand::Attach { id, local, file, name, media_type } => {
            blob::attach(context, id, *local, file, name.clone(), media_type.clone()).await?;
        }
        MapCommand::Get { id, ask } => return show::get(context, id, *ask).await,
        MapCommand::History { id, ask } => return show::history(context, id, *ask).await,
        MapCommand::Referrers { id, ask } => return show::referrers(context, id, *ask).await,
        MapCommand::Expand { id, ask } => return show::expand(context, id, *ask).await,
        MapCommand::Export(args) => return export::run(context, args).await,
        MapCommand::Query(args) => match args.bbox.as_ref().filter(|_| args.follow) {
            Some(bbox) => watch::watch(context, args, bbox).await?,
            None => return query::query(context, args).await,
        },
    }
    Ok(Exit::Done)
}

/// Asks the peers for what belongs to a box by the rule of OpenStreetMap's API, and answers; says what is missing.
async fn osm_api(
    console: &Console,
    database: &Database,
    question: &mut Question,
    bbox: &Extent,
) -> anyhow::Result<Vec<Hit>> {
    let answer = question.read(database.map().osm_query(bbox)).await?.one().unwrap_or_default();
    show::report_absent(console, &answer.missing, &answer.gone);
    Ok(answer.into_hits())
}
