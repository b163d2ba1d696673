//! `kappa kv` and `kappa writer`, as people and scripts use them.

use crate::common::{Db, Server, files};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Waits until the journal holds these bytes.
fn wait_for(db: &Db, bytes: &[u8]) {
    let until = Instant::now() + Duration::from_secs(120);
    let holds = |file: &(PathBuf, Vec<u8>)| file.1.windows(bytes.len()).any(|window| window == bytes);
    while !files(&db.path().join("journal")).iter().any(holds) {
        assert!(Instant::now() < until, "not written");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn put_get_list_history_delete() {
    let db = Db::init();
    let first = db.ok(&["kv", "put", "fruit/apple", "green"]);
    let second = db.ok(&["kv", "put", "fruit/apple", "red"]);
    db.ok(&["kv", "put", "fruit/pear", "yellow"]);
    assert_eq!(db.ok(&["kv", "get", "fruit/apple"]), "red");
    let line = db.json(&["kv", "get", "fruit/apple"]);
    let id = second.trim();
    assert_eq!(
        (&line["key"], &line["value"], &line["id"]),
        (&json!("fruit/apple"), &json!("red"), &json!(id))
    );
    assert_eq!((&line["author"], &line["heads"]), (&json!(id.split_once('/').unwrap().0), &json!([id])));
    assert!(line["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(db.ok(&["kv", "list"]), "fruit/apple\nfruit/pear\n");
    assert_eq!(db.ok(&["kv", "list", "--prefix", "fruit/p"]), "fruit/pear\n");
    assert_eq!(db.ok(&["kv", "list", "--limit", "1", "--backwards"]), "fruit/pear\n");
    assert_eq!(db.ok(&["kv", "list", "--limit", "1", "--after", "fruit/apple"]), "fruit/pear\n");
    let history = lines(&db.ok(&["--json", "kv", "history", "fruit/apple"]));
    assert_eq!(history.iter().map(|line| &line["value"]).collect::<Vec<_>>(), ["red", "green"]);
    assert_eq!(history[1]["id"], first.trim());
    db.ok(&["kv", "delete", "fruit/apple"]);
    assert!(db.lacks(&["kv", "get", "fruit/apple"]).contains("was deleted"));
    assert!(db.lacks(&["kv", "delete", "fruit/apple"]).contains("no value here"));
    assert_eq!(db.ok(&["kv", "list"]), "fruit/pear\n");
    assert!(db.ok(&["kv", "history", "fruit/apple"]).starts_with("20"), "a time first");
}

#[test]
fn wrong_input_is_told() {
    let db = Db::init();
    assert!(db.fails(&["kv", "put", "", "x"]).contains("must not be empty"));
    assert!(db.fails(&["kv", "put", &"k".repeat(1025), "x"]).contains("at most 1024"));
    assert!(db.lacks(&["kv", "get", "nothing"]).contains("there is no \"nothing\""));
    assert!(db.fails(&["kv", "merge", "nothing", "x"]).contains("nothing to merge"));
    assert!(db.lacks(&["--writer", "eve", "kv", "put", "a", "x"]).contains("no writer \"eve\""));
    assert!(db.fails(&["writer", "new", " a"]).contains("cannot be the name"));
    assert!(db.lacks(&["--json", "kv", "get", "nothing"]).starts_with("{\"error\":"));
    use std::os::unix::ffi::OsStrExt;
    let mut command = db.command(&["kv", "get"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a key that is no UTF-8");
    assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-8"));
}

#[test]
fn any_bytes_go_in_and_come_out() {
    let db = Db::init();
    let bytes: Vec<u8> = (0..5 << 20).map(|n: u32| (n ^ (n >> 7)) as u8).collect();
    let file = db.path().parent().unwrap().join("bytes");
    std::fs::write(&file, &bytes).unwrap();
    let mut command = db.command(&["kv", "put", "large", "-"]);
    assert!(command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap().status.success());
    assert!(db.run(&["kv", "get", "large"]).stdout == bytes);
    db.feed(&["kv", "put", "text", "-"], "a\nb\n");
    assert_eq!(db.ok(&["kv", "get", "text"]), "a\nb\n");
    use std::os::unix::ffi::OsStrExt;
    let mut command = db.command(&["kv", "put", "raw"]);
    assert!(
        command
            .arg(std::ffi::OsStr::from_bytes(b"\xff\0x".split(|b| *b == 0).next().unwrap()))
            .status()
            .unwrap()
            .success()
    );
    let line = db.json(&["kv", "get", "raw"]);
    assert_eq!((line.get("value"), &line["value_base64"]), (None, &json!("/w==")));
}

#[test]
fn two_writers_of_one_replica_conflict_and_merge() {
    let db = Db::init();
    let bob = db.ok(&["writer", "new", "bob"]);
    assert!(db.fails(&["writer", "new", "bob"]).contains("already"));
    let writers = db.ok(&["writer", "list"]);
    assert!(writers.starts_with(&bob) && writers.lines().nth(1).unwrap().starts_with("default "));
    let id = db.ok(&["--writer", "bob", "kv", "put", "a", "1"]);
    assert!(bob.contains(id.split_once('/').unwrap().0));
    let id = db.ok(&["kv", "put", "a", "2", "--writer", "default"]);
    assert!(writers.contains(id.split_once('/').unwrap().0));
    // One replica sees what all of its writers write: no conflict.
    assert_eq!(db.json(&["kv", "get", "a"])["heads"], json!([id.trim()]));
    // Another one does not.
    let server = Server::start(&db);
    let other = Db::join(&server.ticket);
    other.ok(&["kv", "put", "a", "3"]);
    assert_eq!(other.ok(&["kv", "get", "a", "--local"]), "3");
    let heads = lines(&other.ok(&["--json", "kv", "get", "a", "--all"]));
    assert_eq!(heads.len(), 2);
    assert_eq!((&heads[0]["winner"], &heads[1]["winner"]), (&json!(true), &json!(false)));
    assert_eq!(heads[0]["heads"], heads[1]["heads"]);
    other.ok(&["kv", "merge", "a", "both"]);
    assert_eq!(other.ok(&["kv", "get", "a", "--all"]).lines().count(), 1);
}

#[test]
fn delete_and_merge_on_a_replica_that_holds_nothing_ask_first() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    db.ok(&["kv", "put", "b", "1"]);
    let server = Server::start(&db);
    let writer = Db::join(&server.ticket);
    writer.ok(&["kv", "put", "b", "2"]);
    let other = Server::start(&writer);
    let newcomer = Db::join(&other.ticket);
    assert!(newcomer.lacks(&["kv", "delete", "b", "--local"]).contains("no value here"));
    newcomer.ok(&["kv", "delete", "b"]);
    assert!(newcomer.lacks(&["kv", "get", "b", "--local"]).contains("was deleted"));
    let newcomer = Db::join(&server.ticket);
    newcomer.ok(&["kv", "delete", "a"]);
    newcomer.ok(&["kv", "put", "b", "3"]);
    assert!(newcomer.fails(&["kv", "merge", "b", "both", "--local"]).contains("not in conflict"));
    newcomer.ok(&["kv", "merge", "b", "both"]);
    assert_eq!(newcomer.ok(&["kv", "get", "b", "--all"]).lines().count(), 1);
}

#[test]
fn import_tells_damaged_lines_and_takes_the_rest() {
    let db = Db::init();
    let file = db.path().parent().unwrap().join("lines");
    let text = concat!(
        "{\"key\":\"a\",\"value\":\"1\"}\n",
        "{\"key\":\"a\",\"value\":\"2\",\"writer\":\"anna\"}\n",
        "\n",
        "not json\n",
        "{\"key\":\"\",\"value\":\"x\"}\n",
        "{\"key\":\"b\"}\n",
        "{\"key\":\"b\",\"value\":7}\n",
        "{\"key\":\"b\",\"value\":\"x\",\"writer\":\"no\\tgood\"}\n",
        "{\"key\":\"c\",\"value_base64\":\"/w==\"}",
    );
    std::fs::write(&file, text).unwrap();
    let output = db.run(&["--json", "kv", "import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines(&String::from_utf8(output.stdout).unwrap()),
        [json!({ "imported": 3, "known": 0, "damaged": 5 })]
    );
    let damaged: Vec<u64> = lines(&String::from_utf8(output.stderr).unwrap())
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(damaged, [4, 5, 6, 7, 8]);
    assert_eq!(db.ok(&["kv", "get", "a"]), "2");
    let writers = db.ok(&["writer", "list"]);
    let anna = writers.lines().find_map(|line| line.strip_prefix("anna ")).unwrap();
    assert_eq!(db.json(&["kv", "get", "a"])["author"], json!(anna));
    // What is exported can be imported.
    let exported = db.ok(&["kv", "export"]);
    let copy = Db::init();
    std::fs::write(&file, &exported).unwrap();
    assert_eq!(
        copy.ok(&["kv", "import", file.to_str().unwrap()]),
        "2 values imported, 0 damaged lines left out\n"
    );
    let content = |out: &str| -> Vec<_> {
        lines(out)
            .iter()
            .map(|l| (l["key"].clone(), l.get("value").cloned(), l.get("value_base64").cloned()))
            .collect()
    };
    assert_eq!(content(&copy.ok(&["kv", "export"])), content(&exported));
    assert!(db.fails(&["kv", "import", "/nowhere"]).contains("cannot read /nowhere"));
}

#[test]
fn reading_asks_the_peers_and_tells_what_it_cost() {
    let db = Db::init();
    let puts: String = (0..500).map(|n| format!("{{\"key\":\"k{n:03}\",\"value\":\"{n}\"}}\n")).collect();
    let file = db.path().parent().unwrap().join("lines");
    std::fs::write(&file, puts).unwrap();
    db.ok(&["kv", "import", file.to_str().unwrap()]);
    let server = Server::start(&db);
    let sparse = Db::join(&server.ticket);
    assert!(sparse.lacks(&["kv", "get", "k007", "--local"]).contains("there is no"));
    let output = sparse.run(&["kv", "get", "k007", "--stats"]);
    let stats: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(output.stdout, b"7");
    assert_eq!(
        (&stats["results"], &stats["complete"], &stats["blocks_fetched"]),
        (&json!(1), &json!(true), &json!(1))
    );
    assert_eq!((&stats["peers"], &stats["round_trips"]), (&json!(1), &json!(3)));
    let output = sparse.run(&["kv", "list", "--limit", "10", "--backwards", "--stats"]);
    let stats: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().next(), Some("k499"));
    assert_eq!(
        (&stats["results"], &stats["complete"], &stats["blocks_fetched"]),
        (&json!(10), &json!(true), &json!(11)),
        "and one that tells that there are more"
    );
    assert_eq!(stats["next"], "k490");
    assert_eq!(sparse.ok(&["kv", "export", "--prefix", "k10"]).lines().count(), 10);
    assert_eq!(sparse.ok(&["kv", "list", "--local"]).lines().count(), 22);
}

#[test]
fn watch_prints_what_is_there_and_what_peers_write_later() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    let server = Server::start(&db);
    let watching = Db::join(&server.ticket);
    server.interrupt();
    let server = Server::start(&db);
    watching.ok(&["join", &server.ticket]);
    let mut child = watching.command(&["kv", "watch", "a", "b"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    assert_eq!(next()["value"], json!("1"));
    let absent = next();
    assert_eq!((&absent["key"], &absent["value"], &absent["heads"]), (&json!("b"), &Value::Null, &json!([])));
    let address = server.address();
    assert!(server.interrupt());
    db.ok(&["kv", "put", "b", "2"]);
    let _server = Server::start_at(&db, &address);
    let change = next();
    assert_eq!((&change["key"], &change["value"]), (&json!("b"), &json!("2")));
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn values_may_begin_with_a_hyphen() {
    let db = Db::init();
    for value in ["-5", "--", "-x=1", "--json"] {
        db.ok(&["kv", "put", "a", "--", value]);
        assert_eq!(db.ok(&["kv", "get", "a"]), value);
    }
    db.ok(&["kv", "put", "--", "-a", "-b"]);
    assert_eq!(db.ok(&["kv", "get", "--", "-a"]), "-b");
    db.ok(&["kv", "put", "--key-hex", "00", "--", "-c"]);
    assert_eq!(db.ok(&["kv", "get", "--key-hex", "00"]), "-c");
    db.ok(&["chat", "post", "tea", "--", "-1 for that"]);
    assert!(db.ok(&["chat", "read", "tea"]).ends_with("> -1 for that\n"));
}

#[test]
fn keys_of_any_bytes_have_a_name_on_the_command_line() {
    let db = Db::init();
    let put = db.json(&["kv", "put", "--key-hex", "00ff", "1"]);
    assert_eq!((put.get("key"), &put["key_base64"]), (None, &json!("AP8=")));
    assert_eq!(db.ok(&["kv", "get", "--key-base64", "AP8="]), "1");
    assert_eq!(db.ok(&["kv", "get", "--key-hex", "00FF"]), "1");
    assert_eq!(db.ok(&["kv", "history", "--key-hex", "00ff"]).lines().count(), 1);
    db.ok(&["kv", "delete", "--key-hex", "00ff"]);
    assert!(db.lacks(&["kv", "get", "--key-hex", "00ff"]).contains("\"\\u{0}\\xff\" was deleted"));
    for nonsense in [
        &["kv", "get", "--key-hex", "0"][..],
        &["kv", "get", "--key-hex", "00", "a"],
        &["kv", "get"],
        &["kv", "put", "a"],
        &["kv", "put", "a", "b", "c"],
        &["kv", "put", "--key-hex", "00", "a", "b"],
        &["kv", "merge", "--key-hex", "00", "--key-base64", "AA==", "a"],
    ] {
        db.ends(2, nonsense);
    }
}

#[test]
fn put_if_writes_only_over_the_heads_that_were_seen() {
    let db = Db::init();
    let first = db.ok(&["kv", "put", "a", "1", "--if", "none"]);
    let told = db.fails(&["kv", "put", "a", "2", "--if", "none"]);
    assert!(told.contains(first.trim()), "{told}");
    let second = db.ok(&["kv", "put", "a", "2", "--if", first.trim()]);
    let told = db.fails(&["kv", "put", "a", "3", "--if", first.trim()]);
    assert!(told.contains(second.trim()), "{told}");
    assert_eq!(db.ok(&["kv", "get", "a"]), "2");
    db.ends(2, &["kv", "put", "a", "3", "--if", "whatever"]);
}

/// An import of a pipe that has brought this line and stays open.
fn open_import(db: &Db, args: &[&str], line: &str) -> Child {
    let mut command = db.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    child
}

const MESSAGE: &str = r#"{"author":"anna","channel":"tea","timestamp":1000,"text":"through the pipe"}"#;

#[test]
fn what_came_through_a_pipe_is_kept_if_the_import_is_killed() {
    for (args, line, read) in [
        (["kv", "import", "-"], r#"{"key":"a","value":"through the pipe"}"#, &["kv", "get", "a"][..]),
        (["chat", "import", "-"], MESSAGE, &["chat", "read", "tea"]),
    ] {
        let db = Db::init();
        let mut child = open_import(&db, &args, &format!("{line}\n{{\"key\""));
        wait_for(&db, b"through the pipe");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(db.ok(read).contains("through the pipe"), "{args:?}");
    }
}

#[test]
fn what_came_through_a_pipe_is_kept_if_the_import_is_asked_to_end() {
    for (args, line, read) in [
        (["kv", "import", "-"], r#"{"key":"a","value":"through the pipe"}"#, &["kv", "get", "a"][..]),
        (["chat", "import", "-"], MESSAGE, &["chat", "read", "tea"]),
    ] {
        for signal in ["-INT", "-TERM"] {
            let db = Db::init();
            let child = open_import(&db, &args, &format!("{line}\n"));
            wait_for(&db, b"through the pipe");
            assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains("stopped before the end"), "{told}");
            assert!(String::from_utf8(output.stdout).unwrap().starts_with("1 "));
            assert!(db.ok(read).contains("through the pipe"), "{args:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_line_is_said_in_words() {
    let db = Db::init();
    let file = db.path().parent().unwrap().join("lines");
    std::fs::write(&file, "[1,2,3,4,5]\n{\"key\":7}\n{\"key\":\"a\"}\n{\"key\"\n").unwrap();
    for (what, told) in [
        ("kv", ["it is no JSON object", "\"key\" must be text, and is a number", "\"value\" is missing"]),
        ("chat", ["it is no JSON object", "\"author\" is missing", "\"author\" is missing"]),
    ] {
        let error = db.fails(&[what, "import", file.to_str().unwrap()]);
        let expected: Vec<String> =
            told.iter().enumerate().map(|(n, told)| format!("kappa: line {}: {told}", n + 1)).collect();
        assert_eq!(error.lines().take(3).collect::<Vec<_>>(), expected);
        assert!(error.contains("line 4: it ends before the JSON object does"), "{error}");
    }
}
