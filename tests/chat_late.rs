//! What comes late: dated before what was asked for last, as what somebody wrote offline is.

use kappadb::{Chat, Conversation, ReadOptions, Source, WatchOptions};
use kappadb_tests::house::{House, serve};

async fn texts(chat: &Chat) -> Vec<String> {
    let page = chat.read("tea", &ReadOptions::default()).await.unwrap();
    page.messages.iter().map(|message| message.said.text().unwrap_or("?").to_owned()).collect()
}

/// So many messages by somebody else, of the time before.
async fn import_late(chat: &Chat, who: &str, count: i64) {
    let line = |n: i64| {
        format!(r#"{{"author":"{who}","channel":"tea","timestamp":{},"text":"late {n}"}}"#, 2_000_000 + n)
            + "\n"
    };
    let lines: String = (0..count).map(line).collect();
    chat.import(std::io::Cursor::new(lines), |_, _| ()).await.unwrap();
}

async fn unread(chat: &Chat) -> u64 {
    let all = chat.unread().await.unwrap().items;
    all.iter().filter(|one| matches!(one.of, Conversation::Channel(_))).map(|one| one.messages).sum()
}

#[tokio::test]
async fn a_watcher_and_unread_hear_of_all_that_comes_late_however_much() {
    let house = House::new();
    let full = house.create("full").await;
    let first = full.chat().post("tea", "first").await.unwrap();
    let second = full.chat().post("tea", "second").await.unwrap();
    let server = serve(&full).await;
    let ticket = server.ticket();
    let (watching, counting) = (house.join("watching", &ticket).await, house.join("counting", &ticket).await);
    let (chat, asker) = (watching.chat(), watching.chat().asker(&WatchOptions::channels(["tea"], 10)));
    counting.chat().join("tea").await.unwrap();
    house.clock.at(10_000_000);
    assert!(asker.ask().await.unwrap().complete);
    let _ = counting.chat().unread().from(Source::Peers).await.unwrap();
    counting.chat().mark_read("tea", None).await.unwrap();
    assert_eq!(texts(&chat).await.len(), 2);
    for (count, who) in [(1, "anna"), (33, "bert"), (200, "carl")] {
        let before = texts(&chat).await.len();
        import_late(&full.chat(), who, count).await;
        assert!(asker.ask().await.unwrap().complete);
        assert_eq!(texts(&chat).await.len(), before + count as usize);
        let _ = counting.chat().unread().from(Source::Peers).await.unwrap();
        assert_eq!(unread(&counting.chat()).await, count as u64, "by {who}");
        counting.chat().mark_read("tea", None).await.unwrap();
    }
    // What becomes of old messages is heard of too.
    full.chat().edit(first, "first of all", None).await.unwrap();
    full.chat().delete(second).await.unwrap();
    assert!(asker.ask().await.unwrap().complete);
    let told = texts(&chat).await;
    assert!(told.contains(&"first of all".to_owned()) && !told.contains(&"second".to_owned()), "{told:?}");
    server.stop().await;
}
