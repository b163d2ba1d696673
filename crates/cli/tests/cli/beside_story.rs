//! Every command does beside a node what it does without one: a whole story, told both ways.

use crate::common::{Db, Server};
use crate::readme::shape;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// What commands of one telling printed, with what differs from one to the next replaced.
struct Telling<'a> {
    db: &'a Db,
    /// Where the caller is.
    cwd: &'a Path,
    said: Vec<String>,
}

impl Telling<'_> {
    /// Runs a command with this on stdin; stdout.
    fn run_with(&mut self, args: &[&str], input: &str) -> String {
        let mut command = self.db.command(args);
        command.current_dir(self.cwd).env("TZ", "Asia/Tokyo");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who does not read it may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        // What of derived data is where depends on when it was tidied.
        let told = if args.contains(&"status") || args.contains(&"rebuild") { "" } else { out.as_str() };
        let place = self.cwd.display().to_string();
        let lines = told.lines().chain(["and on stderr"]).chain(err.lines());
        let mut lines: Vec<String> =
            lines.map(|line| shape(&without_chance(&line.replace(&place, "HERE")))).collect();
        // These come in the order of keys, which are drawn.
        if args.contains(&"members") || args.contains(&"feed") {
            lines.sort();
        }
        let words: Vec<String> = args.iter().map(|word| shape(word)).collect();
        self.said.push(format!("{} -> {:?}\n{}", words.join(" "), output.status.code(), lines.join("\n")));
        out
    }

    fn run(&mut self, args: &[&str]) -> String {
        self.run_with(args, "")
    }

    /// For people, and for programs.
    fn both(&mut self, args: &[&str]) {
        self.run(args);
        self.run(&[&["--json"], args].concat());
    }

    /// The id that a command prints with `--json`.
    fn id(&mut self, args: &[&str]) -> String {
        let out = self.run(&[&["--json"], args].concat());
        serde_json::from_str::<Value>(&out).unwrap()["id"].as_str().unwrap().to_owned()
    }
}

/// A line without what is chance: the name of a file that is not there yet, and whether two things came in one millisecond.
fn without_chance(line: &str) -> String {
    let line = line.split_once(".tmp").map_or(line, |(before, _)| before);
    // When it was written is said where that is not just when it is to be shown.
    let parts = line.split("\"written\":");
    let rest = |part: &str| part.split_once(',').map_or_else(String::new, |(_, rest)| rest.to_owned());
    parts.enumerate().map(|(n, part)| if n == 0 { part.to_owned() } else { rest(part) }).collect()
}

/// A file of each kind that commands read.
fn lay_out(cwd: &Path) {
    let cafe = r#"{"type":"Feature","id":"cafe","properties":{"a":"b"},"geometry":{"type":"Point","coordinates":[24.947,60.172]}}"#;
    fs::write(cwd.join("cafe.json"), cafe).unwrap();
    fs::write(cwd.join("bad.json"), "{").unwrap();
    let town =
        format!(r#"{{"type":"FeatureCollection","features":[{cafe},{{"type":"Feature","geometry":null}}]}}"#);
    fs::write(cwd.join("town.json"), town).unwrap();
    fs::write(
        cwd.join("lines.ndjson"),
        "{\"key\":\"k\",\"value\":\"v\"}\nnonsense\n{\"key\":\"l\",\"value\":\"w\"}\n",
    )
    .unwrap();
    let talk = r#"{"author":"x","channel":"tea","timestamp":1700000000000,"text":"old"}"#;
    fs::write(cwd.join("talk.ndjson"), format!("{talk}\n{{\n")).unwrap();
    fs::write(cwd.join("photo.jpg"), vec![7; 300_000]).unwrap();
    fs::write(cwd.join("there"), "dear").unwrap();
}

fn keys_and_values(t: &mut Telling<'_>) {
    t.both(&["kv", "put", "a", "1"]);
    t.run_with(&["kv", "put", "b", "-"], "from stdin");
    t.run(&["kv", "put", "--key-hex", "00ff", "x"]);
    for args in [
        &["get", "a"][..],
        &["get", "a", "--all"],
        &["get", "nope"],
        &["get"],
        &["list"],
        &["list", "--limit", "1"],
        &["history", "a"],
        &["export"],
        &["get", "a", "--stats"],
    ] {
        t.both(&[&["kv"], args].concat());
    }
    t.both(&["kv", "put", "a", "2", "--if", "none"]);
    t.both(&["kv", "delete", "b"]);
    t.both(&["kv", "get", "b"]);
    t.both(&["kv", "merge", "a", "3"]);
    t.both(&["kv", "import", "lines.ndjson"]);
    t.run_with(&["kv", "import", "-"], "{\"key\":\"m\",\"value\":\"1\"}\n{}\n");
    t.both(&["kv", "import", "not there"]);
    t.both(&["kv", "import", "."]);
    t.both(&["writer", "new", "bert"]);
    t.both(&["writer", "list"]);
    t.both(&["--writer", "bert", "kv", "put", "a", "by bert"]);
    t.both(&["--writer", "nobody", "kv", "put", "a", "x"]);
}

fn maps_and_blobs(t: &mut Telling<'_>) {
    t.both(&["map", "put", "cafe.json"]);
    t.run_with(&["map", "put", "-"], &fs::read_to_string(t.cwd.join("cafe.json")).unwrap());
    for file in ["bad.json", "not there", "."] {
        t.both(&["map", "put", file]);
        t.both(&["map", "import", file]);
        t.both(&["blob", "put", file]);
    }
    t.both(&["map", "import", "town.json"]);
    t.run_with(&["map", "import", "-"], &fs::read_to_string(t.cwd.join("town.json")).unwrap());
    t.run(&["map", "import", crate::common::EXTRACT]);
    let box_ = ["map", "query", "--bbox", crate::common::STATION];
    for more in [
        &["--limit", "3"][..],
        &["--format", "count"],
        &["--format", "svg"],
        &["--format", "osm"],
        &["--format", "ndjson", "--largest", "--limit", "2"],
    ] {
        t.both(&[&box_, more].concat());
    }
    for args in [
        &["get", "cafe"][..],
        &["get", "n1"],
        &["history", "cafe"],
        &["referrers", "n1001543207"],
        &["expand", "cafe"],
        &["merge", "cafe"],
    ] {
        t.both(&[&["map"], args].concat());
    }
    for args in [
        &["map", "export", "-o", "there"][..],
        &["map", "export", "--bbox", "24,60,25,61", "-o", "new.json"],
        &["map", "export", "-o", "no/folder"],
        &["map", "export", "-o", "/dev/full"],
        &["map", "export", "-o", "/dev/stdout"],
    ] {
        t.both(args);
    }
    let photo = t.id(&["blob", "put", "photo.jpg"]);
    t.run_with(&["blob", "put", "-", "--name", "text"], "some text");
    t.both(&["map", "attach", "cafe", "photo.jpg"]);
    t.both(&["blob", "info", &photo]);
    t.both(&["blob", "list"]);
    t.run(&["blob", "get", &photo, "--output", "copy.jpg"]);
    t.run(&["blob", "get", &photo, "--range", "0-9"]);
    t.both(&["map", "delete", "cafe"]);
}

fn chat(t: &mut Telling<'_>) {
    t.both(&["chat", "nick", "anna"]);
    let post = t.id(&["chat", "post", "tea", "hello @anna"]);
    t.run_with(&["chat", "post", "tea", "-"], "from stdin\n");
    t.both(&["chat", "edit", &post, "hello again"]);
    t.both(&["chat", "import", "talk.ndjson"]);
    for args in [
        &["read", "tea"][..],
        &["read", "tea", "--since", "2023-11-15 07:13:20"],
        &["read", "tea", "--mark"],
        &["read", "nowhere"],
        &["channels"],
        &["members", "tea"],
        &["search", "hello"],
        &["unread"],
        &["topic", "tea", "First flush"],
        &["topic", "tea"],
        &["nick"],
        &["profile"],
        &["profile", "about", "me"],
        &["history", &post],
        &["export"],
        &["join", "milk"],
        &["leave", "milk"],
        &["archive", "milk"],
        &["mark-read", "tea"],
        &["moderate", "trusted"],
        &["moderate", "list"],
        &["pin", "list"],
        &["dm"],
        &["dm", "bert", "psst"],
        &["delete", &post],
    ] {
        t.both(&[&["chat"], args].concat());
    }
    let feed = post.split('/').next().unwrap();
    t.both(&["--writer", "bert", "chat", "dm", "--to", feed, "psst"]);
    t.both(&["chat", "dm"]);
    t.both(&["chat", "moderate", "add", feed, "hide"]);
    t.both(&["chat", "pin", "add", "anna", feed]);
}

fn housekeeping(t: &mut Telling<'_>, ticket: &str, other: &str) {
    let feed = t.id(&["kv", "put", "last", "1"]).split('/').next().unwrap().to_owned();
    for args in [
        &["clear", &feed, "0-1", "--force"][..],
        &["clear", &feed, "0-1"],
        &["feed", "list"],
        &["compact"],
        &["feed", "new"],
        &["feed", "drop", "zzz"],
        &["settle"],
        &["verify"],
        &["rebuild"],
        &["status"],
        &["peer", "add", ticket, "--name", "hub"],
        &["kv", "get", "a"],
        &["kv", "get", "a", "--require-complete"],
        &["peer", "rename", "hub", "other"],
        &["join", ticket],
        &["join", other],
        &["join", "nonsense"],
        &["init"],
        &["ticket"],
        &["peer", "remove", "other"],
        &["fly"],
        &["kv", "--help"],
    ] {
        t.both(args);
    }
    t.run_with(&["peer", "add", "-"], ticket);
    t.both(&["feed", "drop", &feed]);
    t.both(&["feed", "allow", &feed]);
}

#[test]
fn every_command_does_beside_a_node_what_it_does_without() {
    // But for `peer list`: only who serves is connected to anybody.
    // Peers that have gone, so that questions to them fail at once.
    let [friend, stranger] = [Db::init(), Db::init()];
    let [of_friend, of_stranger] = [&friend, &stranger].map(|db| Server::start_plain(db).ticket.clone());
    let tell = |beside: bool| {
        let (db, cwd) = (Db::join(&of_friend), tempfile::tempdir().unwrap());
        db.ok(&["peer", "remove", &db.ok(&["peer", "list"])[..64]]);
        lay_out(cwd.path());
        let server = beside.then(|| Server::start_plain(&db));
        let mut telling = Telling { db: &db, cwd: cwd.path(), said: Vec::new() };
        keys_and_values(&mut telling);
        maps_and_blobs(&mut telling);
        chat(&mut telling);
        housekeeping(&mut telling, &of_friend, &of_stranger);
        assert!(server.is_none_or(Server::interrupt));
        let left = |name: &str| fs::read(cwd.path().join(name)).unwrap_or_default();
        assert_eq!(left("copy.jpg"), left("photo.jpg"));
        assert_eq!(db.run(&["verify"]).status.code(), Some(0));
        (telling.said, [left("there"), left("new.json")])
    };
    let (without, beside) = (tell(false), tell(true));
    let pairs = without.0.iter().zip(&beside.0);
    let differ: Vec<_> = pairs.filter(|(alone, beside)| alone != beside).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(without.0.len() > 150 && without.0.len() == beside.0.len());
    assert!(!without.1[0].is_empty() && without.1 == beside.1);
}
