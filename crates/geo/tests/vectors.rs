//! Payloads against those that another program made from `design/formats.md` (`design/vectors/make_map_bodies.py`).
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::Timestamp;
use kappadb_geo::{Edit, Meta, decode, decode_delete, delete, geojson, put};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../design/vectors/map_bodies.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// With all numbers as doubles: 90 and 90.0 are one.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(n) => n.as_f64().unwrap().into(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        other => other,
    }
}

#[test]
fn bodies_are_as_the_format_says() {
    let vectors = vectors();
    let cases = vectors["features"].as_array().unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let (name, body) = (&case["name"], bytes(&case["body"]));
        let feature = decode(case["id"].as_str().unwrap(), &body).unwrap();
        assert_eq!(plain(geojson::to_geojson(&feature)), plain(case["geojson"].clone()), "{name}");
        let prepared = put(&feature).unwrap();
        assert_eq!(prepared.payload, body, "{name}");
        let refs: Vec<String> =
            prepared.refs.into_iter().map(|key| String::from_utf8(key).unwrap()).collect();
        assert_eq!(Value::from(refs), case["refs"], "{name}");
    }
}

#[test]
fn deletes_are_as_the_format_says() {
    for case in vectors()["deletes"].as_array().unwrap() {
        let edit = case["edit"].as_object().map(|edit| Meta {
            version: edit["version"].as_u64().unwrap().try_into().unwrap(),
            edit: Edit {
                time: edit["time"].as_i64().map(Timestamp),
                changeset: edit["changeset"].as_i64().unwrap(),
                uid: edit["uid"].as_i64().unwrap(),
                user: edit["user"].as_str().unwrap().to_owned(),
            },
        });
        let payload = bytes(&case["payload"]);
        assert_eq!(decode_delete(&payload), Ok(edit.clone()));
        assert_eq!(delete("w1", edit.as_ref()).unwrap().payload, payload);
    }
}
