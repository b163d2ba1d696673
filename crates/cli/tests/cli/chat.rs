//! `kappa chat`, as people and scripts use it.

use crate::common::{Db, Server};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The texts that reading prints.
fn texts(db: &Db, args: &[&str]) -> Vec<String> {
    let out = db.ok(&[&["--json", "chat", "read"], args].concat());
    lines(&out).iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect()
}

/// So many messages of one author, one a second from 1000 s on, `tea 0`, `tea 1` and so on.
fn talk(count: u32) -> Db {
    let db = Db::init();
    let line = |n: u32| {
        json!({ "author": "anna", "channel": "Tea", "timestamp": (1_000 + n) * 1_000, "text": format!("tea {n}") })
            .to_string()
    };
    let text: Vec<String> = (0..count).map(line).collect();
    db.feed(&["chat", "import", "-"], &text.join("\n"));
    db
}

fn default_feed(db: &Db) -> String {
    let writers = db.ok(&["writer", "list"]);
    writers.lines().find_map(|line| line.strip_prefix("default ")).unwrap().to_owned()
}

#[test]
fn post_and_read() {
    let db = Db::init();
    let id = db.ok(&["chat", "post", "Tea", "First flush is in."]);
    db.ok(&["chat", "nick", "anna"]);
    db.ok(&["chat", "post", "--emote", "tea", "pours"]);
    assert_eq!(db.feed(&["chat", "post", "tea", "-"], "two\nlines\n").lines().count(), 1);
    let page = lines(&db.ok(&["--json", "chat", "read", "TEA"]));
    let said: Vec<(&Value, &Value)> = page.iter().map(|line| (&line["kind"], &line["text"])).collect();
    let expected = [("text", "two\nlines"), ("emote", "pours"), ("text", "First flush is in.")];
    let expected = expected.map(|(kind, text)| (json!(kind), json!(text)));
    assert_eq!(said, expected.iter().map(|(kind, text)| (kind, text)).collect::<Vec<_>>());
    let first = &page[2];
    assert_eq!(
        (&first["id"], &first["nick"], &first["channel"]),
        (&json!(id.trim()), &json!("anna"), &json!("Tea"))
    );
    assert_eq!(first["author"], id.split_once('/').unwrap().0);
    assert!(first["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    let shown = db.ok(&["chat", "read", "tea", "--oldest-first"]);
    let shown: Vec<&str> = shown.lines().collect();
    assert!(
        shown[0].ends_with(" <anna> First flush is in.") && shown[1].ends_with(" * anna pours"),
        "{shown:?}"
    );
    assert!(shown[2].ends_with("> two\\nlines"), "a message is one line: {shown:?}");
}

#[test]
fn times_limits_and_pages() {
    let db = talk(120);
    assert_eq!(texts(&db, &["tea"]).len(), 50, "the default");
    assert_eq!(texts(&db, &["tea", "--limit", "all"]).len(), 120);
    assert_eq!(texts(&db, &["tea", "--limit", "2"]), ["tea 119", "tea 118"]);
    let window = ["tea", "--since", "1010000", "--until", "1013000"];
    assert_eq!(texts(&db, &window), ["tea 12", "tea 11", "tea 10"]);
    let window =
        ["tea", "--since", "1970-01-01T00:16:50Z", "--until", "1970-01-01T00:16:53Z", "--oldest-first"];
    assert_eq!(texts(&db, &window), ["tea 10", "tea 11", "tea 12"]);
    let first = db.run(&["--json", "chat", "read", "tea", "--limit", "70"]);
    let next: Value = serde_json::from_slice(&first.stderr).unwrap();
    let rest = texts(&db, &["tea", "--limit", "all", "--after", next["next"].as_str().unwrap()]);
    assert_eq!((rest.len(), &rest[0][..]), (50, "tea 49"));
}

#[test]
fn a_reader_whose_clock_is_behind_is_told_so_instead_of_that_there_is_no_channel() {
    let db = Db::init();
    let line = |n: i64| {
        json!({ "author": "anna", "channel": "tea", "timestamp": 40_000_000_000_000_i64 + n, "text": "hi" })
            .to_string()
    };
    let text: Vec<String> = (0..12).map(line).collect();
    db.feed(&["chat", "import", "-"], &text.join("\n"));
    let server = Server::start(&db);
    let reader = Db::join(&server.ticket);
    let output = reader.run(&["chat", "read", "tea"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{stderr}");
    assert_eq!(stderr.trim(), "kappa: 12 entries are dated after this machine's clock, which may be wrong");
    assert_eq!(
        lines(&String::from_utf8(reader.run(&["--json", "chat", "read", "tea"]).stderr).unwrap()),
        [json!({ "ahead": 12 })]
    );
    assert_eq!(reader.ok(&["chat", "channels"]).trim(), "tea");
}

#[test]
fn channels_topics_members() {
    let db = talk(3);
    db.ok(&["chat", "join", "Empty"]);
    db.ok(&["chat", "topic", "tea", "First flush or second?"]);
    assert_eq!(db.ok(&["chat", "topic", "TEA"]), "First flush or second?\n");
    let second = db.ok(&["chat", "topic", "tea", "Second."]);
    db.ok(&["chat", "delete", second.trim()]);
    assert_eq!(db.ok(&["chat", "topic", "tea"]), "First flush or second?\n", "the one before");
    assert_eq!(db.ok(&["chat", "channels"]), "Empty\nTea: First flush or second?\n");
    db.ok(&["chat", "archive", "empty", "--reason", "nobody came"]);
    assert_eq!(db.ok(&["chat", "channels"]).lines().next(), Some("Empty (archived)"));
    db.ok(&["chat", "archive", "empty", "--undo"]);
    assert_eq!(db.ok(&["chat", "channels"]).lines().next(), Some("Empty"));
    let members = lines(&db.ok(&["--json", "chat", "members", "tea"]));
    assert_eq!(members.iter().map(|line| &line["nick"]).filter(|nick| **nick == "anna").count(), 1);
    assert_eq!(members.len(), 2, "the author, and who set the topic");
    db.ok(&["chat", "leave", "empty"]);
    assert_eq!(db.ok(&["chat", "members", "empty"]), "");
    db.ok(&["chat", "profile", "status", "drinking"]);
    assert_eq!(db.ok(&["chat", "profile"]), "status: drinking\n");
}

#[test]
fn what_is_deleted_is_gone_and_only_its_author_deletes() {
    let db = talk(3);
    let id = db.ok(&["chat", "post", "tea", "oops"]);
    let theirs = lines(&db.ok(&["--json", "chat", "read", "tea"]))[1]["id"].as_str().unwrap().to_owned();
    assert!(db.fails(&["chat", "delete", &theirs]).contains("only its author can delete it"));
    db.ok(&["--writer", "imported:anna", "chat", "delete", &theirs]);
    db.ok(&["chat", "delete", id.trim()]);
    assert!(db.lacks(&["chat", "delete", id.trim()]).contains("no message"));
    assert_eq!(texts(&db, &["tea"]), ["tea 1", "tea 0"]);
}

#[test]
fn search_and_unread() {
    let db = talk(30);
    db.ok(&["chat", "nick", "bert"]);
    assert_eq!(db.ok(&["chat", "search", "tea 7"]).lines().count(), 1);
    assert_eq!(db.ok(&["chat", "search", "TEA 2*"]).lines().count(), 11, "2 and 20 to 29");
    assert_eq!(db.ok(&["chat", "search", "tea*", "--limit", "3"]).lines().count(), 3);
    assert_eq!(db.ok(&["chat", "search", "coffee"]), "");
    db.ok(&["--writer", "imported:anna", "chat", "post", "tea", "is @Bert there?"]);
    assert_eq!(db.ok(&["chat", "unread"]), "", "in no channel");
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    other.ok(&["chat", "nick", "bert"]);
    assert_eq!(other.ok(&["chat", "unread"]), "");
    other.ok(&["chat", "join", "tea"]);
    assert_eq!(other.ok(&["chat", "unread"]), "tea: 31 messages, 1 mention\n");
    other.ok(&["chat", "read", "tea", "--mark", "--limit", "1"]);
    assert_eq!(other.ok(&["chat", "unread", "--local"]), "tea: 30 messages\n");
    other.ok(&["chat", "mark-read", "#TEA"]);
    assert_eq!(other.ok(&["chat", "unread", "--local"]), "");
    let late = json!({ "author": "anna", "channel": "tea", "timestamp": 1_005_500, "text": "late, @bert" });
    assert!(server.interrupt());
    db.feed(&["chat", "import", "-"], &late.to_string());
    let server = Server::start(&db);
    other.ok(&["join", &server.ticket]);
    assert_eq!(
        lines(&other.ok(&["--json", "chat", "unread"])),
        [json!({ "channel": "tea", "messages": 1, "mentions": 1, "more": false })]
    );
    let to = default_feed(&other);
    assert!(server.interrupt());
    db.ok(&["chat", "dm", &to, "between us"]);
    let server = Server::start(&db);
    other.ok(&["join", &server.ticket]);
    assert!(other.ok(&["chat", "unread"]).ends_with(" (private): 1 message\n"));
    other.ok(&["chat", "dm", "--mark"]);
    assert_eq!(other.ok(&["chat", "unread"]), "tea: 1 message, 1 mention\n");
}

#[test]
fn moderation_is_applied_at_reading_and_passed_on_by_tickets() {
    let db = talk(2);
    let anna = lines(&db.ok(&["--json", "chat", "read", "tea"]))[0]["author"].as_str().unwrap().to_owned();
    let me = default_feed(&db);
    db.ok(&["chat", "post", "tea", "mine"]);
    db.ok(&["chat", "moderate", "add", &anna, "hide", "--channel", "tea", "--reason", "noise"]);
    db.ok(&["chat", "moderate", "add", &me, "hide"]);
    assert_eq!(
        texts(&db, &["tea"]),
        ["mine"],
        "who was imported is another, and nobody is hidden from himself"
    );
    db.ok(&["chat", "moderate", "set", &me]);
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    assert_eq!(texts(&other, &["tea"]), ["mine"]);
    let hidden = lines(&other.ok(&["--json", "chat", "read", "tea", "--hidden"]));
    assert_eq!((hidden.len(), &hidden[1]["hidden"]["reason"]), (3, &json!("noise")));
    other.ok(&["chat", "moderate", "distrust", &me]);
    assert_eq!(texts(&other, &["tea", "--local"]).len(), 3, "nothing is fetched anew");
    other.ok(&["join", &server.ticket]);
    assert_eq!(texts(&other, &["tea", "--local"]).len(), 3, "whom one distrusts no ticket brings back");
    other.ok(&["chat", "moderate", "trust", &me]);
    drop(server);
    db.ok(&["chat", "moderate", "remove", &anna, "hide", "--channel", "tea"]);
    let server = Server::start(&db);
    other.ok(&["join", &server.ticket]);
    assert_eq!(texts(&other, &["tea"]).len(), 3);
}

#[test]
fn watching_prints_what_comes() {
    let db = talk(3);
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    let mut child =
        other.command(&["chat", "watch", "tea", "--limit", "2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&out.next().unwrap().unwrap()).unwrap()["text"].clone();
    assert_eq!([next(), next()], ["tea 1", "tea 2"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn import_tells_damaged_lines_and_takes_the_rest() {
    let db = Db::init();
    let file = db.path().with_extension("ndjson");
    let good = r#"{"author":"anna","channel":"tea","timestamp":5,"text":"hello"}"#;
    let long =
        json!({ "author": "anna", "channel": "tea", "timestamp": 6, "text": "x".repeat(4097) }).to_string();
    let text = [
        good,
        "no json",
        r#"{"author":"anna"}"#,
        "",
        &long,
        r#"{"author":"a\u200bb","channel":"tea","timestamp":7,"text":"x"}"#,
    ];
    std::fs::write(&file, [text.join("\n").as_bytes(), b"\n\xff\n"].concat()).unwrap();
    let import = ["--json", "chat", "import", file.to_str().unwrap()];
    let output = db.run(&import);
    assert_eq!(output.status.code(), Some(1));
    let report = lines(&String::from_utf8(output.stdout).unwrap()).pop().unwrap();
    assert_eq!((&report["imported"], &report["damaged"]), (&json!(1), &json!(5)));
    let damaged: Vec<u64> = lines(&String::from_utf8(output.stderr).unwrap())
        .iter()
        .filter_map(|line| line["line"].as_u64())
        .collect();
    assert_eq!(damaged, [2, 3, 5, 6, 7]);
    let again = lines(&String::from_utf8(db.run(&import).stdout).unwrap()).pop().unwrap();
    assert_eq!(again["imported"], 0, "importing again appends nothing");
    assert_eq!(texts(&db, &["tea"]), ["hello"]);
}

#[test]
fn wrong_input_is_told() {
    let db = talk(1);
    assert!(db.lacks(&["chat", "read", "coffee"]).contains("there is no channel \"coffee\""));
    assert!(db.lacks(&["chat", "members", "coffee"]).contains("there is no channel"));
    assert!(db.lacks(&["chat", "topic", "coffee"]).contains("there is no channel"));
    assert!(db.fails(&["chat", "post", "", "x"]).contains("must not be empty"));
    assert!(db.fails(&["chat", "post", "tea", ""]).contains("must not be empty"));
    assert!(db.fails(&["chat", "post", &"x".repeat(65), "x"]).contains("at most 64"));
    assert!(db.fails(&["chat", "post", "tea", &"x".repeat(4097)]).contains("at most 4096"));
    assert!(db.fails(&["chat", "post", "a\nb", "x"]).contains("control characters"));
    assert!(db.fails(&["chat", "nick", &"x".repeat(33)]).contains("at most 32"));
    assert!(db.fails(&["chat", "topic", "tea", &"x".repeat(513)]).contains("at most 512"));
    assert!(db.fails(&["chat", "import", "/nonexistent/file"]).contains("/nonexistent/file"));
    assert!(db.lacks(&["--json", "chat", "read", "coffee"]).starts_with("{\"error\":"));
    let unknown = format!("{}/7", "0".repeat(64));
    assert!(db.lacks(&["chat", "delete", &unknown]).contains("no message"));
    for args in [["chat", "read", "tea", "--since", "yesterday"], ["chat", "read", "tea", "--after", "x"]] {
        assert_eq!(db.run(&args).status.code(), Some(2), "{args:?}");
    }
    let mut command = db.command(&["chat", "post", "tea"]);
    let output = command.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a text that is no UTF-8");
    let mut command = db.command(&["chat", "post", "tea", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"\xff").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-8"), "{output:?}");
    assert_eq!(texts(&db, &["tea"]), ["tea 0"], "nothing of it was written");
}

#[test]
fn private_messages_are_for_two() {
    let db = Db::init();
    db.ok(&["chat", "nick", "anna"]);
    db.ok(&["writer", "new", "bert"]);
    db.ok(&["--writer", "bert", "chat", "nick", "Bert"]);
    let bert = db.ok(&["--writer", "bert", "chat", "profile", "status", "here"]);
    let bert = bert.split_once('/').unwrap().0;
    let id = db.ok(&["chat", "dm", "--to", bert, "between us"]);
    db.feed(&["--writer", "bert", "chat", "dm", "--to", &default_feed(&db)[..9], "-"], "I see\n");
    let page = lines(&db.ok(&["--json", "chat", "dm"]));
    assert_eq!(page.iter().map(|line| &line["text"]).collect::<Vec<_>>(), ["I see", "between us"]);
    let line = &page[1];
    assert_eq!(
        (&line["id"], &line["kind"], &line["channel"]),
        (&json!(id.trim()), &json!("private"), &Value::Null)
    );
    assert_eq!((&line["author"], &line["to"]), (&json!(default_feed(&db)), &page[0]["author"]));
    assert!(db.ok(&["chat", "dm", "anna", "--limit", "1"]).is_empty(), "nothing to oneself");
    assert!(db.ok(&["chat", "dm", "bert", "--limit", "1"]).contains("I see"));
    db.ok(&["chat", "delete", id.trim()]);
    assert_eq!(db.ok(&["--writer", "bert", "chat", "dm"]).lines().count(), 1);
    // Another replica has all of it and reads nothing.
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    other.ok(&["chat", "nick", "carl"]);
    assert_eq!(other.ok(&["chat", "dm"]), "");
    assert!(other.lacks(&["chat", "dm", "nobody", "x"]).contains("no feed known here is, or was, called"));
    assert!(other.fails(&["chat", "dm", "--to", &"0".repeat(64), "x"]).contains("not a valid Ed25519 key"));
}

#[test]
fn a_hash_and_white_space_around_a_name_are_no_part_of_it() {
    let db = Db::init();
    db.ok(&["chat", "post", " #Tea ", "hello"]);
    assert_eq!(db.ok(&["chat", "channels"]), "Tea\n");
    assert_eq!(texts(&db, &["tea"]), ["hello"]);
    assert_eq!(texts(&db, &["#TEA"]), ["hello"]);
    db.ok(&["chat", "nick", " anna "]);
    assert_eq!(db.ok(&["chat", "nick"]), "anna\n");
    assert!(db.fails(&["chat", "post", "#", "hello"]).contains("must not be empty"));
}

#[test]
fn leaving_a_channel_that_is_not_there_makes_none() {
    let db = Db::init();
    assert!(db.lacks(&["chat", "leave", "nowhere"]).contains("there is no channel"));
    assert_eq!(db.ok(&["chat", "channels"]), "");
    db.ok(&["chat", "join", "tea"]);
    db.ok(&["chat", "leave", "#tea"]);
    assert_eq!(db.ok(&["chat", "members", "tea"]), "");
}

#[test]
fn reading_writes_nothing() {
    let full = Db::init();
    full.ok(&["chat", "post", "tea", "hello"]);
    full.ok(&["kv", "put", "a", "1"]);
    let server = Server::start(&full);
    let db = Db::join(&server.ticket);
    for args in [
        &["chat", "nick"][..],
        &["chat", "profile"],
        &["chat", "topic", "tea"],
        &["chat", "unread"],
        &["chat", "dm"],
        &["chat", "members", "tea"],
        &["chat", "moderate", "list"],
        &["writer", "list"],
        &["kv", "history", "a"],
    ] {
        db.ok(args);
    }
    assert_eq!(db.ok(&["writer", "list"]), "", "no feed was made");
}

#[test]
fn names_that_cannot_be_told_apart_are_refused_and_nothing_turns_the_line_around() {
    let db = Db::init();
    db.ok(&["chat", "nick", "anna"]);
    assert!(db.fails(&["chat", "nick", "\u{430}nna"]).contains("U+0430"), "Cyrillic among Latin");
    assert!(db.fails(&["chat", "nick", "an\u{200b}na"]).contains("nobody sees"));
    assert!(db.fails(&["chat", "nick", "\u{202e}anna"]).contains("U+202E"));
    assert_eq!(db.ok(&["chat", "nick"]), "anna\n");

    db.ok(&["chat", "nick", "coco"]);
    let feed = default_feed(&db);
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    assert!(other.ok(&["chat", "profile", "--of", &feed]).contains("coco"));
    let told = other.fails(&["chat", "nick", "\u{441}\u{43e}\u{441}\u{43e}"]);
    assert!(told.contains("looks like \"coco\"") && told.contains(&feed), "all Cyrillic: {told}");
    other.ok(&["chat", "nick", "Coco"]);
    assert!(server.interrupt());

    db.ok(&["chat", "post", "t\u{200b}ea\u{2066}", "turned \u{202e}around\u{2028}and on"]);
    assert_eq!(db.ok(&["chat", "channels"]), "tea\n");
    assert!(db.ok(&["chat", "read", "tea"]).ends_with("> turned \\u{202e}around\\u{2028}and on\n"));
    let json = db.ok(&["chat", "read", "tea", "--json"]);
    assert!(json.contains("turned \\u202earound\\u2028and on"), "{json}");
    db.ok(&["kv", "put", "k\u{2067}", "v"]);
    assert_eq!(db.ok(&["kv", "list"]), "k\\u{2067}\n");
}

#[test]
fn days_and_local_times_are_understood_wherever_a_time_is_taken() {
    let db = Db::init();
    let line = |hour: i64| {
        // From 2026-11-28T22:00:00Z on.
        let time = 1_795_903_200_000 + hour * 3_600_000;
        json!({ "author": "anna", "channel": "tea", "timestamp": time, "text": hour.to_string() }).to_string()
    };
    let text: Vec<String> = (0..4).map(line).collect();
    db.feed(&["chat", "import", "-"], &text.join("\n"));
    let run = |args: &[&str]| {
        let mut command = db.command(&[&["--json", "chat", "read", "tea", "--oldest-first"], args].concat());
        let output = command.env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let page = lines(&String::from_utf8(output.stdout).unwrap());
        page.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(run(&["--since", "2026-11-29"]), ["1", "2", "3"], "a day begins by the clock on the wall");
    assert_eq!(run(&["--since", "2026-11-29", "--utc"]), ["2", "3"]);
    assert_eq!(run(&["--until", "29.11.2026"]), ["0"]);
    assert_eq!(run(&["--since", "2026-11-29 02:00"]), ["3"]);
    assert_eq!(run(&["--since", "2026-11-29T00:00:00Z"]), ["2", "3"]);
    // What is no terminal gets UTC.
    assert!(db.ok(&["chat", "read", "tea", "--limit", "1"]).starts_with("2026-11-29T01:00:00Z "));
    assert_eq!(db.run(&["chat", "read", "tea", "--since", "11/29/2026"]).status.code(), Some(2));
}

#[test]
fn an_import_refuses_seconds_and_years_that_cannot_be() {
    let db = Db::init();
    let line =
        |time: i64| json!({ "author": "anna", "channel": "tea", "timestamp": time, "text": "x" }).to_string();
    let text = [1_795_399_821, 1_795_399_821_000_000, -1, 1_795_399_821_000].map(line).join("\n");
    let file = db.path().with_extension("ndjson");
    std::fs::write(&file, text).unwrap();
    let output = db.run(&["chat", "import", file.to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(
            "line 1: the timestamp 1795399821 must be in milliseconds; in seconds it is 2026-11-23"
        ),
        "{told}"
    );
    assert!(told.contains("line 2:") && told.contains("line 3:") && !told.contains("line 4:"), "{told}");
    assert_eq!(texts(&db, &["tea"]), ["x"]);
}

#[test]
fn a_channel_with_nothing_in_it_goes() {
    let db = Db::init();
    assert!(db.lacks(&["chat", "read", "tea"]).contains("there is no channel"));
    assert!(db.lacks(&["chat", "leave", "tea"]).contains("there is no channel"));
    assert_eq!(db.ok(&["chat", "channels"]), "", "neither reading nor leaving made one");
    db.ok(&["chat", "join", "tea"]);
    let id = db.ok(&["chat", "post", "coffee", "oops"]);
    db.ok(&["chat", "post", "milk", "first"]);
    let second = db.ok(&["chat", "post", "milk", "second"]);
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    assert_eq!(other.ok(&["chat", "channels"]), "coffee\nmilk\ntea\n");
    assert!(server.interrupt());
    db.ok(&["chat", "leave", "tea"]);
    db.ok(&["chat", "delete", id.trim()]);
    db.ok(&["chat", "delete", second.trim()]);
    assert_eq!(db.ok(&["chat", "channels"]), "milk\n");
    assert!(db.lacks(&["chat", "leave", "tea"]).contains("there is no channel"));
    let server = Server::start(&db);
    other.ok(&["join", &server.ticket]);
    assert_eq!(other.ok(&["chat", "channels"]), "milk\n");
    assert_eq!(other.ok(&["chat", "unread"]), "");
}
