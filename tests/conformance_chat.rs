//! What users of the predecessors rely on in chat, each by its number in the list of behaviours: 16 to 22.

use kappadb::view::{Draft, Kind, Moment, Places, space};
use kappadb::{
    Chat, ChatError, ChatFlag, ChatPage, Clock, EntryId, FlagChange, Message, ReadOptions, Said,
    SearchOptions, Source, Timestamp, Trusted,
};
use kappadb_tests::house::{House, serve};

async fn latest(chat: &Chat, channel: &str) -> Vec<String> {
    texts(&chat.read(channel, &ReadOptions::default()).await.unwrap())
}

fn texts(page: &ChatPage) -> Vec<String> {
    page.messages.iter().map(text).collect()
}

fn text(message: &Message) -> String {
    message.said.text().unwrap_or(message.said.kind()).to_owned()
}

#[tokio::test]
async fn conformance_16_every_kind_is_there_and_unknown_ones_are_shown_as_unknown() {
    let house = House::new();
    let database = house.create("a").await;
    let (chat, me) = (database.chat(), database.writer().await.unwrap());
    chat.post("Room", "hello").await.unwrap();
    chat.emote("Room", "waves").await.unwrap();
    chat.set_topic("Room", "weather").await.unwrap();
    chat.set_profile("nick", "anna").await.unwrap();
    chat.set_profile("status", "away").await.unwrap();
    chat.join("Other").await.unwrap();
    chat.archive("Other", "no longer used").await.unwrap();
    chat.flag(None, me, FlagChange::Set(vec![ChatFlag::Mute]), "test").await.unwrap();
    let gone = chat.post("Room", "a mistake").await.unwrap();
    chat.delete(gone).await.unwrap();

    house.clock.pass();
    let options = ReadOptions { hidden: true, oldest_first: true, ..Default::default() };
    let page = chat.read("Room", &options).await.unwrap();
    assert_eq!(texts(&page), ["hello", "waves"]);
    assert_eq!(page.messages[1].said, Said::Emote("waves".into()));
    assert!(page.messages.iter().all(|message| message.nick.as_deref() == Some("anna")));
    let profile = chat.profile(me).await.unwrap().items;
    assert!(profile.contains(&("status".to_owned(), "away".to_owned())), "{profile:?}");
    let other = chat.channels().await.unwrap().into_iter().find(|c| c.name == "Other").unwrap();
    assert!(other.archived);
    chat.unarchive("Other", "used again").await.unwrap();
    assert!(!chat.channels().await.unwrap().items.iter().any(|channel| channel.archived));

    // A kind of a later release, with a moment in the channel.
    let now = house.clock.now().0;
    let moment = Moment { channel: b"room".to_vec(), from: now, to: now };
    let places = Places::new(Vec::new(), vec![moment]);
    let kind = Kind { space: space::CHAT, code: 99 };
    database.write(vec![Draft { places, payload: b"new".to_vec(), ..Draft::new(kind) }]).await.unwrap();
    let options = ReadOptions { hidden: true, ..Default::default() };
    let page = chat.read("room", &options).await.unwrap();
    assert!(page.messages.iter().any(|message| message.said == Said::Unknown { code: 99 }));
    database.close().await.unwrap();
}

#[tokio::test]
async fn conformance_16_only_sender_and_recipient_read_a_private_message() {
    let house = House::new();
    let sender = house.create("a").await;
    let server = serve(&sender).await;
    let [recipient, other] =
        [house.join("b", &server.ticket()).await, house.join("c", &server.ticket()).await];
    let [to, from] = [recipient.writer().await.unwrap(), sender.writer().await.unwrap()];
    other.writer().await.unwrap();
    sender.chat().send_private(to, "between us").await.unwrap();
    house.clock.pass();
    let said = Said::Private { to, text: "between us".to_owned() };
    for reader in [&recipient, &other] {
        assert!(
            reader
                .chat()
                .search("", &SearchOptions::default())
                .from(Source::Peers)
                .await
                .unwrap()
                .is_complete()
        );
    }
    for reader in [&sender, &recipient] {
        let page = reader.chat().private(None, &ReadOptions::default()).await.unwrap();
        assert_eq!(page.messages.iter().map(|m| (m.author, &m.said)).collect::<Vec<_>>(), [(from, &said)]);
    }
    assert!(other.chat().private(None, &ReadOptions::default()).await.unwrap().messages.is_empty());
    let held = other.chat().by_author(from, 10).await.unwrap().messages;
    assert_eq!(held.iter().map(|message| &message.said).collect::<Vec<_>>(), [&Said::Sealed]);
    server.stop().await;
}

#[tokio::test]
async fn conformance_17_names_compare_without_case_and_what_is_too_long_is_refused() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    assert!(chat.channels().await.unwrap().items.is_empty());
    assert!(!chat.exists("größe").await.unwrap().one().unwrap());
    chat.post("Größe", "one").await.unwrap();
    chat.post("Grosse", "elsewhere").await.unwrap();
    chat.post("gRO\u{308}SSE", "two").await.unwrap();
    house.clock.pass();
    assert_eq!(latest(&chat, "GRÖßE").await, ["two", "one"]);
    chat.join("empty").await.unwrap();
    assert!(chat.exists("Empty").await.unwrap().one().unwrap());

    assert!(chat.post(&"x".repeat(64), "fits").await.is_ok());
    assert!(chat.post("room", &"x".repeat(4096)).await.is_ok());
    assert!(chat.set_topic("room", &"ü".repeat(512)).await.is_ok());
    assert!(chat.set_profile("nick", &"ü".repeat(32)).await.is_ok());
    for refused in [
        chat.post(&"x".repeat(65), "a").await,
        chat.post("", "a").await,
        chat.post("a\nb", "a").await,
        chat.post("room", &"x".repeat(4097)).await,
        chat.post("room", "").await,
        chat.set_topic("room", &"ü".repeat(513)).await,
        chat.set_profile("nick", &"ü".repeat(33)).await,
        chat.set_profile("nick", "").await,
    ] {
        assert!(matches!(refused, Err(ChatError::Model(_))), "{refused:?}");
    }
    // A writer that does not care is not shown with it.
    let now = house.clock.now().0;
    let places = Places::new(Vec::new(), vec![Moment { channel: b"room".to_vec(), from: now, to: now }]);
    let kind = Kind { space: space::CHAT, code: 1 };
    let long = [&[4][..], b"room", &[251, 0, 0x20], &[b'x'; 8192]].concat();
    database.write(vec![Draft { places, payload: long, ..Draft::new(kind) }]).await.unwrap();
    house.clock.pass();
    let page = chat.read("room", &ReadOptions { hidden: true, ..Default::default() }).await.unwrap();
    assert!(page.messages.iter().any(|message| message.said == Said::Unreadable));
    database.close().await.unwrap();
}

#[tokio::test]
async fn conformance_18_pages_neither_skip_nor_repeat_while_messages_arrive() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    for n in 0..20 {
        house.clock.at(1_000_000 + n * 10);
        chat.post("room", &n.to_string()).await.unwrap();
    }
    // Newest first, by pages, while others come in.
    let (mut seen, mut options) = (Vec::new(), ReadOptions::latest(7));
    loop {
        let page = chat.read("room", &options).await.unwrap();
        seen.extend(texts(&page));
        house.clock.at(house.clock.now().0 + 1);
        chat.post("room", "new").await.unwrap();
        options.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..20).rev().map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
    // Between two times: from the start, before the end.
    let (since, until) = (Some(Timestamp(1_000_050)), Some(Timestamp(1_000_080)));
    let between = ReadOptions { since, until, oldest_first: true, ..Default::default() };
    assert_eq!(texts(&chat.read("room", &between).await.unwrap()), ["5", "6", "7"]);
    let first = ReadOptions { limit: Some(2), ..between.clone() };
    let page = chat.read("room", &first).await.unwrap();
    assert_eq!(texts(&page), ["5", "6"]);
    let rest = ReadOptions { after: page.next, ..first };
    assert_eq!(texts(&chat.read("room", &rest).await.unwrap()), ["7"]);
    database.close().await.unwrap();
}

#[tokio::test]
async fn conformance_18_what_is_not_due_is_hidden_outside_the_limit_and_nobody_owns_the_newest_page() {
    let house = House::new();
    let fast = house.create("fast").await;
    let server = serve(&fast).await;
    let slow = house.join("slow", &server.ticket()).await;
    slow.chat().post("room", "from here").await.unwrap();
    house.clock.at(2_000_000);
    for n in 0..10 {
        fast.chat().post("room", &format!("ahead {n}")).await.unwrap();
    }
    house.clock.at(1_500_000);
    let _ = slow.chat().read("room", &ReadOptions::latest(5)).from(Source::Peers).await.unwrap();
    let page = slow.chat().read("room", &ReadOptions::latest(5)).await.unwrap();
    assert_eq!((texts(&page), page.ahead), (vec!["from here".to_owned()], 10));
    house.clock.at(3_000_000);
    let _ = slow.chat().read("room", &ReadOptions::latest(5)).from(Source::Peers).await.unwrap();
    assert_eq!(slow.chat().read("room", &ReadOptions::latest(5)).await.unwrap().messages.len(), 5);
    server.stop().await;
    slow.close().await.unwrap();
    fast.close().await.unwrap();
}

#[tokio::test]
async fn conformance_19_members_and_topics() {
    let house = House::new();
    let database = house.create("a").await;
    for name in ["joins", "posts", "topics", "leaves"] {
        database.new_writer(name).await.unwrap();
    }
    let by = async |name: &str| database.with_writer(name).await.unwrap();
    let tick = || house.clock.at(house.clock.now().0 + 1);
    by("joins").await.chat().join("room").await.unwrap();
    by("posts").await.chat().post("room", "hello").await.unwrap();
    by("topics").await.chat().set_topic("room", "first").await.unwrap();
    by("leaves").await.chat().join("room").await.unwrap();
    tick();
    by("leaves").await.chat().leave("room").await.unwrap();
    by("joins").await.chat().set_profile("nick", "jo").await.unwrap();
    let chat = database.chat();
    let mut expected = Vec::new();
    for name in ["joins", "posts", "topics"] {
        expected.push(by(name).await.writer().await.unwrap());
    }
    expected.sort_unstable();
    let members = chat.members("room").await.unwrap().items;
    let mut feeds: Vec<_> = members.iter().map(|member| member.feed).collect();
    feeds.sort_unstable();
    assert_eq!(feeds, expected);
    assert!(members.iter().any(|member| member.nick.as_deref() == Some("jo")));
    // Whoever posts again after leaving is back.
    tick();
    by("leaves").await.chat().post("room", "again").await.unwrap();
    assert_eq!(chat.members("room").await.unwrap().items.len(), 4);

    let topic = async || chat.topic("room").await.unwrap().one().map(|topic| topic.text);
    tick();
    let second = by("posts").await.chat().set_topic("room", "second").await.unwrap();
    assert_eq!(topic().await.as_deref(), Some("second"));
    by("posts").await.chat().delete(second).await.unwrap();
    assert_eq!(topic().await.as_deref(), Some("first"));
    tick();
    chat.set_topic("room", "").await.unwrap();
    assert_eq!(topic().await, None);
    database.close().await.unwrap();
}

#[tokio::test]
async fn conformance_20_only_the_authors_delete_counts_and_nothing_comes_back() {
    let house = House::new();
    let anna = house.create("anna").await;
    let server = serve(&anna).await;
    let kept = anna.chat().post("room", "kept").await.unwrap();
    house.clock.at(1_000_010);
    let gone = anna.chat().post("room", "gone").await.unwrap();
    let bob = house.join("bob", &server.ticket()).await;
    let _ = bob
        .chat()
        .read("room", &ReadOptions { since: None, until: None, ..ReadOptions::default() })
        .from(Source::Peers)
        .await
        .unwrap();
    assert!(matches!(bob.chat().delete(kept).await, Err(ChatError::NotYours(_))));
    assert_eq!(latest(&bob.chat(), "room").await, ["gone", "kept"]);

    house.clock.at(9_000_000);
    anna.chat().delete(gone).await.unwrap();
    assert_eq!(latest(&anna.chat(), "room").await, ["kept"]);
    // Whatever the delete's own time, who asks for the time of the message gets it.
    let window = (Some(Timestamp(1_000_000)), Some(Timestamp(1_000_100)));
    let _ = bob
        .chat()
        .read("room", &ReadOptions { since: window.0, until: window.1, ..ReadOptions::default() })
        .from(Source::Peers)
        .await
        .unwrap();
    assert_eq!(latest(&bob.chat(), "room").await, ["kept"]);
    // One who still has the message and not the delete does not bring it back.
    let carol = house.join("carol", &server.ticket()).await;
    let _ = carol
        .chat()
        .read("room", &ReadOptions { since: None, until: None, ..ReadOptions::default() })
        .from(Source::Peers)
        .await
        .unwrap();
    assert_eq!(latest(&carol.chat(), "room").await, ["kept"]);
    assert!(matches!(anna.chat().delete(gone).await, Err(ChatError::NotThere(_))));
    server.stop().await;
    for database in [carol, bob, anna] {
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn conformance_21_moderation_is_subjective_and_applied_at_reading() {
    let house = House::new();
    let database = house.create("a").await;
    for name in ["troll", "moderator", "deputy"] {
        database.new_writer(name).await.unwrap();
    }
    let by = async |name: &str| database.with_writer(name).await.unwrap();
    let feed = async |name: &str| by(name).await.writer().await.unwrap();
    by("troll").await.chat().post("room", "buy this").await.unwrap();
    let (troll, moderator, deputy) = (feed("troll").await, feed("moderator").await, feed("deputy").await);
    let hide = || FlagChange::Add(vec![ChatFlag::Hide]);
    by("deputy").await.chat().flag(Some("room"), troll, hide(), "advertising").await.unwrap();

    // A reader elsewhere, to whom nobody here is anybody yet.
    let server = serve(&database).await;
    let reader = house.join("reader", &server.ticket()).await;
    let chat = reader.chat();
    let _ = chat.read("room", &ReadOptions::latest(50)).from(Source::Peers).await.unwrap();
    assert_eq!(latest(&chat, "room").await, ["buy this"]);
    // It trusts an admin, who makes the deputy a mod: what the deputy said before counts now. Nothing is fetched for the trust.
    let make_mod = FlagChange::Add(vec![ChatFlag::Mod]);
    by("moderator").await.chat().flag(None, deputy, make_mod, "").await.unwrap();
    let _ = chat.flags().from(Source::Peers).await.unwrap();
    assert_eq!(latest(&chat, "room").await, ["buy this"]);
    let trusted = Trusted { admins: [moderator].into(), ..Trusted::default() };
    chat.set_trusted(trusted).await.unwrap();
    assert!(latest(&chat, "room").await.is_empty());
    let page = chat.read("room", &ReadOptions { hidden: true, ..Default::default() }).await.unwrap();
    let hidden = page.messages[0].hidden.as_ref().unwrap();
    assert_eq!((hidden.by, hidden.reason.as_str()), (deputy, "advertising"));
    chat.set_trusted(Trusted::default()).await.unwrap();
    assert_eq!(latest(&chat, "room").await, ["buy this"]);

    // Un-flagging works, and an invitation passes trust on.
    chat.set_trusted(Trusted { admins: [moderator].into(), ..Trusted::default() }).await.unwrap();
    let other = serve(&reader).await;
    assert_eq!(other.ticket().admins, [moderator]);
    let late = house.join("late", &other.ticket()).await;
    assert_eq!(late.chat().trusted(), chat.trusted());
    let _ = late.chat().read("room", &ReadOptions::latest(50)).from(Source::Peers).await.unwrap();
    assert!(latest(&late.chat(), "room").await.is_empty());
    let unhide = FlagChange::Remove(vec![ChatFlag::Hide]);
    by("deputy").await.chat().flag(Some("room"), troll, unhide, "").await.unwrap();
    let _ = chat.flags().from(Source::Peers).await.unwrap();
    assert_eq!(latest(&chat, "room").await, ["buy this"]);
    for server in [server, other] {
        server.stop().await;
    }
    for database in [late, reader, database] {
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn conformance_22_a_newcomer_gets_the_state_and_the_latest_without_the_history() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    chat.set_profile("nick", "anna").await.unwrap();
    chat.set_topic("room", "weather").await.unwrap();
    let lines: String = (0..500)
        .map(|n| {
            format!("{{\"author\":\"w{}\",\"channel\":\"room\",\"timestamp\":{n},\"text\":\"{n}\"}}\n", n % 7)
        })
        .collect();
    let report = chat.import(std::io::Cursor::new(lines), |_, _| ()).await.unwrap();
    assert_eq!((report.imported, report.authors, report.damaged), (500, 7, 0));
    let server = serve(&database).await;
    let newcomer = house.join("b", &server.ticket()).await;
    let answer = newcomer.chat().read("room", &ReadOptions::latest(20)).from(Source::Peers).await.unwrap();
    assert!(answer.is_complete());
    let page = newcomer.chat().read("room", &ReadOptions::latest(20)).await.unwrap();
    let expected: Vec<String> = (480..500).rev().map(|n| n.to_string()).collect();
    assert_eq!(texts(&page), expected);
    let _ = newcomer.chat().members("room").from(Source::Peers).await.unwrap();
    assert_eq!(newcomer.chat().topic("room").await.unwrap().one().unwrap().text, "weather");
    assert_eq!(newcomer.chat().members("room").await.unwrap().items.len(), 8);
    assert!(page.messages.iter().all(|m| m.nick.as_deref().is_some_and(|nick| nick.starts_with('w'))));
    let held: u64 = newcomer.status().await.unwrap().feeds.iter().map(|feed| feed.held).sum();
    assert!(held < 60, "{held} blocks held");
    let ids: Vec<EntryId> = page.messages.iter().map(|message| message.id).collect();
    assert_eq!(ids.len(), 20);
    server.stop().await;
    newcomer.close().await.unwrap();
    database.close().await.unwrap();
}
