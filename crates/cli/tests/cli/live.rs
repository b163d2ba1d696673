//! What is written anywhere is with who follows it within moments, through a server that follows everything.

use crate::common::{Db, Server};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// A command that goes on, and the lines that it prints.
struct Going {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Going {
    fn start(db: &Db, args: &[&str]) -> Going {
        let mut child = db.command(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Going { child, lines }
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody who serves says so of a number of peers.
fn connected(db: &Db, peers: usize) {
    let begun = Instant::now();
    loop {
        let list = db.ok(&["--json", "peer", "list"]);
        let open = |line: &str| serde_json::from_str::<Value>(line).unwrap()["connected"] == json!(true);
        if list.lines().filter(|line| open(line)).count() >= peers {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{list}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn people_who_only_joined_hear_one_another_through_a_server_that_follows_everything() {
    let hub = Db::init();
    let server = Server::start_with(&hub, &["--listen", "127.0.0.1:0", "--follow", "everything"]);
    let (anna, ben) = (Db::join(&server.ticket), Db::join(&server.ticket));
    let mut keys = Going::start(&anna, &["kv", "watch", "--prefix", "fruit/"]);
    connected(&hub, 1);
    ben.ok(&["kv", "put", "fruit/pear", "green"]);
    let change = keys.next();
    assert_eq!((&change["key"], &change["value"]), (&json!("fruit/pear"), &json!("green")));
    drop(keys);
    let mut tea = Going::start(&anna, &["chat", "watch", "tea", "--past", "0"]);
    connected(&hub, 1);
    ben.ok(&["chat", "post", "tea", "hello"]);
    assert_eq!(tea.next()["text"], "hello");
    drop(tea);
    let mut map = Going::start(&anna, &["map", "query", "--bbox", "0,0,2,2", "--follow"]);
    connected(&hub, 1);
    let file = ben.path().with_extension("geojson");
    let feature = json!({ "type": "Feature", "id": "well", "properties": { "depth": "9" }, "geometry": { "type": "Point", "coordinates": [1, 1] } });
    std::fs::write(&file, feature.to_string()).unwrap();
    ben.ok(&["map", "put", file.to_str().unwrap()]);
    let change = map.next();
    assert_eq!(
        (&change["feature"], &change["geojson"]["properties"]["depth"]),
        (&json!("well"), &json!("9"))
    );
    ben.ok(&["map", "delete", "well"]);
    assert_eq!(map.next()["geojson"], Value::Null);
}

#[test]
fn what_is_followed_is_listed_and_taken_back_and_what_is_none_is_refused() {
    let db = Db::init();
    assert_eq!(db.ok(&["follow", "list"]), "");
    db.ok(&["follow", "add", "channel", "tea"]);
    assert_eq!(
        db.json(&["follow", "add", "box", "13.3,52.4,13.5,52.6"])["follow"],
        "box 13.3,52.4,13.5,52.6"
    );
    db.ok(&["follow", "add", "channel", "tea"]);
    assert_eq!(db.ok(&["follow", "list"]), "channel tea\nbox 13.3,52.4,13.5,52.6\n");
    db.ok(&["follow", "remove", "channel", "tea"]);
    assert!(db.lacks(&["follow", "remove", "channel", "tea"]).contains("channel tea is not followed"));
    assert!(db.ends(2, &["follow", "add", "fruit"]).1.contains("names nothing that can be followed"));
    assert_eq!(db.ok(&["follow", "list"]), "box 13.3,52.4,13.5,52.6\n");
}

#[test]
fn what_is_to_be_followed_is_fetched_while_the_folder_is_served() {
    let hub = Db::init();
    hub.ok(&["kv", "put", "fruit/pear", "green"]);
    let server = Server::start(&hub);
    let other = Db::join(&server.ticket);
    other.ok(&["follow", "add", "prefix", "fruit/"]);
    let _serving = Server::start(&other);
    let begun = Instant::now();
    while other.run(&["kv", "get", "fruit/pear", "--local"]).stdout != b"green" {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never comes");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Carried out by the one that serves.
    hub.ok(&["kv", "put", "fruit/plum", "blue"]);
    while other.run(&["kv", "get", "fruit/plum", "--local"]).stdout != b"blue" {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never comes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn all_that_peers_have_is_fetched_once_and_who_is_away_is_named() {
    let hub = Db::init();
    for n in 0..20 {
        hub.ok(&["kv", "put", &format!("k{n}"), "v"]);
    }
    hub.ok(&["chat", "post", "tea", "hello"]);
    let server = Server::start(&hub);
    let (copy, ticket) = (Db::join(&server.ticket), server.ticket.clone());
    assert!(copy.json(&["sync"])["fetched"].as_u64().unwrap() >= 21);
    assert_eq!(copy.json(&["sync"])["fetched"], 0);
    assert!(server.interrupt());
    assert_eq!(copy.ok(&["kv", "list", "--local"]).lines().count(), 20);
    assert_eq!(copy.ok(&["chat", "read", "tea", "--local"]).lines().count(), 1);
    assert_eq!(copy.run(&["sync"]).status.code(), Some(0), "it is complete as of then");
    let fresh = Db::join(&ticket);
    assert_eq!(fresh.run(&["sync", "prefix", "k"]).status.code(), Some(3));
}

/// What a command tells of what it wrote.
fn delivery(output: &std::process::Output) -> (Value, Value) {
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    let line = told.lines().find(|line| line.contains("reached")).unwrap_or_else(|| panic!("{told}"));
    let told: Value = serde_json::from_str(line).unwrap();
    (told["reached"].clone(), told["awaited"].clone())
}

#[test]
fn who_posts_is_told_whether_the_message_has_reached_anyone() {
    let hub = Db::init();
    let server = Server::start_with(&hub, &["--listen", "127.0.0.1:0", "--follow", "everything"]);
    let ben = Db::join(&server.ticket);
    let post = |text: &str| {
        let begun = Instant::now();
        let words = ["--json", "--deliver", "30", "chat", "post", "tea", text];
        let told = delivery(&ben.command(&words).output().unwrap());
        (told, begun.elapsed())
    };
    // A process that is there for one message alone.
    assert_eq!(post("alone").0, (json!(1), json!(0)));
    let serving = Server::start_with(&ben, &["--listen", "127.0.0.1:0"]);
    connected(&ben, 1);
    assert_eq!(post("beside").0, (json!(1), json!(0)));
    let status: Value = serde_json::from_str(&ben.ok(&["--json", "status"])).unwrap();
    assert_eq!((&status["delivery"]["reached"], &status["delivery"]["awaited"]), (&json!(1), &json!(0)));
    assert!(ben.ok(&["status"]).contains(": held by 1 peer\n"));
    drop(serving);
    drop(server);
    let (told, took) = post("to nobody");
    assert_eq!(told, (json!(0), json!(0)));
    assert!(took < Duration::from_secs(15), "nobody is waited for who refuses: {took:?}");
}
