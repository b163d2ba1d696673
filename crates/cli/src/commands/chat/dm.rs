//! `chat dm`: private messages. They go to a feed: a name alone is not enough, for anybody may take it.

use super::edit::{text_or_stdin, write};
use super::{Context, page};
use crate::args::DmArgs;
use crate::commands::question::Question;
use crate::console::Console;
use crate::exit::{Exit, NotFound};
use anyhow::{anyhow, bail, ensure};
use kappadb::{Database, FeedKey, KnownAs, Marks, visible_name};

pub async fn run(context: &Context, args: &DmArgs) -> anyhow::Result<Exit> {
    let text = if args.to.is_some() { &args.with } else { &args.text };
    match text {
        Some(text) => send(context, args, &text_or_stdin(&context.console, text)?).await,
        None => {
            ensure!(
                args.reply_to.is_none(),
                "`--reply-to` needs a text: `kappa chat dm NICK TEXT --reply-to ID`"
            );
            show(context, args).await
        }
    }
}

/// The feed that is meant, and the name that is not pinned to it yet.
type Meant = (FeedKey, Option<KnownAs>);

/// Whom it is for is looked up before, for peers may be asked for that. What they lack is told before anybody is asked whom he means.
async fn send(context: &Context, args: &DmArgs, text: &str) -> anyhow::Result<Exit> {
    let mut meant = None;
    let find = async |database: &Database, question: &mut Question| {
        meant = Some(find(database, args, question).await?);
        Ok(1)
    };
    let exit = context.read(args.ask, find).await?;
    let Some((feed, unpinned)) = meant else { return Ok(exit) };
    let pin = unpinned.as_ref().and(args.with.as_deref());
    if let (Some(name), Some(known)) = (pin, &unpinned) {
        confirm(&context.console, name, known)?;
    }
    write(context, async |chat, database| {
        if let Some(name) = pin {
            chat.pin(name, feed).await?;
        }
        Ok(match &args.reply_to {
            Some(id) => chat.reply_private(feed, text, id.find(database).await?).await?,
            None => chat.send_private(feed, text).await?,
        })
    })
    .await?;
    Ok(Exit::Done)
}

/// Asks whether a name stands for this feed. Where nobody can be asked, it does not.
fn confirm(console: &Console, name: &str, KnownAs { feed, nick, .. }: &KnownAs) -> anyhow::Result<()> {
    let (name, nick, print) = (visible_name(name), visible_name(nick), feed.fingerprint());
    let question = format!(
        "{name} is not pinned to a feed yet. One calls itself {nick}:\n  {print}\n  {feed}\n\
         Anybody can take a name: ask {name} for the first line by another way.\n\
         Is it the same, and shall {name} stand for this feed from now on? [y/N] "
    );
    match console.ask(&question)? {
        Some(true) => Ok(()),
        Some(false) => bail!("nothing was sent, and {name} is not pinned"),
        None => bail!(
            "{name} is not pinned to a feed; {nick} is {print}. If that is whom you mean, `kappa chat pin add {} {print}`, \
             or write to the feed: `kappa chat dm --to {print} TEXT`",
            as_a_word(&name)
        ),
    }
}

/// A name as a shell takes it for one word.
fn as_a_word(name: &str) -> String {
    match name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

async fn show(context: &Context, args: &DmArgs) -> anyhow::Result<Exit> {
    let options = page::options(context.console.times(), &args.page)?;
    context
        .read(args.ask, async |database, question| {
            let with = match (&args.with, &args.to) {
                (None, None) => None,
                _ => Some(find(database, args, question).await?.0),
            };
            let chat = database.chat();
            let mut marks = Marks::default();
            let messages = chat.private_messages(with, &options);
            let count = page::print(&context.console, &chat, question, &mut marks, messages).await?;
            if args.page.mark {
                context.console.flush()?;
                chat.mark_shown(marks).await?;
            }
            Ok(count)
        })
        .await
}

/// The feed that is meant: by `--to`, by its whole key, by the name that is pinned to it, or as the only one that has, or ever had, a name that looks
/// like this. Of those peers are asked.
async fn find(database: &Database, args: &DmArgs, question: &mut Question) -> anyhow::Result<Meant> {
    if let Some(to) = &args.to {
        return Ok((to.find(database).await?, None));
    }
    let (chat, name) = (database.chat(), args.with.as_deref().unwrap_or_default());
    if let Some(feed) = name.parse().ok().or_else(|| chat.pinned(name)) {
        return Ok((feed, None));
    }
    let mut known = question.read(chat.known_as(name)).await?.items;
    ensure!(known.len() < 2, several(name, &known));
    match known.pop() {
        Some(known) => Ok((known.feed, Some(known))),
        None => Err(anyhow!(NotFound(format!(
            "no feed known here is, or was, called {name:?}; `--to FEED` writes to a feed"
        )))),
    }
}

fn several(name: &str, known: &[KnownAs]) -> String {
    let one = |KnownAs { feed, nick, now }: &KnownAs| {
        let before = if *now { "" } else { ", before" };
        format!("{} ({}{before})", feed.fingerprint(), visible_name(nick))
    };
    let all = known.iter().map(one).collect::<Vec<_>>().join(", ");
    format!(
        "several feeds have, or had, the name {} or one that looks like it: {all}. \
         Say which: `kappa chat dm --to FEED`, or `kappa chat pin add NAME FEED`",
        visible_name(name)
    )
}
