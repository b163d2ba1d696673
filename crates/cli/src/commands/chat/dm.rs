//! `chat dm`: private messages.

use super::edit::{text_or_stdin, write};
use super::{Context, page};
use crate::args::DmArgs;
use crate::commands::question::Question;
use crate::exit::{Exit, NotFound};
use anyhow::bail;
use kappadb::{Chat, FeedKey};

pub async fn run(context: &Context, args: &DmArgs) -> anyhow::Result<Exit> {
    match (&args.with, &args.text) {
        (Some(with), Some(text)) => send(context, args, with, &text_or_stdin(text)?).await,
        (with, _) => show(context, args, with.as_deref()).await,
    }
}

/// To whom it goes is asked of the peers if need be; that is done once it is sent.
async fn send(context: &Context, args: &DmArgs, with: &str, text: &str) -> anyhow::Result<Exit> {
    let mut to = None;
    let found = async |database: &kappadb::Database, question: &mut Question| {
        to = Some(find(&database.chat(), with, question).await?);
        Ok(1)
    };
    let exit = context.read(args.ask, found).await?;
    match to {
        Some(to) => write(context, async |chat| chat.send_private(to, text).await).await.map(|()| Exit::Done),
        None => Ok(exit),
    }
}

async fn show(context: &Context, args: &DmArgs, with: Option<&str>) -> anyhow::Result<Exit> {
    let options = page::options(&args.page);
    context
        .read(args.ask, async |database, question| {
            let chat = database.chat();
            let with = match with {
                Some(with) => Some(find(&chat, with, question).await?),
                None => None,
            };
            question.ask(chat.ask_private(with, &options)).await?;
            page::print(question, options, async |options| chat.private(with, options).await).await
        })
        .await
}

/// The feed of these words: its key, or the only one with that nickname. Peers are asked for a name that nobody known here has.
async fn find(chat: &Chat, with: &str, question: &mut Question) -> anyhow::Result<FeedKey> {
    if let Ok(feed) = with.parse() {
        return Ok(feed);
    }
    let mut called = chat.called(with).await?;
    if called.is_empty() {
        question.ask(chat.ask_profiles()).await?;
        called = chat.called(with).await?;
    }
    match called[..] {
        [feed] => Ok(feed),
        [] => bail!(NotFound(format!("{with:?} is neither a feed in hex nor a nickname known here"))),
        _ => {
            let feeds: Vec<String> = called.iter().map(FeedKey::to_string).collect();
            bail!("several feeds are called {with:?}; name one of them: {}", feeds.join(", "))
        }
    }
}
