//! What `design/cli.md` promises to scripts, row by row.

use crate::common::{Db, EXTRACT, STATION, Server};
use kappadb::Ticket;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};

const CAFE: &str = r#"{"type":"Feature","id":"cafe","properties":{},"geometry":{"type":"Point","coordinates":[24.947,60.172]}}"#;

/// The lines, which must all be JSON objects.
fn objects(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let object = |line: &str| match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("{line:?} is no JSON object"),
    };
    text.lines().map(object).collect()
}

/// The names of an object, in their order.
fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn sorted(names: &str) -> Vec<&str> {
    let mut names: Vec<&str> = names.split(' ').collect();
    names.sort_unstable();
    names
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// A sparse replica whose peer is gone.
fn orphan(full: &Db) -> Db {
    let server = Server::start(full);
    let sparse = Db::join(&server.ticket);
    server.kill();
    sparse
}

fn talkative() -> Db {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    db.feed(&["map", "put"], CAFE);
    db.ok(&["chat", "nick", "anna"]);
    db.ok(&["chat", "post", "tea", "hello @anna"]);
    db
}

/// Runs what prints nothing.
fn line_free(db: &Db, args: &[&str]) {
    assert_eq!(db.ok(args), "", "{args:?}");
}

#[test]
fn each_command_prints_the_json_that_the_table_says() {
    let db = Db::none();
    let line = |args: &[&str]| {
        let output = db.command(&[&["--json"], args].concat()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        objects(&output.stderr);
        objects(&output.stdout).into_iter().next().unwrap_or_else(|| panic!("{args:?} printed nothing"))
    };
    let check = |args: &[&str], wanted: &str| {
        let value = line(args);
        assert_eq!(names(&value), sorted(wanted), "{args:?}");
        value
    };
    check(&["init"], "database feed");
    let put = check(&["kv", "put", "a", "1"], "key id");
    let value = "key value id author timestamp heads";
    let got = check(&["kv", "get", "a"], value);
    assert_eq!((&got["id"], &got["heads"]), (&put["id"], &json!([put["id"]])));
    check(&["kv", "list"], value);
    check(&["kv", "export"], value);
    check(&["kv", "get", "a", "--all"], "key value id author timestamp heads deleted winner");
    check(&["kv", "history", "a"], "key value id author timestamp heads deleted winner current");
    check(&["kv", "delete", "a"], "key id");
    let file = db.path().with_extension("file");
    std::fs::write(&file, CAFE).unwrap();
    let file = file.to_str().unwrap();
    let put = check(&["map", "put", file], "feature id");
    assert_eq!(put["feature"], "cafe");
    let hit = check(&["map", "query", "--bbox", "24,60,25,61"], "feature heads");
    assert_eq!(hit["heads"], json!([put["id"]]));
    check(&["map", "query", "--bbox", "24,60,25,61", "--format", "count"], "count");
    let history = "feature id author timestamp current winner deleted geojson";
    assert_eq!(check(&["map", "history", "cafe"], history)["geojson"]["id"], "cafe");
    let blob = "id author timestamp bytes held type name";
    let attached = check(&["map", "attach", "cafe", file], blob);
    check(&["blob", "info", attached["id"].as_str().unwrap()], blob);
    check(&["blob", "put", file], blob);
    check(&["map", "delete", "cafe"], "feature id");
    let message = "id author nick channel timestamp kind text";
    check(&["chat", "nick", "anna"], "id");
    let post = check(&["chat", "post", "tea", "hello"], "id");
    assert_eq!(check(&["chat", "read", "tea"], message)["id"], post["id"]);
    check(&["chat", "search", "hello"], message);
    check(&["chat", "topic", "tea", "First flush"], "id");
    check(&["chat", "topic", "tea"], "channel topic id author timestamp");
    check(&["chat", "channels"], "channel topic archived");
    check(&["chat", "members", "tea"], "feed nick");
    check(&["chat", "nick"], "feed nick");
    let feed = check(&["chat", "profile"], "feed field value")["feed"].as_str().unwrap().to_owned();
    check(&["chat", "moderate", "add", &feed, "hide"], "id");
    check(&["chat", "moderate", "list"], "target by channel flags reason counts");
    check(&["writer", "new", "bert"], "writer feed");
    check(&["writer", "list"], "writer feed");
    check(&["--writer", "bert", "chat", "dm", "--to", &feed, "psst"], "id");
    line_free(&db, &["chat", "pin", "add", "anna", &feed]);
    check(&["chat", "pin", "list"], "nick feed");
    check(&["chat", "dm"], "id author nick channel timestamp kind text to");
    assert_eq!(line(&["chat", "export"])["kind"], "export");
    check(&["feed", "list"], "feed length held bytes cleared writable");
    check(&["clear", "--force", &feed], "blocks bytes");
    check(&["compact"], "before after files_before files_after lacking");
    check(&["feed", "new"], "feed");
    check(&["status"], "database feeds views conflicts disk node delivery");
    check(&["verify"], "problems");
    check(&["rebuild"], "blocks derived");
    assert_eq!(line(&["map", "import", EXTRACT])["nodes"], 8106);
}

#[test]
fn with_json_errors_warnings_and_notes_are_json_too() {
    let db = Db::helsinki();
    let json = |args: &[&str]| -> (Option<i32>, Vec<Value>) {
        let output: Output = db.run(&[&["--json"], args].concat());
        objects(&output.stdout);
        (output.status.code(), objects(&output.stderr))
    };
    for nonsense in [&["fly"][..], &["map", "query", "--bbox", "1,2,3"], &["kv", "put", "--fly"], &[]] {
        let (code, told) = json(nonsense);
        assert_eq!(
            (code, told.len(), told[0]["error"].is_string()),
            (Some(2), 1, true),
            "{nonsense:?}: {told:?}"
        );
    }
    let (code, told) = json(&["kv", "get", "nothing"]);
    assert_eq!((code, names(&told[0])), (Some(4), vec!["error"]));
    let (code, told) = json(&["map", "query", "--bbox", STATION, "--limit", "3"]);
    assert_eq!((code, names(&told[0])), (Some(0), vec!["next"]));
    let (_, told) = json(&["map", "query", "--bbox", STATION, "--limit", "3", "--stats"]);
    assert_eq!((told.len(), told[0]["next"].is_string()), (1, true));
    let out = db.path().with_extension("json");
    let (code, told) = json(&["map", "export", "--bbox", STATION, "--output", out.to_str().unwrap()]);
    assert_eq!(
        (code, names(told.last().unwrap())),
        (Some(0), sorted("features vertices deleted without_area left_out no_form missing gone"))
    );
    let help = db.run(&["--json", "kv", "--help"]);
    assert!(help.status.success() && objects(&help.stdout)[0]["help"].as_str().unwrap().contains("watch"));
    let version = db.run(&["--version"]);
    assert!(version.status.success() && version.stdout.starts_with(b"kappa "));
}

#[test]
fn a_server_whose_messages_nobody_reads_goes_on_serving() {
    let db = talkative();
    let mut child = db
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let mut ticket = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ticket).unwrap();
    // From here on both streams are closed.
    for _ in 0..2 {
        assert_eq!(Db::join(ticket.trim()).ok(&["kv", "get", "a"]), "1");
    }
    signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_first_line_of_serve_is_json_too() {
    let db = Db::init();
    let mut child =
        db.command(&["--json", "serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(names(&line), ["listen", "ticket"]);
    let ticket: kappadb::Ticket = line["ticket"].as_str().unwrap().parse().unwrap();
    assert_eq!(line["listen"], json!(ticket.addresses[0]));
    signal(&child, "-INT");
    let mut rest = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut rest).unwrap();
    objects(&rest);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let db = Db::helsinki();
    let mut child = db
        .command(&["map", "query", "--bbox", "-180,-90,180,90", "--format", "ndjson"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn watchers_and_servers_end_in_order_when_asked_to() {
    let db = talkative();
    for args in [&["kv", "watch", "a"][..], &["chat", "watch", "tea"], &["serve"]] {
        for name in ["-INT", "-TERM"] {
            let mut child = db.command(args).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            signal(&child, name);
            assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?} {name}");
        }
    }
}

/// All commands that read, with what they find in [`talkative`].
const READERS: [&[&str]; 21] = [
    &["kv", "get", "a"],
    &["kv", "get", "a", "--all"],
    &["kv", "list"],
    &["kv", "list", "--limit", "1"],
    &["kv", "history", "a"],
    &["kv", "export"],
    &["map", "query", "--bbox", "24,60,25,61"],
    &["map", "query", "--bbox", "24,60,25,61", "--osm-api"],
    &["map", "query", "--bbox", "24,60,25,61", "--largest", "--limit", "1", "--format", "ndjson"],
    &["map", "get", "cafe"],
    &["map", "history", "cafe"],
    &["map", "referrers", "cafe"],
    &["map", "expand", "cafe"],
    &["map", "export"],
    &["chat", "read", "tea"],
    &["chat", "channels"],
    &["chat", "members", "tea"],
    &["chat", "search", "hello"],
    &["chat", "unread"],
    &["chat", "dm"],
    &["chat", "moderate", "list"],
];

#[test]
fn every_reader_says_who_did_not_answer_and_ends_with_3() {
    let full = talkative();
    let sparse = orphan(&full);
    for args in READERS {
        let output = sparse.run(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {told}");
        let last = told.lines().last().unwrap();
        assert!(
            last.starts_with("kappa: not complete: peer ") && last.contains("did not answer: cannot reach"),
            "{args:?}: {told}"
        );
        let output = sparse.run(&[&["--json"], args, &["--stats"]].concat());
        let told = objects(&output.stderr);
        let last = told.last().unwrap();
        assert_eq!((output.status.code(), &last["complete"]), (Some(3), &json!(false)), "{args:?}");
        assert_eq!(names(&last["missing"][0]), ["error", "peer"], "{args:?}");
        let stats = told.iter().find(|line| line.get("results").is_some()).unwrap();
        assert_eq!((&stats["complete"], &stats["peers"]), (&json!(false), &json!(0)), "{args:?}");
    }
    let blob = full.feed(&["blob", "put", "-"], "hello");
    for args in [["blob", "get", blob.trim()], ["blob", "info", blob.trim()]] {
        let (out, told) = sparse.ends(3, &args);
        assert!(
            out.is_empty() && told.contains("not held here") && told.contains("did not answer"),
            "{told}"
        );
    }
}

#[test]
fn readers_that_lack_nothing_say_nothing_and_local_ones_too() {
    let full = talkative();
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    for args in READERS {
        let (_, told) = sparse.ends(0, args);
        assert!(!told.contains("complete") && !told.contains("kappa:"), "{args:?}: {told}");
    }
    drop(server);
    for args in READERS {
        let (_, told) = sparse.ends(0, &[args, &["--local"]].concat());
        assert!(!told.contains("complete"), "{args:?}: {told}");
    }
}

#[test]
fn with_require_complete_nothing_is_printed_and_no_file_replaced() {
    let full = talkative();
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    let blob = full.path().with_extension("bin");
    std::fs::write(&blob, vec![7; 100_000]).unwrap();
    drop(server);
    let id = full.ok(&["blob", "put", blob.to_str().unwrap()]);
    for args in READERS {
        let (out, told) = sparse.ends(3, &[args, &["--require-complete"]].concat());
        assert!(out.is_empty() && told.starts_with("kappa: not complete"), "{args:?}: {out} {told}");
    }
    let file = full.path().with_extension("out");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "dear").unwrap();
    for args in [&["map", "export", "-o", name][..], &["blob", "get", id.trim(), "-o", name]] {
        sparse.ends(3, &[args, &["--require-complete"]].concat());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "dear", "{args:?}");
    }
    assert_eq!(sparse.run(&["kv", "get", "a", "--local", "--require-complete"]).status.code(), Some(2));
}

#[test]
fn a_sparse_peer_that_answers_makes_an_answer_that_is_not_complete() {
    let full = Db::helsinki();
    let server = Server::start(&full);
    let relay = Db::join(&server.ticket);
    relay.ask("24.9400,60.1700,24.9430,60.1715");
    drop(server);
    let server = Server::start(&relay);
    let last = Db::join(&server.ticket);
    let (out, told) = last.ends(3, &["--json", "map", "query", "--bbox", STATION]);
    assert!(!out.is_empty());
    assert_eq!(objects(told.as_bytes()), [json!({ "complete": false, "missing": [] })]);
    let (_, told) = last.ends(3, &["map", "query", "--bbox", STATION]);
    assert!(told.contains("not complete: the peers that answered do not hold all"), "{told}");
}

#[test]
fn an_answer_on_the_word_of_who_was_not_asked_says_so_and_one_that_is_to_be_direct_does_without() {
    let full = Db::init();
    full.ok(&["kv", "put", "a", "1"]);
    full.ok(&["kv", "put", "b", "2"]);
    let server = Server::start(&full);
    let hub = server.ticket.trim().parse::<Ticket>().unwrap().peer.to_string();
    let relay = Db::join(&server.ticket);
    relay.ok(&["kv", "get", "a"]);
    drop(server);
    let server = Server::start(&relay);
    let last = Db::join(&server.ticket);
    let (out, told) = last.ends(0, &["--json", "kv", "get", "a", "--stats"]);
    assert!(out.contains('1'), "{out}");
    let [stats, said] = &objects(told.as_bytes())[..] else { panic!("{told}") };
    let word_of = json!([{ "peer": hub, "hands": 1 }]);
    assert_eq!(*said, json!({ "complete": true, "word_of": word_of, "missing": [] }));
    assert_eq!((&stats["complete"], &stats["direct"]), (&json!(true), &json!(false)));
    let (_, told) = last.ends(0, &["kv", "get", "a"]);
    assert!(told.contains("on the word of peers that were not asked: ") && told.contains("1 hand"), "{told}");
    let (_, told) = last.ends(3, &["--json", "kv", "get", "a", "--direct"]);
    assert_eq!(objects(told.as_bytes()), [json!({ "complete": false, "missing": [] })]);
    // Who relays it was asked itself, and its own word is direct.
    let (_, told) = relay.ends(0, &["--json", "kv", "get", "a", "--direct"]);
    assert!(told.contains("as_of") && !told.contains("word_of"), "{told}");

    drop(server);
    let (_, told) = last.ends(0, &["--json", "kv", "get", "a"]);
    assert!(told.contains("as_of") && told.contains(&hub), "{told}");
    last.ok(&["peer", "remove", &hub]);
    last.ends(3, &["kv", "get", "a"]);
}

#[test]
fn a_blob_that_no_peer_has_is_not_found_and_not_incomplete() {
    let full = Db::init();
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    let (_, told) = sparse.ends(4, &["blob", "get", &format!("{}/9", "00".repeat(32))]);
    assert!(told.contains("not held here") && !told.contains("complete"), "{told}");
}

#[test]
fn limits_are_numbers_where_0_is_none_or_all() {
    let db = talkative();
    db.ok(&["kv", "put", "b", "2"]);
    for args in [
        &["kv", "list"][..],
        &["map", "query", "--bbox", "24,60,25,61"],
        &["map", "query", "--largest", "--bbox", "24,60,25,61"],
        &["chat", "read", "tea"],
        &["chat", "search", "hello"],
        &["chat", "dm"],
    ] {
        assert_eq!(db.ok(&[args, &["--limit", "0"]].concat()), "", "{args:?}");
        assert_eq!(db.ok(&[args, &["--limit", "all"]].concat()), db.ok(args), "{args:?}");
        assert_eq!(db.run(&[args, &["--limit", "-1"]].concat()).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_folder_in_use_by_what_is_no_node_is_named_with_who_has_it_and_waited_for_on_request() {
    let db = talkative();
    let mut importing = db.command(&["kv", "import", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    while db.run(&["kv", "get", "a"]).status.success() {}
    let (_, told) = db.ends(5, &["kv", "get", "a"]);
    let holder = format!("in use by process {} (kappa kv import)", importing.id());
    assert!(told.contains(&holder) && told.contains("db"), "{told}");
    let waiting = db.command(&["kv", "get", "a", "--wait", "100"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(importing.stdin.take());
    assert!(importing.wait().unwrap().success());
    let output = waiting.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"1"[..]));
    assert_eq!(db.run(&["status", "--wait", "-1"]).status.code(), Some(2));
}

#[test]
fn what_is_written_for_people_replaces_files_whole() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let db = Db::helsinki();
    let folder = db.path().parent().unwrap().to_owned();
    let (plain, link) = (folder.join("plain"), folder.join("link"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let export = |path: &std::path::Path| {
        db.ok(&["map", "export", "--format", "ndjson", "-o", path.to_str().unwrap()])
    };
    let script = format!(
        "umask 027 && exec {} --db {} map export -o {}",
        env!("CARGO_BIN_EXE_kappa"),
        db.path().display(),
        plain.display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    assert_eq!(mode(&plain), 0o640, "a new one has what the umask leaves");
    std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o604)).unwrap();
    symlink(&plain, &link).unwrap();
    export(&link);
    assert!(link.is_symlink(), "a link goes on leading to it");
    assert_eq!((mode(&plain), std::fs::read_to_string(&plain).unwrap().lines().count()), (0o604, 13_860));
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing is left beside them: {names:?}");
    // What is no plain file is written to as it is.
    let out = db.ok(&["map", "export", "--format", "ndjson", "-o", "/dev/stdout"]);
    assert_eq!(out.lines().count(), 13_860);
    let error = db.fails(&["map", "export", "-o", "/nowhere/file"]);
    assert!(error.contains("cannot write /nowhere/file"), "{error}");
}
