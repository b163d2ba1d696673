//! Private messages between whole replicas: the two read them, whoever else holds them does not, nothing of them is in the clear on
//! any disk but in the journals that have them sealed.

use kappadb::{
    Chat, ChatError, Clock, Database, FeedKey, KnownAs, Message, ReadOptions, Said, SearchOptions, Server,
    Source, Timestamp,
};
use kappadb_sim::{Random, seeds};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

/// A clock that goes on by a millisecond at each look.
#[derive(Clone)]
struct Ticking(Arc<AtomicI64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

struct House {
    dir: TempDir,
    clock: Ticking,
    /// None only while one is opened again.
    databases: Vec<Option<Database>>,
    feeds: Vec<FeedKey>,
}

impl House {
    /// So many replicas of one database, each with a feed and a nickname.
    async fn new(replicas: usize) -> House {
        let clock = Ticking(Arc::new(AtomicI64::new(1_000_000)));
        let mut house = House {
            dir: tempfile::tempdir().expect("temp dir"),
            clock,
            databases: Vec::new(),
            feeds: Vec::new(),
        };
        for who in 0..replicas {
            let builder = house.builder(who);
            let database = match who {
                0 => builder.create().await.expect("create"),
                _ => {
                    let server = serve(house.at(0)).await;
                    let joined = builder.join(&server.ticket()).await.expect("join");
                    server.stop().await;
                    joined
                }
            };
            database.chat().set_profile("nick", &format!("w{who}")).await.expect("nick");
            house.feeds.push(database.writer().await.expect("writer"));
            house.databases.push(Some(database));
        }
        house
    }

    fn at(&self, who: usize) -> &Database {
        self.databases[who].as_ref().expect("open")
    }

    fn chat(&self, who: usize) -> Chat {
        self.at(who).chat()
    }

    fn path(&self, who: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("r{who}"))
    }

    fn builder(&self, who: usize) -> kappadb::Builder {
        Database::builder(self.path(who)).clock(self.clock.clone())
    }

    /// What one asks of another over a real connection.
    async fn ask(&mut self, who: usize, whom: usize, everything: bool) -> kappadb::Asked {
        self.ask_for(who, whom, async |chat| match everything {
            true => chat.search("", &SearchOptions::default()).from(Source::Peers).await.expect("ask"),
            false => chat.private(None, &ReadOptions::default()).from(Source::Peers).await.expect("ask"),
        })
        .await
    }

    async fn ask_for(
        &mut self,
        who: usize,
        whom: usize,
        ask: impl AsyncFnOnce(Chat) -> kappadb::ChatPage,
    ) -> kappadb::Asked {
        let server = serve(self.at(whom)).await;
        self.close(who).await;
        self.databases[who] = Some(self.builder(who).join(&server.ticket()).await.expect("join"));
        let asked = ask(self.chat(who)).await.asked;
        server.stop().await;
        asked
    }

    /// The texts of what one can read.
    async fn texts(&self, who: usize) -> Vec<String> {
        self.read(who).await.into_iter().map(|(_, _, text)| text).collect()
    }

    async fn reopen(&mut self, who: usize) {
        self.close(who).await;
        self.databases[who] = Some(self.builder(who).open().await.expect("open"));
    }

    async fn close(&mut self, who: usize) {
        self.databases[who].take().expect("open").close().await.expect("close");
    }

    /// What one can read: from, to, text, the oldest first.
    async fn read(&self, who: usize) -> Vec<(FeedKey, FeedKey, String)> {
        let options = ReadOptions { oldest_first: true, ..ReadOptions::default() };
        let page = self.chat(who).private(None, &options).await.expect("read");
        page.messages.iter().map(opened).collect()
    }
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.expect("serve")
}

fn opened(message: &Message) -> (FeedKey, FeedKey, String) {
    match &message.said {
        Said::Private { to, text } => (message.author, *to, text.clone()),
        other => panic!("{other:?} should be opened"),
    }
}

/// True if any file below has these bytes.
fn on_disk(dir: &Path, wanted: &str) -> bool {
    std::fs::read_dir(dir).expect("dir").map(|entry| entry.expect("entry").path()).any(|path| {
        match path.is_dir() {
            true => on_disk(&path, wanted),
            false => {
                let bytes = std::fs::read(&path).expect("file");
                bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
            }
        }
    })
}

/// Four replicas write to each other at random, ask each other for everything or for what is private to them, are closed and opened;
/// at the end each knows what was written by or to it, and that alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_two_read_what_they_wrote_and_nobody_else_does() {
    for seed in seeds(1..4) {
        let mut random = Random::new(seed);
        let mut house = House::new(4).await;
        let mut written: Vec<(usize, usize, String)> = Vec::new();
        for n in 0..40 {
            let (who, whom) = (random.below(4) as usize, random.below(4) as usize);
            match random.below(4) {
                0 if who != whom => drop(house.ask(who, whom, random.chance(50)).await),
                1 if random.chance(30) => house.reopen(who).await,
                _ => {
                    let text = format!("between us {n} {}", "x".repeat(random.below(300) as usize));
                    let chat = house.chat(who);
                    chat.send_private(house.feeds[whom], &text).await.expect("send");
                    written.push((who, whom, text));
                }
            }
        }
        // Whatever the three others hold, the last one hears of by them.
        for (who, whom) in (0..4).flat_map(|who| (0..4).map(move |whom| (who, whom))).filter(|(a, b)| a != b)
        {
            house.ask(who, whom, true).await;
        }
        for who in 0..4 {
            house.reopen(who).await;
            let mine: BTreeSet<_> = written
                .iter()
                .filter(|(from, to, _)| *from == who || *to == who)
                .map(|(from, to, text)| (house.feeds[*from], house.feeds[*to], text.clone()))
                .collect();
            let read = house.read(who).await;
            assert_eq!(read.len(), mine.len(), "seed {seed}, {who}");
            assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), mine, "seed {seed}, {who}");
            let found = house.chat(who).search("between", &Default::default()).await.expect("search");
            assert!(found.messages.is_empty(), "words of private messages are in no index");
            assert!(!on_disk(&house.path(who), "between us"), "seed {seed}, {who}");
        }
    }
}

/// A newcomer to a conversation asks for what is private to it, and gets that and little else.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_gets_what_is_private_to_it_and_little_else() {
    let mut house = House::new(4).await;
    let [zero, one, two, three] = house.feeds[..] else { unreachable!("four") };
    for n in 0..30 {
        house.chat(0).send_private(two, &format!("not for one {n}")).await.expect("send");
        house.chat(0).post("tea", &format!("cup {n}")).await.expect("post");
        if n % 10 == 0 {
            house.chat(0).send_private(one, &format!("for one {n}")).await.expect("send");
        }
    }
    let gone = house.chat(0).send_private(one, "withdrawn").await.expect("send");
    house.chat(0).delete(gone).await.expect("delete");
    house.chat(3).send_private(one, "from three").await.expect("send");
    house.ask(0, 3, true).await;
    let asked = house.ask(1, 0, false).await;
    assert!(asked.complete, "{asked:?}");
    let texts: Vec<String> = house.read(1).await.into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["for one 0", "for one 10", "for one 20", "from three"]);
    // Four messages, one deleted and its delete, a message each of those who write, and their names.
    assert!((4..=12).contains(&asked.blocks_fetched), "{asked:?}");
    // Only with one of them, and the latest first.
    let page = house.chat(1).private(Some(zero), &ReadOptions::latest(2)).await.expect("read");
    assert_eq!(page.messages.iter().map(|m| opened(m).2).collect::<Vec<_>>(), ["for one 20", "for one 10"]);
    let rest = ReadOptions { after: page.next, ..ReadOptions::latest(2) };
    let page = house.chat(1).private(Some(zero), &rest).await.expect("read");
    assert_eq!((page.messages.len(), page.next), (1, None));
    house.reopen(1).await;
    assert_eq!(house.read(1).await.len(), 4);
    assert!(house.chat(1).channels().await.expect("channels").items.is_empty(), "a lane is no channel");
    let known = house.chat(1).known_as("W3").await.expect("known").items;
    assert_eq!(known, [KnownAs { feed: three, nick: "w3".to_owned(), now: true }]);
}

/// What an author wrote to a reader and to a hub; the hub and the reader have nothing of it yet.
async fn post_office() -> House {
    let house = House::new(3).await;
    let [_, hub, reader] = house.feeds[..] else { unreachable!("three") };
    house.chat(0).set_profile("status", "writing").await.expect("profile");
    for n in 0..5 {
        house.chat(0).send_private(reader, &format!("for the reader {n}")).await.expect("send");
        house.chat(0).send_private(hub, &format!("for the hub {n}")).await.expect("send");
        house.chat(0).post("tea", &format!("cup {n}")).await.expect("post");
    }
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_message_reaches_its_reader_through_a_hub_that_has_read_nothing() {
    let mut house = post_office().await;
    house.ask(1, 0, true).await;
    let asked = house.ask(2, 1, false).await;
    assert!(asked.complete, "{asked:?}");
    assert_eq!(house.texts(2).await, (0..5).map(|n| format!("for the reader {n}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_sparse_passes_on_what_it_holds_and_nobody_takes_that_for_all() {
    let mut house = post_office().await;
    let author = house.feeds[0];
    // It has read a channel: of the lane it holds nothing, and says so.
    house
        .ask_for(1, 0, async |chat| {
            chat.read("tea", &ReadOptions::latest(3)).from(Source::Peers).await.expect("ask")
        })
        .await;
    let asked = house.ask(2, 1, false).await;
    assert!(!asked.complete && house.texts(2).await.is_empty(), "{asked:?}");
    // It has all that the author wrote, and none of that author's knowledge of what else there may be.
    house
        .ask_for(1, 0, async |chat| chat.by_author(author, 1_000).from(Source::Peers).await.expect("ask"))
        .await;
    let asked = house.ask(2, 1, false).await;
    assert_eq!(house.texts(2).await.len(), 5);
    assert!(!asked.complete, "{asked:?}");
    let asked = house.ask(2, 0, false).await;
    assert!(asked.complete && asked.blocks_fetched == 0, "{asked:?}");
    assert_eq!(house.texts(2).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hub_passes_on_does_not_depend_on_what_it_read() {
    let mut house = post_office().await;
    // It asked for its own, and read it: it holds no message of the others' lanes.
    let asked = house.ask(1, 0, false).await;
    assert!(asked.complete, "{asked:?}");
    assert_eq!(house.texts(1).await.len(), 5);
    let asked = house.ask(2, 1, false).await;
    assert!(!asked.complete && house.texts(2).await.is_empty(), "{asked:?}");
    // And what it holds it passes on, whether it reads it again or not.
    house.ask(1, 0, true).await;
    assert_eq!(house.texts(1).await.len(), 5);
    let asked = house.ask(2, 1, false).await;
    assert!(asked.complete && house.texts(2).await.len() == 5, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_messages_are_answered_and_edited_and_nobody_else_reads_what_they_were_or_are() {
    let mut house = House::new(3).await;
    let [author, _, reader] = house.feeds[..] else { unreachable!("three") };
    let question = house.chat(0).send_private(reader, "cofee?").await.expect("send");
    house.chat(0).edit(question, "coffee?", None).await.expect("edit");
    house.ask(1, 0, true).await;
    assert!(house.ask(2, 1, false).await.complete, "through a hub");
    let answer = house.chat(2).reply_private(author, "yes", question).await.expect("reply");
    house.ask(1, 2, true).await;
    house.ask(0, 1, false).await;
    for who in [0, 2] {
        let chat = house.chat(who);
        let page = chat.private(None, &ReadOptions::default()).await.expect("read");
        let said =
            page.messages.iter().map(|m| (m.said.text().expect("text"), m.reply_to, m.edited.is_some()));
        assert_eq!(said.collect::<Vec<_>>(), [("yes", Some(question), false), ("coffee?", None, true)]);
        let history = chat.history(question).await.expect("history").items;
        let texts: Vec<_> = history.iter().filter_map(|edition| edition.said.text()).collect();
        assert_eq!(texts, ["cofee?", "coffee?"]);
    }
    let at_hub = house.chat(1).history(question).await.expect("history").items;
    assert!(at_hub.iter().all(|edition| edition.said == Said::Sealed), "{at_hub:?}");
    assert!(!on_disk(&house.path(1), "cofee?") && !on_disk(&house.path(1), "coffee?"));
    // Nobody edits what another wrote, answers what is not between the two, or attaches what all can read.
    let not_yours = house.chat(2).edit(question, "tea?", None).await;
    assert!(matches!(not_yours, Err(ChatError::NotYours(_))), "{not_yours:?}");
    let elsewhere = house.chat(0).reply_private(house.feeds[1], "what?", question).await;
    assert!(matches!(elsewhere, Err(ChatError::NotThere(_))), "{elsewhere:?}");
    let attached = house.chat(0).edit(question, "see", Some(vec![answer])).await;
    assert!(matches!(attached, Err(ChatError::PrivateBlobs)), "{attached:?}");
    // Who deletes it takes all of it back.
    house.chat(0).delete(question).await.expect("delete");
    house.ask(1, 0, true).await;
    house.ask(2, 1, false).await;
    assert_eq!(house.texts(2).await, ["yes"]);
}
