//! Replies, edits and attachments.

use kappadb::{Chat, ChatChange, Message, Source};
use kappadb::{ChatError, Label, PostOptions, ReadOptions, SearchOptions, WatchOptions};
use kappadb_tests::house::{House, serve};
use std::time::Duration;

async fn all(chat: &Chat) -> Vec<Message> {
    chat.read("tea", &ReadOptions { oldest_first: true, ..ReadOptions::default() }).await.unwrap().messages
}

async fn texts(chat: &Chat) -> Vec<String> {
    all(chat)
        .await
        .iter()
        .map(|message| message.said.text().unwrap_or(message.said.kind()).to_owned())
        .collect()
}

#[tokio::test]
async fn an_edited_message_says_its_last_words_where_it_stood_and_its_history_stays() {
    let house = House::new();
    let full = house.create("full").await;
    let chat = full.chat();
    let first = chat.post("Tea", "frist").await.unwrap();
    house.clock.pass();
    chat.emote("tea", "waves").await.unwrap();
    house.clock.pass();
    let wave = all(&chat).await[1].id;
    for text in ["fist", "first"] {
        chat.edit(first, text, None).await.unwrap();
        house.clock.pass();
    }
    chat.edit(wave, "waves twice", None).await.unwrap();
    assert_eq!(texts(&chat).await, ["first", "waves twice"]);
    let server = serve(&full).await;
    let reader = house.join("reader", &server.ticket()).await;
    let _ = reader.chat().read("tea", &ReadOptions::latest(2)).from(Source::Peers).await.unwrap();
    for chat in [&chat, &reader.chat()] {
        let page = all(chat).await;
        assert_eq!((page[0].id, &page[0].channel[..], page[0].time.0), (first, "Tea", 1_000_000));
        assert_eq!((page[0].edited.unwrap().time.0, page[1].said.kind()), (1_003_000, "emote"));
        let history = chat.history(first).await.unwrap().items;
        let said: Vec<&str> = history.iter().map(|edition| edition.said.text().unwrap()).collect();
        assert_eq!(
            (said, history[0].id, history[2].id),
            (vec!["frist", "fist", "first"], first, page[0].edited.unwrap().id)
        );
        // What it said before is found no more.
        for (word, found) in [("frist", 0), ("first", 1), ("twice", 1)] {
            let page = chat.search(word, &SearchOptions::default()).await.unwrap();
            assert_eq!(page.messages.len(), found, "{word}");
        }
    }
    // Its own clock says nothing of which edit is the last.
    house.clock.at(500);
    chat.edit(first, "by a slow clock", None).await.unwrap();
    house.clock.at(2_000_000);
    assert_eq!(texts(&chat).await[0], "by a slow clock");
    let _ = reader.chat().read("tea", &ReadOptions::latest(2)).from(Source::Peers).await.unwrap();
    assert_eq!(texts(&reader.chat()).await[0], "by a slow clock");
    // A delete takes all of it.
    chat.delete(first).await.unwrap();
    let _ = reader.chat().read("tea", &ReadOptions::latest(2)).from(Source::Peers).await.unwrap();
    for chat in [&chat, &reader.chat()] {
        assert_eq!(texts(chat).await, ["waves twice"]);
        assert!(matches!(chat.history(first).await, Err(ChatError::NotThere(_))));
        assert!(chat.search("slow", &SearchOptions::default()).await.unwrap().messages.is_empty());
    }
    assert!(matches!(chat.edit(first, "again", None).await, Err(ChatError::NotThere(_))));
    server.stop().await;
}

#[tokio::test]
async fn only_its_author_edits_a_message_and_only_a_message() {
    let house = House::new();
    let database = house.create("a").await;
    database.new_writer("anna").await.unwrap();
    let (chat, anna) = (database.chat(), database.with_writer("anna").await.unwrap().chat());
    chat.post("tea", "mine").await.unwrap();
    let theirs = anna.post("tea", "hers").await.unwrap();
    let topic = chat.set_topic("tea", "weather").await.unwrap();
    assert!(matches!(chat.edit(theirs, "mine now", None).await, Err(ChatError::NotYours(_))));
    assert!(matches!(chat.edit(topic, "x", None).await, Err(ChatError::NotThere(_))));
    assert!(matches!(anna.edit(theirs, "", None).await, Err(ChatError::Model(_))));
    assert!(matches!(anna.edit(theirs, &"x".repeat(4_097), None).await, Err(ChatError::Model(_))));
    let edit = anna.edit(theirs, "still hers", None).await.unwrap();
    assert!(matches!(anna.edit(edit, "x", None).await, Err(ChatError::NotThere(_))), "an edit is no message");
    house.clock.pass();
    assert_eq!(texts(&chat).await.len(), 2);
}

#[tokio::test]
async fn an_edit_is_nothing_new_but_what_it_mentions_is() {
    let house = House::new();
    let database = house.create("a").await;
    database.new_writer("anna").await.unwrap();
    let (chat, anna) = (database.chat(), database.with_writer("anna").await.unwrap().chat());
    chat.set_profile("nick", "bert").await.unwrap();
    chat.join("tea").await.unwrap();
    let read = anna.post("tea", "hello").await.unwrap();
    house.clock.pass();
    chat.mark_read("tea", None).await.unwrap();
    let new = anna.post("tea", "new").await.unwrap();
    house.clock.pass();
    anna.edit(read, "hello @bert", None).await.unwrap();
    let unread = chat.unread().await.unwrap().items;
    assert_eq!((unread[0].messages, unread[0].mentions), (1, 0));
    anna.edit(new, "new for @bert", None).await.unwrap();
    assert_eq!(chat.unread().await.unwrap().items[0].mentions, 1);
    anna.edit(new, "new for all", None).await.unwrap();
    assert_eq!(chat.unread().await.unwrap().items[0].mentions, 0);
}

#[tokio::test]
async fn replies_and_attachments_are_named_by_id() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    let question = chat.post("tea", "black or green?").await.unwrap();
    let elsewhere = chat.post("milk", "cold").await.unwrap();
    let label = || Label { media_type: "image/jpeg".to_owned(), name: "cup.jpg".to_owned() };
    let blob = database.blobs().put(&b"jpeg"[..], label()).await.unwrap();
    let options = PostOptions { reply_to: Some(question), attachments: vec![blob], ..PostOptions::default() };
    let answer = chat.post_with("tea", "green", &options).await.unwrap();
    house.clock.pass();
    let server = serve(&database).await;
    let reader = house.join("reader", &server.ticket()).await;
    let _ = reader.chat().read("tea", &ReadOptions::latest(1)).from(Source::Peers).await.unwrap();
    let message = all(&reader.chat()).await.pop().unwrap();
    assert_eq!(
        (message.id, message.reply_to, &message.attachments[..]),
        (answer, Some(question), &[blob][..])
    );
    chat.edit(answer, "green!", None).await.unwrap();
    let message = all(&chat).await.pop().unwrap();
    assert_eq!((message.reply_to, &message.attachments[..]), (Some(question), &[blob][..]), "they stay");
    chat.edit(answer, "green!", Some(Vec::new())).await.unwrap();
    assert!(all(&chat).await.pop().unwrap().attachments.is_empty());
    let reply = |id| PostOptions { reply_to: Some(id), ..PostOptions::default() };
    assert!(matches!(chat.post_with("tea", "x", &reply(elsewhere)).await, Err(ChatError::NotThere(_))));
    let attach = |ids| PostOptions { attachments: ids, ..PostOptions::default() };
    assert!(matches!(chat.post_with("tea", "x", &attach(vec![question])).await, Err(ChatError::NoBlob(_))));
    assert!(matches!(chat.post_with("tea", "x", &attach(vec![blob; 17])).await, Err(ChatError::Model(_))));
    server.stop().await;
}

#[tokio::test]
async fn who_watches_is_told_of_an_edit() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    let id = chat.post("tea", "frist").await.unwrap();
    house.clock.pass();
    let mut watcher = chat.watch(&WatchOptions::channels(["tea"], 5)).await.unwrap();
    for (edit, expected) in [(None, "frist"), (Some("first"), "first")] {
        if let Some(text) = edit {
            chat.edit(id, text, None).await.unwrap();
        }
        let change =
            tokio::time::timeout(Duration::from_secs(60), watcher.next()).await.unwrap().unwrap().unwrap();
        let ChatChange::Shown(message) = change else { panic!("{change:?}") };
        assert_eq!(message.said.text(), Some(expected));
    }
}
