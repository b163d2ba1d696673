//! `chat import`: JSON lines, of which the damaged ones are told and left out.

use super::Context;
use crate::exit::Exit;
use crate::output::{self, count};
use crate::progress::Bar;
use anyhow::Context as _;
use kappadb::{ChatImported, Progress};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

pub async fn run(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let unread = || format!("cannot read {}", file.display());
    let (input, total): (Box<dyn BufRead + Send>, u64) = match file == Path::new("-") {
        true => (Box::new(BufReader::new(io::stdin())), 0),
        false => {
            let file = File::open(file).with_context(unread)?;
            let total = file.metadata().map_or(0, |meta| meta.len());
            (Box::new(BufReader::new(file)), total)
        }
    };
    let database = context.open().await?;
    let bar = Bar::new();
    let told = move |told: ChatImported<'_>| match told {
        ChatImported::Bytes(done) if total > 0 => bar.show(Progress { task: "importing", done, total }),
        ChatImported::Damaged { line, error } => output::bad_line(line, error),
        _ => {}
    };
    let report = database.chat().import(input, told).await?;
    database.close().await?;
    let line = json!({
        "imported": report.imported,
        "known": report.known,
        "authors": report.authors,
        "damaged": report.damaged,
    });
    let text = format!(
        "{} by {} imported, {} were here already, {} left out",
        count(report.imported, "message"),
        count(report.authors, "author"),
        report.known,
        count(report.damaged, "damaged line")
    );
    output::result(&line, &text)?;
    Ok(Exit::done_if(report.damaged == 0))
}
