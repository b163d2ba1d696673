//! Two people set the same key without seeing each other; both values are kept until somebody merges them.
//!
//! `cargo run -p kappadb-examples --example kv_two_writers`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::Context;
use kappadb::{Content, Database, Kv, Source};

async fn print_heads(who: &str, kv: &Kv) -> anyhow::Result<()> {
    for head in kv.heads("door").await?.items {
        let Content::Value(value) = head.content else { continue };
        let winner = if head.winner { "*" } else { " " };
        println!("{who} {winner} {:?} by {:.8}", String::from_utf8_lossy(&value), head.author.to_string());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;

    // Anna keeps a database; Ben joins it and asks for one key of it.
    let anna = Database::builder(scratch.path().join("anna")).create().await?;
    anna.kv().put("door", "open").await?;
    anna.kv().put("window", "open").await?;
    let server = anna.serve(([127, 0, 0, 1], 0).into()).await?;
    let ben = Database::builder(scratch.path().join("ben")).join(&server.ticket()).await?;
    let answer = ben.kv().get("door").from(Source::Peers).await?;
    println!("ben fetched {} block, complete: {}", answer.asked.blocks_fetched, answer.is_complete());

    // Each changes it without having seen the other's change.
    let seen = ben.kv().get("door").await?.one().context("it was just fetched")?;
    ben.kv().put("door", "locked").await?;
    anna.kv().put("door", "shut").await?;

    // Ben asks again. Neither write replaced the other, so both are heads, one of them the winner everywhere.
    let _ = ben.kv().get_all(["door"]).from(Source::Peers).await?;
    print_heads("ben ", &ben.kv()).await?;
    assert_eq!(ben.kv().heads("door").await?.items.len(), 2);

    // What was seen before is out of date, and compare-and-set says so; a merge replaces both.
    assert!(ben.kv().put_if("door", "ajar", &seen.heads).await.is_err());
    ben.kv().merge("door", "shut and locked").await?;
    print_heads("ben ", &ben.kv()).await?;
    assert_eq!(ben.kv().heads("door").await?.items.len(), 1);

    ben.close().await?;
    server.stop().await;
    anna.close().await?;
    Ok(())
}
