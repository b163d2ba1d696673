//! Three replicas that serve, each with two parts of three, and somebody who asks them while one is killed and one frozen.

use crate::common::{Db, Server, signal};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// Values of each part.
const VALUES: u64 = 50_000;

/// A replica that fetched these parts of what the server has, and nothing else, and serves them.
fn replica(origin: &Server, parts: [&str; 2]) -> (Db, Server) {
    let db = Db::join(&origin.ticket);
    for part in parts {
        assert_eq!(db.json(&["sync", "prefix", part])["fetched"], VALUES);
    }
    let server = Server::start(&db);
    (db, server)
}

/// Begins to fetch, and waits until something has come.
fn begin(db: &Db, args: &[&str]) -> (Child, String) {
    let mut command = db.command(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(1, child.stderr.as_mut().unwrap()).read_line(&mut first).unwrap();
    (child, first)
}

fn last(output: &[u8]) -> Value {
    serde_json::from_str(std::str::from_utf8(output).unwrap().lines().last().unwrap()).unwrap()
}

fn held(asker: &Db, part: &str) -> u64 {
    asker.ok(&["kv", "list", "--local", "--limit", "all", "--prefix", part]).lines().count() as u64
}

#[test]
fn one_of_three_is_killed_and_one_frozen_in_the_middle_and_the_answer_is_whole_or_says_what_is_missing() {
    let origin = Db::init();
    let value = "v".repeat(100);
    let line =
        |part: &str, n: u64| json!({ "key": format!("{part}/{n}"), "value": value }).to_string() + "\n";
    let lines = ["a", "b", "c"].map(|part| (0..VALUES).map(|n| line(part, n)).collect::<String>());
    origin.feed(&["kv", "import", "-"], &lines.concat());
    let server = Server::start(&origin);
    let (_first, killed) = replica(&server, ["a/", "b/"]);
    let (_second, frozen) = replica(&server, ["b/", "c/"]);
    let (_third, remaining) = replica(&server, ["c/", "a/"]);
    assert!(server.interrupt());

    let asker = Db::join(&killed.ticket);
    asker.ok(&["peer", "add", &frozen.ticket, "--name", "frozen"]);
    asker.ok(&["peer", "add", &remaining.ticket]);
    // All that there is: two parts of three are with the one that remains.
    let (child, first) = begin(&asker, &["--json", "sync", "--everything", "--patience", "2"]);
    assert!(first.contains("fetched"), "{first}");
    killed.kill();
    signal(frozen.id(), "-STOP");
    let begun = Instant::now();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let (all, lack) = (last(&stdout), last(&stderr));
    assert_eq!(status.code(), Some(3), "{all} {lack}");
    assert_eq!((&all["known"], &all["known_feeds"]), (&json!(3 * VALUES), &json!(1)));
    // Some of the part that the others held had come.
    let unavailable = all["unavailable"].as_u64().unwrap();
    assert!(unavailable > 0 && unavailable <= VALUES, "{all}");
    assert_eq!(all["fetched"], 3 * VALUES - unavailable);
    assert_eq!(held(&asker, "b/"), VALUES - unavailable);
    assert_eq!((&lack["complete"], lack["missing"].as_array().unwrap().len()), (&json!(false), 2), "{lack}");
    assert_eq!((held(&asker, "a/"), held(&asker, "c/")), (VALUES, VALUES));

    // What the one that remains holds is answered whole, though the others say nothing.
    let newcomer = Db::join(&remaining.ticket);
    newcomer.ok(&["peer", "add", &frozen.ticket, "--name", "frozen"]);
    let begun = Instant::now();
    let (out, told) =
        newcomer.ends(0, &["kv", "list", "--prefix", "c/", "--limit", "all", "--patience", "2"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(out.lines().count() as u64, VALUES);
    assert!(told.contains("complete by those who answered: peer frozen did not answer"), "{told}");
    let (_, told) = newcomer.ends(3, &["kv", "list", "--prefix", "b/", "--limit", "all", "--patience", "2"]);
    assert!(told.contains("not complete: peer frozen did not answer"), "{told}");

    // It wakes, and what was missing comes.
    signal(frozen.id(), "-CONT");
    let (out, _) = asker.ends(0, &["--json", "sync"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&all["fetched"], &all["unavailable"]), (&json!(unavailable), &json!(0)));
    assert_eq!(held(&asker, "b/"), VALUES);
    asker.ok(&["verify"]);
}
