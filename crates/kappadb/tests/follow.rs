//! What is followed is here within moments after it was written anywhere, through whomever, and whoever was away meanwhile.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use kappadb::{Database, Interest, ReadOptions, Server, Source};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(10);

/// A new database that serves.
async fn hub() -> (TempDir, Database, Server) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("hub")).create().await.unwrap();
    let server = serve(&database).await;
    (dir, database, server)
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

/// A new replica that knows the server alone, and serves nobody.
async fn joined(server: &Server) -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("joined")).join(&server.ticket()).await.unwrap();
    (dir, database)
}

/// Waits until something is so, and says how long it took.
async fn until(mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < SOON, "it never comes");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

async fn text(database: &Database, key: &str) -> Option<String> {
    let item = database.kv().get(key).await.unwrap().one()?;
    item.text().map(str::to_owned)
}

async fn has(database: &Database, key: &str, value: &str) -> Duration {
    until(async || text(database, key).await.as_deref() == Some(value)).await
}

#[tokio::test]
async fn what_a_server_writes_is_with_its_followers_within_moments() {
    let (_a, hub, server) = hub().await;
    hub.kv().put("before", "old").await.unwrap();
    let (_b, reader) = joined(&server).await;
    let _following = reader.follow(&Interest::Everything);
    has(&reader, "before", "old").await;
    for n in 0..20 {
        hub.kv().put("n", n.to_string()).await.unwrap();
        let took = has(&reader, "n", &n.to_string()).await;
        assert!(took < Duration::from_secs(2), "{n}: {took:?}");
    }
    let answer = reader.kv().get("n").await.unwrap();
    assert!(
        answer.is_complete() || answer.as_of().is_some(),
        "what is followed is known to be whole: {answer:?}"
    );
}

#[tokio::test]
async fn what_one_who_only_joined_writes_is_heard_by_all_through_a_server_that_follows() {
    let (_a, hub, server) = hub().await;
    let _all = hub.follow(&Interest::Everything);
    let (_b, writer) = joined(&server).await;
    let (_c, reader) = joined(&server).await;
    let _some = reader.follow(&Interest::Prefix("fruit/".to_owned()));
    for n in 0..10 {
        writer.kv().put(format!("fruit/{n}"), "ripe").await.unwrap();
        has(&reader, &format!("fruit/{n}"), "ripe").await;
        writer.kv().put(format!("stone/{n}"), "hard").await.unwrap();
    }
    has(&hub, "stone/9", "hard").await;
    assert_eq!(text(&reader, "stone/0").await, None, "what is not followed is not fetched");
}

#[tokio::test]
async fn two_who_follow_each_other_have_what_both_wrote_and_a_watcher_tells_of_it() {
    let (_a, one, server) = hub().await;
    let (_b, two) = joined(&server).await;
    let _followed = [one.follow(&Interest::Everything), two.follow(&Interest::Everything)];
    let mut watched = two.kv().watch_prefix("k");
    one.kv().put("k1", "from one").await.unwrap();
    let told = tokio::time::timeout(SOON, watched.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(told.key, b"k1");
    two.kv().put("k2", "from two").await.unwrap();
    has(&one, "k2", "from two").await;
}

#[tokio::test]
async fn what_was_written_while_a_follower_was_away_comes_when_it_is_back() {
    let (_a, hub, server) = hub().await;
    let (dir, reader) = joined(&server).await;
    let following = reader.follow(&Interest::Everything);
    hub.kv().put("k", "1").await.unwrap();
    has(&reader, "k", "1").await;
    drop(following);
    reader.close().await.unwrap();
    hub.kv().put("k", "2").await.unwrap();
    let reader = Database::builder(dir.path().join("joined")).open().await.unwrap();
    let _following = reader.follow(&Interest::Everything);
    has(&reader, "k", "2").await;
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_followed_again() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Database::builder(dir.path().join("hub"));
    let hub = builder().create().await.unwrap();
    let server = serve(&hub).await;
    let address = server.address();
    let (_b, reader) = joined(&server).await;
    let _following = reader.follow(&Interest::Everything);
    hub.kv().put("k", "1").await.unwrap();
    has(&reader, "k", "1").await;
    server.stop().await;
    hub.close().await.unwrap();
    let hub = builder().open().await.unwrap();
    hub.kv().put("k", "2").await.unwrap();
    let _server = hub.serve(address).await.unwrap();
    has(&reader, "k", "2").await;
    hub.kv().put("k", "3").await.unwrap();
    has(&reader, "k", "3").await;
}

#[tokio::test]
async fn what_is_followed_whenever_it_serves_is_followed_after_the_next_start() {
    let (_a, hub, server) = hub().await;
    let (dir, reader) = joined(&server).await;
    let interest = || Interest::Prefix("a".to_owned());
    assert!(reader.add_follow(interest()).await.unwrap());
    assert!(!reader.add_follow(interest()).await.unwrap());
    assert_eq!(reader.follows(), [interest()]);
    reader.close().await.unwrap();
    let reader = Database::builder(dir.path().join("joined")).open().await.unwrap();
    assert_eq!(reader.follows(), [interest()]);
    hub.kv().put("a1", "x").await.unwrap();
    assert_eq!(text(&reader, "a1").await, None);
    let serving = serve(&reader).await;
    has(&reader, "a1", "x").await;
    // While it serves, the list can be changed.
    reader.add_follow(Interest::Key("b".to_owned())).await.unwrap();
    hub.kv().put("b", "y").await.unwrap();
    has(&reader, "b", "y").await;
    assert!(reader.remove_follow(interest()).await.unwrap());
    hub.kv().put("a2", "x").await.unwrap();
    hub.kv().put("b", "z").await.unwrap();
    has(&reader, "b", "z").await;
    assert_eq!(text(&reader, "a2").await, None);
    serving.stop().await;
}

#[tokio::test]
async fn messages_of_a_channel_come_with_the_names_of_their_authors_and_private_ones_to_whom_they_are_for() {
    let (_a, hub, server) = hub().await;
    let _all = hub.follow(&Interest::Everything);
    let (_b, ann) = joined(&server).await;
    let (_c, ben) = joined(&server).await;
    ann.chat().set_profile("nick", "Ann").await.unwrap();
    ben.chat().set_profile("nick", "Ben").await.unwrap();
    let _some = [
        ann.follow(&Interest::Private),
        ben.follow(&Interest::Channel("garden".to_owned())),
        ben.follow(&Interest::Private),
    ];
    ann.chat().post("garden", "hello").await.unwrap();
    let latest = async |of: &Database| of.chat().read("garden", &ReadOptions::latest(5)).await.unwrap();
    until(async || latest(&ben).await.messages.iter().any(|m| m.nick.as_deref() == Some("Ann"))).await;
    let to_ben = ben.writer().await.unwrap();
    ann.chat().send_private(to_ben, "psst").await.unwrap();
    let options = ReadOptions::latest(5);
    let private = async |of: &Database| of.chat().private(None, &options).await.unwrap().messages.len();
    until(async || private(&ben).await == 1).await;
    let to_ann = ann.writer().await.unwrap();
    ben.chat().send_private(to_ann, "yes?").await.unwrap();
    until(async || private(&ann).await == 2).await;
}

#[tokio::test]
async fn a_question_on_a_session_that_is_open_dials_nobody_and_costs_little() {
    let (_a, hub, server) = hub().await;
    for n in 0..50 {
        hub.kv().put(format!("k{n}"), "v").await.unwrap();
    }
    let (_b, reader) = joined(&server).await;
    let first = reader.kv().get("absent").from(Source::Peers).await.unwrap().asked;
    assert_eq!(first.round_trips, 3, "{first:?}");
    let second = reader.kv().get("absent too").from(Source::Peers).await.unwrap();
    assert!(second.is_complete());
    assert_eq!(second.asked.round_trips, 1, "{:?}", second.asked);
    let bytes = second.asked.bytes_received + second.asked.bytes_sent;
    assert!(bytes < 1_000, "{bytes}");
}

#[test]
fn a_database_that_is_used_in_one_runtime_after_another_goes_on_asking_and_following() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (serving, first, second) = (runtime(), runtime(), runtime());
    let (_a, hub, server) = serving.block_on(hub());
    let (_b, reader) = first.block_on(joined(&server));
    serving.block_on(async { hub.kv().put("k", "1").await.unwrap() });
    let asked = async || reader.kv().get("k").from(Source::Peers).await.unwrap();
    let following = first.block_on(async {
        assert!(asked().await.is_complete());
        reader.follow(&Interest::Everything)
    });
    drop(first);
    // Outside of any.
    drop(following);
    serving.block_on(async { hub.kv().put("k", "2").await.unwrap() });
    second.block_on(async {
        let answer = asked().await;
        assert_eq!(answer.one().unwrap().text(), Some("2"));
        let _following = reader.follow(&Interest::Everything);
        let more = hub.clone();
        serving.spawn(async move { more.kv().put("k", "3").await.unwrap() });
        has(&reader, "k", "3").await;
    });
}

#[tokio::test]
async fn a_feed_that_was_dropped_and_is_allowed_again_comes_back_to_who_follows() {
    let (_a, hub, server) = hub().await;
    let (_b, reader) = joined(&server).await;
    let _following = reader.follow(&Interest::Everything);
    hub.kv().put("k", "1").await.unwrap();
    has(&reader, "k", "1").await;
    let feed = hub.writer().await.unwrap();
    reader.drop_feed(feed).await.unwrap();
    reader.compact().await.unwrap();
    hub.kv().put("k", "2").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(text(&reader, "k").await, None);
    reader.allow_feed(feed).await.unwrap();
    has(&reader, "k", "2").await;
    hub.kv().put("k", "3").await.unwrap();
    has(&reader, "k", "3").await;
}

#[tokio::test]
async fn who_wrote_learns_whom_it_has_reached() {
    let (_a, hub, server) = hub().await;
    let (_b, reader) = joined(&server).await;
    let (_c, other) = joined(&server).await;
    let me = hub.kv().put("before", "x").await.unwrap();
    assert_eq!(hub.deliver(me, SOON).await.unwrap(), kappadb::Delivery::default(), "nobody is there");
    let _some =
        [reader.follow(&Interest::Prefix("k".to_owned())), other.follow(&Interest::Key("j".to_owned()))];
    until(async || hub.peers().states().len() == 2).await;
    hub.kv().put("k0", "x").await.unwrap();
    has(&reader, "k0", "x").await;
    let id = hub.kv().put("k1", "x").await.unwrap();
    let delivery = hub.deliver(id, SOON).await.unwrap();
    assert_eq!((delivery.held_by.len(), delivery.awaited.len()), (1, 0), "{delivery:?}");
    assert_eq!(hub.last_written().await.unwrap(), Some(id));
}

/// Passes on what two say, but for as long as `stops` is true.
async fn between(server: &Server, stops: tokio::sync::watch::Receiver<bool>) -> kappadb::Ticket {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut ticket, to) = (server.ticket(), server.address());
    ticket.addresses = vec![listener.local_addr().unwrap().to_string()];
    let pass = async |mut from: tokio::net::tcp::OwnedReadHalf,
                      mut to: tokio::net::tcp::OwnedWriteHalf,
                      mut stops: tokio::sync::watch::Receiver<bool>| {
        let mut buffer = [0; 4_096];
        while let Ok(count) = from.read(&mut buffer).await {
            stops.wait_for(|stops| !stops).await.unwrap();
            if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = tokio::net::TcpStream::connect(to).await.unwrap();
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(from_near, to_far, stops.clone()));
            tokio::spawn(pass(from_far, to_near, stops.clone()));
        }
    });
    ticket
}

#[tokio::test]
async fn one_who_called_and_let_a_question_wait_is_heard_again_once_it_is_awake() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Database::builder(dir.path().join("hub")).patience(Duration::from_millis(300));
    let hub = builder.create().await.unwrap();
    let server = serve(&hub).await;
    let _all = hub.follow(&Interest::Everything);
    let (stop, stops) = tokio::sync::watch::channel(false);
    let ticket = between(&server, stops).await;
    let caller = Database::builder(dir.path().join("caller")).join(&ticket).await.unwrap();
    let _following = caller.follow(&Interest::Everything);
    caller.kv().put("k", "1").await.unwrap();
    has(&hub, "k", "1").await;
    stop.send_replace(true);
    let answer = hub.kv().get("other").from(Source::Peers).await.unwrap();
    assert_eq!(answer.asked.failures.len(), 1, "{answer:?}");
    stop.send_replace(false);
    caller.kv().put("k", "2").await.unwrap();
    has(&hub, "k", "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_entry_is_the_one_that_was_written_last_whatever_else_came_of_own_feeds() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("db")).create().await.unwrap();
    assert_eq!(database.last_written().await.unwrap(), None);
    let long = database.kv().put("k", "one").await.unwrap();
    assert_eq!(database.last_written().await.unwrap(), Some(long));
    let second = database.kv().put("k", "two").await.unwrap();
    assert_eq!(database.last_written().await.unwrap(), Some(second));
    // The first of another writer, whose feed is shorter.
    database.new_writer("other").await.unwrap();
    let other = database.with_writer("other").await.unwrap().kv().put("k", "three").await.unwrap();
    assert_eq!(database.last_written().await.unwrap(), Some(other));
}
