//! `kv get|list|history|export`.

use super::{Asking, Context, lines};
use crate::args::KvListArgs;
use crate::commands::asked::report_ahead;
use crate::output;
use anyhow::{bail, ensure};
use kappadb::{Database, EntryId, KeyRange, KvItem, ScanOptions};
use std::io::{IsTerminal, Write};

/// Keys read at a time.
const PAGE: usize = 256;

pub async fn get(context: &Context, key: &str, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let kv = database.kv();
    let asked = asking.ask(kv.ask_keys([key])).await?;
    report_ahead(context.json, kv.ahead(key).await?);
    let Some(id) = kv.winner(key).await? else {
        asking.tell(0, asked.as_ref());
        match kv.heads(key).await?.len() {
            0 => bail!("there is no {key:?} here"),
            _ => bail!("{key:?} was deleted; `kappa kv get --all` shows what there is"),
        }
    };
    match kv.get(key).await?.filter(|_| context.json) {
        Some(value) => {
            value.held()?;
            output::json_line(&lines::item(key.as_bytes(), &value))?;
        }
        None => copy(&database, id).await?,
    }
    asking.tell(1, asked.as_ref());
    Ok(database.close().await?)
}

/// Writes a value as it is; on a terminal with the end of a line, so that the prompt begins a new one.
async fn copy(database: &Database, id: EntryId) -> anyhow::Result<()> {
    let mut reader = database.kv().read(id).await?;
    let mut out = std::io::stdout().lock();
    while let Some(bytes) = reader.next().await? {
        out.write_all(&bytes)?;
    }
    if out.is_terminal() {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// All heads, the winner first.
pub async fn heads(context: &Context, key: &str, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let asked = asking.ask(database.kv().ask_keys([key])).await?;
    let heads = database.kv().heads(key).await?;
    report_ahead(context.json, database.kv().ahead(key).await?);
    database.close().await?;
    asking.tell(heads.len(), asked.as_ref());
    ensure!(!heads.is_empty(), "there is no {key:?} here");
    for head in &heads {
        match context.json {
            true => output::json_line(&lines::head(key.as_bytes(), head, &heads))?,
            false => {
                let standing = if head.winner { "current" } else { "in conflict" };
                output::line(&lines::version(head, standing))?;
            }
        }
    }
    Ok(())
}

/// All versions, the latest first.
pub async fn history(context: &Context, key: &str, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let asked = asking.ask(database.kv().ask_history([key])).await?;
    let history = database.kv().history(key).await?;
    database.close().await?;
    asking.tell(history.len(), asked.as_ref());
    ensure!(!history.is_empty(), "nothing is known of {key:?} here");
    let heads: Vec<_> = history.iter().filter(|r| r.current).map(|r| r.version.clone()).collect();
    for revision in &history {
        let standing = match (revision.version.winner, revision.current) {
            (true, _) => "current",
            (false, true) => "in conflict",
            (false, false) => "replaced",
        };
        match context.json {
            true => output::json_line(&lines::revision(key.as_bytes(), revision, &heads))?,
            false => output::line(&lines::version(&revision.version, standing))?,
        }
    }
    Ok(())
}

pub async fn list(context: &Context, args: &KvListArgs) -> anyhow::Result<()> {
    let asking = Asking::new(args.local, args.stats);
    let range = KeyRange::prefix(&args.prefix);
    let after = args.after.as_ref().map(|after| after.as_bytes().to_vec());
    let options = ScanOptions { limit: args.limit, backwards: args.backwards, after };
    let database = context.open().await?;
    let asked = asking.ask(database.kv().ask_scan(&range, &options)).await?;
    let print = |item: &KvItem| match context.json {
        true => output::json_line(&lines::item(&item.key, &item.value)),
        false => output::line(&lines::safe(&item.key)),
    };
    let Told { count, ahead } = each(&database, &range, options, print).await?;
    report_ahead(context.json, ahead);
    asking.tell(count, asked.as_ref());
    Ok(database.close().await?)
}

pub async fn export(context: &Context, prefix: &str, asking: Asking) -> anyhow::Result<()> {
    let database = context.open().await?;
    let asked = asking.ask(database.kv().ask_prefix(prefix)).await?;
    let mut left_out = 0;
    let print = |item: &KvItem| match item.value.held() {
        Ok(_) => output::json_line(&lines::item(&item.key, &item.value)),
        Err(_) => {
            left_out += 1;
            Ok(())
        }
    };
    let all = ScanOptions::default();
    let Told { count, ahead } = each(&database, &KeyRange::prefix(prefix), all, print).await?;
    report_ahead(context.json, ahead);
    asking.tell(count - left_out, asked.as_ref());
    database.close().await?;
    ensure!(
        left_out == 0,
        "left out {}, for what they say is not held here",
        output::count(left_out as u64, "value")
    );
    Ok(())
}

/// What a scan told: how many keys, and how many of their heads are dated after this machine's clock.
#[derive(Default)]
struct Told {
    count: usize,
    ahead: usize,
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
        if page.next.is_none() {
            break;
        }
        options.after = page.next;
    }
    Ok(told)
}
