//! How commands end that a node carries out: when their callers are asked to, when those are killed, and when the node is.

use crate::beside::{at_work, first_line, start, told, until};
use crate::common::{Db, Server, signal};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

#[test]
fn being_asked_to_end_is_as_without_a_node() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    db.ok(&["chat", "post", "tea", "hello"]);
    let server = Server::start(&db);
    for args in [&["kv", "watch", "a"][..], &["chat", "watch", "tea"]] {
        for name in ["-INT", "-TERM"] {
            let mut child = start(&db, args);
            first_line(&mut child);
            signal(child.id(), name);
            let output = child.wait_with_output().unwrap();
            assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?} {name}");
        }
    }
    let mut child = start(&db, &["kv", "import", "-"]);
    child.stdin.as_mut().unwrap().write_all(b"{\"key\":\"b\",\"value\":\"2\"}\n").unwrap();
    until("what came is kept", || db.run(&["kv", "get", "b"]).status.success());
    // Nor is it the end of the input that ends it.
    let _open = child.stdin.take();
    signal(child.id(), "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(told(&output).contains("stopped before the end of the input"), "{}", told(&output));
    // What does not care is ended by the signal.
    let child = start(&db, &["blob", "put", "-"]);
    until("it began", || at_work(&server) == 1);
    // Whoever starts the tests in the background has them ignore SIGINT.
    signal(child.id(), "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));
    until("its work ended", || at_work(&server) == 0);
    assert_eq!(db.ok(&["blob", "list"]), "");
    assert!(server.interrupt());
}

#[test]
fn a_caller_that_is_killed_ends_its_work_and_what_was_kept_is_kept() {
    let db = Db::helsinki();
    let server = Server::start(&db);
    let mut importing = start(&db, &["kv", "import", "-"]);
    importing.stdin.as_mut().unwrap().write_all(b"{\"key\":\"a\",\"value\":\"1\"}\n").unwrap();
    until("what came is kept", || db.run(&["kv", "get", "a"]).status.success());
    let mut watching = start(&db, &["kv", "watch", "a"]);
    first_line(&mut watching);
    // Nobody reads it.
    let exporting = start(&db, &["map", "export"]);
    let writing = start(&db, &["blob", "put", "-"]);
    until("all began", || at_work(&server) == 4);
    for mut child in [importing, watching, exporting, writing] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    until("their work ended", || at_work(&server) == 0);
    assert_eq!(db.ok(&["kv", "get", "a"]), "1");
    db.ok(&["verify"]);
    assert!(server.interrupt());
}

#[test]
fn an_import_of_a_map_ends_between_two_batches_when_its_caller_is_killed() {
    let db = Db::init();
    let server = Server::start(&db);
    let (file, all) = (db.path().with_extension("ndjson"), 60_000);
    let point = |n: u64| {
        format!(
            r#"{{"type":"Feature","id":"p{n}","properties":{{}},"geometry":{{"type":"Point","coordinates":[{},{}]}}}}"#,
            n % 180,
            n % 90
        )
    };
    fs::write(&file, (0..all).map(|n| point(n) + "\n").collect::<String>()).unwrap();
    let file = file.to_str().unwrap();
    let mut importing = start(&db, &["--json", "map", "import", file]);
    let mut line = String::new();
    BufReader::new(importing.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("durable"), "{line}");
    importing.kill().unwrap();
    importing.wait().unwrap();
    until("its work ended", || at_work(&server) == 0);
    let count = || db.json(&["map", "query", "--format", "count"])["count"].as_u64().unwrap();
    // The batch that was under way is whole.
    sleep(Duration::from_secs(1));
    let some = count();
    sleep(Duration::from_secs(1));
    assert_eq!(count(), some);
    assert!((1_000..all).contains(&some), "{some}");
    db.ok(&["map", "import", file]);
    assert_eq!(count(), all);
    assert!(server.interrupt());
    db.ok(&["verify"]);
}

#[test]
fn a_node_that_is_killed_ends_its_callers_with_an_error_and_nothing_is_lost() {
    let db = Db::helsinki();
    let server = Server::start(&db);
    let mut importing = start(&db, &["kv", "import", "-"]);
    importing.stdin.as_mut().unwrap().write_all(b"{\"key\":\"a\",\"value\":\"1\"}\n").unwrap();
    until("what came is kept", || db.run(&["kv", "get", "a"]).status.success());
    let mut watching = start(&db, &["--json", "kv", "watch", "a"]);
    first_line(&mut watching);
    let process = format!("process {}, which carried this out, has ended", server.id());
    server.kill();
    for child in [importing, watching] {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{}", told(&output));
        assert!(told(&output).contains(&process), "{}", told(&output));
    }
    // The socket is still there, and means nothing.
    assert!(db.path().join("node").exists());
    assert_eq!(db.ok(&["kv", "get", "a"]), "1");
    db.ok(&["verify"]);
    let server = Server::start(&db);
    assert_eq!(db.json(&["status"])["node"], server.id());
    // One that is asked to end does so at once, whoever calls.
    let mut watching = start(&db, &["kv", "watch", "a"]);
    first_line(&mut watching);
    let exporting = start(&db, &["map", "export"]);
    until("both began", || at_work(&server) == 2);
    assert!(server.interrupt());
    assert_eq!(watching.wait_with_output().unwrap().status.code(), Some(6));
    assert_eq!(exporting.wait_with_output().unwrap().status.code(), Some(6));
    db.ok(&["verify"]);
}

#[test]
fn a_server_in_the_background_outlives_who_started_it_until_it_is_stopped() {
    let db = Db::init();
    let (_, error) = db.ends(4, &["stop"]);
    assert!(error.contains("nobody serves"), "{error}");
    let ticket = db.ok(&["serve", "--background", "--listen", "127.0.0.1:0"]);
    assert!(ticket.starts_with("kappa1") && ticket.lines().count() == 1, "{ticket}");
    let node = db.json(&["status"])["node"].as_u64().unwrap();
    db.ok(&["kv", "put", "a", "1"]);
    assert_eq!(Db::join(ticket.trim()).ok(&["kv", "get", "a"]), "1");
    let log = fs::read_to_string(db.path().join("serve.log")).unwrap();
    assert!(log.contains("Serving"), "{log}");
    // Of a second one it is told why it does not.
    let (_, error) = db.ends(5, &["serve", "--background"]);
    assert!(error.contains(&format!("in use by process {node} (kappa serve)")), "{error}");
    assert_eq!(db.ok(&["stop"]), "");
    until("it has ended", || !Path::new(&format!("/proc/{node}/fd/0")).exists());
    assert!(db.json(&["status"])["node"].is_null());
    assert_eq!(db.ok(&["kv", "get", "a"]), "1");
}
