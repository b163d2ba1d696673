//! `follow ...` says what is followed.

use super::Context;
use crate::args::FollowCommand;
use crate::exit::NotFound;
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
