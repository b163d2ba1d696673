//! `kv get|list|history|export`.

use super::{Context, lines};
use crate::args::{AskArgs, KvListArgs};
use crate::exit::{Exit, NotFound};
use crate::output;
use anyhow::{bail, ensure};
use kappadb::{Database, EntryId, KeyRange, KvItem, ScanOptions, visible};
use std::io::Write;

/// Keys read at a time.
const PAGE: usize = 256;

pub async fn get(context: &Context, key: &[u8], ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let kv = database.kv();
            question.ask(kv.ask_keys([key])).await?;
            question.note_ahead(kv.ahead(key).await?);
            let Some(id) = kv.winner(key).await? else {
                match kv.heads(key).await?.len() {
                    0 => bail!(unknown(key)),
                    _ => bail!(NotFound(format!(
                        "{} was deleted; `kappa kv get --all` shows what there is",
                        lines::quoted(key)
                    ))),
                }
            };
            match kv.get(key).await?.filter(|_| output::is_json()) {
                Some(value) => {
                    value.held()?;
                    output::json_line(&lines::item(key, &value))?;
                }
                None => copy(database, id).await?,
            }
            Ok(1)
        })
        .await
}

fn unknown(key: &[u8]) -> NotFound {
    NotFound(format!("there is no {} here", lines::quoted(key)))
}

/// Writes a value as it is; on a terminal with the end of a line, so that the prompt begins a new one.
async fn copy(database: &Database, id: EntryId) -> anyhow::Result<()> {
    let mut reader = database.kv().read(id).await?;
    let mut out = output::stdout();
    while let Some(bytes) = reader.next().await? {
        out.write_all(&bytes)?;
    }
    if output::is_terminal() {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// All heads, the winner first.
pub async fn heads(context: &Context, key: &[u8], ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            question.ask(database.kv().ask_keys([key])).await?;
            let heads = database.kv().heads(key).await?;
            question.note_ahead(database.kv().ahead(key).await?);
            ensure!(!heads.is_empty(), unknown(key));
            for head in &heads {
                let standing = if head.winner { "current" } else { "in conflict" };
                let line = lines::version(head, standing);
                output::result(&lines::head(key, head, &heads), &line)?;
            }
            Ok(heads.len())
        })
        .await
}

/// All versions, the latest first.
pub async fn history(context: &Context, key: &[u8], ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            question.ask(database.kv().ask_history([key])).await?;
            let history = database.kv().history(key).await?;
            ensure!(!history.is_empty(), unknown(key));
            let heads: Vec<_> = history.iter().filter(|r| r.current).map(|r| r.version.clone()).collect();
            for revision in &history {
                let standing = match (revision.version.winner, revision.current) {
                    (true, _) => "current",
                    (false, true) => "in conflict",
                    (false, false) => "replaced",
                };
                let line = lines::version(&revision.version, standing);
                output::result(&lines::revision(key, revision, &heads), &line)?;
            }
            Ok(history.len())
        })
        .await
}

pub async fn list(context: &Context, args: &KvListArgs) -> anyhow::Result<Exit> {
    let range = KeyRange::prefix(&args.prefix);
    let after = args.after.as_ref().map(|after| after.as_bytes().to_vec());
    let options = ScanOptions { limit: args.limit.number(), backwards: args.backwards, after };
    context
        .read(args.ask, async |database, question| {
            question.ask(database.kv().ask_scan(&range, &options)).await?;
            let print =
                |item: &KvItem| output::result(&lines::item(&item.key, &item.value), &visible(&item.key));
            let Told { count, ahead, next } = each(database, &range, options, print).await?;
            question.note_ahead(ahead);
            // A key that is no text cannot be named with `--after`.
            next.and_then(|key| String::from_utf8(key).ok()).iter().for_each(|key| question.go_on_with(key));
            Ok(count)
        })
        .await
}

pub async fn export(context: &Context, prefix: &str, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            question.ask(database.kv().ask_prefix(prefix)).await?;
            let mut left_out = 0;
            let print = |item: &KvItem| match item.value.held() {
                Ok(_) => output::json_line(&lines::item(&item.key, &item.value)),
                Err(_) => {
                    left_out += 1;
                    Ok(())
                }
            };
            let all = ScanOptions::default();
            let Told { count, ahead, .. } = each(database, &KeyRange::prefix(prefix), all, print).await?;
            question.note_ahead(ahead);
            ensure!(
                left_out == 0,
                "left out {}, for what they say is not held here",
                output::count(left_out, "value")
            );
            Ok(count)
        })
        .await
}

/// What a scan told: how many keys, how many of their heads are dated after this machine's clock, and the last key if there are more.
#[derive(Default)]
struct Told {
    count: usize,
    ahead: usize,
    next: Option<Vec<u8>>,
}

/// Does something with each key of a scan, some of them in memory at a time.
async fn each(
    database: &Database,
    range: &KeyRange,
    mut options: ScanOptions,
    mut print: impl FnMut(&KvItem) -> anyhow::Result<()>,
) -> anyhow::Result<Told> {
    let (kv, limit, mut told) = (database.kv(), options.limit.unwrap_or(usize::MAX), Told::default());
    while told.count < limit {
        options.limit = Some(PAGE.min(limit - told.count));
        let page = kv.scan(range, &options).await?;
        page.items.iter().try_for_each(&mut print)?;
        told.count += page.items.len();
        told.ahead += page.items.iter().map(|item| item.value.ahead).sum::<usize>();
        told.next.clone_from(&page.next);
        if page.next.is_none() {
            break;
        }
        options.after = page.next;
    }
    Ok(told)
}
