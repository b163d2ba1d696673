//! `chat import`: JSON lines, of which the damaged ones are told and left out.

use super::Context;
use crate::commands::input::{Input, progress};
use crate::exit::Exit;
use crate::output::{self, count};
use kappadb::ChatError;
use serde_json::json;
use std::path::Path;

pub async fn run(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let (input, stopped) = Input::open(file)?;
    let database = context.open().await?;
    let report = database.chat().import(input, output::bad_line).await.map_err(|error| match error {
        ChatError::BrokenOff { lines, source } => {
            anyhow::Error::from(*source).context(progress(file, &count(lines, "line")))
        }
        error => error.into(),
    })?;
    database.close().await?;
    let line = json!({
        "imported": report.imported,
        "known": report.known,
        "authors": report.authors,
        "damaged": report.damaged,
    });
    let text = format!(
        "{} by {} imported, {} were here already, {} left out",
        count(report.imported, "entry"),
        count(report.authors, "author"),
        report.known,
        count(report.damaged, "damaged line")
    );
    output::result(&line, &text)?;
    Ok(Exit::done_if(!stopped.tell() && report.damaged == 0))
}
