//! Two programs, a real socket between them.
use crate::common::{Db, STATION, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn a_new_peer_asks_for_a_box_and_fetches_only_that() {
    let full = Db::helsinki();
    let expected = full.ids(STATION);
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    assert_eq!(sparse.json(&["status"])["feeds"], json!([]), "no writer feed before the first write");

    let (ids, stats) = sparse.ask(STATION);
    assert_eq!(ids, expected);
    assert_eq!(stats["results"].as_u64(), Some(ids.len() as u64));
    // And of a node there that has neither tags nor a way, which only what is made of nodes asks for.
    let blocks = ids.len() as u64 + 1;
    assert_eq!(stats["blocks_fetched"].as_u64(), Some(blocks), "just the blocks of those features");
    assert_eq!(stats["complete"], true);
    assert_eq!(stats["peers"], 1);
    assert_eq!(stats["round_trips"], 3);
    let feed = &sparse.json(&["status"])["feeds"][0];
    assert_eq!(feed["held"].as_u64(), Some(blocks));
    assert_eq!(feed["writable"], false);

    // Asking again brings nothing, and what is here answers alone.
    let (again, stats) = sparse.ask(STATION);
    assert_eq!((again, stats["blocks_fetched"].as_u64()), (expected.clone(), Some(0)));
    assert!(server.interrupt());
    assert_eq!(sparse.ids(STATION), expected);
    assert_eq!(sparse.run(&["verify"]).status.code(), Some(0));
}

#[test]
fn a_sparse_replica_answers_others_and_does_not_claim_too_much() {
    let full = Db::helsinki();
    let (inner, wide) = ("24.9400,60.1700,24.9430,60.1715", STATION);
    let server = Server::start(&full);
    let relay = Db::join(&server.ticket);
    let (expected, _) = relay.ask(wide);
    drop(server);

    let server = Server::start(&relay);
    let last = Db::join(&server.ticket);
    let (ids, stats) = last.ask(inner);
    assert_eq!(ids, full.ids(inner));
    assert_eq!(stats["complete"], true, "the relay's claim for the wider box passes on");
    let (ids, stats) = last.ask(wide);
    assert_eq!((ids, stats["complete"].as_bool()), (expected, Some(true)));
    let (_, stats) = last.ask("24.93,60.16,24.96,60.18");
    assert_eq!(stats["complete"], false, "nobody that took part has asked for that much");
}

#[test]
fn edits_moves_and_deletes_reach_a_peer_by_boxes() {
    let point = |id: &str, lon: f64| {
        json!({"type": "Feature", "id": id, "properties": {}, "geometry": {"type": "Point", "coordinates": [lon, 10.0]}})
            .to_string()
    };
    let full = Db::init();
    full.feed(&["map", "put"], &point("a", 1.0));
    full.feed(&["map", "put"], &point("b", 1.0));
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    assert_eq!(sparse.ask("0,9,2,11").0, ["a", "b"]);
    assert!(server.interrupt());

    full.feed(&["map", "put"], &point("a", 50.0));
    full.ok(&["map", "delete", "b"]);
    // The ticket names a port that is gone: joining again with a new one tells where the peer is now.
    let server = Server::start(&full);
    sparse.ok(&["join", &server.ticket]);
    assert!(sparse.ask("0,9,2,11").0.is_empty(), "moved and deleted features leave the old box");
    let (ids, stats) = sparse.ask("40,0,60,20");
    assert_eq!((ids, stats["complete"].as_bool()), (vec!["a".to_owned()], Some(true)));
    let error = Db::init().fails(&["join", &server.ticket]);
    assert!(error.contains("another database"), "{error}");
}

#[test]
fn without_a_peer_what_was_asked_before_is_complete_as_of_then_and_more_than_that_is_not() {
    let full = Db::helsinki();
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    let (expected, _) = sparse.ask(STATION);
    server.kill();
    let started = Instant::now();
    let output = sparse.run(&["map", "query", "--bbox", STATION, "--stats"]);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(0), "reading offline is no failure");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), expected.len());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(
        lines[1].starts_with("kappa: complete as of 20") && lines[1].contains("did not answer"),
        "{stderr}"
    );
    let stats: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((stats["complete"].as_bool(), stats["peers"].as_u64()), (Some(false), Some(0)));
    let (out, told) = sparse.ends(0, &["--json", "map", "query", "--bbox", STATION]);
    assert_eq!(out.lines().count(), expected.len());
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&last["complete"], &last["as_of"]), (&json!(false), &stats["as_of"]));
    let (out, _) = sparse.ends(3, &["map", "query", "--bbox", STATION, "--require-complete"]);
    assert_eq!(out, "");
    let (_, told) = sparse.ends(3, &["map", "query", "--bbox", "24.93,60.16,24.96,60.18"]);
    assert!(told.contains("kappa: not complete: peer "), "{told}");
}

#[test]
fn stats_tell_what_is_known() {
    let alone = Db::init();
    let (_, stats) = alone.ask("0,0,1,1");
    assert_eq!(stats["complete"], true, "a replica that never joined another is complete by itself");
    let output = alone.run(&["map", "query", "--bbox", "0,0,1,1", "--local", "--stats"]);
    let stats: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(stats["complete"].is_null());
    let mut names: Vec<&String> = stats.as_object().unwrap().keys().collect();
    names.sort();
    let expected = [
        "blocks_fetched",
        "bytes_received",
        "bytes_sent",
        "complete",
        "direct",
        "peers",
        "results",
        "round_trips",
        "seconds",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_damaged_ticket_and_a_wrong_key_say_so() {
    let full = Db::init();
    let server = Server::start(&full);
    let mut damaged = server.ticket.clone();
    let middle = damaged.len() / 2;
    let other = if damaged.as_bytes()[middle] == b'a' { "b" } else { "a" };
    damaged.replace_range(middle..=middle, other);
    let error = Db::none().fails(&["join", &damaged]);
    assert!(error.contains("damaged"), "{error}");
    assert!(Db::none().fails(&["join", "hello"]).contains("ticket"));

    let stranger = Db::join(&server.ticket);
    let access = stranger.path().join("keys/access");
    let zeros = format!("epoch 1\nkey {}\n", "00".repeat(32));
    std::fs::write(access, zeros).unwrap();
    let output = stranger.run(&["map", "query", "--bbox", "0,0,1,1"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("access key"), "{stderr}");
    // The server goes on.
    assert_eq!(Db::join(&server.ticket).ask("0,0,1,1").1["complete"], true);
}

#[test]
fn concurrent_edits_are_a_conflict_that_is_shown_and_can_be_merged() {
    let named = |name: &str| {
        json!({"type": "Feature", "id": "x", "properties": {"name": name},
               "geometry": {"type": "Point", "coordinates": [1.0, 1.0]}})
        .to_string()
    };
    let first = Db::init();
    first.feed(&["map", "put"], &named("old"));
    let server = Server::start(&first);
    let port = server.address();
    let second = Db::join(&server.ticket);
    assert_eq!(second.ask("0,0,2,2").0, ["x"]);
    assert!(server.interrupt());

    first.feed(&["map", "put"], &named("hers"));
    second.feed(&["map", "put"], &named("his"));
    let server = Server::start_at(&first, &port);
    assert_eq!(second.ask("0,0,2,2").0, ["x"]);
    let shown: Vec<Value> =
        second.ok(&["map", "get", "x"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut names: Vec<&str> = shown.iter().map(|f| f["properties"]["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["hers", "his"]);
    assert!(shown.iter().all(|f| f["kappa:conflict"]["id"].is_string()));
    assert_eq!(shown.iter().filter(|f| f["kappa:conflict"]["winner"] == true).count(), 1);

    // Whoever sees both and writes again merges them.
    second.feed(&["map", "put"], &named("ours"));
    let merged = second.ok(&["map", "get", "x"]);
    assert!(merged.lines().count() == 1 && merged.contains("ours"), "{merged}");

    // Putting, deleting and merging ask first, so that a replica that holds nothing can do each.
    let newcomer = Db::join(&server.ticket);
    assert!(newcomer.lacks(&["map", "delete", "x", "--local"]).contains("no feature"));
    newcomer.feed(&["map", "put", "--local"], &named("theirs"));
    assert!(newcomer.fails(&["map", "merge", "x", "--local"]).contains("not in conflict"));
    newcomer.ok(&["map", "merge", "x"]);
    Db::join(&server.ticket).ok(&["map", "delete", "x"]);

    // A delete that races with an edit is a conflict, not a loss.
    assert!(server.interrupt());
    first.ok(&["map", "delete", "x"]);
    let server = Server::start_at(&first, &port);
    let (ids, _) = second.ask("0,0,2,2");
    assert_eq!(ids, ["x"]);
    assert!(second.ok(&["map", "get", "x"]).contains("kappa:conflict"));
    assert!(server.interrupt());
}
