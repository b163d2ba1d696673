//! `chat dm`: private messages.

use super::edit::{text_or_stdin, write};
use super::{Asking, Context, asking, page};
use crate::args::DmArgs;
use anyhow::bail;
use kappadb::{Chat, FeedKey};

pub async fn run(context: &Context, args: &DmArgs) -> anyhow::Result<()> {
    match (&args.with, &args.text) {
        (Some(with), Some(text)) => {
            let text = text_or_stdin(text)?;
            let to = {
                let database = context.open().await?;
                let to = find(&database.chat(), with, &asking(args.ask)).await?;
                database.close().await?;
                to
            };
            write(context, async |chat| chat.send_private(to, &text).await).await
        }
        (with, _) => show(context, args, with.as_deref()).await,
    }
}

async fn show(context: &Context, args: &DmArgs, with: Option<&str>) -> anyhow::Result<()> {
    let (asking, options) = (asking(args.ask), page::options(&args.page));
    let database = context.open().await?;
    let chat = database.chat();
    let with = match with {
        Some(with) => Some(find(&chat, with, &asking).await?),
        None => None,
    };
    let asked = asking.ask(chat.ask_private(with, &options)).await?;
    let count = page::print(context, options, async |options| chat.private(with, options).await).await?;
    asking.tell(count, asked.as_ref());
    Ok(database.close().await?)
}

/// The feed of these words: its key, or the only one with that nickname. Peers are asked for a name that nobody known here has.
async fn find(chat: &Chat, with: &str, asking: &Asking) -> anyhow::Result<FeedKey> {
    if let Ok(feed) = with.parse() {
        return Ok(feed);
    }
    let mut called = chat.called(with).await?;
    if called.is_empty() {
        asking.ask(chat.ask_profiles()).await?;
        called = chat.called(with).await?;
    }
    match called[..] {
        [feed] => Ok(feed),
        [] => bail!("{with:?} is neither a feed in hex nor a nickname known here"),
        _ => {
            let feeds: Vec<String> = called.iter().map(FeedKey::to_string).collect();
            bail!("several feeds are called {with:?}; name one of them: {}", feeds.join(", "))
        }
    }
}
