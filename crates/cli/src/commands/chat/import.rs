//! `chat import`: JSON lines, of which the damaged ones are told and left out.

use super::Context;
use crate::commands::input::{Input, progress};
use crate::console::count;
use crate::exit::Exit;
use kappadb::ChatError;
use serde_json::json;
use std::path::Path;

pub async fn run(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let console = &context.console;
    let (input, stopped) = Input::open(console, file)?;
    let database = context.open().await?;
    let damaged = {
        let console = console.clone();
        move |number, why: &_| console.bad_line(number, why)
    };
    let report = database.chat().import(input, damaged).await.map_err(|error| match error {
        ChatError::BrokenOff { lines, source } => {
            anyhow::Error::from(*source).context(progress(file, &count(lines, "line")))
        }
        error => error.into(),
    })?;
    context.close(database).await?;
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
    console.result(&line, &text)?;
    Ok(Exit::done_if(!stopped.tell(console) && report.damaged == 0))
}
