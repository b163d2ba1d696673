//! What is unread: what came here and was not marked, whatever the clocks of those who wrote it say.

use kappadb::{
    Chat, Clock, Conversation, Database, EntryId, Marks, ReadOptions, SearchOptions, Source, Ticket,
};
use kappadb_tests::house::{Hand, House, serve};
use std::path::Path;

/// Another replica that goes by a clock of its own.
async fn join_by(house: &House, name: &str, ticket: &Ticket, clock: &Hand) -> Database {
    Database::builder(house.path(name)).clock(clock.clone()).join(ticket).await.unwrap()
}

fn clock_at(time: i64) -> Hand {
    let clock = Hand::default();
    clock.at(time);
    clock
}

/// What is unread here, by name: messages and mentions.
async fn unread(chat: &Chat) -> Vec<(String, u64, u64)> {
    let all = chat.unread().await.unwrap().items;
    let line = |unread: kappadb::Unread| {
        let name = match unread.of {
            Conversation::Channel(name) => name,
            Conversation::Private { nick, .. } => nick.unwrap_or_default(),
        };
        (name, unread.messages, unread.mentions)
    };
    all.into_iter().map(line).collect()
}

async fn ask_and_count(chat: &Chat) -> Vec<(String, u64, u64)> {
    let answer = chat.unread().from(Source::Peers).await.unwrap();
    assert!(answer.is_complete(), "{answer:?}");
    unread(chat).await
}

fn named(name: &str, messages: u64, mentions: u64) -> (String, u64, u64) {
    (name.to_owned(), messages, mentions)
}

async fn mark_page(chat: &Chat, options: &ReadOptions) -> usize {
    let page = chat.read("tea", options).await.unwrap();
    let mut marks = Marks::default();
    page.messages.iter().for_each(|message| marks.add(message));
    chat.mark_shown(marks).await.unwrap();
    page.messages.len()
}

/// Lines of an import: author, time, text.
async fn import(chat: &Chat, channel: &str, lines: impl Iterator<Item = (String, i64, String)>) {
    let line = |(author, time, text)| {
        format!(r#"{{"author":"{author}","channel":"{channel}","timestamp":{time},"text":"{text}"}}"#) + "\n"
    };
    let lines: String = lines.map(line).collect();
    chat.import(std::io::Cursor::new(lines), |_, _| ()).await.unwrap();
}

#[tokio::test]
async fn a_late_message_is_unread_and_so_is_its_mention() {
    let house = House::new();
    let full = house.create("full").await;
    let server = serve(&full).await;
    let reader = house.join("reader", &server.ticket()).await;
    let slow = join_by(&house, "slow", &server.ticket(), &clock_at(10_000)).await;
    let (chat, late) = (reader.chat(), slow.chat());
    chat.set_profile("nick", "bert").await.unwrap();
    chat.join("tea").await.unwrap();
    late.post("tea", "early bird").await.unwrap();
    full.chat().post("tea", "one").await.unwrap();
    house.clock.pass();
    // What the slow one wrote is nowhere but there yet.
    assert_eq!(ask_and_count(&chat).await, [named("tea", 1, 0)]);
    assert_eq!(mark_page(&chat, &ReadOptions::latest(10)).await, 1);
    assert!(ask_and_count(&chat).await.is_empty());
    late.post("tea", "are you there, @bert?").await.unwrap();
    let hub = serve(&slow).await;
    reader.peers().add(&hub.ticket(), None).await.unwrap();
    assert_eq!(ask_and_count(&chat).await, [named("tea", 2, 1)]);
    // It stands before what was read.
    let page = chat.read("tea", &ReadOptions::default()).await.unwrap();
    assert_eq!(page.messages[0].said.text(), Some("one"));
    mark_page(&chat, &ReadOptions::default()).await;
    assert!(ask_and_count(&chat).await.is_empty());
    hub.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn what_was_printed_is_marked_and_no_more() {
    let house = House::new();
    let database = house.create("a").await;
    let (chat, anna) = (database.chat(), {
        database.new_writer("anna").await.unwrap();
        database.with_writer("anna").await.unwrap().chat()
    });
    chat.join("tea").await.unwrap();
    for n in 0..5 {
        anna.post("tea", &n.to_string()).await.unwrap();
        house.clock.pass();
    }
    assert_eq!(unread(&chat).await, [named("tea", 5, 0)]);
    mark_page(&chat, &ReadOptions::latest(2)).await;
    assert_eq!(unread(&chat).await, [named("tea", 3, 0)]);
    let oldest = ReadOptions { oldest_first: true, ..ReadOptions::latest(1) };
    mark_page(&chat, &oldest).await;
    assert_eq!(unread(&chat).await, [named("tea", 2, 0)]);
    let id = anna.post("tea", "gone").await.unwrap();
    house.clock.pass();
    assert_eq!(unread(&chat).await, [named("tea", 3, 0)]);
    anna.delete(id).await.unwrap();
    assert_eq!(unread(&chat).await, [named("tea", 2, 0)]);
    let up_to =
        chat.read("tea", &ReadOptions { oldest_first: true, ..ReadOptions::latest(2) }).await.unwrap();
    chat.mark_read("tea", Some(up_to.messages[1].id)).await.unwrap();
    assert_eq!(unread(&chat).await, [named("tea", 1, 0)]);
    chat.mark_read("TEA", None).await.unwrap();
    assert!(unread(&chat).await.is_empty());
    // What is dated ahead is unread when it is due, and not marked before.
    let ahead = house.clock.now().0 + 5_000;
    import(&anna, "tea", [("anna".to_owned(), ahead, "soon".to_owned())].into_iter()).await;
    assert!(unread(&chat).await.is_empty());
    chat.mark_read("tea", None).await.unwrap();
    house.clock.at(ahead);
    assert_eq!(unread(&chat).await, [named("tea", 1, 0)]);
    database.close().await.unwrap();
}

#[tokio::test]
async fn only_channels_that_one_is_in_count_and_private_messages() {
    let house = House::new();
    let database = house.create("a").await;
    database.new_writer("anna").await.unwrap();
    let (chat, anna) = (database.chat(), database.with_writer("anna").await.unwrap().chat());
    let me = database.writer().await.unwrap();
    anna.set_profile("nick", "Anna").await.unwrap();
    for channel in ["joined", "posted", "topical", "left", "other"] {
        anna.post(channel, "hello").await.unwrap();
    }
    chat.join("joined").await.unwrap();
    chat.post("posted", "hi").await.unwrap();
    chat.set_topic("topical", "weather").await.unwrap();
    chat.join("left").await.unwrap();
    chat.leave("left").await.unwrap();
    anna.send_private(me, "psst").await.unwrap();
    house.clock.pass();
    let all = [named("joined", 1, 0), named("posted", 1, 0), named("topical", 1, 0), named("Anna", 1, 0)];
    assert_eq!(unread(&chat).await, all);
    let page = chat.private(None, &ReadOptions::default()).await.unwrap();
    let mut marks = Marks::default();
    page.messages.iter().for_each(|message| marks.add(message));
    chat.mark_shown(marks).await.unwrap();
    assert_eq!(unread(&chat).await, all[..3]);
    // What the other writer of this replica has not read is its own business: it wrote all but one.
    assert_eq!(unread(&anna).await, [named("posted", 1, 0)]);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_sparse_replica_asks_one_question_and_fetches_no_history() {
    let house = House::new();
    house.clock.at(10_000_000_000);
    let full = house.create("full").await;
    let line = |n: i64| (format!("author-{}", n % 7), 1_000 * n, format!("message {n}"));
    for channel in ["tea", "coffee", "unrelated"] {
        import(&full.chat(), channel, (0..2_000).map(line)).await;
    }
    let server = serve(&full).await;
    let reader = house.join("reader", &server.ticket()).await;
    let chat = reader.chat();
    chat.join("tea").await.unwrap();
    chat.join("coffee").await.unwrap();
    let answer = chat.unread().from(Source::Peers).await.unwrap();
    assert!(answer.is_complete() && answer.asked.blocks_fetched < 250, "{answer:?}");
    let counted = chat.unread().await.unwrap().items;
    assert!(counted.iter().all(|unread| unread.messages == 100 && unread.more), "{counted:?}");

    mark_page(&chat, &ReadOptions::latest(50)).await;
    chat.mark_read("coffee", None).await.unwrap();
    assert_eq!(unread(&chat).await, [named("tea", 50, 0)]);
    chat.mark_read("tea", None).await.unwrap();
    house.clock.pass();
    // One writes late, and so do somebody new and the clock of 1970.
    full.chat().post("tea", "now").await.unwrap();
    let late = [("author-1", 5), ("somebody-new", 6)];
    import(
        &full.chat(),
        "tea",
        late.map(|(who, time)| (who.to_owned(), time, "late".to_owned())).into_iter(),
    )
    .await;
    house.clock.pass();
    let answer = chat.unread().from(Source::Peers).await.unwrap();
    assert!(answer.is_complete() && answer.asked.blocks_fetched < 100, "{answer:?}");
    assert_eq!(unread(&chat).await, [named("tea", 3, 0)]);

    // What is read back, or searched, of those whose later messages were read is nothing new.
    chat.mark_read("tea", None).await.unwrap();
    let _ = chat
        .search("", &SearchOptions { channel: Some("tea".to_owned()), ..SearchOptions::default() })
        .from(Source::Peers)
        .await
        .unwrap();
    let options = SearchOptions { channel: Some("tea".to_owned()), ..SearchOptions::default() };
    assert_eq!(chat.search("message*", &options).await.unwrap().messages.len(), 2_000);
    assert!(unread(&chat).await.is_empty());
    server.stop().await;
    reader.close().await.unwrap();
    full.close().await.unwrap();
}

#[tokio::test]
async fn marks_hold_when_derived_data_is_made_anew_and_go_by_date_in_another_journal() {
    let house = House::new();
    let full = house.create("full").await;
    for n in 0..4 {
        full.chat().post("tea", &n.to_string()).await.unwrap();
        house.clock.pass();
    }
    let server = serve(&full).await;
    let reader = house.join("reader", &server.ticket()).await;
    let chat = reader.chat();
    chat.join("tea").await.unwrap();
    let _ = chat.read("tea", &ReadOptions::default()).from(Source::Peers).await.unwrap();
    mark_page(&chat, &ReadOptions::latest(3)).await;
    assert_eq!(unread(&chat).await, [named("tea", 1, 0)]);
    drop(chat);
    reader.close().await.unwrap();
    let reader = house.builder("reader").rebuild().open().await.unwrap();
    assert_eq!(unread(&reader.chat()).await, [named("tea", 1, 0)]);
    reader.close().await.unwrap();

    // A folder made anew, with what was kept of the old one: what came in another order was read all the same.
    let other = house.join("other", &server.ticket()).await;
    other.close().await.unwrap();
    let file = |name: &str| house.path(name).join("read-markers");
    std::fs::copy(file("reader"), file("other")).unwrap();
    let other = house.builder("other").open().await.unwrap();
    full.chat().post("milk", "first").await.unwrap();
    house.clock.pass();
    let _ = other.chat().read("milk", &ReadOptions::default()).from(Source::Peers).await.unwrap();
    other.chat().join("tea").await.unwrap();
    let _ = other.chat().search("", &SearchOptions::default()).from(Source::Peers).await.unwrap();
    assert!(unread(&other.chat()).await.is_empty(), "dated before the mark");
    full.chat().post("tea", "after").await.unwrap();
    house.clock.pass();
    let _ = other.chat().search("", &SearchOptions::default()).from(Source::Peers).await.unwrap();
    assert_eq!(unread(&other.chat()).await, [named("tea", 1, 0)]);
    server.stop().await;
}

#[tokio::test]
async fn a_marker_of_a_journal_that_was_put_back_loses_nothing_new() {
    let house = House::new();
    let full = house.create("full").await;
    full.chat().post("tea", "one").await.unwrap();
    house.clock.pass();
    let server = serve(&full).await;
    let reader = house.join("reader", &server.ticket()).await;
    reader.chat().join("tea").await.unwrap();
    reader.close().await.unwrap();
    copy(&house.path("reader"), &house.path("kept"));
    let open = || house.builder("reader").open();
    let reader = open().await.unwrap();
    let _ = reader.chat().read("tea", &ReadOptions::default()).from(Source::Peers).await.unwrap();
    reader.chat().mark_read("tea", None).await.unwrap();
    reader.close().await.unwrap();
    let marked = std::fs::read(house.path("reader").join("read-markers")).unwrap();
    std::fs::remove_dir_all(house.path("reader")).unwrap();
    copy(&house.path("kept"), &house.path("reader"));
    std::fs::write(house.path("reader").join("read-markers"), marked).unwrap();
    let reader = open().await.unwrap();
    assert!(unread(&reader.chat()).await.is_empty());
    house.clock.pass();
    full.chat().post("tea", "two").await.unwrap();
    house.clock.pass();
    assert_eq!(ask_and_count(&reader.chat()).await, [named("tea", 1, 0)]);
    server.stop().await;
}

#[tokio::test]
async fn who_left_is_gone_although_the_clock_was_set_back() {
    let house = House::new();
    let database = house.create("a").await;
    let (chat, me) = (database.chat(), database.writer().await.unwrap());
    let is_member = async || chat.members("tea").await.unwrap().items.iter().any(|member| member.feed == me);
    house.clock.at(5_000_000);
    chat.post("tea", "hello").await.unwrap();
    assert!(is_member().await);
    house.clock.at(2_000_000);
    chat.leave("tea").await.unwrap();
    assert!(!is_member().await);
    house.clock.at(9_000_000);
    assert!(!is_member().await, "nor when the clock is right again");
    let server = serve(&database).await;
    let other = house.join("b", &server.ticket()).await;
    let _ = other.chat().members("tea").from(Source::Peers).await.unwrap();
    assert!(other.chat().members("tea").await.unwrap().items.is_empty());
    // Whoever writes again is there again, whatever the clock.
    house.clock.at(3_000_000);
    chat.post("tea", "back").await.unwrap();
    assert!(is_member().await);
    house.clock.at(9_000_000);
    let _ = other.chat().members("tea").from(Source::Peers).await.unwrap();
    assert_eq!(other.chat().members("tea").await.unwrap().items.len(), 1);
    server.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_search_finds_words_however_they_are_written_and_nothing_that_was_deleted() {
    let house = House::new();
    let full = house.create("full").await;
    let chat = full.chat();
    let mut ids: Vec<EntryId> = Vec::new();
    for text in
        ["größer als", "GRO\u{308}SSER", "ein caf\u{e9}", "ein cafe\u{301}", "Ѐ Привет", "größer, gone"]
    {
        ids.push(chat.post("tea", text).await.unwrap());
        house.clock.pass();
    }
    let server = serve(&full).await;
    let reader = house.join("reader", &server.ticket()).await;
    let options = SearchOptions { channel: Some("tea".to_owned()), ..SearchOptions::default() };
    let _ = reader.chat().search("", &options).from(Source::Peers).await.unwrap();
    chat.delete(ids[5]).await.unwrap();
    for (query, found) in
        [("GRÖSSER", 2), ("gro\u{308}ßer", 2), ("CAFÉ", 2), ("cafe\u{301}", 2), ("ПРИВЕТ", 1), ("gone", 0)]
    {
        let _ = reader.chat().search("", &options).from(Source::Peers).await.unwrap();
        for replica in [&full, &reader] {
            let page = replica.chat().search(query, &options).await.unwrap();
            assert_eq!(page.messages.len(), found, "{query}");
        }
    }
    server.stop().await;
}
