//! `chat export` and `chat import`: what comes back, and as whose.

use crate::common::{Db, Server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn file(db: &Db, text: &str) -> PathBuf {
    let path = db.path().with_extension("ndjson");
    std::fs::write(&path, text).unwrap();
    path
}

/// Imports lines; the report.
fn import(db: &Db, text: &str) -> Value {
    let path = file(db, text);
    db.json(&["chat", "import", path.to_str().unwrap()])
}

fn said(author: &str, time: i64, text: &str) -> String {
    json!({ "author": author, "channel": "tea", "timestamp": time, "text": text }).to_string()
}

fn texts(db: &Db) -> Vec<String> {
    let read = lines(&db.ok(&["--json", "chat", "read", "tea", "--local", "--limit", "all"]));
    read.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}

fn feed_of(id: &str) -> String {
    id.split_once('/').unwrap().0.to_owned()
}

#[test]
fn whatever_the_author_is_called_nothing_is_signed_by_who_imports() {
    let db = Db::init();
    let me = feed_of(&db.ok(&["chat", "nick", "anna"]));
    db.ok(&["writer", "new", "bert"]);
    let names = ["default", "anna", "bert", "Anna Lee", "imported:default", "  default  "];
    let all: Vec<String> = (1..).zip(names).map(|(n, name)| said(name, n, name)).collect();
    let report = import(&db, &all.join("\n"));
    assert_eq!((&report["imported"], &report["damaged"]), (&json!(6), &json!(0)));
    assert_eq!(report["authors"], 5, "white space around a name is no part of it");
    let own: Vec<String> = db
        .ok(&["writer", "list"])
        .lines()
        .filter(|l| !l.starts_with("imported:"))
        .map(str::to_owned)
        .collect();
    assert_eq!(own.len(), 2);
    for line in lines(&db.ok(&["--json", "chat", "read", "tea"])) {
        let author = line["author"].as_str().unwrap();
        assert!(author != me && !own.iter().any(|writer| writer.ends_with(author)), "{line}");
        assert_eq!(line["nick"], line["text"].as_str().unwrap().trim());
    }
    assert_eq!(db.ok(&["chat", "nick"]), "anna\n");
    assert!(db.fails(&["writer", "new", "imported:carl"]).contains("cannot be the name of a writer"));
    db.ok(&["--writer", "imported:Anna Lee", "chat", "post", "tea", "still here"]);
}

#[test]
fn what_was_deleted_does_not_come_back_and_equal_lines_stay_as_many() {
    let db = Db::init();
    let twice = [said("anna", 5, "hi"), said("anna", 5, "hi"), said("anna", 5, "Hi"), said("bob", 5, "hi")]
        .join("\n");
    assert_eq!(import(&db, &twice)["imported"], 4);
    let again = import(&db, &twice);
    assert_eq!((&again["imported"], &again["known"]), (&json!(0), &json!(4)));
    // A third one is new.
    let thrice = [&twice[..], &said("anna", 5, "hi")].join("\n");
    assert_eq!(import(&db, &thrice)["imported"], 1);
    let read = lines(&db.ok(&["--json", "chat", "read", "tea"]));
    for line in read.iter().filter(|line| line["nick"] == "anna" && line["text"] == "hi").take(2) {
        db.ok(&["--writer", "imported:anna", "chat", "delete", line["id"].as_str().unwrap()]);
    }
    db.ok(&["compact"]);
    assert_eq!(import(&db, &thrice)["imported"], 0);
    assert_eq!(texts(&db).len(), 3);
    // Nor does a nickname that was changed.
    db.ok(&["--writer", "imported:anna", "chat", "nick", "zoe"]);
    import(&db, &thrice);
    assert!(db.ok(&["chat", "read", "tea"]).contains("<zoe> hi"));
}

#[test]
fn an_imported_author_can_be_hidden_and_is_counted() {
    let db = Db::init();
    db.ok(&["chat", "join", "tea"]);
    import(&db, &[said("anna", 1, "one"), said("bob", 2, "two")].join("\n"));
    assert_eq!(db.ok(&["chat", "unread"]), "tea: 2 messages\n");
    let anna = lines(&db.ok(&["--json", "chat", "read", "tea"]))[1]["author"].as_str().unwrap().to_owned();
    db.ok(&["chat", "moderate", "add", &anna[..12], "hide"]);
    assert_eq!(texts(&db), ["two"]);
    assert_eq!(db.ok(&["chat", "unread"]), "tea: 1 message\n");
}

/// A database with something of each kind in it, by two people; what was exported by the first of them.
fn community() -> (Db, Vec<Value>) {
    let db = Db::init();
    db.ok(&["writer", "new", "bert"]);
    let as_bert = |args: &[&str]| db.ok(&[&["--writer", "bert"], args].concat());
    let anna = feed_of(&db.ok(&["chat", "nick", "an"]));
    db.ok(&["chat", "nick", "anna"]);
    let bert = feed_of(&as_bert(&["chat", "nick", "bert"]));
    db.ok(&["chat", "profile", "status", "drinking"]);
    db.ok(&["chat", "topic", "Tea", "Second?"]);
    as_bert(&["chat", "topic", "tea", "First!"]);
    let taken = db.ok(&["chat", "topic", "tea", "Third."]);
    db.ok(&["chat", "delete", taken.trim()]);
    db.ok(&["chat", "post", "Tea", "hello"]);
    as_bert(&["chat", "post", "--emote", "tea", "waves"]);
    let gone = as_bert(&["chat", "post", "tea", "a slip of the tongue"]);
    as_bert(&["chat", "delete", gone.trim()]);
    as_bert(&["chat", "join", "quiet"]);
    db.ok(&["chat", "join", "quiet"]);
    db.ok(&["chat", "leave", "quiet"]);
    db.ok(&["chat", "archive", "old", "--reason", "nobody came"]);
    db.ok(&["chat", "post", "old", "x"]);
    db.ok(&["chat", "archive", "old", "--undo"]);
    db.ok(&["chat", "moderate", "add", &bert, "mute", "--channel", "tea", "--reason", "too loud"]);
    db.ok(&["chat", "moderate", "set", &bert, "--channel", "tea"]);
    db.ok(&["chat", "moderate", "add", &bert, "mod", "--reason", "well known"]);
    db.ok(&["chat", "dm", "--to", &bert, "between us"]);
    as_bert(&["chat", "dm", "--to", &anna, "I see"]);
    let exported = lines(&db.ok(&["chat", "export"]));
    (db, exported)
}

/// A line without what another database has otherwise: who is who by name.
fn likened(line: &Value, names: &BTreeMap<String, String>) -> String {
    let mut line = line.as_object().unwrap().clone();
    for field in ["id", "replaces", "database"] {
        line.remove(field);
    }
    for field in ["author", "to", "target"] {
        if let Some(feed) =
            line.get(field).and_then(Value::as_str).map(|id| id.split('/').next().unwrap().to_owned())
        {
            line.insert(field.to_owned(), json!(names.get(&feed).unwrap_or(&feed)));
        }
    }
    Value::Object(line).to_string()
}

fn all_likened(exported: &[Value]) -> Vec<String> {
    let names = exported
        .iter()
        .filter_map(|line| Some((line["author"].as_str()?.to_owned(), line["nick"].as_str()?.to_owned())));
    let names: BTreeMap<String, String> = names.collect();
    let mut all: Vec<String> =
        exported.iter().filter(|line| line["kind"] != "delete").map(|line| likened(line, &names)).collect();
    all.sort();
    all
}

#[test]
fn what_is_exported_comes_back_and_the_same_file_twice_appends_nothing() {
    let (db, exported) = community();
    let text: Vec<String> = exported.iter().map(Value::to_string).collect();
    let text = text.join("\n");
    assert!(
        !text.contains("slip of the tongue") && !text.contains("Third."),
        "what was deleted is not there"
    );
    assert!(exported.iter().filter(|line| line["kind"] == "delete").count() == 2, "that it was is");
    let other = Db::init();
    let report = import(&other, &format!("\u{feff}{text}"));
    assert_eq!(report["damaged"], 0, "a byte order mark is none");
    assert_eq!(report["authors"], 2);
    let back = lines(&other.ok(&["chat", "export"]));
    assert_eq!(all_likened(&back), all_likened(&exported));
    assert_eq!(other.ok(&["chat", "channels"]), db.ok(&["chat", "channels"]));
    assert_eq!(other.ok(&["chat", "topic", "tea"]), "First!\n");
    let shown = |db: &Db, args: &[&str]| -> Vec<String> {
        let read = lines(&db.ok(&[&["--json"], args].concat()));
        read.iter()
            .map(|line| format!("{} {} {} {}", line["nick"], line["timestamp"], line["kind"], line["text"]))
            .collect()
    };
    for args in [&["chat", "read", "tea"][..], &["chat", "read", "old"], &["chat", "dm"]] {
        assert_eq!(shown(&other, args), shown(&db, args), "{args:?}");
    }
    assert_eq!(shown(&other, &["chat", "dm"]).len(), 2);
    // Again, in pieces, and here where it is from: nothing is appended.
    let blocks = |db: &Db| {
        lines(&db.ok(&["feed", "list", "--json"])).iter().map(|f| f["length"].as_u64().unwrap()).sum::<u64>()
    };
    let before = (blocks(&other), blocks(&db));
    import(&other, &text);
    for line in text.lines() {
        import(&other, line);
    }
    let report = import(&db, &text);
    assert_eq!((&report["imported"], &report["damaged"]), (&json!(0), &json!(0)));
    assert_eq!((blocks(&other), blocks(&db)), before);
    // What is exported where it came to comes back to where it is from as that of others; and to a third as it was.
    let third = Db::init();
    import(&third, &back.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
    assert_eq!(all_likened(&lines(&third.ok(&["chat", "export"]))), all_likened(&exported));
}

/// Nobody changes or takes back what another said.
fn is_refused_from_another(db: &Db, exported: &str, kind: &str) {
    let mut forged = lines(exported).into_iter().find(|line| line["kind"] == kind).unwrap();
    forged["author"] = json!("bob");
    forged.as_object_mut().unwrap().remove("id");
    let path = file(db, &forged.to_string());
    let told = db.fails(&["chat", "import", path.to_str().unwrap()]);
    assert!(told.contains("which another wrote"), "{told}");
}

#[test]
fn replies_edits_and_attachments_come_back() {
    let db = Db::init();
    db.ok(&["chat", "nick", "anna"]);
    let blob = db.feed(&["blob", "put", "-", "--name", "greeting"], "hello").trim().to_owned();
    let asked = db.ok(&["chat", "post", "tea", "te"]).trim().to_owned();
    db.ok(&["chat", "edit", &asked, "tea?"]);
    db.ok(&["chat", "post", "tea", "yes", "--reply-to", &asked, "--attach", &blob]);
    let slip = db.ok(&["chat", "post", "tea", "slip"]).trim().to_owned();
    db.ok(&["chat", "edit", &slip, "slipped again"]);
    db.ok(&["chat", "delete", &slip]);
    let exported = db.ok(&["chat", "export"]);
    assert!(!exported.contains("slip"), "with a message that was deleted, what it said later is");
    let other = Db::init();
    let report = import(&other, &exported);
    assert_eq!(
        (&report["damaged"], &report["imported"]),
        (&json!(0), &json!(5)),
        "nick, two messages, an edit, and that there was one more"
    );
    // The latest first: the reply, then what it answers.
    let read = lines(&other.ok(&["--json", "chat", "read", "tea"]));
    let [reply, question] = &read[..] else { panic!("{read:?}") };
    assert_eq!((&reply["text"], &question["text"]), (&json!("yes"), &json!("tea?")));
    assert_eq!(reply["reply_to"], question["id"]);
    assert_eq!(reply["attachments"], json!([blob]));
    assert!(question["id"] != json!(asked) && question["edited"].is_i64(), "{question}");
    let history = lines(&other.ok(&["--json", "chat", "history", question["id"].as_str().unwrap()]));
    let said: Vec<&Value> = history.iter().map(|line| &line["text"]).collect();
    assert_eq!(said, [&json!("te"), &json!("tea?")]);
    let again = import(&other, &exported);
    assert_eq!((&again["imported"], &again["damaged"]), (&json!(0), &json!(0)));
    let back = lines(&other.ok(&["chat", "export"]));
    assert_eq!(all_likened(&back).len(), all_likened(&lines(&exported)).len());
    is_refused_from_another(&other, &exported, "edit");
}

#[test]
fn a_delete_that_a_later_export_has_is_done_where_an_earlier_one_came_to() {
    let db = Db::init();
    db.ok(&["chat", "nick", "anna"]);
    let id = db.ok(&["chat", "post", "tea", "hello"]);
    let topic = db.ok(&["chat", "topic", "tea", "First?"]);
    let other = Db::init();
    import(&other, &db.ok(&["chat", "export"]));
    assert_eq!(
        (texts(&other), other.ok(&["chat", "topic", "tea"])),
        (vec!["hello".to_owned()], "First?\n".to_owned())
    );
    db.ok(&["chat", "delete", id.trim()]);
    db.ok(&["chat", "delete", topic.trim()]);
    let later = db.ok(&["chat", "export"]);
    import(&other, &later);
    assert_eq!((texts(&other), other.ok(&["chat", "topic", "tea"])), (Vec::new(), String::new()));
    is_refused_from_another(&other, &later, "delete");
}

#[test]
fn what_an_export_could_not_have_is_said() {
    let db = Db::init();
    db.ok(&["writer", "new", "bert"]);
    let bert = feed_of(&db.ok(&["--writer", "bert", "chat", "nick", "bert"]));
    db.ok(&["chat", "dm", "--to", &bert, "between us"]);
    db.ok(&["chat", "post", "tea", &"long ".repeat(20)]);
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    let output = other.run(&["chat", "export", "--json"]);
    assert!(output.status.success(), "what is private to others is theirs: {output:?}");
    assert_eq!(lines(&String::from_utf8(output.stderr).unwrap())[0]["left_out"]["sealed"], 1);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("between us"));
    let author =
        lines(&other.ok(&["--json", "chat", "read", "tea"]))[0]["author"].as_str().unwrap().to_owned();
    other.ok(&["clear", &author]);
    let output = other.run(&["chat", "export", "--local"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("whose text is not held here"));
}

#[test]
fn lines_of_kinds_that_cannot_be_are_told() {
    let db = Db::init();
    for (line, told) in [
        (json!({ "author": "a", "timestamp": 1, "text": "x" }), "\"channel\" is missing"),
        (
            json!({ "author": "a", "timestamp": 1, "channel": "tea", "kind": "dance" }),
            "\"dance\", of which nothing is known",
        ),
        (
            json!({ "author": "a", "timestamp": 1, "kind": "private", "to": "x", "text": "x" }),
            "\"to\" must be a feed",
        ),
        (
            json!({ "author": "a", "timestamp": 1, "kind": "flags", "target": "0".repeat(64), "flags": ["king"] }),
            "\"flags\" must be hide",
        ),
        (json!({ "author": "a", "timestamp": 1, "kind": "delete", "target": 5 }), "\"target\" must be text"),
        (json!({ "author": "a\u{200b}", "timestamp": 1, "channel": "tea", "text": "x" }), "nobody sees"),
        (
            json!({ "author": "1".repeat(64), "id": format!("{}/1", "2".repeat(64)), "timestamp": 1, "channel": "tea", "text": "x" }),
            "\"id\" must be an entry of its author",
        ),
        (json!({ "kind": "export" }), "\"database\" is missing"),
    ] {
        let path = file(&db, &line.to_string());
        let output = db.fails(&["chat", "import", path.to_str().unwrap()]);
        assert!(output.contains("line 1") && output.contains(told), "{line} {output}");
    }
    assert!(!db.ok(&["writer", "list"]).contains("imported:"), "no feed was made for nothing");
}
