//! Keys and values as lines: JSON for programs, and what is shown to people.

use crate::console::Console;
use data_encoding::BASE64;
use kappadb::{Content, Head, KvChange, KvRevision, Value, visible};
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

fn ids<T: ToString>(heads: &[T]) -> Json {
    json!(heads.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// A key with its value. `value` is null where its bytes are not held.
pub fn item(key: &[u8], value: &Value) -> Json {
    let mut line = with_key(key);
    match &value.bytes {
        Some(bytes) => insert_bytes(&mut line, "value", bytes),
        None => drop(line.insert("value".to_owned(), Json::Null)),
    }
    line.insert("id".to_owned(), json!(value.id.to_string()));
    line.insert("author".to_owned(), json!(value.author.to_string()));
    line.insert("timestamp".to_owned(), json!(value.time.0));
    line.insert("heads".to_owned(), ids(&value.heads));
    line.into()
}

/// A key that a watcher was told of; without a value `value` and what belongs to it are null.
pub fn change(change: &KvChange) -> Json {
    let mut line = match &change.value {
        Some(value) => item(&change.key, value),
        None => {
            let mut line = with_key(&change.key);
            for name in ["value", "id", "author", "timestamp"] {
                line.insert(name.to_owned(), Json::Null);
            }
            line.insert("heads".to_owned(), ids(&change.heads));
            line.into()
        }
    };
    if let (true, Some(line)) = (change.lagged, line.as_object_mut()) {
        line.insert("lagged".to_owned(), json!(true));
    }
    line
}

/// One head of a key.
pub fn head(key: &[u8], head: &Head, heads: &[Head]) -> Json {
    let mut line = with_key(key);
    match &head.content {
        Content::Value(bytes) => insert_bytes(&mut line, "value", bytes),
        _ => drop(line.insert("value".to_owned(), Json::Null)),
    }
    line.insert("id".to_owned(), json!(head.id.to_string()));
    line.insert("author".to_owned(), json!(head.author.to_string()));
    line.insert("timestamp".to_owned(), json!(head.time.0));
    let ids: Vec<String> = heads.iter().map(|head| head.id.to_string()).collect();
    line.insert("heads".to_owned(), json!(ids));
    line.insert("deleted".to_owned(), json!(head.content == Content::Deleted));
    line.insert("winner".to_owned(), json!(head.winner));
    line.into()
}

/// One version in the history of a key.
pub fn revision(key: &[u8], revision: &KvRevision, heads: &[Head]) -> Json {
    let mut line = head(key, &revision.version, heads);
    if let Some(line) = line.as_object_mut() {
        line.insert("current".to_owned(), json!(revision.current));
    }
    line
}

/// A version for people.
pub fn version(console: &Console, head: &Head, standing: &str) -> String {
    let content = match &head.content {
        Content::Value(bytes) => visible(bytes),
        Content::Deleted => "(deleted)".to_owned(),
        Content::NotHeld => "(not held here)".to_owned(),
        _ => "(of a kind that this version of kappa does not know)".to_owned(),
    };
    format!("{} {} {standing}: {content}", console.time(head.time), head.id)
}
