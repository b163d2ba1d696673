//! Messages page by page, so that nothing holds a long channel whole.

use super::lines::{self, Alike};
use crate::args::PageArgs;
use crate::commands::question::Question;
use crate::output;
use kappadb::{Chat, ChatError, ChatPage, ReadOptions};

/// Messages read at a time.
const PAGE: usize = 256;

pub fn options(args: &PageArgs) -> ReadOptions {
    ReadOptions {
        since: args.since,
        until: args.until,
        limit: args.limit.number(),
        oldest_first: args.oldest_first,
        after: args.after,
        hidden: args.hidden,
    }
}

/// Prints what `read` gives, and notes how to go on; how many messages there were.
pub async fn print(
    chat: &Chat,
    question: &mut Question,
    mut options: ReadOptions,
    read: impl AsyncFn(&ReadOptions) -> Result<ChatPage, ChatError>,
) -> anyhow::Result<usize> {
    let (most, mut count) = (options.limit.unwrap_or(usize::MAX), 0);
    while count < most {
        options.limit = Some(PAGE.min(most - count));
        let page = read(&options).await?;
        if count == 0 {
            question.note_ahead(page.ahead);
        }
        let alike = Alike::authors(chat, &page.messages).await?;
        for message in &page.messages {
            output::result(&lines::message(message), &lines::for_people(message, &alike))?;
        }
        count += page.messages.len();
        options.after = page.next;
        match page.next {
            None => break,
            Some(next) if count >= most => question.go_on_with(next),
            Some(_) => {}
        }
    }
    Ok(count)
}
