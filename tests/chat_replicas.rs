//! Chat over whole replicas: pages, what outlives clearing and rebuilding, what several sparse peers know together.

use kappadb::{Chat, ChatPage, Clock, RangeSet, ReadOptions, SearchOptions, Source, Timestamp};
use kappadb_tests::house::{House, serve};

fn texts(page: &ChatPage) -> Vec<&str> {
    page.messages.iter().map(|message| message.said.text().unwrap_or("?")).collect()
}

async fn read(chat: &Chat, options: &ReadOptions) -> ChatPage {
    chat.read("room", options).await.unwrap()
}

/// Lines of an import: author, time, text.
async fn import(chat: &Chat, lines: impl Iterator<Item = (&str, i64, String)>) {
    let line = |(author, time, text)| {
        format!(r#"{{"author":"{author}","channel":"room","timestamp":{time},"text":"{text}"}}"#) + "\n"
    };
    let lines: String = lines.map(line).collect();
    chat.import(std::io::Cursor::new(lines), |_, _| ()).await.unwrap();
}

#[tokio::test]
async fn pages_are_the_channel_latest_first_each_message_once_however_much_one_wrote() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    let others = (0..12).map(|n| (["anna", "bob"][n as usize % 2], 1_000 + n, format!("other {n}")));
    let flood = (0..200).map(|n| ("mallory", 5_000 + n, format!("flood {n}")));
    import(&chat, others.chain(flood)).await;
    let all = (0..200).rev().map(|n| format!("flood {n}"));
    let all: Vec<String> = all.chain((0..12).rev().map(|n| format!("other {n}"))).collect();

    let server = serve(&database).await;
    let newcomer = house.join("b", &server.ticket()).await;
    let answer = newcomer.chat().read("room", &ReadOptions::latest(20)).from(Source::Peers).await.unwrap();
    assert!(answer.is_complete() && answer.asked.blocks_fetched < 50, "{answer:?}");
    assert_eq!(texts(&read(&newcomer.chat(), &ReadOptions::latest(20)).await), all[..20]);
    for limit in [1, 7, 20, 211, 212, 213] {
        let (mut seen, mut options) = (Vec::new(), ReadOptions::latest(limit));
        loop {
            let page = newcomer.chat().read("room", &options).from(Source::Peers).await.unwrap();
            let all = read(&chat, &options).await;
            assert_eq!((&page.messages, page.next), (&all.messages, all.next));
            seen.extend(texts(&page).into_iter().map(str::to_owned));
            options.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "by pages of {limit}");
    }
    server.stop().await;
    newcomer.close().await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_runs_ahead_takes_nobody_with_it() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    house.clock.at(600_000_000);
    chat.post("room", "from the future").await.unwrap();
    house.clock.at(1_000_000);
    chat.post("room", "now").await.unwrap();
    assert_eq!(texts(&read(&chat, &ReadOptions::default()).await), ["now"]);
    assert_eq!(chat.members("room").await.unwrap().items.len(), 1);
    house.clock.at(600_000_000);
    assert_eq!(texts(&read(&chat, &ReadOptions::default()).await), ["from the future", "now"]);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_whose_clock_is_behind_is_told_so_and_finds_channel_topic_members_and_names() {
    let house = House::new();
    let writer = house.create("writer").await;
    let server = serve(&writer).await;
    let reader = house.join("reader", &server.ticket()).await;
    house.clock.at(600_000_000);
    let chat = writer.chat();
    chat.set_profile("nick", "Anna").await.unwrap();
    chat.set_topic("room", "of the future").await.unwrap();
    for n in 0..12 {
        chat.post("room", &format!("{n}")).await.unwrap();
    }
    let feed = reader.writer().await.unwrap();
    chat.send_private(feed, "psst").await.unwrap();
    house.clock.at(1_000_000);
    let (author, chat) = (writer.writer().await.unwrap(), reader.chat());
    let options = ReadOptions::latest(50);
    let _ = chat.read("room", &options).from(Source::Peers).await.unwrap();
    let page = chat.read("room", &options).await.unwrap();
    assert_eq!((page.messages.len(), page.ahead), (0, 12));
    let past = ReadOptions { until: Some(Timestamp(5)), ..options.clone() };
    assert_eq!(chat.read("room", &past).await.unwrap().ahead, 0, "not asked for");
    assert!(chat.exists("room").await.unwrap().one().unwrap());
    let _ = chat.channels().from(Source::Peers).await.unwrap();
    assert_eq!(chat.channels().await.unwrap().items[0].name, "room");
    assert_eq!(chat.topic("room").await.unwrap().one().unwrap().text, "of the future");
    let _ = chat.members("room").from(Source::Peers).await.unwrap();
    let members = chat.members("room").await.unwrap().items;
    assert_eq!((members[0].feed, members[0].nick.as_deref()), (author, Some("Anna")));
    let _ = chat.private(None, &options).from(Source::Peers).await.unwrap();
    let page = chat.private(None, &options).await.unwrap();
    assert_eq!((page.messages.len(), page.ahead), (0, 1));
    server.stop().await;
    reader.close().await.unwrap();
    writer.close().await.unwrap();
}

#[tokio::test]
async fn what_was_deleted_stays_so_when_payloads_are_cleared_and_all_is_made_anew() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    for text in ["kept", "gone"] {
        house.clock.at(house.clock.now().0 + 1);
        chat.post("room", text).await.unwrap();
    }
    chat.set_topic("room", "first").await.unwrap();
    house.clock.at(house.clock.now().0 + 1);
    let topic = chat.set_topic("room", "second").await.unwrap();
    let gone = read(&chat, &ReadOptions::latest(1)).await.messages[0].id;
    let deletes = [chat.delete(gone).await.unwrap(), chat.delete(topic).await.unwrap()];
    for delete in deletes {
        database.clear_for_good(delete.feed, RangeSet::from_iter([delete.seq])).await.unwrap();
    }
    drop(chat);
    database.close().await.unwrap();

    let database = house.builder("a").rebuild().open().await.unwrap();
    let chat = database.chat();
    assert_eq!(texts(&read(&chat, &ReadOptions::default()).await), ["kept"]);
    assert_eq!(chat.topic("room").await.unwrap().one().unwrap().text, "first");
    assert_eq!(database.verify().await.unwrap(), Vec::<String>::new());
    database.close().await.unwrap();
}

#[tokio::test]
async fn words_of_a_cleared_text_find_nothing() {
    let house = House::new();
    let database = house.create("a").await;
    let chat = database.chat();
    let (one, _) = (
        chat.post("room", "green tea, as much of it as you like, please").await.unwrap(),
        chat.post("room", "black tea").await.unwrap(),
    );
    house.clock.at(house.clock.now().0 + 10);
    let find = async |query: &str| {
        let page = chat.search(query, &SearchOptions::default()).await.unwrap();
        texts(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(find("Tea").await, ["black tea", "green tea, as much of it as you like, please"]);
    assert_eq!(find("gre* tea").await.len(), 1);
    database.clear_for_good(one.feed, RangeSet::from_iter([one.seq])).await.unwrap();
    assert_eq!(find("tea").await, ["black tea"]);
    assert_eq!(find("green").await, Vec::<String>::new());
    database.close().await.unwrap();
}

#[tokio::test]
async fn names_come_from_whoever_knows_them() {
    let house = House::new();
    // One peer has the message, another, sparse, only learnt what its author calls itself now.
    let anna = house.create("anna").await;
    let feed = anna.writer().await.unwrap();
    anna.chat().set_profile("nick", "anna").await.unwrap();
    anna.chat().post("room", "hello").await.unwrap();
    let server = serve(&anna).await;
    let reader = house.join("reader", &server.ticket()).await;
    let _ = reader.chat().read("room", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
    house.clock.at(house.clock.now().0 + 1);
    let nick = async || read(&reader.chat(), &ReadOptions::default()).await.messages[0].nick.clone();
    assert_eq!(nick().await.as_deref(), Some("anna"));
    // The reader has the message already; the new name must come all the same.
    anna.chat().set_profile("nick", "annette").await.unwrap();
    house.clock.at(house.clock.now().0 + 1);
    let answer = reader.chat().read("room", &ReadOptions::latest(10)).from(Source::Peers).await.unwrap();
    assert!(answer.is_complete(), "{answer:?}");
    assert_eq!(nick().await.as_deref(), Some("annette"));
    let _ = reader.chat().members("room").from(Source::Peers).await.unwrap();
    let members = reader.chat().members("room").await.unwrap().items;
    assert_eq!(
        members.iter().map(|m| (m.feed, m.nick.as_deref())).collect::<Vec<_>>(),
        [(feed, Some("annette"))]
    );
    server.stop().await;
    reader.close().await.unwrap();
    anna.close().await.unwrap();
}
