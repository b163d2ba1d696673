//! Messages page by page, so that nothing holds a long channel whole.

use super::{Context, limit, lines};
use crate::args::PageArgs;
use crate::commands::asked::report_ahead;
use crate::output;
use kappadb::{ChatError, ChatPage, ReadOptions};
use serde_json::json;

/// Messages read at a time.
const PAGE: usize = 256;

pub fn options(args: &PageArgs) -> ReadOptions {
    ReadOptions {
        since: args.since,
        until: args.until,
        limit: limit(args.limit),
        oldest_first: args.oldest_first,
        after: args.after,
        hidden: args.hidden,
    }
}

/// Prints what `read` gives, and how to go on; how many messages there were.
pub async fn print(
    context: &Context,
    mut options: ReadOptions,
    read: impl AsyncFn(&ReadOptions) -> Result<ChatPage, ChatError>,
) -> anyhow::Result<usize> {
    let (most, mut count) = (options.limit.unwrap_or(usize::MAX), 0);
    loop {
        options.limit = Some(PAGE.min(most - count));
        let page = read(&options).await?;
        if count == 0 {
            report_ahead(context.json, page.ahead);
        }
        for message in &page.messages {
            match context.json {
                true => output::json_line(&lines::message(message))?,
                false => output::line(&lines::for_people(message))?,
            }
        }
        count += page.messages.len();
        options.after = page.next;
        match page.next {
            None => return Ok(count),
            Some(next) if count >= most => {
                let line = json!({ "next": next.to_string() });
                output::note(context.json, &line, &format!("more: --after {next}"));
                return Ok(count);
            }
            Some(_) => {}
        }
    }
}
