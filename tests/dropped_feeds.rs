//! Dropping a feed leaves no hole: after it answers are complete again, leaving out what was dropped, whatever that had replaced and
//! whatever others dropped. Real databases, real connections.

use kappadb::{
    Database, EntryId, FeedKey, ReadOptions, SearchOptions, Server, Source, Timestamp, view::Selector,
};
use kappadb_entry::{Context, Header, Kind, space};
use kappadb_sim::{Random, enough, seeds};
use kappadb_tests::house::{House, asks, serve};
use kappadb_tests::liar;
use kappadb_tests::model::{self, Entries};
use std::collections::{BTreeMap, BTreeSet};

/// Four of a database: `mallory` lies, `anna` asks mallory, `relay` asks both, `asker` asks the relay alone.
struct Ring {
    house: House,
    nodes: Vec<(&'static str, Database, Server)>,
    feeds: Vec<FeedKey>,
}

const NAMES: [&str; 4] = ["mallory", "anna", "relay", "asker"];

fn key(random: &mut Random) -> String {
    format!("k{}", random.below(5))
}

impl Ring {
    async fn new(random: &mut Random) -> Ring {
        let house = House::new();
        let mallory = house.create("mallory").await;
        let ticket = serve(&mallory).await.ticket();
        let mut databases = vec![mallory];
        for name in &NAMES[1..] {
            databases.push(house.join(name, &ticket).await);
        }
        let mut feeds = Vec::new();
        for database in &databases {
            feeds.push(database.writer().await.expect("writer"));
        }
        let mallory = databases.remove(0);
        let id = mallory.id();
        mallory.close().await.expect("close");
        let lies: Vec<Header> = (0..12).map(|_| lie(&feeds, random)).collect();
        liar::append(&house.path("mallory"), id, feeds[0], &lies, b"a lie");
        let builder = house.builder("mallory");
        databases.insert(0, builder.open().await.expect("open"));
        let mut nodes = Vec::new();
        for (name, database) in NAMES.into_iter().zip(databases) {
            let server = serve(&database).await;
            for peer in database.peers().list() {
                database.peers().remove(peer.key).await.expect("remove");
            }
            nodes.push((name, database, server));
        }
        for (who, peer) in [(1, 0), (2, 0), (2, 1), (3, 2)] {
            nodes[who].1.peers().add(&nodes[peer].2.ticket(), None).await.expect("peer");
        }
        Ring { house, nodes, feeds }
    }

    /// How long each feed is that counts for `who`, as far as it or one that it asks knows and counts it.
    async fn known(&self, who: usize) -> (BTreeMap<FeedKey, u64>, BTreeSet<FeedKey>) {
        let (mut known, mut dropped) = (BTreeMap::<FeedKey, u64>::new(), BTreeSet::new());
        for (node, (_, database, server)) in self.nodes.iter().enumerate() {
            if node != who && !asks(&self.nodes[who].1, server) {
                continue;
            }
            for feed in database.status().await.expect("status").feeds {
                let key: FeedKey = feed.feed.parse().expect("key");
                if node == who && feed.dropped {
                    dropped.insert(key);
                }
                if !feed.dropped {
                    let longest = known.entry(key).or_default();
                    *longest = feed.length.max(*longest);
                }
            }
        }
        known.retain(|feed, _| !dropped.contains(feed));
        (known, dropped)
    }

    async fn drop_or_allow(&self, who: usize, random: &mut Random) {
        let feed = *random.pick(&self.feeds);
        let database = &self.nodes[who].1;
        let dropped = database.status().await.expect("status").feeds;
        let dropped = dropped.iter().any(|info| info.dropped && info.feed == feed.to_string());
        if feed == self.feeds[who] {
            return;
        }
        match dropped {
            true => database.allow_feed(feed).await.expect("allow"),
            false => database.drop_feed(feed).await.expect("drop"),
        }
        if random.chance(30) {
            database.compact().await.expect("compact");
        }
    }

    async fn end(self) -> Entries {
        let mut all = Entries::new();
        for (name, database, server) in self.nodes {
            let id = database.id();
            server.stop().await;
            for feed in database.status().await.expect("status").feeds.iter().filter(|feed| feed.dropped) {
                database.allow_feed(feed.feed.parse().expect("key")).await.expect("allow");
            }
            database.close().await.expect("close");
            all.extend(liar::entries(&self.house.path(name), id));
        }
        all
    }
}

/// Names much, past and future, and is as deep as it gets.
fn lie(feeds: &[FeedKey], random: &mut Random) -> Header {
    let mut vector: Vec<_> = feeds.iter().map(|feed| (feed.name(), random.below(9))).collect();
    vector.retain(|_| random.chance(70));
    vector.sort_unstable();
    let kind = Kind { space: space::KV, code: 0 };
    Header {
        key: Some(key(random).into_bytes()),
        context: Context { vector, ..Context::NOTHING },
        depth: *random.pick(&[1, 5, u32::MAX]),
        ..Header::new(kind, Timestamp(1_000_000))
    }
}

/// What `who` was told of a key, and when it was said to be complete.
struct Seen {
    key: String,
    heads: Vec<EntryId>,
    known: BTreeMap<FeedKey, u64>,
    at: String,
}

/// Property 3, and 2: what is said to be complete is the answer over all that those know who took part, without what the asker dropped.
#[tokio::test(flavor = "multi_thread")]
async fn truthful_completion_without_dropped_feeds() {
    let (mut left_out, mut complete, mut partial) = (0, 0, 0);
    for seed in seeds(0..6) {
        let mut random = Random::new(seed);
        let ring = Ring::new(&mut random).await;
        let mut seen = Vec::new();
        for step in 0..70 {
            let (who, key) = (1 + random.below(3) as usize, key(&mut random));
            let database = &ring.nodes[who].1;
            match random.below(10) {
                0..3 => drop(database.kv().put(key, step.to_string()).await.expect("put")),
                3 => ring.drop_or_allow(who, &mut random).await,
                _ => {
                    let (known, dropped) = ring.known(who).await;
                    let selector = match random.chance(30) {
                        true => Selector::Prefix(b"k".to_vec()),
                        false => Selector::keys([key.as_str()]),
                    };
                    let answer = database.ask("kv", selector).from(Source::Peers).await.expect("ask");
                    let failures = &answer.asked.failures;
                    assert!(failures.is_empty(), "seed {seed}, step {step}: {failures:?}");
                    if !answer.is_complete() {
                        partial += 1;
                        continue;
                    }
                    complete += 1;
                    left_out += usize::from(!dropped.is_empty());
                    let mut heads: Vec<EntryId> = database
                        .kv()
                        .heads(&key)
                        .await
                        .expect("heads")
                        .items
                        .into_iter()
                        .map(|head| head.id)
                        .collect();
                    heads.sort_unstable();
                    let at = format!("seed {seed}, step {step}, {who}, dropped {dropped:?}, known {known:?}");
                    seen.push(Seen { key, heads, known, at });
                }
            }
        }
        let all = ring.end().await;
        for Seen { key, heads, known, at } in seen {
            let mut entries = all.clone();
            entries.retain(|id, _| known.get(&id.feed).is_some_and(|length| id.seq < *length));
            let expected = model::of_keys(&entries, |of| of == key.as_bytes());
            let expected = expected.into_values().next().unwrap_or_default();
            assert_eq!(heads, expected, "{at}, {key}");
        }
    }
    assert!(
        enough(left_out > 40 && complete > 60 && partial > 5),
        "{left_out} of {complete} left out, {partial} partial"
    );
}

/// What was said in chat.
#[derive(Default)]
struct Ledger {
    posts: Vec<(EntryId, String)>,
    /// Which post, and by which entry.
    taken_back: Vec<(EntryId, EntryId)>,
    topics: Vec<(EntryId, String)>,
    nicks: Vec<(EntryId, String)>,
}

const CHANNELS: [&str; 2] = ["tea", "coffee"];

impl Ledger {
    /// `database` says something in `channel`.
    async fn say(&mut self, database: &Database, channel: &str, step: usize, random: &mut Random) {
        let chat = database.chat();
        let feed = database.writer().await.expect("writer");
        let text = format!("{channel} {step}");
        let is_there = |id: &EntryId| self.taken_back.iter().all(|(target, _)| target != id);
        let own = self.posts.iter().map(|(id, _)| *id).filter(|id| id.feed == feed && is_there(id));
        let own = own.collect::<Vec<_>>();
        match random.below(8) {
            0 if !own.is_empty() => {
                let target = *random.pick(&own);
                self.taken_back.push((target, chat.delete(target).await.expect("delete")));
            }
            1 | 2 => self.topics.push((chat.set_topic(channel, &text).await.expect("topic"), text)),
            3 => self.nicks.push((chat.set_profile("nick", &text).await.expect("nick"), text)),
            _ => self.posts.push((chat.post(channel, &text).await.expect("post"), text)),
        }
    }

    /// The texts of a channel in their order, with what their authors are called, as somebody sees it who knows and counts the feeds up to
    /// these lengths.
    fn read(&self, channel: &str, known: &BTreeMap<FeedKey, u64>) -> Vec<(String, Option<String>)> {
        let counts = |id: &EntryId| known.get(&id.feed).is_some_and(|length| id.seq < *length);
        let gone = |id: &EntryId| self.taken_back.iter().any(|(target, by)| target == id && counts(by));
        let nick = |id: &EntryId| self.nicks.iter().rfind(|(by, _)| by.feed == id.feed && counts(by));
        let posts =
            self.posts.iter().filter(|(id, text)| text.starts_with(channel) && counts(id) && !gone(id));
        posts.map(|(id, text)| (text.clone(), nick(id).map(|(_, nick)| nick.clone()))).collect()
    }

    /// Honest writers replace what is older, so the latest that counts shows.
    fn topic(&self, channel: &str, known: &BTreeMap<FeedKey, u64>) -> Option<&str> {
        let counts = |id: &EntryId| known.get(&id.feed).is_some_and(|length| id.seq < *length);
        let found = self.topics.iter().rfind(|(id, text)| text.starts_with(channel) && counts(id));
        found.map(|(_, text)| &**text)
    }
}

/// The same in chat: messages that only a dropped feed said are gone, its topics and names too, and the topics that it had replaced are back.
#[tokio::test(flavor = "multi_thread")]
async fn truthful_completion_without_dropped_feeds_in_chat() {
    let (mut left_out, mut complete) = (0, 0);
    for seed in seeds(0..4) {
        let mut random = Random::new(seed);
        let ring = Ring::new(&mut random).await;
        let mut ledger = Ledger::default();
        for step in 0..70 {
            let (who, channel) = (random.below(4) as usize, *random.pick(&CHANNELS));
            let database = &ring.nodes[who].1;
            ring.house.clock.pass();
            match random.below(10) {
                0..4 => ledger.say(database, channel, step, &mut random).await,
                4 if who > 0 => ring.drop_or_allow(who, &mut random).await,
                _ if who > 0 => {
                    let (known, dropped) = ring.known(who).await;
                    let (chat, options) = (database.chat(), ReadOptions::default());
                    let answer = match random.chance(30) {
                        true => chat.search("", &SearchOptions::default()).from(Source::Peers).await,
                        false => chat.read(channel, &options).from(Source::Peers).await,
                    };
                    let asked = answer.expect("ask").asked;
                    assert!(asked.failures.is_empty(), "seed {seed}, step {step}: {:?}", asked.failures);
                    if !asked.complete {
                        continue;
                    }
                    complete += 1;
                    left_out += usize::from(!dropped.is_empty());
                    let at = format!("seed {seed}, step {step}, {who}, dropped {dropped:?}, known {known:?}");
                    let mut page = chat.read(channel, &options).await.expect("read").messages;
                    page.reverse();
                    let texts = page.into_iter().map(|m| (m.said.text().unwrap_or("?").to_owned(), m.nick));
                    assert_eq!(texts.collect::<Vec<_>>(), ledger.read(channel, &known), "{at}");
                    let topic = chat.topic(channel).await.expect("topic").one().map(|topic| topic.text);
                    assert_eq!(topic.as_deref(), ledger.topic(channel, &known), "{at}");
                }
                _ => {}
            }
        }
        drop(ring.end().await);
    }
    assert!(enough(left_out > 15 && complete > 30), "{left_out} of {complete} left out");
}
