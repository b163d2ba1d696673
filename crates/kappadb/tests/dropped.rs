//! Whatever future of the library is dropped, at whatever point it waits: the database is sound, and goes on.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::view::{Draft, Kind, Selector};
use kappadb::{
    Body, CreateError, Database, EntryId, Extent, Feature, FeedKey, Filter, FlagChange, Ids, ImportOptions,
    KeyRange, KvOp, Label, MapQuery, OpenError, PostOptions, ReadOptions, ScanOptions, SearchOptions, Server,
    Source, Trusted, WatchOptions, export, geojson,
};
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tempfile::TempDir;

/// Polls a future whenever it is woken, but so many times at most. None if it has not come to its end by then.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(move |context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            // The next poll would be one too many: it is dropped while what it has begun goes on.
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A database that is served, and a sparse replica of it.
struct World {
    dir: TempDir,
    home: Database,
    part: Database,
    server: Server,
    checks: usize,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let builder = |name: &str| {
            Database::builder(dir.path().join(name)).state(dir.path().join(format!("{name} state")))
        };
        let home = builder("home").create().await.unwrap();
        let server = home.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        let part = builder("part").join(&server.ticket()).await.unwrap();
        World { dir, home, part, server, checks: 0 }
    }

    /// Begins something again and again, and drops it after no poll, after one, after two, until it comes to its end.
    async fn drop_at_every_await<F: Future>(&mut self, what: &str, begin: impl Fn() -> F) {
        for times in 0.. {
            assert!(times < 2_000, "{what} does not end");
            let done = polled(begin(), times).await.is_some();
            self.check(what, times).await;
            if done {
                return;
            }
        }
    }

    async fn check(&mut self, what: &str, times: usize) {
        self.checks += 1;
        for database in [&self.home, &self.part] {
            let said = format!("{}", self.checks);
            let check = async {
                database.kv().put("check", said.as_str()).await.unwrap();
                database.kv().get("check").await.unwrap().one().unwrap()
            };
            let value = tokio::time::timeout(Duration::from_secs(120), check).await;
            assert!(value.is_ok(), "{what}, dropped after {times} polls: nothing goes on");
            let value = value.unwrap();
            assert_eq!(value.text(), Some(said.as_str()), "{what}, dropped after {times} polls");
        }
    }

    async fn is_sound(&self) {
        assert_eq!(self.home.verify().await.unwrap(), [""; 0]);
        assert_eq!(self.part.verify().await.unwrap(), [""; 0]);
    }

    fn file(&self) -> PathBuf {
        let file = self.dir.path().join("map.geojson");
        std::fs::write(&file, geojson::to_text(&cafe("from a file"))).unwrap();
        file
    }
}

fn cafe(id: &str) -> Feature {
    geojson::from_text(&format!(
        r#"{{"type":"Feature","id":"{id}","properties":{{"amenity":"cafe"}},"geometry":{{"type":"Point","coordinates":[24.9,60.1]}}}}"#
    ))
    .unwrap()
}

/// Does this with each of the futures that these expressions make.
macro_rules! dropped {
    ($world:expr, $($future:expr),+ $(,)?) => {$(
        $world.drop_at_every_await(stringify!($future), || async { $future.await }).await;
    )+};
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_values() {
    let mut world = World::new().await;
    let kv = world.home.kv();
    let id = kv.put("key", "value").await.unwrap();
    dropped!(
        world,
        kv.put("key", "other"),
        kv.put("large", vec![7; 300_000]),
        kv.put_if("key", "third", &[id]),
        kv.put_with_context("key", "beside", &[id]),
        kv.merge("key", "merged"),
        kv.update("key", |_| Some(b"updated".to_vec())),
        kv.batch(vec![KvOp::put("a", "1"), KvOp::put("b", "2")]),
        kv.delete("a"),
        kv.get("key"),
        kv.get_all(["key", "a"]),
        kv.heads("key"),
        kv.state("key"),
        kv.history("key"),
        kv.scan(&KeyRange::ALL, &ScanOptions::default()),
        async { kv.items(&KeyRange::ALL, &ScanOptions::default()).await.unwrap().next().await },
        async { kv.snapshot().await.unwrap().get("key").await },
        kv.read(id),
    );
    let part = world.part.kv();
    dropped!(
        world,
        part.get("key").from(Source::Peers),
        part.get("key").from(Source::Peers).within(Duration::from_millis(2)),
        part.get_all(["key"]).from(Source::Peers),
        part.state("key").from(Source::Peers),
        part.heads("key").from(Source::Peers),
        part.history("key").from(Source::Peers),
        part.scan(&KeyRange::ALL, &ScanOptions::default()).from(Source::Peers),
        part.scan(&KeyRange::ALL, &ScanOptions { limit: Some(1), ..Default::default() }).from(Source::Peers),
        async {
            let items = part.items(&KeyRange::ALL, &ScanOptions::default()).from(Source::Peers);
            items.await.unwrap().next().await
        },
        async { part.snapshot().from(Source::Peers).await.unwrap().get("key").await },
    );
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maps() {
    let mut world = World::new().await;
    let (map, file) = (world.home.map(), world.file());
    let (everywhere, filter) = ("-180,-90,180,90".parse::<Extent>().unwrap(), Filter::default());
    let query = MapQuery::new(everywhere.clone());
    let element = geojson::from_text_by_id(
        r#"{"type":"Feature","id":"n1","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"@type":"node","@id":1,"a":"b"}}"#,
    )
    .unwrap();
    assert!(matches!(element.body, Body::Osm(_)));
    let ids = ["cafe".to_owned()];
    dropped!(
        world,
        map.put(cafe("cafe")),
        map.put(element.clone()),
        map.put_if(cafe("cafe"), &[]),
        map.put_all(vec![cafe("inn"), cafe("bar")]),
        map.update("cafe", |_| Some(cafe("cafe"))),
        map.merge("cafe"),
        map.delete("bar"),
        map.attach("cafe", "photo", &b"bytes"[..], Label::default()),
        map.get("cafe"),
        map.query(&everywhere, None),
        map.find(&query),
        map.find_anywhere(&filter, None, None),
        map.list("", None, 10),
        map.several(None, 10),
        map.history("cafe"),
        map.referrers(&ids),
        map.expand("cafe"),
        map.osm_query(&everywhere),
        map.carried("n1"),
        map.import(&file, ImportOptions::default(), |_| ()),
        map.read_import(&file, &Ids::default()),
        map.export(export::Selection::Everything, export::ExportFormat::GeoJson, std::io::sink()),
    );
    let part = world.part.map();
    let feature = cafe("cafe");
    dropped!(
        world,
        part.query(&everywhere, None).from(Source::Peers),
        part.get("cafe").from(Source::Peers),
        part.find(&query).from(Source::Peers),
        part.find_anywhere(&filter, None, None).from(Source::Peers),
        part.list("", None, 10).from(Source::Peers),
        part.several(None, 10).from(Source::Peers),
        part.history("cafe").from(Source::Peers),
        part.referrers(&ids).from(Source::Peers),
        part.expand("cafe").from(Source::Peers),
        part.osm_query(&everywhere).from(Source::Peers),
        part.carried("n1").from(Source::Peers),
        part.touched_by_put(&feature).from(Source::Peers),
        part.touched_by_delete("cafe").from(Source::Peers),
        async { part.touched_by_import(part.read_import(&file, &Ids::default()).await.unwrap()).await },
    );
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chat() {
    let mut world = World::new().await;
    let chat = world.home.chat();
    let other = world.home.new_writer("other").await.unwrap();
    let me: FeedKey = world.home.writer().await.unwrap();
    let post = chat.post("tea", "text").await.unwrap();
    let doomed: EntryId = chat.post("tea", "to be deleted").await.unwrap();
    let private = chat.send_private(other, "text").await.unwrap();
    let (options, search) = (ReadOptions::latest(10), SearchOptions::default());
    let reply = PostOptions { reply_to: Some(post), ..PostOptions::default() };
    let (watch, trusted) = (WatchOptions::default(), Trusted { admins: [me].into(), ..Trusted::default() });
    dropped!(
        world,
        chat.post("tea", "another"),
        chat.post_with("tea", "answer", &reply),
        chat.emote("tea", "waves"),
        chat.set_topic("tea", "topic"),
        chat.join("tea"),
        chat.archive("tea", "reason"),
        chat.unarchive("tea", "reason"),
        chat.set_profile("nick", "anna"),
        chat.edit(post, "other words", None),
        chat.flag(Some("tea"), other, FlagChange::Add(Vec::new()), "reason"),
        chat.set_trusted(trusted.clone()),
        chat.send_private(other, "text"),
        chat.reply_private(other, "text", private),
        chat.delete(doomed),
        chat.mark_read("tea", None),
        chat.pin("anna", other),
        chat.unpin("anna"),
        chat.leave("tea"),
        chat.read("tea", &options),
        chat.history(post),
        chat.channels(),
        chat.exists("tea"),
        chat.members("tea"),
        chat.topic("tea"),
        chat.nick(me),
        chat.profile(me),
        chat.flags(),
        chat.private(None, &options),
        chat.unread(),
        chat.search("text", &search),
        chat.by_author(me, 10),
        chat.known_as("anna"),
        chat.alike(vec![(me, "anna".to_owned())]),
        chat.watch(&watch),
        async { chat.export().await.unwrap().next().await },
        chat.import(&br#"{"author":"ben","channel":"tea","timestamp":1,"text":"old"}"#[..], |_, _| ()),
    );
    let part = world.part.chat();
    dropped!(
        world,
        part.read("tea", &options).from(Source::Peers),
        part.members("tea").from(Source::Peers),
        part.channels().from(Source::Peers),
        part.by_author(me, 10).from(Source::Peers),
        part.profile(me).from(Source::Peers),
        part.known_as("anna").from(Source::Peers),
        part.flags().from(Source::Peers),
        part.history(post).from(Source::Peers),
        part.unread().from(Source::Peers),
        part.search("text", &search).from(Source::Peers),
        part.private(None, &options).from(Source::Peers),
    );
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_and_views_of_ones_own() {
    let mut world = World::new().await;
    let (home, blobs) = (world.home.clone(), world.home.blobs());
    let large = vec![7; 300_000];
    let blob = blobs.put(&large[..], Label::default()).await.unwrap();
    let draft = Draft { key: Some(b"key".to_vec()), ..Draft::new(Kind { space: 77, code: 0 }) };
    dropped!(
        world,
        blobs.put(&large[..], Label::default()),
        blobs.put(&b"small"[..], Label::default()),
        blobs.info(blob),
        blobs.list(None, 10),
        blobs.abandoned(),
        async { blobs.read(blob, ..).await.unwrap().next().await },
        home.write(vec![draft.clone(), draft.clone()]),
    );
    let (part, sparse) = (world.part.clone(), world.part.blobs());
    dropped!(
        world,
        sparse.list(None, 10).from(Source::Peers),
        sparse.fetch(blob, ..10),
        part.ask("kv", Selector::Everything).from(Source::Peers)
    );
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases() {
    let mut world = World::new().await;
    let (home, part) = (world.home.clone(), world.part.clone());
    let feed = home.writer().await.unwrap();
    let other = home.new_writer("other").await.unwrap();
    home.kv().put("value", vec![7; 1_000]).await.unwrap();
    let ticket = world.server.ticket();
    let key = part.peers().list()[0].key;
    let all: kappadb::RangeSet = std::iter::once(0..3).collect();
    let _ = part.ask("kv", Selector::Everything).from(Source::Peers).await.unwrap();
    dropped!(
        world,
        home.writer(),
        home.new_writer("third"),
        home.writers(),
        home.with_writer("other"),
        home.new_feed(),
        home.status(),
        home.ready(),
        home.verify(),
        home.rebuild(Some("kv")),
        home.clock_doubt(),
        home.find_feed(&feed.to_string()),
        home.find_entry(&format!("{feed}/0")),
        home.lost_entries(feed),
        home.recover_feed(other),
        home.settle(),
        home.settle_as_only_copy(),
        home.clear(feed, all.clone()),
        home.compact(),
        part.peers().rename(key, Some("home")),
        part.drop_feed(other),
        part.allow_feed(other),
        part.peers().add(&ticket, None),
        async { part.serve(([127, 0, 0, 1], 0).into()).await.unwrap().stop().await },
    );
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_and_closing() {
    let dir = tempfile::tempdir().unwrap();
    let builder = |name: &str| {
        Database::builder(dir.path().join(name)).state(dir.path().join("state")).wait(Duration::from_secs(60))
    };
    for times in 0.. {
        let name = format!("{times}");
        let created = polled(builder(&name).create(), times).await;
        let is_whole = created.is_some();
        drop(created);
        // Making it goes on if it was begun: there is nothing, or all of it.
        let database = loop {
            match builder(&name).open().await {
                Err(OpenError::NotADatabase(_)) => {}
                opened => break opened.unwrap(),
            }
            match builder(&name).create().await {
                Err(CreateError::Exists(_)) => {}
                created => break created.unwrap(),
            }
        };
        database.kv().put("key", "value").await.unwrap();
        let closed = polled(database.close(), times).await.is_some();
        let opened = polled(builder(&name).open(), times).await.is_some();
        let database = builder(&name).open().await.unwrap();
        assert!(database.kv().get("key").await.unwrap().one().is_some());
        assert_eq!(database.verify().await.unwrap(), [""; 0]);
        if is_whole && closed && opened {
            return;
        }
    }
}
