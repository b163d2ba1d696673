//! `feed ...`, `clear`, `compact` and `settle`: what is kept of whose feeds.

use super::{Context, recover};
use crate::args::{FeedCommand, FeedText};
use crate::console::{Console, count, size};
use crate::exit::Exit;
use kappadb::{Database, FeedKey, FeedStatus, RangeSet};
use serde_json::json;

pub async fn feed(context: &Context, command: &FeedCommand) -> anyhow::Result<Exit> {
    let (console, database) = (&context.console, context.open().await?);
    let mut exit = Exit::Done;
    match command {
        FeedCommand::List => list(console, &database).await?,
        FeedCommand::New => tell(console, database.new_feed().await?)?,
        FeedCommand::Drop { feed } => {
            let feed = feed.find(&database).await?;
            database.drop_feed(feed).await?;
            tell(console, feed)?;
        }
        FeedCommand::Allow { feed } => {
            let feed = feed.find(&database).await?;
            database.allow_feed(feed).await?;
            tell(console, feed)?;
        }
        FeedCommand::Recover { feed, list } => {
            let feed = feed.find(&database).await?;
            exit = match list {
                true => recover::list(console, &database, feed).await?,
                false => recover::recover(console, &database, feed).await?,
            };
        }
    }
    context.close(database).await?;
    Ok(exit)
}

fn tell(console: &Console, feed: FeedKey) -> anyhow::Result<()> {
    console.result(&json!({ "feed": feed.to_string() }), &feed.to_string())
}

async fn list(console: &Console, database: &Database) -> anyhow::Result<()> {
    let feeds = database.status().await?.feeds;
    feeds.iter().try_for_each(|feed| console.result(feed, &format!("{} {}", feed.feed, standing(feed))))
}

/// A feed in words.
pub fn standing(feed: &FeedStatus) -> String {
    let mut text = format!("{} of {} held, {}", feed.held, count(feed.length, "block"), size(feed.bytes));
    let mut add = |part: &str| {
        text.push_str(", ");
        text.push_str(part);
    };
    if feed.cleared > 0 {
        add(&format!("{} cleared", feed.cleared));
    }
    if feed.writable {
        add("writable");
    }
    if feed.behind {
        add("BEHIND what peers know of it");
    }
    if feed.given_up {
        add("given up");
    }
    if feed.lies {
        add("LIES of what it has seen");
    }
    if feed.dropped {
        add("dropped");
    }
    if let Some(seq) = feed.fork {
        add(&format!("FORKED at {seq}"));
    }
    if let Some(predecessor) = &feed.predecessor {
        add(&format!("goes on for {predecessor}"));
    }
    text
}

pub async fn clear(context: &Context, feed: &FeedText, ranges: &RangeSet, force: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    let feed = feed.find(&database).await?;
    let cleared = match force {
        true => database.clear_for_good(feed, ranges.clone()).await?,
        false => database.clear(feed, ranges.clone()).await?,
    };
    let text = format!(
        "{} cleared; `kappa compact` gives back {}",
        count(cleared.blocks, "block"),
        size(cleared.bytes)
    );
    context.console.result(&json!({ "blocks": cleared.blocks, "bytes": cleared.bytes }), &text)?;
    context.close(database).await
}

pub async fn settle(context: &Context, only_copy: bool) -> anyhow::Result<()> {
    let database = context.open().await?;
    let given_up = match only_copy {
        true => database.settle_as_only_copy().await?,
        false => database.settle().await?,
    };
    given_up.into_iter().try_for_each(|feed| tell(&context.console, feed))?;
    context.close(database).await
}

pub async fn compact(context: &Context) -> anyhow::Result<()> {
    let database = context.open().await?;
    let compacted = database.compact().await?;
    let of = |bytes, files| format!("{} in {}", size(bytes), count(files, "file"));
    let text = format!(
        "journal of {} now has {}",
        of(compacted.before, compacted.files_before),
        of(compacted.after, compacted.files_after)
    );
    let value = json!({
        "before": compacted.before,
        "after": compacted.after,
        "files_before": compacted.files_before,
        "files_after": compacted.files_after,
        "lacking": compacted.lacking,
    });
    context.console.result(&value, &text)?;
    if compacted.lacking > 0 {
        context.console.warn(&format!(
            "{} of the journal could get shorter or be joined, and had to stay: the disk is full, and each needs room for what is left of it",
            count(compacted.lacking, "file")
        ));
    }
    context.close(database).await
}
