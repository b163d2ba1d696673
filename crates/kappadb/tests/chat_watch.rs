//! Watching channels: every message that comes is told, or it is said that some are not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use kappadb::{
    Chat, ChatChange, ChatFlag, ChatWatcher, Clock, Database, FlagChange, ReadOptions, Source, Timestamp,
    WatchOptions,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

async fn database() -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("db")).create().await.unwrap();
    (dir, database)
}

/// Lines by two authors, at these times.
async fn import(chat: &Chat, times: impl Iterator<Item = i64>) {
    let line = |time| {
        let author = if time % 2 == 0 { "anna" } else { "bert" };
        format!(r#"{{"author":"{author}","channel":"tea","timestamp":{time},"text":"{time}"}}"#) + "\n"
    };
    let lines: String = times.map(line).collect();
    chat.import(std::io::Cursor::new(lines), |_, _| ()).await.unwrap();
}

async fn next(watcher: &mut ChatWatcher) -> ChatChange {
    let next = tokio::time::timeout(Duration::from_secs(60), watcher.next());
    next.await.unwrap().unwrap().unwrap()
}

async fn text(watcher: &mut ChatWatcher) -> String {
    match next(watcher).await {
        ChatChange::Shown(message) => message.said.text().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_is_dated_before_those_that_were_told_is_told() {
    let (_dir, database) = database().await;
    let chat = database.chat();
    import(&chat, 100..110).await;
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 2)).await.unwrap();
    assert_eq!([text(&mut watcher).await, text(&mut watcher).await], ["108", "109"]);
    import(&chat, [50].into_iter()).await;
    assert_eq!(text(&mut watcher).await, "50");
    chat.post("tea", "now").await.unwrap();
    assert_eq!(text(&mut watcher).await, "now");
}

#[tokio::test]
async fn who_begins_with_no_message_is_told_of_those_that_come_and_no_others() {
    let (_dir, database) = database().await;
    let chat = database.chat();
    import(&chat, 100..200).await;
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 0)).await.unwrap();
    // Begun before the message comes.
    assert!(tokio::time::timeout(Duration::from_millis(300), watcher.next()).await.is_err());
    chat.post("tea", "new").await.unwrap();
    assert_eq!(text(&mut watcher).await, "new");
}

#[tokio::test]
async fn thousands_that_come_at_once_are_all_told() {
    let (_dir, database) = database().await;
    let chat = database.chat();
    import(&chat, 0..10).await;
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 10)).await.unwrap();
    for _ in 0..10 {
        text(&mut watcher).await;
    }
    import(&chat, 10..5_010).await;
    let mut told = BTreeSet::new();
    while told.len() < 5_000 {
        assert!(told.insert(text(&mut watcher).await), "each once");
    }
    assert!(told.contains("10") && told.contains("5009"));
}

#[tokio::test]
async fn a_watcher_that_lost_notices_says_so() {
    let (_dir, database) = database().await;
    let chat = database.chat();
    import(&chat, 0..10).await;
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 10)).await.unwrap();
    for _ in 0..10 {
        text(&mut watcher).await;
    }
    // More ids than wait for a watcher.
    import(&chat, 10..20_010).await;
    database.ready().await.unwrap();
    let mut told = 0;
    let lagged = loop {
        match next(&mut watcher).await {
            ChatChange::Lagged { .. } => break true,
            _ if told == 20_000 => break false,
            _ => told += 1,
        }
    };
    assert!(lagged || told == 20_000);
    while text(&mut watcher).await != "20009" {}
}

#[tokio::test]
async fn what_is_deleted_hidden_or_shown_again_is_told() {
    let (dir, bert) = database().await;
    let first = bert.chat().post("tea", "first").await.unwrap();
    let server = bert.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let anna = Database::builder(dir.path().join("anna")).join(&server.ticket()).await.unwrap();
    let chat = anna.chat();
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 10)).await.unwrap();
    let _ = chat.read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
    assert_eq!(text(&mut watcher).await, "first");
    let hide = || vec![ChatFlag::Hide];
    chat.flag(None, first.feed, FlagChange::Add(hide()), "").await.unwrap();
    assert!(matches!(next(&mut watcher).await, ChatChange::Gone { id, .. } if id == first));
    chat.flag(None, first.feed, FlagChange::Remove(hide()), "").await.unwrap();
    assert_eq!(text(&mut watcher).await, "first");
    bert.chat().set_profile("nick", "bertie").await.unwrap();
    let _ = chat.read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
    assert!(matches!(next(&mut watcher).await, ChatChange::Shown(m) if m.nick.as_deref() == Some("bertie")));
    bert.chat().delete(first).await.unwrap();
    let _ = chat.read("tea", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
    assert!(matches!(next(&mut watcher).await, ChatChange::Gone { id, .. } if id == first));
    server.stop().await;
}

#[tokio::test]
async fn a_message_whose_time_has_not_come_is_told_when_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands(Arc::new(AtomicI64::new(1_000_000)));
    let database = Database::builder(dir.path().join("db")).clock(hands.clone()).create().await.unwrap();
    let chat = database.chat();
    import(&chat, [999_999, 1_000_200].into_iter()).await;
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 10)).await.unwrap();
    assert_eq!(text(&mut watcher).await, "999999");
    import(&chat, [1_000_100].into_iter()).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), watcher.next()).await.is_err());
    hands.0.store(1_000_300, Ordering::SeqCst);
    assert_eq!(text(&mut watcher).await, "1000100");
    assert_eq!(text(&mut watcher).await, "1000200");
}

#[tokio::test]
async fn who_watches_all_is_told_of_new_channels_and_private_messages() {
    let (_dir, database) = database().await;
    database.new_writer("anna").await.unwrap();
    database.new_writer("carl").await.unwrap();
    let (chat, me) = (database.chat(), database.writer().await.unwrap());
    let [anna, carl] =
        [database.with_writer("anna").await.unwrap(), database.with_writer("carl").await.unwrap()];
    chat.post("tea", "old").await.unwrap();
    let mut watcher = chat.watch(&WatchOptions { past: 5, ..WatchOptions::everything() }).await.unwrap();
    assert_eq!(text(&mut watcher).await, "old");
    anna.chat().post("Coffee", "in a new channel").await.unwrap();
    let ChatChange::Shown(message) = next(&mut watcher).await else { panic!("no message") };
    assert_eq!((&message.channel[..], message.said.text()), ("Coffee", Some("in a new channel")));
    let carls = carl.writer().await.unwrap();
    anna.chat().send_private(carls, "between others").await.unwrap();
    let secret = anna.chat().send_private(me, "for you").await.unwrap();
    assert_eq!(text(&mut watcher).await, "for you");
    chat.send_private(secret.feed, "back").await.unwrap();
    assert_eq!(text(&mut watcher).await, "back");
    anna.chat().delete(secret).await.unwrap();
    assert!(
        matches!(next(&mut watcher).await, ChatChange::Gone { id, channel } if id == secret && channel.is_empty())
    );
}

#[tokio::test]
async fn what_peers_have_comes_however_few_of_the_past_were_wanted() {
    let (dir, full) = database().await;
    import(&full.chat(), 0..100).await;
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let reader = Database::builder(dir.path().join("reader")).join(&server.ticket()).await.unwrap();
    let chat = reader.chat();
    let options = WatchOptions { past: 2, ..WatchOptions::everything() };
    let (mut watcher, asker) = (chat.watch(&options).await.unwrap(), chat.asker(&options));
    let asked = asker.ask().await.unwrap();
    assert!(asked.blocks_fetched < 10, "{asked:?}");
    assert_eq!([text(&mut watcher).await, text(&mut watcher).await], ["98", "99"]);
    import(&full.chat(), 1_000..1_030).await;
    for n in 0..20 {
        full.chat().post(&format!("room {n}"), &n.to_string()).await.unwrap();
    }
    asker.ask().await.unwrap();
    let mut told = BTreeSet::new();
    while told.len() < 50 {
        assert!(told.insert(text(&mut watcher).await), "each once");
    }
    let asked = asker.ask().await.unwrap();
    assert_eq!(asked.blocks_fetched, 0);
    server.stop().await;
}
