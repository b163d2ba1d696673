//! What lies beyond a fork of a feed that was written here: it is listed, and appended again once.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

mod common;
#[path = "common/copies.rs"]
mod copies;

use common::{copy_with_state, join, open, run, serve, state};
use copies::{Copies, ask_all, length, list};
use kappadb::view::{Draft, Kind};
use kappadb::{
    Content, Database, EntryId, Extent, FeedKey, Label, Map, NotRecovered, RangeSet, ReadOptions,
    RecoverError, Recovered, Says, Source, Standing, geojson,
};
use std::fs;

impl Copies {
    /// As [`Copies::meet`], but at first only an end of either is known.
    async fn meet_from_afar(&self) -> Database {
        let path = self.dir.path().join("c");
        let (a, b) = (serve(&self.a).await, serve(&self.b).await);
        for (server, key) in [(&a, "a 5"), (&b, "b 5")] {
            let c = join(&path, server).await;
            let _ = c.kv().get_all([key]).from(Source::Peers).await.unwrap();
            c.close().await.unwrap();
        }
        for server in [&a, &b, &a] {
            let c = join(&path, server).await;
            ask_all(&c).await;
            c.close().await.unwrap();
        }
        open(&path).await
    }

    async fn ask(&self, c: Database, of: &Database) -> Database {
        c.close().await.unwrap();
        let server = serve(of).await;
        let c = join(&self.dir.path().join("c"), &server).await;
        ask_all(&c).await;
        server.stop().await;
        c
    }
}

async fn put(database: &Database, key: &str, value: &str) -> EntryId {
    database.kv().put(key, value).await.unwrap()
}

async fn get(database: &Database, key: &str) -> Option<String> {
    let value = database.kv().get(key).await.unwrap().one()?;
    assert_eq!(value.heads.len(), 1, "{key}: no conflict");
    Some(value.text().unwrap().to_owned())
}

async fn standings(database: &Database, feed: FeedKey) -> Vec<Standing> {
    list(database, feed).await.into_iter().map(|entry| entry.standing).collect()
}

fn warned(database: &Database) -> bool {
    database.warnings().iter().any(|text| text.contains("kappa feed recover"))
}

#[test]
fn both_copies_get_back_what_they_wrote_and_everybody_sees_all_of_it_once() {
    run(async {
        let copies = Copies::new(async |db| _ = put(db, "old", "0").await).await;
        let Copies { a, b, feed, .. } = &copies;
        for (copy, name) in [(a, "a"), (b, "b")] {
            put(copy, &format!("{name} only"), name).await;
            put(copy, "old", "1").await;
            put(copy, "old", &format!("2 by {name}")).await;
            assert!(list(copy, *feed).await.is_empty(), "nothing has forked yet");
            assert_eq!(copy.recover_feed(*feed).await.unwrap(), Recovered::default());
        }
        let mut c = copies.meet().await;
        assert_eq!(get(&c, "old").await.as_deref(), Some("0"));
        for (copy, name) in [(a, "a"), (b, "b")] {
            assert!(warned(copy), "{:?}", copy.warnings());
            assert_eq!(get(copy, &format!("{name} only")).await, None);
            let lost = list(copy, *feed).await;
            let says: Vec<_> = lost.iter().map(|entry| entry.says.kind()).collect();
            assert_eq!(says, ["put"; 3]);
            let Says::Key { key, content: Content::Value(value) } = &lost[2].says else {
                panic!("{lost:?}");
            };
            assert_eq!((&key[..], &value[..]), (&b"old"[..], format!("2 by {name}").as_bytes()));
            assert_eq!(lost[1].standing, Standing::Replaced(lost[2].id));
            let recovered = copy.recover_feed(*feed).await.unwrap();
            assert_eq!(recovered.entries.len(), 2, "what was replaced is not in the way again");
            assert!(recovered.left_out.is_empty());
            assert_eq!(get(copy, "old").await, Some(format!("2 by {name}")));
            assert_eq!(get(copy, &format!("{name} only")).await.as_deref(), Some(name));
            assert!(!warned(copy), "{:?}", copy.warnings());
            // Once is enough.
            let before = length(copy).await;
            assert_eq!(copy.recover_feed(*feed).await.unwrap(), Recovered::default());
            assert_eq!(length(copy).await, before);
            let again = standings(copy, *feed).await;
            assert_eq!(again[0], Standing::Recovered(recovered.entries[0].1));
            assert_eq!(again[2], Standing::Recovered(recovered.entries[1].1));
            // As it was written then, in the feed that goes on.
            let value = copy.kv().get("old").await.unwrap().one().unwrap();
            assert_eq!((value.time, value.id), (lost[2].time, recovered.entries[1].1));
            assert_ne!(value.author, *feed);
            c = copies.ask(c, copy).await;
        }
        for key in ["a only", "b only"] {
            assert!(get(&c, key).await.is_some(), "{key}");
        }
        let heads = c.kv().heads("old").await.unwrap().items;
        assert_eq!(heads.len(), 2, "two wrote without each other: a conflict of just these {heads:?}");
        assert!(c.verify().await.unwrap().is_empty());
    });
}

/// What two copies have alike beyond the number for which the fork was proved stands once, whoever brings it back first.
async fn common_to_both_stands_once(common: usize) -> bool {
    let copies = Copies::new(async |db| {
        for n in 0..common {
            put(db, &format!("common {n}"), "1").await;
            db.chat().post("tea", &format!("common {n}")).await.unwrap();
        }
        db.chat().set_profile("nick", "ann").await.unwrap();
    })
    .await;
    for (copy, name) in [(&copies.a, "a"), (&copies.b, "b")] {
        for n in 0..6 {
            put(copy, &format!("{name} {n}"), name).await;
            copy.chat().post("tea", &format!("{name} {n}")).await.unwrap();
        }
    }
    // One that both have, and one of them wrote over.
    put(&copies.b, "common 0", "2").await;
    let c = copies.meet_from_afar().await;
    let Copies { a, feed, .. } = &copies;
    let feed = *feed;
    let fork =
        a.status().await.unwrap().feeds.iter().find(|f| f.feed == feed.to_string()).unwrap().fork.unwrap();
    assert!(!a.recover_feed(feed).await.unwrap().entries.is_empty());
    // Copies are one peer to others, and hear of each other from somebody else.
    let c = copies.ask(c, &copies.a).await;
    let server = serve(&c).await;
    let Copies { b, dir, .. } = copies;
    b.close().await.unwrap();
    let b = join(&dir.path().join("b"), &server).await;
    let recovered = b.recover_feed(feed).await.unwrap();
    assert!(recovered.left_out.is_empty(), "{recovered:?}");
    assert_eq!(b.recover_feed(feed).await.unwrap(), Recovered::default());
    ask_all(&b).await;
    for n in 0..common {
        let heads = b.kv().heads(format!("common {n}")).await.unwrap().items;
        assert_eq!(heads.len(), 1, "common {n} of {common}: {heads:?}");
    }
    assert_eq!(get(&b, "common 0").await.as_deref(), Some("2"));
    let page =
        b.chat().read("tea", &ReadOptions { limit: Some(1_000), ..ReadOptions::default() }).await.unwrap();
    let mut texts: Vec<_> = page.messages.iter().map(|m| m.said.text().unwrap().to_owned()).collect();
    texts.sort();
    let said = |name: &str, count| (0..count).map(|n| format!("{name} {n}")).collect::<Vec<_>>();
    let mut expected = [said("a", 6), said("b", 6), said("common", common)].concat();
    expected.sort();
    assert_eq!(texts, expected);
    // Each speaks for itself: what the feed said of itself beyond the fork is said of both that go on.
    let nick = 2 * common as u64;
    assert!(
        fork > nick || page.messages.iter().all(|message| message.nick.as_deref() == Some("ann")),
        "{page:?}"
    );
    for n in 0..6 {
        assert_eq!(get(&b, &format!("a {n}")).await.as_deref(), Some("a"));
        assert_eq!(get(&b, &format!("b {n}")).await.as_deref(), Some("b"));
    }
    server.stop().await;
    fork < nick
}

#[test]
fn no_key_has_two_equal_heads_and_no_message_stands_twice_when_both_copies_bring_back_what_they_have() {
    run(async {
        let mut before = 0;
        for common in [2, 3, 5] {
            before += u32::from(common_to_both_stands_once(common).await);
        }
        assert!(before > 0, "a fork was proved for a number that both have");
    });
}

#[test]
fn what_was_put_again_by_hand_is_not_said_beside_it() {
    run(async {
        let copies = Copies::new(async |_| ()).await;
        let Copies { a, b, feed, .. } = &copies;
        put(a, "x", "mine").await;
        put(a, "y", "mine").await;
        put(b, "z", "b").await;
        drop(copies.meet().await);
        let by_hand = put(a, "x", "mine").await;
        let recovered = a.recover_feed(*feed).await.unwrap();
        assert_eq!(recovered.entries.len(), 1, "y");
        assert!(standings(a, *feed).await.contains(&Standing::Recovered(by_hand)));
        assert_eq!(get(a, "x").await.as_deref(), Some("mine"));
        assert!(!warned(a));
    });
}

#[test]
fn what_was_written_here_since_is_not_overwritten_and_what_others_wrote_since_is_a_conflict_to_be_seen() {
    run(async {
        let copies = Copies::new(async |db| _ = put(db, "x", "0").await).await;
        let Copies { a, b, feed, .. } = &copies;
        for key in ["x", "y", "z"] {
            put(a, key, "lost").await;
        }
        put(b, "x", "by b").await;
        // Before the fork is known, `a` goes on in a new feed that sees all of it.
        a.new_feed().await.unwrap();
        put(a, "x", "since").await;
        let c = copies.meet().await;
        // After it is known nothing of it is seen.
        put(a, "y", "since").await;
        c.close().await.unwrap();
        let since = a.kv().get("x").await.unwrap().one().unwrap().id;
        let lost = standings(a, *feed).await;
        // It may be proved for an earlier block, which both have; that was replaced before.
        assert!(lost.ends_with(&[Standing::Replaced(since), Standing::Lost, Standing::Lost]), "{lost:?}");
        assert_eq!(a.recover_feed(*feed).await.unwrap().entries.len(), 2);
        assert_eq!(get(a, "x").await.as_deref(), Some("since"));
        assert_eq!(get(a, "z").await.as_deref(), Some("lost"));
        let heads = a.kv().heads("y").await.unwrap().items;
        assert_eq!(heads.len(), 2);
        assert_eq!(heads[0].content, Content::Value("since".into()), "the later shows");
    });
}

#[test]
fn features_blobs_and_contents_in_blocks_of_their_own_come_back_whole() {
    run(async {
        let copies = Copies::new(async |_| ()).await;
        let Copies { a, b, feed, .. } = &copies;
        let long = "x".repeat(1_900_000);
        let text = format!(
            r#"{{"type":"Feature","id":"f","properties":{{"long":"{long}"}},"geometry":{{"type":"Point","coordinates":[1,2]}}}}"#
        );
        a.map().put(geojson::from_text(&text).unwrap()).await.unwrap();
        let photo: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        let label = Label { media_type: "image/jpeg".into(), name: "photo".into() };
        let small =
            r#"{"type":"Feature","id":"g","properties":{},"geometry":{"type":"Point","coordinates":[3,4]}}"#;
        a.map().put(geojson::from_text(small).unwrap()).await.unwrap();
        let blob = a.map().attach("g", "view", photo.as_slice(), label.clone()).await.unwrap();
        put(b, "other", "b").await;
        drop(copies.meet().await);
        let everywhere: Extent = "-180,-90,180,90".parse().unwrap();
        assert!(a.map().query(&everywhere, None).await.unwrap().items.is_empty());
        let kinds: Vec<String> = list(a, *feed).await.iter().map(|entry| entry.says.kind()).collect();
        assert_eq!(kinds, ["map put", "map put", "blob", "map put"]);
        let recovered = a.recover_feed(*feed).await.unwrap();
        assert!(recovered.left_out.is_empty(), "{recovered:?}");
        assert_eq!(recovered.entries.len(), 3, "the version without the photo was replaced");
        let found = a.map().get("f").await.unwrap().one().unwrap();
        assert!(geojson::to_text(found.versions[0].feature.as_ref().unwrap()).contains(&long));
        let hits = a.map().query(&everywhere, None).await.unwrap().items;
        assert_eq!(hits.len(), 2);
        // The feature names the photo that everybody can have.
        let found = a.map().get("g").await.unwrap().one().unwrap();
        let attached = Map::attachments(found.versions[0].feature.as_ref().unwrap());
        let again = recovered.entries.iter().find(|(was, _)| *was == blob).unwrap().1;
        assert_eq!(attached[0].blob, again);
        let server = serve(a).await;
        let d = join(&copies.dir.path().join("d"), &server).await;
        assert!(d.map().query(&everywhere, None).from(Source::Peers).await.unwrap().is_complete());
        assert_eq!(d.map().get("f").await.unwrap().one(), a.map().get("f").await.unwrap().one());
        let _ = d.blobs().fetch(again, ..).await.unwrap();
        let mut reader = d.blobs().read(again, ..).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(part) = reader.next().await.unwrap() {
            bytes.extend_from_slice(&part);
        }
        assert!(bytes == photo);
        assert_eq!(d.blobs().info(again).await.unwrap().label, label);
        assert_eq!(a.recover_feed(*feed).await.unwrap(), Recovered::default());
        assert!(a.blobs().abandoned().await.unwrap().is_empty());
    });
}

#[test]
fn a_feed_that_goes_on_and_forks_too_gives_back_what_it_got_back_once() {
    run(async {
        let copies = Copies::new(async |_| ()).await;
        let Copies { a, b, feed, dir } = copies;
        a.chat().post("tea", "lost twice").await.unwrap();
        b.chat().post("tea", "by b").await.unwrap();
        let copies = Copies { a, b, feed, dir };
        drop(copies.meet().await);
        let Copies { a, b, feed, dir } = copies;
        // The copy of `a` is made when its new feed is there and empty.
        a.new_feed().await.unwrap();
        let next = a.writer().await.unwrap();
        a.close().await.unwrap();
        b.close().await.unwrap();
        let (one, two) = (dir.path().join("a"), dir.path().join("b"));
        fs::remove_dir_all(&two).unwrap();
        fs::remove_dir_all(state(&two)).unwrap();
        copy_with_state(&one, &two);
        let (a, b) = (open(&one).await, open(&two).await);
        assert_eq!(a.recover_feed(feed).await.unwrap().entries.len(), 1);
        b.chat().post("tea", "by the second copy").await.unwrap();
        let copies = Copies { a, b, feed: next, dir };
        drop(copies.meet().await);
        let a = &copies.a;
        assert!(a.chat().read("tea", &ReadOptions::default()).await.unwrap().messages.is_empty());
        // By either name.
        let recovered = a.recover_feed(feed).await.unwrap();
        assert_eq!(recovered.entries.len(), 1, "{recovered:?}");
        for feed in [next, feed] {
            assert_eq!(a.recover_feed(feed).await.unwrap().entries, [], "it is there already");
        }
        let page = a.chat().read("tea", &ReadOptions::default()).await.unwrap();
        assert_eq!(page.messages.len(), 1);
        assert!(!warned(a), "{:?}", a.warnings());
    });
}

#[test]
fn what_cannot_be_said_again_is_named_and_told_of_until_it_can() {
    run(async {
        let copies = Copies::new(async |_| ()).await;
        let Copies { a, b, feed, .. } = &copies;
        let gone = put(a, "gone", "text that is cleared before it is lost, which is long enough").await;
        put(a, "kept", "1").await;
        let kind = Kind { space: 4711, code: 3 };
        let drafts = vec![Draft { payload: b"twice".to_vec(), ..Draft::new(kind) }; 2];
        a.write(drafts).await.unwrap();
        put(b, "other", "b").await;
        a.clear_for_good(*feed, RangeSet::from_iter([gone.seq])).await.unwrap();
        drop(copies.meet().await);
        let recovered = a.recover_feed(*feed).await.unwrap();
        assert_eq!(recovered.left_out, [(gone, NotRecovered::NotHeld)]);
        assert_eq!(recovered.entries.len(), 3, "two entries that say the same are two");
        assert!(warned(a));
        assert!(a.recover_feed(*feed).await.unwrap().entries.is_empty());
        // A feed of somebody else is nobody's to recover.
        let c = open(&copies.dir.path().join("c")).await;
        assert!(matches!(c.recover_feed(*feed).await, Err(RecoverError::NotOurs(_))));
        assert!(matches!(c.lost_entries(FeedKey([1; 32])).await.map(drop), Err(RecoverError::Unknown(_))));
    });
}
