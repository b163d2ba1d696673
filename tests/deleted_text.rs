//! What was deleted is deleted wherever the delete is known: nothing of the text is in any journal, and nobody is handed it.

use kappadb::{Chat, Database, EntryId, ReadOptions, SearchOptions, Server, Source};
use std::path::PathBuf;
use tempfile::TempDir;

const SHORT: &str = "pw: zaunkoenig";
/// As long, with the numbers around it, as the digest that stands for it.
const SAME: &str = "zaunkoenig is the word of a d";
const LONG: &str = "zaunkoenig, and so on, and so on, and so on, and so on, and so on, and so on";

struct House(TempDir);

impl House {
    fn new() -> House {
        House(tempfile::tempdir().expect("temp dir"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn create(&self, name: &str) -> Database {
        Database::builder(self.path(name)).create().await.expect("create")
    }

    async fn join(&self, name: &str, server: &Server) -> Database {
        Database::builder(self.path(name)).join(&server.ticket()).await.expect("join")
    }

    /// True if any file of the journal has these bytes.
    fn has(&self, name: &str, wanted: &str) -> bool {
        let files = std::fs::read_dir(self.path(name).join("journal")).expect("journal");
        files
            .map(|file| std::fs::read(file.expect("file").path()).expect("bytes"))
            .any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes()))
    }
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.expect("serve")
}

async fn texts(chat: &Chat) -> Vec<String> {
    let page = chat.read("tea", &ReadOptions::default()).await.expect("read");
    page.messages.iter().map(|message| message.said.text().unwrap_or("?").to_owned()).collect()
}

async fn post(database: &Database) -> Vec<EntryId> {
    let mut ids = Vec::new();
    for text in [SHORT, SAME, LONG, "kept"] {
        ids.push(database.chat().post("tea", text).await.expect("post"));
    }
    ids
}

async fn delete_three(database: &Database, ids: &[EntryId]) {
    for id in &ids[..3] {
        database.chat().delete(*id).await.expect("delete");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_compaction_nothing_of_a_deleted_text_is_in_the_journal_however_long_it_was() {
    let house = House::new();
    let database = house.create("a").await;
    let ids = post(&database).await;
    let topic = database.chat().set_topic("tea", "zaunkoenig").await.expect("topic");
    assert!(house.has("a", "zaunkoenig"));
    delete_three(&database, &ids).await;
    database.chat().delete(topic).await.expect("delete");
    database.compact().await.expect("compact");
    assert!(!house.has("a", "zaunkoenig") && house.has("a", "kept"));
    assert_eq!(texts(&database.chat()).await, ["kept"]);
    assert_eq!(database.verify().await.expect("verify"), [""; 0]);
    database.close().await.expect("close");
    // Opened again, made anew, compacted again: the same.
    let database = Database::builder(house.path("a")).rebuild().open().await.expect("open");
    database.compact().await.expect("compact");
    assert!(!house.has("a", "zaunkoenig"));
    assert_eq!(texts(&database.chat()).await, ["kept"]);
    assert_eq!(database.verify().await.expect("verify"), [""; 0]);
    assert_eq!(database.chat().channels().await.expect("channels").items.len(), 1);
    database.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_held_a_message_gives_it_up_with_the_delete_and_hands_it_to_nobody() {
    let house = House::new();
    let author = house.create("author").await;
    let ids = post(&author).await;
    let server = serve(&author).await;
    let hub = house.join("hub", &server).await;
    let late = house.join("late", &server).await;
    for database in [&hub, &late] {
        let _ = database.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
        assert_eq!(texts(&database.chat()).await.len(), 4);
    }
    delete_three(&author, &ids).await;
    // A newcomer to the author.
    let first = house.join("first", &server).await;
    let _ = first.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    assert!(!house.has("first", "zaunkoenig"));
    assert_eq!(texts(&first.chat()).await, ["kept"]);
    // One to the hub that has heard of the delete; it has not compacted yet.
    let answer = hub.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    assert!(answer.is_complete() && house.has("hub", "zaunkoenig"));
    let at_hub = serve(&hub).await;
    let second = house.join("second", &at_hub).await;
    let _ = second.chat().search("", &SearchOptions::default()).from(Source::Peers).await.expect("ask");
    assert!(!house.has("second", "zaunkoenig"));
    assert_eq!(texts(&second.chat()).await, ["kept"]);
    hub.compact().await.expect("compact");
    assert!(!house.has("hub", "zaunkoenig"));
    // From who has not heard of the delete it does not come back.
    let at_late = serve(&late).await;
    second.close().await.expect("close");
    let second = house.join("second", &at_late).await;
    let _ = second.chat().search("", &SearchOptions::default()).from(Source::Peers).await.expect("ask");
    let _ = second.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    assert!(!house.has("second", "zaunkoenig"));
    // And who hears of the delete before the message gives it up as well.
    let server_of_late = at_late;
    let third = house.join("third", &server_of_late).await;
    let _ = third.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    assert!(house.has("third", "zaunkoenig"), "nobody there knows that it was deleted");
    third.close().await.expect("close");
    let third = house.join("third", &server).await;
    let _ = third.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    third.compact().await.expect("compact");
    assert!(!house.has("third", "zaunkoenig"));
    for server in [server, at_hub, server_of_late] {
        server.stop().await;
    }
    for database in [author, hub, late, first, second, third] {
        assert_eq!(database.verify().await.expect("verify"), [""; 0]);
        database.close().await.expect("close");
    }
}

/// Nothing of the log beside it changed: what nobody deleted stays, and so does what another only says that it deletes.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_deleted_stays_as_it_is() {
    let house = House::new();
    let database = house.create("a").await;
    let _ = post(&database).await;
    database.new_writer("bert").await.expect("writer");
    let bert = database.with_writer("bert").await.expect("writer");
    let id = bert.chat().post("tea", "of bert").await.expect("post");
    assert!(database.chat().delete(id).await.is_err());
    let before = database.status().await.expect("status");
    database.compact().await.expect("compact");
    let after = database.status().await.expect("status");
    assert!(after.feeds.iter().zip(&before.feeds).all(|(a, b)| a.cleared == b.cleared && a.cleared == 0));
    assert_eq!(texts(&database.chat()).await.len(), 5);
    assert!(house.has("a", LONG));
    drop(bert);
    database.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_takes_along_what_its_message_said_later_wherever_that_is() {
    let house = House::new();
    let author = house.create("author").await;
    let chat = author.chat();
    let id = chat.post("tea", "harmless").await.expect("post");
    chat.post("tea", "kept").await.expect("post");
    let server = serve(&author).await;
    // One has heard of the message alone, one of all that it said.
    let early = house.join("early", &server).await;
    let _ = early.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    for text in [SHORT, LONG] {
        chat.edit(id, text, None).await.expect("edit");
    }
    let hub = house.join("hub", &server).await;
    let _ = hub.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    let at_hub = serve(&hub).await;
    assert!(house.has("author", "zaunkoenig") && house.has("hub", "zaunkoenig"));
    chat.delete(id).await.expect("delete");
    author.compact().await.expect("compact");
    assert!(!house.has("author", "zaunkoenig") && !house.has("author", "harmless"));
    // Who knows of the delete hears of the edits from who does not.
    let _ = early.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    early.close().await.expect("close");
    let early = house.join("early", &at_hub).await;
    let _ = early.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    early.compact().await.expect("compact");
    assert!(!house.has("early", "zaunkoenig") && !house.has("early", "harmless"));
    let _ = hub.chat().read("tea", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
    // Before it has compacted, nobody is handed anything.
    let newcomer = house.join("newcomer", &at_hub).await;
    let _ = newcomer.chat().search("", &SearchOptions::default()).from(Source::Peers).await.expect("ask");
    assert!(!house.has("newcomer", "zaunkoenig") && !house.has("newcomer", "harmless"));
    hub.compact().await.expect("compact");
    assert!(!house.has("hub", "zaunkoenig") && !house.has("hub", "harmless"));
    for database in [&author, &early, &hub, &newcomer] {
        assert_eq!(texts(&database.chat()).await, ["kept"]);
        assert_eq!(database.verify().await.expect("verify"), [""; 0]);
    }
    for server in [server, at_hub] {
        server.stop().await;
    }
}
