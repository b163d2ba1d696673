//! Keys and payloads against those that another program made from `design/chat.md` (`design/vectors/make_chat.py`).
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use kappadb_chat::{Channel, Content, Extras, Flag, Pair, Prepared, decode, fold, prepare_with, recipient};
use kappadb_core::{EntryId, FeedKey, SecretKey, Timestamp};
use kappadb_entry::Header;
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../design/vectors/chat.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(vectors: &Value, name: &str) -> Vec<Value> {
    let cases = vectors[name].as_array().unwrap().clone();
    assert!(cases.len() >= 3, "{name}");
    cases
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn feed(hex: &Value) -> FeedKey {
    hex.as_str().unwrap().parse().unwrap()
}

fn content(case: &Value) -> Content {
    let said = text(&case["text"]);
    let scope = || Some(text(&case["channel"])).filter(|name| !name.is_empty());
    match case["says"].as_str().unwrap() {
        "text" => Content::Text(said),
        "emote" => Content::Emote(said),
        "topic" => Content::Topic(said),
        "profile" => Content::Profile { field: text(&case["field"]), value: said },
        "join" => Content::Join,
        "leave" => Content::Leave,
        "archive" => Content::Archive { reason: said },
        "unarchive" => Content::Unarchive { reason: said },
        "delete" => Content::Delete {
            target: target(case),
            key: case["key"].is_string().then(|| bytes(&case["key"])),
            order: Timestamp(order(case)),
        },
        "edit" => Content::Edit { target: target(case), text: said },
        "flags" => Content::Flags {
            scope: scope().map(|name| Channel::new(&name).unwrap()),
            target: feed(&case["target_feed"]),
            flags: case["flags"].as_array().unwrap().iter().map(flag).collect(),
            reason: said,
        },
        other => panic!("{other}"),
    }
}

fn target(case: &Value) -> EntryId {
    entry(&case["target"])
}

fn entry(name: &Value) -> EntryId {
    EntryId { feed: feed(&name["feed"]), seq: name["seq"].as_u64().unwrap() }
}

fn extras(case: &Value) -> Extras {
    let blobs = case["blobs"].as_array().cloned().unwrap_or_default();
    let reply_to = case["reply_to"].is_object().then(|| entry(&case["reply_to"]));
    Extras { reply_to, blobs: blobs.iter().map(entry).collect() }
}

fn flag(name: &Value) -> Flag {
    let all = [Flag::Hide, Flag::Mute, Flag::Block, Flag::Mod, Flag::Admin];
    all.into_iter().find(|flag| flag.name() == name).unwrap()
}

/// Where a keyed entry has no moment, its order time is its own time.
fn order(case: &Value) -> i64 {
    case["moment"]["from"].as_i64().unwrap_or(5)
}

fn header(prepared: Prepared) -> (Header, Vec<u8>) {
    let Prepared { kind, key, context, places, payload } = prepared;
    (Header { key, context, places, ..Header::new(kind, Timestamp(5)) }, payload)
}

#[test]
fn names_fold_as_the_format_says() {
    for case in list(&vectors(), "folds") {
        assert_eq!(fold(case["name"].as_str().unwrap()), text(&case["folded"]), "{case}");
    }
}

#[test]
fn entries_are_as_the_format_says() {
    let vectors = vectors();
    let author = feed(&vectors["author"]);
    for case in list(&vectors, "entries") {
        let shown = text(&case["channel"]);
        let channel = (!shown.is_empty()).then(|| Channel::new(&shown).unwrap());
        let content = content(&case);
        let of_channel = channel.as_ref().filter(|_| case["says"] != "flags");
        let (extras, at) = (extras(&case), Timestamp(order(&case)));
        let prepared = prepare_with(&author, &content, &extras, of_channel, at).unwrap();
        assert_eq!(u64::from(prepared.kind.code), case["code"].as_u64().unwrap(), "{case}");
        assert_eq!(prepared.key, case["key"].is_string().then(|| bytes(&case["key"])), "{case}");
        assert_eq!(prepared.payload, bytes(&case["payload"]), "{case}");
        let moment = prepared.places.moments.first();
        assert_eq!(moment.is_some(), case["moment"].is_object(), "{case}");
        if let Some(moment) = moment {
            assert_eq!(moment.channel, text(&case["moment"]["channel"]).into_bytes(), "{case}");
            assert_eq!((moment.from, moment.to), (order(&case), order(&case)), "{case}");
        }
        if case["target"].is_object() {
            assert_eq!(prepared.context.ids, [target(&case)], "{case}");
        }
        let (header, payload) = header(prepared);
        let read = decode(&header, Some(&payload)).unwrap();
        let spelled = channel.filter(|c| c.shown != c.folded).map(|c| c.shown).unwrap_or_default();
        assert_eq!((read.channel, read.extras), (spelled, extras), "{case}");
        assert_eq!(folded(read.content), folded(content), "{case}");
    }
}

/// The scope of flags is in their key, folded; how it is spelled is told apart.
fn folded(content: Content) -> Content {
    match content {
        Content::Flags { scope: Some(scope), target, flags, reason } => {
            let scope = Channel::new(&scope.folded).ok();
            Content::Flags { scope, target, flags, reason }
        }
        other => other,
    }
}

#[test]
fn private_messages_are_sealed_as_the_format_says() {
    let secret = |hex: &Value| SecretKey::from_seed(&bytes(hex).try_into().unwrap());
    for case in list(&vectors(), "private") {
        let name = &case["name"];
        let (author, reader) = (secret(&case["author_seed"]), secret(&case["recipient_seed"]));
        let feeds = [author.public(), reader.public()];
        assert_eq!(feeds, [feed(&case["author"]), feed(&case["recipient"])], "{name}");
        let (order, payload) = (Timestamp(case["order"].as_i64().unwrap()), bytes(&case["payload"]));
        let pair = Pair::new(&author, &feeds[1]).unwrap();
        let salt = bytes(&case["salt"]).try_into().unwrap();
        let prepared = pair.prepare(&case["text"].as_str().unwrap().into(), order, salt).unwrap();
        assert_eq!(prepared.payload, payload, "{name}");
        assert_eq!(prepared.places.moments[0].channel, text(&case["channel"]).into_bytes(), "{name}");
        let opened = Pair::new(&reader, &feeds[0]).unwrap().open(&feeds[0], order, &payload);
        assert_eq!(opened.map(|says| says.text), Ok(text(&case["text"])), "{name}");
        assert_eq!(recipient(&author, order, &payload), Some(feeds[1]), "{name}");
    }
}
