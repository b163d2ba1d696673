//! `follow ...` says what is followed; `sync` fetches it once, or goes on.

use super::Context;
use crate::args::{FollowCommand, SyncArgs};
use crate::exit::{Exit, NotFound};
use anyhow::bail;
use kappadb::Interest;
use serde_json::json;

pub async fn run(context: &Context, command: &FollowCommand) -> anyhow::Result<()> {
    let database = context.open().await?;
    let tell = |interest: &Interest| {
        let text = interest.to_string();
        context.console.result(&json!({ "follow": text }), &text)
    };
    match command {
        FollowCommand::List => database.follows().iter().try_for_each(tell)?,
        FollowCommand::Add(what) => {
            let interest = what.interest()?;
            database.add_follow(interest.clone()).await?;
            tell(&interest)?;
        }
        FollowCommand::Remove(what) => {
            let interest = what.interest()?;
            if !database.remove_follow(interest.clone()).await? {
                bail!(NotFound(format!("{interest} is not followed; `kappa follow list` shows what is")));
            }
            tell(&interest)?;
        }
    }
    context.close(database).await
}

pub async fn sync(context: &Context, args: &SyncArgs) -> anyhow::Result<Exit> {
    let (interest, interrupted) = (args.interest()?, context.console.interrupt()?);
    context
        .read(args.ask, async |database, question| {
            let _all = question.read(database.replicate(&interest)).await?;
            let blocks = question.fetched();
            context.console.result(&json!({ "fetched": blocks }), &format!("{blocks} blocks fetched"))?;
            if args.follow && question.asks() {
                let _following = database.follow(&interest);
                interrupted.await;
            }
            Ok(1)
        })
        .await
}
