//! Messages page by page, so that nothing holds a long channel whole.

use super::lines::{self, Alike};
use crate::args::PageArgs;
use crate::commands::question::Question;
use crate::output;
use crate::times::When;
use kappadb::{Chat, ChatError, ChatPage, Marks, ReadOptions};

/// Messages read at a time.
const PAGE: usize = 256;

pub fn options(args: &PageArgs) -> anyhow::Result<ReadOptions> {
    Ok(ReadOptions {
        since: args.since.map(When::moment).transpose()?,
        until: args.until.map(When::moment).transpose()?,
        limit: args.limit.number(),
        oldest_first: args.oldest_first,
        after: args.after,
        hidden: args.hidden,
    })
}

/// Prints what `read` gives, and notes how to go on, and in `marks` what was printed; how many messages there were.
pub async fn print(
    chat: &Chat,
    question: &mut Question,
    mut options: ReadOptions,
    marks: &mut Marks,
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
            marks.add(message);
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
