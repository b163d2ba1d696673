//! Keys and values as lines: JSON for programs, and what is shown to people.

use crate::console::{self, Console};
use data_encoding::BASE64;
use kappadb::{Content, EntryId, Head, Value, visible};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// Sets `name`, or `<name>_base64` if the bytes are no UTF-8.
pub fn insert_bytes(line: &mut Map<String, Json>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(name.to_owned(), json!(text)),
        Err(_) => line.insert(format!("{name}_base64"), json!(BASE64.encode(bytes))),
    };
}

fn with_key(key: &[u8]) -> Map<String, Json> {
    let mut line = Map::new();
    insert_bytes(&mut line, "key", key);
    line
}

/// A key that was written, and the entry of that.
pub fn written(key: &[u8], id: &str) -> Json {
    let mut line = with_key(key);
    line.insert("id".to_owned(), json!(id));
    line.into()
}

/// A key in a sentence.
pub fn quoted(key: &[u8]) -> String {
    format!("\"{}\"", visible(key))
}

/// What is said of a key, with the key.
fn said(key: &[u8], said: &impl Serialize) -> Map<String, Json> {
    let mut line = with_key(key);
    line.extend(console::fields(said));
    line
}

/// A key with its value. `value` is null where its bytes are not held.
pub fn item(key: &[u8], value: &Value) -> Json {
    said(key, value).into()
}

/// One head of a key, or one version in its history.
pub fn version(key: &[u8], version: &impl Serialize, heads: &[Head]) -> Json {
    let mut line = said(key, version);
    let ids: Vec<EntryId> = heads.iter().map(|head| head.id).collect();
    line.insert("heads".to_owned(), json!(ids));
    line.into()
}

/// A version for people.
pub fn for_people(console: &Console, head: &Head, standing: &str) -> String {
    let content = match &head.content {
        Content::Value(bytes) => visible(bytes),
        Content::Deleted => "(deleted)".to_owned(),
        Content::NotHeld => "(not held here)".to_owned(),
        _ => "(of a kind that this version of kappa does not know)".to_owned(),
    };
    format!("{} {} {standing}: {content}", console.time(head.time), head.id)
}
