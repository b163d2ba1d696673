//! `feed recover`: what lies beyond a fork, shown or appended again.

use super::kv::insert_bytes;
use crate::console::{self, Console, count};
use crate::exit::Exit;
use kappadb::{Content, Database, FeedKey, LostEntry, Says, Standing, geojson, visible};
use serde_json::{Map, Value, json};

pub async fn list(console: &Console, database: &Database, feed: FeedKey) -> anyhow::Result<Exit> {
    let mut lost = database.lost_entries(feed).await?;
    let mut found = 0;
    while let Some(entry) = lost.next().await? {
        console.result(&line(&entry), &for_people(console, &entry))?;
        found += 1;
    }
    console.say(&format!(
        "{} of feed {feed} {} nowhere.",
        count(found, "entry"),
        if found == 1 { "counts" } else { "count" }
    ));
    Ok(Exit::Done)
}

pub async fn recover(console: &Console, database: &Database, feed: FeedKey) -> anyhow::Result<Exit> {
    let recovered = database.recover_feed(feed).await?;
    for (was, id) in &recovered.entries {
        let (was, id) = (was.to_string(), id.to_string());
        console.result(&json!({ "id": id, "was": was }), &format!("{was} is now {id}"))?;
    }
    for (was, why) in &recovered.left_out {
        let (was, why) = (was.to_string(), why.to_string());
        console.remark(&json!({ "was": was, "error": why }), &format!("{was} was left out: {why}"));
    }
    console.say(&format!("{} appended again.", count(recovered.entries.len() as u64, "entry")));
    Ok(Exit::done_if(recovered.left_out.is_empty()))
}

fn line(entry: &LostEntry) -> Value {
    let (standing, by) = standing(entry.standing);
    let mut line = Map::new();
    let mut insert = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    insert("id", json!(entry.id.to_string()));
    insert("timestamp", json!(entry.time.0));
    insert("kind", json!(entry.says.kind()));
    insert("standing", json!(standing));
    insert("by", json!(by));
    match &entry.says {
        Says::Key { key, content } => {
            insert_bytes(&mut line, "key", key);
            insert_or_null(&mut line, "value", content.clone().value().as_deref());
        }
        Says::Feature { id, feature, .. } => {
            insert("feature", json!(id));
            insert("geojson", json!(feature.as_deref().map(geojson::to_geojson)));
        }
        Says::Chat { channel, text, to, .. } => {
            insert("channel", json!(Some(channel).filter(|channel| !channel.is_empty())));
            insert("text", json!(text));
            to.iter().for_each(|to| insert("to", json!(to.to_string())));
        }
        Says::Blob { label, bytes } => {
            insert("bytes", json!(bytes));
            insert("type", json!(label.media_type));
            insert("name", json!(label.name));
        }
        Says::Other { key, payload, .. } => {
            key.iter().for_each(|key| insert_bytes(&mut line, "key", key));
            insert_or_null(&mut line, "value", payload.as_deref());
        }
        _ => {}
    }
    line.into()
}

fn insert_or_null(line: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => insert_bytes(line, name, bytes),
        None => drop(line.insert(name.to_owned(), Value::Null)),
    }
}

/// What became of an entry, and by which other.
fn standing(standing: Standing) -> (&'static str, Option<String>) {
    match standing {
        Standing::Lost => ("lost", None),
        Standing::Recovered(by) => ("recovered", Some(by.to_string())),
        Standing::Replaced(by) => ("replaced", Some(by.to_string())),
        Standing::Withdrawn => ("withdrawn", None),
    }
}

fn for_people(console: &Console, entry: &LostEntry) -> String {
    let shown = |content: Option<&[u8]>| content.map_or_else(|| "(not held here)".to_owned(), visible);
    let (standing, by) = standing(entry.standing);
    let standing = by.map_or_else(|| standing.to_owned(), |by| format!("{standing} by {by}"));
    let text = match &entry.says {
        Says::Key { key, content: Content::Deleted } => visible(key),
        Says::Key { key, content } => {
            format!("{}: {}", visible(key), shown(content.clone().value().as_deref()))
        }
        Says::Feature { id, deleted: true, .. } => visible(id.as_bytes()),
        Says::Feature { feature, .. } => {
            shown(feature.as_deref().map(geojson::to_text).as_deref().map(str::as_bytes))
        }
        Says::Chat { channel, text, .. } => {
            let text = text.as_deref().map(|text| visible(text.as_bytes()));
            let words = [Some(visible(channel.as_bytes())).filter(|channel| !channel.is_empty()), text];
            words.into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        Says::Blob { label, bytes } => {
            format!(
                "{} {} {}",
                console::size(*bytes),
                visible(label.media_type.as_bytes()),
                visible(label.name.as_bytes())
            )
        }
        Says::Other { payload, .. } => shown(payload.as_deref()),
        _ => String::new(),
    };
    format!("{} {} {standing}: {} {text}", console.time(entry.time), entry.id, entry.says.kind())
}
