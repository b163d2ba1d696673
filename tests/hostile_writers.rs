//! What a member can do to others' entries, each tried by a writer that lies, over real connections, and each ended by one `drop_feed`:
//! everything is back, and answers are complete.

use kappadb::{Answer, Database, EntryId, Extent, FeedKey, GeoBox, Server, Source, Value, geojson};
use kappadb_core::FeedName;
use kappadb_entry::{Context, Header, Kind, Places, space};
use kappadb_tests::house::{House, serve};
use kappadb_tests::liar;
use std::time::{Duration, Instant};

/// Long after the end of every test.
const NEVER: u64 = 1_000_000_000;

/// `anna` and `bob` are honest, and ask each other; anna asks `mallory` too.
struct Town {
    house: House,
    anna: Database,
    bob: Database,
    mallory: Option<(Database, Server)>,
    liar: FeedKey,
    victim: FeedKey,
    _servers: Vec<Server>,
}

impl Town {
    async fn new() -> Town {
        let house = House::new();
        let anna = house.create("anna").await;
        let home = serve(&anna).await;
        let bob = house.join("bob", &home.ticket()).await;
        let mallory = house.join("mallory", &home.ticket()).await;
        let (victim, liar) = (anna.writer().await.expect("feed"), mallory.writer().await.expect("feed"));
        let neighbour = serve(&bob).await;
        anna.peers().add(&neighbour.ticket(), None).await.expect("peer");
        let server = serve(&mallory).await;
        anna.peers().add(&server.ticket(), None).await.expect("peer");
        let _servers = vec![home, neighbour];
        Town { house, anna, bob, mallory: Some((mallory, server)), liar, victim, _servers }
    }

    /// Mallory writes what the library would not.
    async fn lie(&mut self, headers: &[Header]) {
        let (mallory, server) = self.mallory.take().expect("open");
        let (id, address) = (mallory.id(), server.address());
        server.stop().await;
        mallory.close().await.expect("close");
        liar::append(&self.house.path("mallory"), id, self.liar, headers, b"a lie");
        let builder = self.house.builder("mallory");
        let mallory = builder.open().await.expect("open");
        let server = mallory.serve(address).await.expect("serve");
        self.mallory = Some((mallory, server));
    }
}

impl Town {
    /// Anna drops the feed that lies, and so does Bob.
    async fn drop_liar(&self) {
        for honest in [&self.anna, &self.bob] {
            honest.drop_feed(self.liar).await.expect("drop");
        }
    }

    fn now(&self) -> i64 {
        kappadb::Clock::now(&self.house.clock).0
    }
}

async fn ask(database: &Database, key: &str) -> Answer<Option<Value>> {
    let answer = database.kv().get_all([key]).from(Source::Peers).await.expect("ask");
    assert!(answer.asked.failures.is_empty(), "{:?}", answer.asked.failures);
    answer
}

async fn get(database: &Database, key: &str) -> Option<String> {
    let value = database.kv().get(key).await.expect("get").one();
    value.and_then(|value| value.text().map(str::to_owned))
}

async fn heads(database: &Database, key: &str) -> Vec<EntryId> {
    let mut heads: Vec<EntryId> =
        database.kv().heads(key).await.expect("heads").into_iter().map(|head| head.id).collect();
    heads.sort_unstable();
    heads
}

/// A version of a key that names these up to there, and is so deep.
fn version(key: &str, names: &[(FeedKey, u64)], depth: u32, time: i64) -> Header {
    let mut vector: Vec<(FeedName, u64)> = names.iter().map(|(feed, seq)| (feed.name(), *seq)).collect();
    vector.sort_unstable();
    Header {
        key: Some(key.into()),
        context: Context { vector, ..Context::NOTHING },
        depth,
        ..Header::new(Kind { space: space::KV, code: 0 }, kappadb::Timestamp(time))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_at_its_greatest_hides_a_key_until_the_feed_is_dropped() {
    let mut town = Town::new().await;
    town.anna.kv().put("k", "one").await.expect("put");
    let deepest = version("k", &[(town.victim, NEVER)], u32::MAX, town.now() + 500);
    town.lie(&[deepest]).await;
    let _ = ask(&town.anna, "k").await;
    town.house.clock.pass();
    town.anna.kv().put("k", "two").await.expect("put");
    assert_eq!(get(&town.anna, "k").await.as_deref(), Some("a lie"), "what it names is hidden");
    // Bob writes on, in a row: nothing that is honest gets as deep as the lie.
    let _ = ask(&town.bob, "k").await;
    let first = town.bob.kv().put("k", "three").await.expect("put");
    town.drop_liar().await;
    assert!(ask(&town.bob, "k").await.is_complete() && ask(&town.anna, "k").await.is_complete());
    for honest in [&town.anna, &town.bob] {
        assert_eq!(heads(honest, "k").await, [first], "it replaced what was known, hidden or not");
        assert_eq!(get(honest, "k").await.as_deref(), Some("three"));
    }
    town.house.clock.pass();
    let last = town.anna.kv().put("k", "four").await.expect("put");
    assert!(ask(&town.bob, "k").await.is_complete());
    assert_eq!(
        (heads(&town.bob, "k").await, get(&town.bob, "k").await.as_deref()),
        (vec![last], Some("four"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feeds_future_that_was_named_is_not_hidden_by_honest_writers_and_who_did_it_is_named() {
    let mut town = Town::new().await;
    let (victim, liar) = (town.victim, town.liar);
    town.anna.kv().put("k", "one").await.expect("put");
    let _ = ask(&town.bob, "k").await;
    let future = version("k", &[(victim, NEVER)], 7, town.now());
    town.lie(&[future]).await;
    let (_, server) = town.mallory.as_ref().expect("open");
    town.bob.peers().add(&server.ticket(), None).await.expect("peer");
    let _ = ask(&town.bob, "k").await;
    // Bob's replaces the lie, and does not take it over.
    let of_bob = town.bob.kv().put("k", "of bob").await.expect("put");
    town.house.clock.pass();
    // Anna has seen neither. What she writes is hidden as long as the lie counts.
    let of_anna = town.anna.kv().put("k", "of anna").await.expect("put");
    assert!(ask(&town.anna, "k").await.is_complete());
    assert_eq!(heads(&town.anna, "k").await, [of_bob]);

    let names_liar = |texts: Vec<String>| {
        texts.iter().filter(|text| text.contains(&format!("kappa feed drop {liar}"))).count()
    };
    let lies = |database: Database| async move {
        let feeds = database.status().await.expect("status").feeds;
        feeds.into_iter().filter(|feed| feed.lies).map(|feed| feed.feed).collect::<Vec<_>>()
    };
    assert_eq!(lies(town.anna.clone()).await, [liar.to_string()], "and not Bob's");
    assert_eq!(names_liar(town.anna.warnings()), 1, "{:?}", town.anna.warnings());
    assert_eq!(names_liar(town.anna.verify().await.expect("verify")), 1);
    assert!(lies(town.bob.clone()).await.is_empty(), "nothing of his is named");

    town.drop_liar().await;
    let mut both = vec![of_anna, of_bob];
    both.sort_unstable();
    for honest in [&town.bob, &town.anna] {
        assert!(ask(honest, "k").await.is_complete());
        assert_eq!(heads(honest, "k").await, both, "side by side");
        assert_eq!(get(honest, "k").await.as_deref(), Some("of anna"));
    }
    assert!(lies(town.anna.clone()).await.is_empty());
    assert_eq!(names_liar(town.anna.warnings()), 0, "it was dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_is_still_named_after_a_restart_and_with_derived_data_made_anew() {
    let mut town = Town::new().await;
    let (victim, liar) = (town.victim, town.liar);
    // Up to what there is, anybody may have seen.
    town.anna.kv().put("k", "one").await.expect("put");
    town.lie(&[version("k", &[(victim, 0)], 1, town.now())]).await;
    let _ = ask(&town.anna, "k").await;
    town.anna.ready().await.expect("ready");
    assert_eq!(town.anna.warnings(), Vec::<String>::new());
    town.lie(&[version("other", &[(victim, 1)], 1, town.now())]).await;
    let _ = ask(&town.anna, "other").await;
    // By now there is an entry of that seq, but there was not when it was named.
    town.anna.kv().put("k", "two").await.expect("put");
    let Town { house, anna, bob, mallory, _servers, .. } = town;
    for server in _servers.into_iter().chain(mallory.map(|(_, server)| server)) {
        server.stop().await;
    }
    drop(bob);
    anna.close().await.expect("close");
    for rebuild in [false, true] {
        let builder = house.builder("anna");
        let anna = if rebuild { builder.rebuild() } else { builder }.open().await.expect("open");
        anna.ready().await.expect("ready");
        let warnings = anna.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(&liar.to_string()), "{warnings:?}");
        anna.close().await.expect("close");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_a_second_apart_for_long_win_for_ever_until_the_feed_is_dropped() {
    let mut town = Town::new().await;
    let now = town.now();
    let lies: Vec<Header> = (0..2_000).map(|n| version("k", &[], u32::MAX, now + n * 1_000)).collect();
    town.lie(&lies).await;
    let _ = ask(&town.anna, "k").await;
    for second in [0, 700, 1_900] {
        town.house.clock.at(now + second * 1_000 + 10);
        town.anna.kv().put("k", format!("honest {second}")).await.expect("put");
        town.house.clock.at(now + (second + 2) * 1_000);
        assert_eq!(get(&town.anna, "k").await.as_deref(), Some("a lie"), "there is always a later one");
    }
    town.drop_liar().await;
    assert!(ask(&town.bob, "k").await.is_complete());
    for honest in [&town.anna, &town.bob] {
        assert_eq!(get(honest, "k").await.as_deref(), Some("honest 1900"));
        assert_eq!(heads(honest, "k").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_all_over_the_world_empties_the_map_until_the_feed_is_dropped() {
    let mut town = Town::new().await;
    let world = Extent::from(GeoBox::WORLD);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(format!("place-{n:02}"));
        let text = format!(
            r#"{{"type": "Feature", "id": "place-{n:02}", "properties": {{}}, "geometry": {{"type": "Point", "coordinates": [{n}, {n}]}}}}"#
        );
        town.anna.map().put(geojson::from_text(&text).expect("feature")).await.expect("put");
    }
    let erase = |id: &String| Header {
        past: Places::on_map(&world),
        kind: Kind { space: space::MAP, code: 1 },
        ..version(id, &[(town.victim, NEVER)], u32::MAX, 0)
    };
    let lies: Vec<Header> = ids.iter().map(erase).collect();
    town.lie(&lies).await;
    let found = |database: Database, area: Extent| async move {
        let answer = database.map().query(&area, None).from(Source::Peers).await.expect("ask");
        let hits = database.map().query(&area, None).await.expect("query").items;
        let mut ids: Vec<String> = hits.into_iter().map(|hit| hit.id).collect();
        ids.sort_unstable();
        (answer.is_complete(), ids)
    };
    let here: Extent = "3.5,3.5,5.5,5.5".parse().expect("a box");
    for honest in [&town.anna, &town.bob] {
        assert_eq!(found(honest.clone(), world.clone()).await, (true, vec![]), "all is erased");
    }
    town.drop_liar().await;
    assert_eq!(found(town.bob.clone(), here).await, (true, ids[4..6].to_vec()));
    for honest in [&town.anna, &town.bob] {
        assert_eq!(found(honest.clone(), world.clone()).await, (true, ids.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_thousand_blind_versions_of_a_key_cost_that_key_and_go_with_their_feed() {
    let mut town = Town::new().await;
    town.anna.kv().put("k", "mine").await.expect("put");
    town.anna.kv().put("other", "untouched").await.expect("put");
    let lies: Vec<Header> = (0..16_000).map(|n| version("k", &[], 0, n)).collect();
    town.lie(&lies).await;
    let begun = Instant::now();
    let answer = ask(&town.anna, "k").await;
    assert_eq!((answer.is_complete(), answer.asked.blocks_fetched), (true, 16_000));
    town.anna.ready().await.expect("ready");
    assert_eq!(get(&town.anna, "k").await.as_deref(), Some("mine"));
    assert_eq!(heads(&town.anna, "k").await.len(), 16_001);
    assert_eq!(get(&town.anna, "other").await.as_deref(), Some("untouched"));
    town.anna.kv().put("other", "written").await.expect("put");
    let put = town.anna.kv().put("k", "again").await.expect("put");
    assert_eq!(heads(&town.anna, "k").await, [put]);
    town.drop_liar().await;
    assert!(ask(&town.bob, "k").await.is_complete());
    assert_eq!(
        (get(&town.bob, "k").await.as_deref(), heads(&town.bob, "k").await),
        (Some("again"), vec![put])
    );
    // The batch took half a minute and more when each version was compared with, and copied for, each other.
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_versions_that_name_each_other_cost_that_key_and_go_with_their_feed() {
    let mut town = Town::new().await;
    town.anna.kv().put("k", "mine").await.expect("put");
    town.anna.kv().put("other", "untouched").await.expect("put");
    // Each replaces those before it; none makes one redundant, for each names something that no other names.
    let lie = |n: u32| {
        let mut lie = version("k", &[(town.liar, NEVER)], n + 1, i64::from(n));
        lie.context.ids = vec![EntryId { feed: FeedKey([7; 32]), seq: u64::from(n) }];
        lie
    };
    let lies: Vec<Header> = (0..4_000).map(lie).collect();
    town.lie(&lies).await;
    let answer = ask(&town.anna, "k").await;
    assert_eq!((answer.is_complete(), answer.asked.blocks_fetched), (true, 4_000));
    assert_eq!(heads(&town.anna, "k").await.len(), 2, "the deepest, and what it does not name");
    assert_eq!(get(&town.anna, "k").await.as_deref(), Some("mine"));
    assert_eq!(get(&town.anna, "other").await.as_deref(), Some("untouched"));
    town.anna.kv().put("other", "written").await.expect("put");
    let put = town.anna.kv().put("k", "again").await.expect("put");
    assert_eq!(heads(&town.anna, "k").await, [put]);
    town.drop_liar().await;
    assert!(ask(&town.bob, "k").await.is_complete());
    assert_eq!(get(&town.bob, "k").await.as_deref(), Some("again"));
    assert_eq!(heads(&town.bob, "k").await, [put]);
}
