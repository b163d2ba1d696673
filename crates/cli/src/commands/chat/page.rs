//! Messages page by page, so that nothing holds a long channel whole.

use super::lines::{self, Alike};
use crate::args::PageArgs;
use crate::commands::question::Question;
use crate::console::{self, Console};
use crate::times::Times;
use kappadb::{Chat, ChatError, ChatMessages, Marks, Message, Read, ReadOptions};

/// Messages printed at a time: who is called alike is looked up among these.
const PAGE: usize = 256;

pub fn options(times: &Times, args: &PageArgs) -> anyhow::Result<ReadOptions> {
    Ok(ReadOptions {
        since: args.since.map(|when| times.moment(when)).transpose()?,
        until: args.until.map(|when| times.moment(when)).transpose()?,
        limit: args.limit.number(),
        oldest_first: args.oldest_first,
        after: args.after,
        hidden: args.hidden,
    })
}

/// Asks what `read` asks, prints what comes, and notes how to go on, and in `marks` what was printed; how many messages there were.
pub async fn print(
    console: &Console,
    chat: &Chat,
    question: &mut Question,
    marks: &mut Marks,
    read: Read<ChatMessages, ChatError>,
) -> anyhow::Result<usize> {
    let mut messages = question.put(read).await?;
    question.note(std::mem::take(&mut messages.asked))?;
    question.note_ahead(messages.ahead);
    let mut count = 0;
    loop {
        let mut page: Vec<Message> = Vec::new();
        while page.len() < PAGE
            && let Some(message) = messages.next().await
        {
            page.push(message?);
        }
        if page.is_empty() {
            break;
        }
        let alike = Alike::authors(chat, &page).await?;
        for message in &page {
            console.result(&console::fields(message), &lines::for_people(console, message, &alike))?;
            marks.add(message);
        }
        count += page.len();
    }
    if let Some(next) = messages.rest() {
        question.go_on_with(next);
    }
    Ok(count)
}
