//! `sync` says how far it has come: what is known, what was fetched, and what nobody has.

use crate::common::{Db, Server, on_a_terminal};
use serde_json::{Value, json};

/// So many values, of which a debug build needs longer than a look at the bar takes.
const MANY: usize = 40_000;

/// A database with so many values.
fn with_values(n: usize) -> Db {
    let db = Db::init();
    let lines: String = (0..n).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"v\"}}\n")).collect();
    db.feed(&["kv", "import", "-"], &lines);
    db
}

/// The numbers of blocks that a terminal was shown as fetched, and as known.
fn bars(shown: &str) -> Vec<(u64, u64)> {
    let bar = |text: &str| {
        let (before, after) = text.split_once(" of ")?;
        let fetched = before.rsplit(' ').next()?.parse().ok()?;
        let (known, _) = after.split_once(" blocks known")?;
        Some((fetched, known.parse().ok()?))
    };
    shown.split("fetching").filter_map(bar).collect()
}

#[test]
fn a_terminal_shows_what_is_known_and_fetched_and_a_pipe_nothing() {
    let hub = with_values(MANY);
    let server = Server::start(&hub);
    let (fresh, piped) = (Db::join(&server.ticket), Db::join(&server.ticket));
    let (done, shown) = on_a_terminal(&fresh, &["sync", "--everything"], "");
    assert!(done, "{shown}");
    let bars = bars(&shown);
    assert!(!bars.is_empty(), "{shown}");
    assert!(bars.iter().all(|(fetched, known)| fetched <= known && *known == MANY as u64), "{bars:?}");
    assert!(bars.is_sorted(), "{bars:?}");
    assert!(bars.iter().any(|(fetched, known)| fetched < known), "{bars:?}");
    let (out, told) = piped.ends(0, &["sync"]);
    assert_eq!(out, format!("{MANY} blocks fetched; {MANY} blocks in 1 feed known\n"));
    assert_eq!(told, "");
}

#[test]
fn programs_are_told_line_by_line() {
    let hub = with_values(MANY);
    let server = Server::start(&hub);
    let fresh = Db::join(&server.ticket);
    let (out, told) = fresh.ends(0, &["--json", "sync", "--everything"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    let wanted =
        json!({ "fetched": MANY, "known": MANY, "known_feeds": 1, "unavailable": 0, "unavailable_feeds": 0 });
    assert_eq!(all, wanted);
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty());
    for line in &lines {
        assert_eq!((&line["known"], &line["known_feeds"]), (&json!(MANY), &json!(1)), "{line}");
        assert!(line["fetched"].as_u64().unwrap() <= MANY as u64, "{line}");
    }
    assert!(lines.is_sorted_by_key(|line| line["fetched"].as_u64()), "{lines:?}");
    // Of a part of it nobody knows how much there is.
    let (out, told) = Db::join(&server.ticket).ends(0, &["--json", "sync", "prefix", "k1"]);
    let part: Value = serde_json::from_str(&out).unwrap();
    assert!(part["fetched"].as_u64().unwrap() > 1_000 && part["known"].is_null(), "{part}");
    assert!(!told.contains("known"), "{told}");
}

#[test]
fn what_nobody_has_is_said_by_blocks_and_feeds() {
    let full = with_values(100);
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    assert_eq!(sparse.ok(&["kv", "get", "k7"]), "v");
    server.kill();
    // One that holds a block of each hundred is all that is left.
    let server = Server::start(&sparse);
    let last = Db::join(&server.ticket);
    let (out, told) = last.ends(3, &["sync"]);
    assert_eq!(
        out,
        "1 block fetched; 100 blocks in 1 feed known, 99 blocks of 1 feed held by nobody asked\n"
    );
    assert!(told.contains("not complete"), "{told}");
    let (out, _) = last.ends(3, &["--json", "sync", "--everything"]);
    let wanted =
        json!({ "fetched": 0, "known": 100, "known_feeds": 1, "unavailable": 99, "unavailable_feeds": 1 });
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), wanted);
    let (out, _) = last.ends(0, &["--json", "sync", "--local"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), wanted);
}
