//! Answers as a program passes them on: as JSON.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use common::{builder, join, run, serve};
use kappadb::{Database, Extent, Feature, FeedKey, Label, ReadOptions, ScanOptions, Source, geojson};
use serde_json::{Value, json};
use std::path::Path;

async fn create(dir: &Path) -> (Database, FeedKey) {
    let database = builder(dir).create().await.unwrap();
    let feed = database.writer().await.unwrap();
    (database, feed)
}

/// Of what came of asking nobody.
fn nobody() -> Value {
    json!({
        "complete": true, "missing": [], "contents": 0, "peers": 0, "blocks_fetched": 0, "bytes_received": 0, "bytes_sent": 0,
        "round_trips": 0,
    })
}

fn json(said: &impl serde::Serialize) -> Value {
    serde_json::to_value(said).unwrap()
}

#[test]
fn values_are_texts_or_base64_and_a_page_says_where_it_goes_on() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, feed) = create(&dir.path().join("db")).await;
        let kv = database.kv();
        let id = kv.put("fruit/apple", "red").await.unwrap();
        let other = kv.put(b"fruit/\xff", b"\xfe").await.unwrap();
        let options = ScanOptions { limit: Some(1), ..ScanOptions::default() };
        let page = kv.scan(&kappadb::KeyRange::prefix("fruit/"), &options).await.unwrap();
        let time = page.items[0].value.time;
        let expected = json!({
            "items": [{
                "key": "fruit/apple", "value": "red", "id": id, "author": feed, "timestamp": time.0, "heads": [id],
            }],
            "next": "fruit/apple", "complete": true, "asked": nobody(),
        });
        assert_eq!(json(&page), expected);
        let odd = json(&kv.heads(b"fruit/\xff").await.unwrap());
        assert_eq!(
            (&odd["items"][0]["value_base64"], &odd["items"][0]["id"]),
            (&json!("/g=="), &json!(other))
        );
        kv.delete("fruit/apple").await.unwrap();
        let history = json(&kv.history("fruit/apple").await.unwrap().items);
        assert_eq!(history[0]["deleted"], true);
        assert_eq!((&history[0]["value"], &history[0]["current"]), (&Value::Null, &json!(true)));
        assert_eq!((&history[1]["value"], &history[1]["current"]), (&json!("red"), &json!(false)));
        database.close().await.unwrap();
    });
}

#[test]
fn features_are_geojson_and_come_back_from_it() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, feed) = create(&dir.path().join("db")).await;
        let map = database.map();
        let text = r#"{"type":"Feature","id":"cafe","geometry":{"type":"Point","coordinates":[24.9,60.1]},"properties":{"a":1}}"#;
        let cafe = geojson::from_text(text).unwrap();
        let id = map.put(cafe.clone()).await.unwrap();
        let extent: Extent = "24,60,25,61".parse().unwrap();
        let hits = json(&map.query(&extent, None).await.unwrap());
        let hit = json!({ "feature": "cafe", "heads": [id], "elsewhere": [] });
        assert_eq!((&hits["items"], &hits["complete"]), (&json!([hit]), &json!(true)));
        let found = json(&map.get("cafe").await.unwrap());
        let version = &found["items"][0]["versions"][0];
        assert_eq!(
            (&version["id"], &version["author"], &version["winner"]),
            (&json!(id), &json!(feed), &json!(true))
        );
        assert_eq!(version["geojson"]["properties"]["a"], 1);
        let again: Feature = serde_json::from_value(version["geojson"].clone()).unwrap();
        assert_eq!(again, cafe);
        database.close().await.unwrap();
    });
}

#[test]
fn messages_have_the_fields_of_the_programs_lines() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, feed) = create(&dir.path().join("db")).await;
        let chat = database.chat();
        chat.set_profile("nick", "anna").await.unwrap();
        let id = chat.post("Tea", "First flush is in.").await.unwrap();
        let page = chat.read("tea", &ReadOptions::latest(9)).await.unwrap();
        let message = json!({
            "id": id, "author": feed, "nick": "anna", "channel": "Tea", "timestamp": page.messages[0].time.0, "kind": "text",
            "text": "First flush is in.",
        });
        let expected =
            json!({ "messages": [message], "next": null, "ahead": 0, "complete": true, "asked": nobody() });
        assert_eq!(json(&page), expected);
        let channels = json(&chat.channels().await.unwrap().items);
        assert_eq!(channels, json!([{ "channel": "Tea", "topic": null, "archived": false }]));
        let members = json(&chat.members("tea").await.unwrap().items);
        assert_eq!(members, json!([{ "feed": feed, "nick": "anna" }]));
        database.close().await.unwrap();
    });
}

#[test]
fn blobs_say_what_they_are() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, feed) = create(&dir.path().join("db")).await;
        let label = Label { media_type: "text/plain".into(), name: "a.txt".into() };
        let id = database.blobs().put(&b"abc"[..], label).await.unwrap();
        let mut list = json(&database.blobs().list(None, 9).await.unwrap());
        list["items"][0]["timestamp"] = json!(0);
        let blob = json!({
            "id": id, "author": feed, "bytes": 3, "held": 3, "type": "text/plain", "name": "a.txt", "timestamp": 0,
        });
        assert_eq!(list["items"], json!([blob]));
        database.close().await.unwrap();
    });
}

#[test]
fn a_peer_that_did_not_answer_is_named_with_the_reason() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (database, _) = create(&dir.path().join("db")).await;
        database.kv().put("key", "value").await.unwrap();
        let server = serve(&database).await;
        let part = join(&dir.path().join("part"), &server).await;
        let peer = server.ticket().peer;
        let whole = json(&part.kv().get("key").from(Source::Peers).await.unwrap());
        assert_eq!((&whole["complete"], &whole["asked"]["peers"]), (&json!(true), &json!(1)));
        server.stop().await;
        part.kv().put("other", "value").await.unwrap();
        let later = json(&part.kv().get("else").from(Source::Peers).await.unwrap());
        assert_eq!((&later["complete"], &later["items"]), (&json!(false), &json!([])));
        let missing = &later["asked"]["missing"];
        assert_eq!(missing[0]["peer"], json!(peer));
        assert!(missing[0]["error"].as_str().is_some_and(|why| !why.is_empty()), "{missing}");
        part.close().await.unwrap();
        database.close().await.unwrap();
    });
}
