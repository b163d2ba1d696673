//! `kv get|list|history|export`.

use super::{Context, lines};
use crate::args::{AskArgs, KvListArgs};
use crate::commands::question::Question;
use crate::console::{self, Console};
use crate::exit::{Exit, NotFound};
use anyhow::{bail, ensure};
use kappadb::{Database, EntryId, KeyRange, KvItem, ScanOptions, visible};
use std::io::Write;

pub async fn get(context: &Context, key: &[u8], ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let kv = database.kv();
            let Some(state) = question.read(kv.state(key)).await?.one() else { bail!(unknown(key)) };
            question.note_ahead(state.ahead);
            let Some(id) = state.winner else {
                bail!(NotFound(format!(
                    "{} was deleted; `kappa kv get --all` shows what there is",
                    lines::quoted(key)
                )));
            };
            let value = if console.is_json() { kv.get(key).await?.one() } else { None };
            match value {
                Some(value) => {
                    value.held()?;
                    console.json_line(&lines::item(key, &value))?;
                }
                None => copy(console, database, id).await?,
            }
            Ok(1)
        })
        .await
}

fn unknown(key: &[u8]) -> NotFound {
    NotFound(format!("there is no {} here", lines::quoted(key)))
}

/// Writes a value as it is; on a terminal with the end of a line, so that the prompt begins a new one.
async fn copy(console: &Console, database: &Database, id: EntryId) -> anyhow::Result<()> {
    let mut reader = database.kv().read(id).await?;
    let mut out = console.stdout();
    while let Some(bytes) = reader.next().await? {
        out.write_all(&bytes)?;
    }
    if console.is_terminal() {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// All heads, the winner first.
pub async fn heads(context: &Context, key: &[u8], ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let heads = question.read(database.kv().heads(key)).await?.items;
            question.note_ahead(heads.iter().filter(|head| head.ahead).count());
            ensure!(!heads.is_empty(), unknown(key));
            for head in &heads {
                let standing = if head.winner { "current" } else { "in conflict" };
                let line = lines::for_people(console, head, standing);
                console.result(&lines::version(key, head, &heads), &line)?;
            }
            Ok(heads.len())
        })
        .await
}

/// All versions, the latest first.
pub async fn history(context: &Context, key: &[u8], ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let history = question.read(database.kv().history(key)).await?.items;
            ensure!(!history.is_empty(), unknown(key));
            let heads: Vec<_> = history.iter().filter(|r| r.current).map(|r| r.version.clone()).collect();
            for revision in &history {
                let standing = match (revision.version.winner, revision.current) {
                    (true, _) => "current",
                    (false, true) => "in conflict",
                    (false, false) => "replaced",
                };
                let line = lines::for_people(console, &revision.version, standing);
                console.result(&lines::version(key, revision, &heads), &line)?;
            }
            Ok(history.len())
        })
        .await
}

pub async fn list(context: &Context, args: &KvListArgs) -> anyhow::Result<Exit> {
    let range = KeyRange::prefix(&args.prefix);
    let after = args.after.as_ref().map(|after| after.as_bytes().to_vec());
    let options = ScanOptions { limit: args.limit.number(), backwards: args.backwards, after };
    let console = &context.console;
    context
        .read(args.ask, async |database, question| {
            let print =
                |item: &KvItem| console.result(&lines::item(&item.key, &item.value), &visible(&item.key));
            let (count, last) = each(database, question, &range, &options, print).await?;
            // A key that is no text cannot be named with `--after`.
            let next = last.filter(|_| options.limit == Some(count));
            next.and_then(|key| String::from_utf8(key).ok()).iter().for_each(|key| question.go_on_with(key));
            Ok(count)
        })
        .await
}

pub async fn export(context: &Context, prefix: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    let console = &context.console;
    context
        .read(ask, async |database, question| {
            let mut left_out = 0;
            let print = |item: &KvItem| match item.value.held() {
                Ok(_) => console.json_line(&lines::item(&item.key, &item.value)),
                Err(_) => {
                    left_out += 1;
                    Ok(())
                }
            };
            let all = ScanOptions::default();
            let (count, _) = each(database, question, &KeyRange::prefix(prefix), &all, print).await?;
            ensure!(
                left_out == 0,
                "left out {}, for what they say is not held here",
                console::count(left_out, "value")
            );
            Ok(count)
        })
        .await
}

/// Does something with each key of a scan, some of them in memory at a time. How many there were, and the last.
async fn each(
    database: &Database,
    question: &mut Question,
    range: &KeyRange,
    options: &ScanOptions,
    mut print: impl FnMut(&KvItem) -> anyhow::Result<()>,
) -> anyhow::Result<(usize, Option<Vec<u8>>)> {
    let mut items = question.put(database.kv().items(range, options)).await?;
    question.note(std::mem::take(&mut items.asked))?;
    let (mut count, mut last) = (0, None);
    while let Some(item) = items.next().await {
        let item = item?;
        print(&item)?;
        count += 1;
        question.note_ahead(item.value.ahead);
        last = Some(item.key);
    }
    Ok((count, last))
}
