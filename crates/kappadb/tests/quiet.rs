//! What sessions that last cost: nothing while nothing happens, and little more than what is new when it does.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]
#![expect(clippy::print_stdout, reason = "figures for who looks at them")]

use kappadb::{Database, Interest, KvWatcher, Server, Source};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const SOON: Duration = Duration::from_secs(30);

/// One test at a time: they measure what the process uses.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn has(database: &Database, key: &str) {
    let begun = Instant::now();
    while database.kv().get(key).await.unwrap().items.is_empty() {
        assert!(begun.elapsed() < SOON, "{key} never comes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes that a replica has sent in the sessions that it has, all together.
fn sent(database: &Database) -> u64 {
    database.peers().states().iter().map(|state| state.bytes_sent).sum()
}

/// The time that this process has used, in hundredths of a second.
fn used() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit(") ").next().unwrap().split(' ').skip(11);
    fields.take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_who_follow_a_hub_cost_nothing_while_nothing_happens() {
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let hub = Database::builder(dir.path().join("hub")).create().await.unwrap();
    let _all = hub.follow(&Interest::Everything);
    let server = serve(&hub).await;
    let mut followers = Vec::new();
    for n in 0..20 {
        let builder = Database::builder(dir.path().join(n.to_string()));
        let database = builder.join(&server.ticket()).await.unwrap();
        let following = database.follow(&Interest::Everything);
        database.kv().put(format!("k{n}"), "v").await.unwrap();
        followers.push((database, following));
    }
    for n in 0..20 {
        has(&hub, &format!("k{n}")).await;
        for (database, _) in &followers {
            has(database, &format!("k{n}")).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sent_by_all = || sent(&hub) + followers.iter().map(|(database, _)| sent(database)).sum::<u64>();
    let (bytes, time) = (sent_by_all(), used());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (bytes, time) = (sent_by_all() - bytes, used() - time);
    println!("{bytes} bytes and {time} hundredths of a second in 10 s");
    assert!(bytes < 20 * 2 * 100 && time < 50, "{bytes} bytes, {time} hundredths of a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_ring_each_block_comes_to_each_once_from_who_wrote_it_and_at_most_once_from_who_heard_of_it() {
    const BLOCKS: u8 = 100;
    const LENGTH: u16 = 20_000;
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let first = Database::builder(dir.path().join("0")).create().await.unwrap();
    let server = serve(&first).await;
    let (mut ring, mut servers) = (vec![first], vec![server]);
    for n in 1..3 {
        let ticket = servers[n - 1].ticket();
        let next = Database::builder(dir.path().join(n.to_string())).join(&ticket).await.unwrap();
        servers.push(serve(&next).await);
        ring.push(next);
    }
    ring[0].peers().add(&servers[2].ticket(), None).await.unwrap();
    let _followed: Vec<_> = ring.iter().map(|database| database.follow(&Interest::Everything)).collect();
    for (n, database) in ring.iter().enumerate() {
        database.kv().put(format!("from {n}"), "v").await.unwrap();
        for other in &ring {
            has(other, &format!("from {n}")).await;
        }
    }
    let all = u64::from(BLOCKS) * u64::from(LENGTH);
    let before: Vec<u64> = ring.iter().map(sent).collect();
    for n in 0..BLOCKS {
        ring[0].kv().put(format!("k{n}"), vec![n; LENGTH.into()]).await.unwrap();
    }
    for other in &ring {
        has(other, &format!("k{}", BLOCKS - 1)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent: Vec<u64> = ring.iter().zip(before).map(|(database, before)| sent(database) - before).collect();
    let [writer, one, other] = sent[..] else { panic!() };
    println!("of {all} bytes the writer sent {writer}, the others {one} and {other}");
    assert!((2 * all..all * 22 / 10).contains(&writer), "of {all} bytes the writer sent {writer}");
    // Two who get a block at the same moment may both send it to each other.
    assert!(one < all * 11 / 10 && other < all * 11 / 10, "of {all} bytes the others sent {one} and {other}");
}

/// Waits until a watcher tells of a key.
async fn told(watcher: &mut KvWatcher, key: &str) {
    let tells = async { while watcher.next().await.unwrap().unwrap().key != key.as_bytes() {} };
    tokio::time::timeout(SOON, tells).await.unwrap();
}

/// Writes twenty values, of which all watchers tell. What was sent meanwhile.
async fn twenty_writes(name: &str, hub: &Database, reader: &Database, watchers: &mut [KvWatcher]) -> u64 {
    let before = sent(hub) + sent(reader);
    for n in 0..20 {
        let key = format!("k {name} {n}");
        hub.kv().put(key.clone(), "v").await.unwrap();
        for watcher in &mut *watchers {
            told(watcher, &key).await;
        }
    }
    sent(hub) + sent(reader) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_watch_the_same_or_less_cost_their_peer_one_question() {
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let hub = Database::builder(dir.path().join("hub")).create().await.unwrap();
    let server = serve(&hub).await;
    let reader = Database::builder(dir.path().join("reader")).join(&server.ticket()).await.unwrap();
    let mut watchers = vec![reader.kv().watch_prefix("k").live()];
    twenty_writes("first", &hub, &reader, &mut watchers).await;
    let by_one = twenty_writes("one", &hub, &reader, &mut watchers).await;
    for n in 1..50 {
        let prefix = if n % 2 == 0 { "k" } else { "k " };
        watchers.push(reader.kv().watch_prefix(prefix).live());
    }
    let by_fifty = twenty_writes("fifty", &hub, &reader, &mut watchers).await;
    println!("twenty values cost {by_one} bytes with one who watches, {by_fifty} with fifty");
    assert!(by_fifty < by_one * 3 / 2, "{by_one} bytes, and {by_fifty}");
    // Those who stay are told when those who began have left.
    watchers.drain(..25);
    twenty_writes("few", &hub, &reader, &mut watchers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_to_what_it_follows_pays_for_what_is_new_and_not_for_what_there_is() {
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let hub = Database::builder(dir.path().join("hub")).create().await.unwrap();
    for n in 0..200 {
        hub.new_writer(&format!("w{n}")).await.unwrap();
        let writer = hub.with_writer(&format!("w{n}")).await.unwrap();
        writer.kv().put(format!("k{n}"), vec![7; 2_000]).await.unwrap();
    }
    let server = serve(&hub).await;
    let address = server.address();
    let guest = Database::builder(dir.path().join("guest")).join(&server.ticket()).await.unwrap();
    guest.kv().put("of a guest", "v").await.unwrap();
    assert!(hub.kv().get("of a guest").from(Source::Peers).await.unwrap().one().is_some());
    let follower = Database::builder(dir.path().join("follower")).join(&server.ticket()).await.unwrap();
    let _following = follower.follow(&Interest::Everything);
    has(&follower, "k199").await;
    // Until what came last was confirmed.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.stop().await;
    hub.kv().put("late", "v").await.unwrap();
    let server = hub.serve(address).await.unwrap();
    has(&follower, "late").await;
    let cost = || -> u64 {
        follower.peers().states().iter().map(|state| state.bytes_received + state.bytes_sent).sum()
    };
    let cost_of_news = cost();
    println!("to come back to a hub with 200 feeds and one new entry cost {cost_of_news} bytes");
    assert!(cost_of_news < 3_000, "{cost_of_news} bytes");
    // What answers rest on has changed meanwhile: the hub cannot tell what came since, and is told all that is held, not sent for all again.
    server.stop().await;
    hub.drop_feed(guest.writer().await.unwrap()).await.unwrap();
    hub.kv().put("later", "v").await.unwrap();
    let _server = hub.serve(address).await.unwrap();
    has(&follower, "later").await;
    println!("and after a feed was dropped there, {} bytes", cost());
    assert!(cost() < 60_000, "{} bytes", cost());
}
