//! To whom private messages go, and how feeds and messages are named.

use crate::common::{Db, Server, on_a_terminal};
use serde_json::{Value, json};

/// The feed of a writer with a nickname, made if it is not there.
fn writer(db: &Db, name: &str, nick: &str) -> String {
    if name != "default" {
        db.run(&["writer", "new", name]);
    }
    let id = db.ok(&["--writer", name, "chat", "nick", nick]);
    id.split_once('/').unwrap().0.to_owned()
}

/// Its fingerprint, as people are shown it.
fn fingerprint(db: &Db, feed: &str) -> String {
    db.ok(&["chat", "pin", "add", "x", feed]);
    let listed = db.ok(&["chat", "pin", "list"]);
    db.ok(&["chat", "pin", "remove", "x"]);
    let line = listed.lines().find(|line| line.ends_with(" x")).unwrap();
    line.strip_suffix(" x").unwrap().to_owned()
}

fn dms(db: &Db, args: &[&str]) -> Vec<Value> {
    let out = db.ok(&[&["--json", "chat", "dm"], args].concat());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn without_a_terminal_a_name_that_is_not_pinned_is_refused_with_what_to_type() {
    let db = Db::init();
    let bert = writer(&db, "bert", "Bert");
    let print = fingerprint(&db, &bert);
    let told = db.fails(&["chat", "dm", "bert", "psst"]);
    assert!(told.contains(&format!("kappa chat pin add bert {print}")), "{told}");
    assert!(told.contains(&format!("kappa chat dm --to {print} TEXT")), "{told}");
    assert!(dms(&db, &[]).is_empty(), "nothing was sent");
    db.ok(&["chat", "dm", "--to", &print, "first"]);
    db.ok(&["chat", "pin", "add", "bert", &print]);
    db.ok(&["chat", "dm", "BERT", "second"]);
    let read = dms(&db, &["bert"]);
    assert_eq!(read.iter().map(|line| &line["text"]).collect::<Vec<_>>(), ["second", "first"]);
    assert!(read.iter().all(|line| line["to"] == json!(bert)));
    // What is pinned stays so, whatever the feed calls itself, and whoever takes the name.
    writer(&db, "bert", "Bertram");
    writer(&db, "carl", "bert");
    db.ok(&["chat", "dm", "bert", "third"]);
    assert_eq!(dms(&db, &["bert"])[0]["to"], json!(bert));
    db.ok(&["chat", "pin", "remove", "Bert"]);
    assert_eq!(db.ok(&["chat", "pin", "list"]), "");
    assert!(db.lacks(&["chat", "pin", "remove", "Bert"]).contains("pinned to no feed"));
    assert!(db.fails(&["chat", "dm", "bert", "fourth"]).contains("several feeds have, or had, the name"));
    assert_eq!(db.run(&["chat", "dm", "--to", &print, "bert", "x"]).status.code(), Some(2));
}

#[test]
fn what_to_type_is_what_a_shell_takes() {
    let db = Db::init();
    writer(&db, "lee", "Ann O'Lee");
    let told = db.fails(&["chat", "dm", "ann o'lee", "psst"]);
    let command = told.split('`').nth(1).unwrap();
    let typed = command.replacen("kappa", env!("CARGO_BIN_EXE_kappa"), 1);
    let mut shell = std::process::Command::new("sh");
    let done = shell.arg("-c").arg(typed).env("KAPPA_DB", db.path()).status().unwrap();
    assert!(done.success(), "{told}");
    db.ok(&["chat", "dm", "Ann O'Lee", "psst"]);
}

#[test]
fn on_a_terminal_the_whole_fingerprint_is_shown_and_asked_for_the_first_time() {
    for beside in [false, true] {
        let db = Db::init();
        let _server = beside.then(|| crate::common::Server::start(&db));
        let bert = writer(&db, "bert", "Bert");
        let print = fingerprint(&db, &bert);
        for no in ["n\n", "\n", "what?\n"] {
            let (done, shown) = on_a_terminal(&db, &["chat", "dm", "bert", "psst"], no);
            assert!(!done && shown.contains(&print) && shown.contains(&bert), "{shown}");
            assert!(shown.contains("nothing was sent"), "{shown}");
        }
        assert!(dms(&db, &[]).is_empty() && db.ok(&["chat", "pin", "list"]).is_empty());
        let (done, shown) = on_a_terminal(&db, &["chat", "dm", "bert", "psst"], "y\n");
        assert!(done && shown.contains("[y/N]"), "{shown}");
        assert_eq!(db.ok(&["chat", "pin", "list"]), format!("{print} bert\n"));
        let (done, shown) = on_a_terminal(&db, &["chat", "dm", "bert", "again"], "");
        assert!(done && !shown.contains("[y/N]"), "it is asked once: {shown}");
        assert_eq!(dms(&db, &[]).len(), 2);
    }
}

#[test]
fn a_name_that_two_have_or_had_is_nobodys_also_among_peers() {
    let full = Db::init();
    let before = writer(&full, "default", "anna");
    writer(&full, "default", "zoe");
    let now = writer(&full, "anna", "Anna");
    writer(&full, "bob", "bob");
    let server = Server::start(&full);
    let other = Db::join(&server.ticket);
    let prints = [fingerprint(&other, &before), fingerprint(&other, &now)];
    let told = other.fails(&["chat", "dm", "anna", "psst"]);
    assert!(prints.iter().all(|print| told.contains(print)) && told.contains("(anna, before)"), "{told}");
    // Who has looked before and knows of one alone asks all the same.
    let third = Db::join(&server.ticket);
    third.ok(&["chat", "profile", "--of", &now]);
    assert!(third.fails(&["chat", "dm", "anna", "psst"]).contains("several feeds"));
    // One that looks like it is as good as the same.
    let told = other.fails(&["chat", "dm", "b\u{43e}b", "psst"]);
    assert!(told.contains("is not pinned to a feed; bob is"), "{told}");
    assert!(server.interrupt());
    // With nobody to ask it is not known whether there are others.
    let output = other.run(&["chat", "dm", "bob", "psst", "--require-complete"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(dms(&other, &["--local"]).is_empty());
}

#[test]
fn what_people_are_shown_is_what_commands_take() {
    let db = Db::init();
    let me = writer(&db, "default", "anna");
    db.ok(&["chat", "post", "tea", "hello"]);
    let shown = db.ok(&["chat", "read", "tea"]);
    let id = shown.split(' ').nth(1).unwrap();
    let (print, seq) = id.split_once('/').unwrap();
    assert_eq!(print, fingerprint(&db, &me));
    assert!(print.replace('-', "").len() * 5 >= 64, "bits");
    assert_eq!(db.ok(&["chat", "members", "tea"]), format!("{print} anna\n"));
    assert!(db.ok(&["chat", "profile", "--of", &print[..6]]).contains("nick: anna"));
    assert!(db.ok(&["chat", "profile", "--of", &me[..6]]).contains("nick: anna"));
    db.ok(&["chat", "mark-read", "tea", "--up-to", id]);
    db.ok(&["chat", "delete", &format!("{}/{seq}", &print.to_uppercase())]);
    assert_eq!(db.ok(&["chat", "read", "tea"]), "");
    // Also elsewhere.
    let file = db.path().with_extension("file");
    std::fs::write(&file, "bytes").unwrap();
    let blob = db.ok(&["blob", "put", file.to_str().unwrap()]);
    let seq = blob.trim().split_once('/').unwrap().1;
    assert_eq!(db.ok(&["blob", "get", &format!("{print}/{seq}")]), "bytes");
    db.ok(&["kv", "put", "k", "1"]);
    let head = db.json(&["kv", "get", "k"])["heads"][0].as_str().unwrap().to_owned();
    let short = format!("{print}/{}", head.split_once('/').unwrap().1);
    db.ok(&["kv", "put", "k", "2", "--if", &short]);
    assert!(db.fails(&["feed", "drop", print]).contains(&me), "it was found, and is one's own");
}

#[test]
fn what_could_be_several_feeds_is_refused_with_the_candidates() {
    let db = Db::init();
    // Of 33 feeds two begin with the same of 32 letters.
    let feeds: Vec<String> = (0..33).map(|n| writer(&db, &format!("w{n}"), &format!("w{n}"))).collect();
    let prints: Vec<String> = feeds.iter().map(|feed| fingerprint(&db, feed)).collect();
    let first = |print: &String| print[..1].to_owned();
    let letter =
        prints.iter().map(first).find(|letter| prints.iter().filter(|p| p.starts_with(letter)).count() > 1);
    let letter = letter.unwrap();
    let told = db.fails(&["chat", "moderate", "add", &letter, "hide"]);
    for (n, print) in prints.iter().enumerate().filter(|(_, print)| print.starts_with(&letter)) {
        assert!(told.contains(&format!("{print} (w{n})")), "{told}");
    }
    assert!(told.contains("write more of it"), "{told}");
    assert!(db.lacks(&["chat", "moderate", "trust", "zzzz-zzzz"]).contains("no feed here begins"));
    assert_eq!(db.run(&["chat", "delete", "no/such"]).status.code(), Some(2));
    assert_eq!(db.run(&["chat", "moderate", "trust", "größe"]).status.code(), Some(2));
}

#[test]
fn names_that_look_alike_are_shown_with_the_beginning_of_the_fingerprint() {
    let db = Db::init();
    let latin = writer(&db, "default", "coco");
    let file = db.path().with_extension("ndjson");
    // All Cyrillic: neither is refused, for a file may come from anywhere.
    let line = |author: &str, text: &str| {
        json!({ "author": author, "channel": "tea", "timestamp": 1, "text": text }).to_string()
    };
    let lines = [line("\u{441}\u{43e}\u{441}\u{43e}", "I am coco"), line("bob", "hi")].join("\n");
    std::fs::write(&file, lines).unwrap();
    db.ok(&["chat", "import", file.to_str().unwrap()]);
    let shown = db.ok(&["chat", "read", "tea"]);
    assert!(shown.contains("<\u{441}\u{43e}\u{441}\u{43e}/") && shown.contains("<bob> hi"), "{shown}");
    db.ok(&["chat", "post", "tea", "no, I am"]);
    let shown = db.ok(&["chat", "read", "tea"]);
    assert!(shown.contains(&format!("<coco/{}> no, I am", &fingerprint(&db, &latin)[..9])), "{shown}");
    let members = db.ok(&["chat", "members", "tea"]);
    assert_eq!(members.lines().filter(|line| line.contains('/')).count(), 2, "{members}");
}
