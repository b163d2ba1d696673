//! A newcomer sees the last screen of a channel, its topic and who is in it, without fetching the channel's history.
//!
//! `cargo run -p kappadb-examples --example chat_latest`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use kappadb::{Database, ReadOptions, Source};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;

    // Somebody has talked for a long time ...
    let old = Database::builder(scratch.path().join("old")).create().await?;
    let chat = old.chat();
    chat.set_profile("nick", "anna").await?;
    chat.set_topic("tea", "First flush or second?").await?;
    for n in 1..=200 {
        chat.post("tea", &format!("cup number {n}")).await?;
    }
    let server = old.serve(([127, 0, 0, 1], 0).into()).await?;

    // ... and somebody joins with a ticket and asks for the latest five messages.
    let new = Database::builder(scratch.path().join("new")).join(&server.ticket()).await?;
    let page = new.chat().read("tea", &ReadOptions::latest(5)).from(Source::Peers).await?;
    println!("fetched {} blocks, complete: {}", page.asked.blocks_fetched, page.is_complete());
    for message in page.messages.iter().rev() {
        let (nick, text) = (message.nick.as_deref().unwrap_or("?"), message.said.text().unwrap_or("..."));
        println!("<{nick}> {text}");
    }
    assert_eq!(page.messages.len(), 5);
    assert!(page.asked.blocks_fetched < 20);

    new.close().await?;
    server.stop().await;
    old.close().await?;
    Ok(())
}
