//! Where a replica listens, its tickets, and whom it asks.

use crate::common::{Db, Server};
use kappadb::Ticket;
use serde_json::{Value, json};

fn addresses(ticket: &str) -> Vec<String> {
    ticket.trim().parse::<Ticket>().unwrap().addresses
}

/// The port of an address.
fn port(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn peers(db: &Db) -> Vec<Value> {
    let out = db.ok(&["--json", "peer", "list"]);
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_ticket_stays_good_from_one_serve_to_the_next() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    let ticket = db.ok(&["ticket"]);
    let server = Server::start_plain(&db);
    assert_eq!(server.ticket, ticket.trim());
    assert_eq!(db.ok(&["ticket"]), ticket, "also while it is served");
    let other = Db::join(&server.ticket);
    assert_eq!(other.ok(&["kv", "get", "a"]), "1");
    assert!(server.interrupt());
    db.ok(&["kv", "put", "a", "2"]);
    let _server = Server::start_plain(&db);
    assert_eq!(other.ok(&["kv", "get", "a"]), "2", "nothing had to be told to it");
    assert_ne!(addresses(&other.ok(&["ticket"])), addresses(&ticket), "a replica has a port of its own");
}

#[test]
fn where_it_listens_and_what_tickets_say_is_kept() {
    let db = Db::init();
    let kept = addresses(&db.ok(&["ticket"]));
    assert!(kept[0].starts_with("127.0.0.1:"));
    let with = |args: &[&str]| {
        let server = Server::start_with(&db, args);
        let said = addresses(&server.ticket);
        assert!(server.interrupt());
        said
    };
    // A port of the moment is not kept.
    assert_ne!(with(&["--listen", "127.0.0.1:0"]), kept);
    assert_eq!(addresses(&db.ok(&["ticket"])), kept);
    // A host without a port keeps the port.
    let all = with(&["--listen", "0.0.0.0"]);
    assert!(
        all.iter().all(|address| port(address) == port(&kept[0]) && !address.starts_with("0.0.0.0")),
        "{all:?}"
    );
    assert!(all.contains(&kept[0]));
    // What is advertised stays until it listens elsewhere.
    let said = [format!("db.example.org:{}", port(&kept[0])), "[::1]:9".to_owned()];
    assert_eq!(with(&["--advertise", "db.example.org,[::1]:9"]), said);
    assert_eq!(with(&[]), said);
    assert_eq!(addresses(&db.ok(&["ticket"])), said);
    assert_eq!(with(&["--listen", "localhost"]).len(), 1);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(with(&["--listen", &free.to_string()]), [free.to_string()]);
    assert_eq!(addresses(&db.ok(&["ticket"])), [free.to_string()]);
    // A port that somebody else has is told, and nothing of it is kept.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = db.fails(&["serve", "--listen", &address]);
    assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
    assert_eq!(addresses(&db.ok(&["ticket"])), [free.to_string()]);
    assert!(db.fails(&["serve", "--listen", "no such host"]).contains("no such host"));
}

#[test]
fn a_ticket_comes_from_stdin_or_a_file() {
    let db = Db::init();
    let ticket = db.ok(&["ticket"]);
    let file = db.path().with_extension("ticket");
    std::fs::write(&file, &ticket).unwrap();
    let by_stdin = Db::none();
    let id = by_stdin.feed(&["join", "-"], &ticket);
    let by_file = Db::none();
    assert_eq!(by_file.ok(&["join", "--file", file.to_str().unwrap()]), id);
    let key = ticket.trim().parse::<Ticket>().unwrap().peer.to_string();
    assert_eq!(peers(&by_stdin)[0]["peer"], json!(key));
    assert_eq!(Db::none().run(&["join"]).status.code(), Some(2));
    assert!(Db::none().fails(&["join", "--file", "/nowhere/t"]).contains("/nowhere/t"));
    let binary = db.path().with_extension("bin");
    std::fs::write(&binary, b"\xff").unwrap();
    assert!(Db::none().fails(&["join", "--file", binary.to_str().unwrap()]).contains("cannot read"));
}

#[test]
fn peers_are_listed_added_called_by_name_and_removed() {
    let (anna, bert) = (Db::init(), Db::none());
    anna.ok(&["kv", "put", "a", "1"]);
    let ticket = anna.ok(&["ticket"]);
    bert.ok(&["join", ticket.trim()]);
    let carl = Db::join(&bert.ok(&["ticket"]));
    let added = carl.json(&["peer", "add", ticket.trim(), "--name", "anna"]);
    let list = peers(&carl);
    assert_eq!((list.len(), &list[0]["name"], &list[0]["known"]), (2, &json!("anna"), &json!(true)));
    assert_eq!((&list[0]["peer"], &list[0]["addresses"]), (&added["peer"], &added["addresses"]));
    assert_eq!(added["addresses"], json!(addresses(&ticket)));
    let key = list[1]["peer"].as_str().unwrap();
    assert_eq!(carl.json(&["peer", "rename", &key[..12], "bert"])["name"], "bert");
    assert!(carl.fails(&["peer", "rename", "anna", "bert"]).contains("another peer is called"));
    // Who does not answer is told by name.
    let (_, told) = carl.ends(3, &["kv", "get", "a"]);
    assert!(told.contains("peer anna did not answer") && told.contains("peer bert did not answer"), "{told}");
    assert_eq!(carl.json(&["peer", "remove", "bert"])["peer"], key);
    assert!(carl.lacks(&["peer", "remove", "bert"]).contains("no peer is called \"bert\""));
    assert_eq!(carl.json(&["peer", "rename", "anna"])["name"], Value::Null);
    assert!(carl.ok(&["peer", "list"]).ends_with(&format!(" {}\n", addresses(&ticket)[0])));
    let _server = Server::start_plain(&anna);
    assert_eq!(carl.ok(&["kv", "get", "a"]), "1");
}

#[test]
fn own_tickets_are_refused_also_those_of_a_copied_folder() {
    let db = Db::init();
    let own = db.ok(&["ticket"]);
    for args in [["join", own.trim()].as_slice(), &["peer", "add", own.trim()]] {
        assert!(db.fails(args).contains("ticket of this replica itself"), "{args:?}");
    }
    let copy = Db::none();
    let status = std::process::Command::new("cp").arg("-a").arg(db.path()).arg(copy.path()).status().unwrap();
    assert!(status.success());
    assert!(copy.fails(&["join", own.trim()]).contains("copy of"));
    let other = Db::init().ok(&["ticket"]);
    assert!(db.fails(&["peer", "add", other.trim()]).contains("another database"));
    assert!(peers(&db).is_empty());
}
