//! `kappa --batch`: many commands in one process, each with the result that it has alone.

use crate::common::{Db, Server};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// What comes of these lines.
fn batch(db: &Db, args: &[&str], lines: &str) -> Output {
    let mut command = db.command(&[args, &["--batch"]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who stops at the first failure does not read the rest.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn objects(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Commands of each kind, and whether they fail.
const STORY: &str = r#"
# A comment, and a line with nothing on it.

kv put fruit/pear 'green and ripe'
kappa kv put "fruit/plum" dark\ blue
kv list
kv get fruit/pear
kv get fruit/fig
chat post tea "it's ready"
chat nick anna
chat read tea
fly
kv delete fruit/plum
kv list --limit 1
writer new bert
--writer bert kv put fruit/fig purple
kv history fruit/fig
peer list
verify
"#;

/// What is not the same twice: times and keys.
fn tamed(text: &str) -> String {
    let word = |word: &str| {
        let told = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_time = told.starts_with("20") && told.contains('T');
        let is_key =
            told.split('/').next().is_some_and(|key| key.len() >= 16 || key.matches('-').count() == 3);
        if is_time || is_key { "..." } else { word }.to_owned()
    };
    text.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// What a shell prints that calls the program once for each line.
fn one_by_one(db: &Db) -> (String, String) {
    let lines = STORY.lines().filter(|line| !line.is_empty()).map(|line| {
        format!("\"$0\" {}\n", line.strip_prefix("kappa ").unwrap_or(line)).replace("\"$0\" #", "#")
    });
    let mut shell = Command::new("sh");
    shell.args(["-c", &lines.collect::<String>(), env!("CARGO_BIN_EXE_kappa")]);
    let output = shell.env("KAPPA_DB", db.path()).stdin(Stdio::null()).output().unwrap();
    (tamed(text(&output.stdout)), tamed(text(&output.stderr)))
}

/// Without what a batch alone tells.
fn without_numbers(told: &str) -> String {
    let lines = told.lines().filter(|line| !line.contains(" ended with code "));
    lines.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn each_line_has_the_result_that_it_has_alone() {
    let (alone, together, served) = (Db::init(), Db::init(), Db::init());
    let (out, told) = one_by_one(&alone);
    assert!(out.contains("green and ") && told.contains("there is no ") && out.contains("it's ready"));
    let output = batch(&together, &["--keep-going"], STORY);
    let numbers = text(&output.stderr).lines().filter(|line| line.contains(" ended with code "));
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        ["kappa: line 8 ended with code 4", "kappa: line 12 ended with code 2"]
    );
    assert_eq!(tamed(text(&output.stdout)), out);
    assert_eq!(tamed(&without_numbers(text(&output.stderr))), told);
    assert_eq!(output.status.code(), Some(4), "that of the first that failed");
    // A folder that is served is no different, but for who says so.
    let server = Server::start(&served);
    let output = batch(&served, &["--keep-going"], STORY);
    let own =
        |out: &str| out.lines().filter(|line| !line.starts_with("node ")).collect::<Vec<_>>().join("\n");
    assert_eq!(own(&tamed(text(&output.stdout))), own(&out));
    assert_eq!(tamed(&without_numbers(text(&output.stderr))), told);
    assert!(server.interrupt());
}

#[test]
fn it_ends_with_the_first_that_fails_and_with_its_code() {
    let db = Db::init();
    let lines = "kv put a 1\nkv get b\nkv put c 1\n";
    let output = batch(&db, &[], lines);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("kappa: line 2 ended with code 4"), "{output:?}");
    assert_eq!(db.ok(&["kv", "list"]), "a\n");
    let output = batch(&db, &["--keep-going"], &format!("{lines}kv put 'a\nkv list -- x\n--batch\n"));
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("a quote is not closed"), "{output:?}");
    assert!(text(&output.stderr).contains("a batch cannot be a line of another"), "{output:?}");
    assert_eq!(db.ok(&["kv", "list"]), "a\nc\n");
    assert_eq!(batch(&db, &[], "").status.code(), Some(0));
    assert_eq!(db.run(&["--batch", "kv", "list"]).status.code(), Some(2));
    assert_eq!(db.run(&["--keep-going", "kv", "list"]).status.code(), Some(2));
}

#[test]
fn with_json_each_line_is_followed_by_its_number_and_code() {
    let db = Db::init();
    let output = batch(&db, &["--json", "--keep-going"], "kv put a 1\n\nkv get b\nkv get a\n");
    let mut out = objects(&output.stdout);
    assert_eq!(out.remove(0)["key"], "a");
    assert_eq!(out.remove(2)["value"], "1");
    let ends = [(1, 0), (3, 4), (4, 0)].map(|(line, code)| json!({ "line": line, "code": code }));
    assert_eq!(out, ends);
    let told = objects(&output.stderr);
    assert!(told.len() == 1 && told[0]["error"].as_str().unwrap().contains("there is no "), "{told:?}");
}

#[test]
fn what_it_was_given_counts_for_each_line_unless_that_says_otherwise() {
    let (one, other) = (Db::init(), Db::none());
    let there = other.path();
    let there = there.to_str().unwrap();
    let lines = format!(
        "kv put a 1\n--db '{there}' init\nkv put b 2 --db='{there}'\n--writer ben kv put c 3\nkv list\n"
    );
    one.ok(&["writer", "new", "anna"]);
    one.ok(&["writer", "new", "ben"]);
    let output = batch(&one, &["--writer", "anna", "--keep-going"], &lines);
    // There is no such writer there.
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stdout).ends_with("a\nc\n"), "{output:?}");
    let writers = one.ok(&["writer", "list"]);
    let feed =
        |name: &str| writers.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    for (key, name) in [("a", "anna "), ("c", "ben ")] {
        assert_eq!(one.json(&["kv", "get", key])["author"], feed(name));
    }
    assert_eq!(other.ok(&["kv", "list"]), "");
}

#[test]
fn a_line_is_carried_out_when_it_comes_and_the_folder_stays_open() {
    let db = Db::init();
    let mut command = db.command(&["--json", "--batch"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (mut lines, mut out) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let mut next = || serde_json::from_str::<Value>(&out.next().unwrap().unwrap()).unwrap();
    writeln!(lines, "kv put a 1").unwrap();
    assert_eq!((&next()["key"], next()), (&json!("a"), json!({ "line": 1, "code": 0 })));
    let (_, told) = db.ends(5, &["kv", "get", "a"]);
    assert!(told.contains(&format!("in use by process {} (kappa --batch)", child.id())), "{told}");
    write!(lines, "kv get").unwrap();
    lines.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    writeln!(lines, " a").unwrap();
    assert_eq!((&next()["value"], next()), (&json!("1"), json!({ "line": 2, "code": 0 })));
    // Being asked to end is the end of the lines.
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(db.ok(&["kv", "get", "a"]), "1");
}

#[test]
fn stdin_is_the_commands_and_nothing_else_and_files_are_files() {
    let db = Db::init();
    let output = batch(&db, &["--keep-going"], "kv put a -\nkv import -\n{\"key\":\"b\",\"value\":\"2\"}\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("what comes on stdin are the commands of the batch"), "{output:?}");
    assert_eq!(db.ok(&["kv", "list"]), "");
    let file = db.path().with_extension("a file");
    let path = file.to_str().unwrap();
    let output = batch(&db, &[], &format!("blob put '{}'\n", env!("CARGO_BIN_EXE_kappa")));
    let id = text(&output.stdout).trim();
    assert!(batch(&db, &[], &format!("blob get {id} -o '{path}'\n")).status.success());
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(env!("CARGO_BIN_EXE_kappa")).unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o100, 0);
}

#[test]
fn what_was_written_reaches_who_follows_before_it_ends() {
    let hub = Db::init();
    let server = Server::start_with(&hub, &["--listen", "127.0.0.1:0", "--follow", "everything"]);
    let anna = Db::join(&server.ticket);
    let lines: String = (0..50).map(|n| format!("chat post tea 'message {n}'\n")).collect();
    let output = batch(&anna, &[], &lines);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(hub.ok(&["chat", "read", "tea", "--limit", "all", "--local"]).lines().count(), 50);
    let output = batch(&anna, &["--json", "--deliver", "20"], "kv put a 1\n");
    assert_eq!(objects(&output.stderr), [json!({ "reached": 1, "awaited": 0 })]);
}
