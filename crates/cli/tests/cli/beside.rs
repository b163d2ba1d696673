//! While `serve` has a folder open, it carries out the commands of other processes on it.

use crate::common::{Db, EXTRACT, Server, on_a_terminal, signal};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long something that happens soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A command whose streams are all pipes.
pub fn start(db: &Db, args: &[&str]) -> Child {
    let mut command = db.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until it is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < SOON, "{what}");
        sleep(Duration::from_millis(10));
    }
}

/// The first line that it prints.
pub fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

/// What it said on stderr.
pub fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Commands that the node is at.
pub fn at_work(server: &Server) -> usize {
    let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.map(|thread| name(thread.unwrap())).filter(|name| name.starts_with("kappa-command")).count()
}

#[test]
fn status_says_which_process_carries_it_out() {
    let db = Db::init();
    assert!(db.json(&["status"])["node"].is_null() && !db.ok(&["status"]).contains("node"));
    let server = Server::start(&db);
    assert_eq!(db.json(&["status"])["node"], server.id());
    assert!(db.ok(&["status"]).contains(&format!("node process {}", server.id())));
    let socket = fs::metadata(db.path().join("node")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert!(server.interrupt());
    assert!(!db.path().join("node").exists());
    assert!(db.json(&["status"])["node"].is_null());
}

#[test]
fn files_are_those_of_the_caller() {
    let (db, here) = (Db::init(), tempfile::tempdir().unwrap());
    db.ok(&["kv", "put", "a", "1"]);
    let server = Server::start(&db);
    fs::write(here.path().join("photo"), "pixels").unwrap();
    let run = |script: &str| {
        let script = format!("umask 027; {script}");
        let mut command = Command::new("sh");
        command.args(["-ec", &script, env!("CARGO_BIN_EXE_kappa")]).current_dir(here.path());
        command.env("KAPPA_DB", db.path()).output().unwrap()
    };
    let id = String::from_utf8(run(r#""$0" blob put photo"#).stdout).unwrap();
    let id = id.trim();
    let output = run(&format!(
        r#""$0" blob get {id} -o out; "$0" blob get {id} > piped; "$0" blob get {id} -o /dev/stdout | cat"#
    ));
    assert_eq!(output.stdout, b"pixels", "{}", told(&output));
    for name in ["out", "piped"] {
        assert_eq!(fs::read_to_string(here.path().join(name)).unwrap(), "pixels");
        assert_eq!(fs::metadata(here.path().join(name)).unwrap().permissions().mode() & 0o777, 0o640);
    }
    let output = run(
        r#"mkfifo pipe; (echo '{"key":"p","value":"through a pipe"}' > pipe &) ; "$0" kv import pipe; "$0" kv get p"#,
    );
    assert!(output.stdout.ends_with(b"through a pipe"), "{}", told(&output));
    // What fails leaves the file as it was.
    let output = run(&format!(r#""$0" blob get {}/99 -o out"#, "00".repeat(32)));
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 4, "no half of a file is left");
    assert!(server.interrupt());
}

#[test]
fn a_folder_that_lies_deep_has_a_node_too() {
    let deep = tempfile::tempdir().unwrap();
    let folder = deep.path().join("a folder with a long name/".repeat(12));
    fs::create_dir_all(&folder).unwrap();
    let kappa = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kappa"));
        command.arg("--db").arg(folder.join("db")).args(args).stdin(Stdio::null());
        command
    };
    assert!(kappa(&["init"]).output().unwrap().status.success());
    let server = Server::of(kappa(&["serve"]));
    let output = kappa(&["--json", "status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("\"node\":{}", server.id())));
    assert!(server.interrupt());
}

#[test]
fn several_callers_write_at_once() {
    let db = Db::init();
    let server = Server::start(&db);
    let lines = |who: usize| -> String {
        (0..500).map(|n| format!("{{\"key\":\"{who}/{n}\",\"value\":\"{n}\"}}\n")).collect()
    };
    let mut children: Vec<Child> = (0..4).map(|_| start(&db, &["kv", "import", "-"])).collect();
    for (who, child) in children.iter_mut().enumerate() {
        child.stdin.take().unwrap().write_all(lines(who).as_bytes()).unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"500 values imported"), "{output:?}");
    }
    assert_eq!(db.ok(&["kv", "list"]).lines().count(), 2_000);
    assert!(server.interrupt());
    db.ok(&["verify"]);
}

#[test]
fn callers_that_read_slowly_hold_nobody_up_and_get_all() {
    let db = Db::helsinki();
    db.ok(&["kv", "put", "a", "1"]);
    let whole = db.ok(&["map", "export"]);
    let server = Server::start(&db);
    let slow: Vec<Child> = (0..12)
        .map(|n| start(&db, [&["map", "export"][..], &["map", "query", "--format", "ndjson"]][n % 2]))
        .collect();
    until("all began", || at_work(&server) == 12);
    let started = Instant::now();
    for n in 0..20 {
        db.ok(&["kv", "put", "b", &n.to_string()]);
        assert_eq!(db.ok(&["kv", "get", "a"]), "1");
    }
    db.feed(
        &["map", "put"],
        r#"{"type":"Feature","id":"x","properties":{},"geometry":{"type":"Point","coordinates":[1,1]}}"#,
    );
    db.ok(&["verify"]);
    assert!(started.elapsed() < SOON);
    for (n, mut child) in slow.into_iter().enumerate() {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(n % 2 == 1 || text == whole);
    }
    assert!(server.interrupt());
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let db = Db::helsinki();
    let server = Server::start(&db);
    let mut child = start(&db, &["map", "query", "--format", "ndjson"]);
    drop(child.stdin.take());
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{}", told(&output));
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for args in [&["kv", "put", "a", "1"][..], &["map", "export"], &["kv", "list"]] {
        let output = db.command(args).stdout(full()).output().unwrap();
        assert!(
            output.status.code() == Some(1) && told(&output).contains("the disk is full"),
            "{args:?}: {output:?}"
        );
    }
    until("nothing is left", || at_work(&server) == 0);
    assert!(server.interrupt());
}

#[test]
fn bars_are_drawn_on_the_terminal_of_the_caller() {
    let db = Db::init();
    let (done, alone) = on_a_terminal(&db, &["map", "import", EXTRACT], "");
    assert!(done && alone.contains("importing"), "{alone}");
    let server = Server::start(&db);
    let (done, beside) = on_a_terminal(&db, &["map", "import", EXTRACT, "--force"], "");
    assert!(done && beside.contains("comparing"), "{beside}");
    assert!(server.interrupt());
}

#[test]
fn a_copy_of_a_folder_is_not_the_nodes() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    let server = Server::start(&db);
    for how in ["-a", "-al"] {
        let copy = db.path().with_extension(how);
        assert!(Command::new("cp").arg(how).arg(db.path()).arg(&copy).status().unwrap().success());
        let mut command = Command::new(env!("CARGO_BIN_EXE_kappa"));
        command.arg("--db").arg(&copy).args(["--json", "status"]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Files with two names are one file, so the lock is the same: it says so, and asks nobody else's node.
        match how {
            "-a" => assert!(text.contains("\"node\":null"), "{output:?}"),
            _ => assert_eq!(output.status.code(), Some(5), "{output:?}"),
        }
    }
    assert!(server.interrupt());
}

#[test]
fn another_user_is_refused() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return; // Only the superuser can be somebody else.
    }
    let db = Db::init();
    let server = Server::start(&db);
    for path in [db.path().parent().unwrap().to_owned(), db.path(), db.path().join("node")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let output = db.command(&["status"]).uid(65_534).gid(65_534).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(output.stdout.is_empty() && told(&output).contains("of another user"), "{output:?}");
    assert!(server.interrupt());
}

/// Somebody who listens in a folder and says this line to whoever comes.
fn pretend(dir: &Path, line: String) {
    let listener = UnixListener::bind(dir.join("node")).unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map(Result::unwrap) {
            let _ = socket.write_all(line.as_bytes());
            let _ = socket.read(&mut [0; 1000]);
        }
    });
}

#[test]
fn a_node_of_another_version_is_named_and_what_is_no_node_is_told() {
    let db = Db::init();
    let found = fs::metadata(db.path()).unwrap();
    pretend(&db.path(), format!("kappa welcome 77 9.9.9-4 {} {}\n", found.dev(), found.ino()));
    let (_, error) = db.ends(5, &["kv", "list"]);
    assert!(error.contains("process 77, which is kappa 9.9.9-4"), "{error}");
    let db = Db::init();
    pretend(&db.path(), "220 mail.example.org\n".to_owned());
    let error = db.fails(&["kv", "list"]);
    assert!(error.contains("no node of kappa") && error.contains("node"), "{error}");
}

#[test]
fn a_node_that_stands_still_is_told_of() {
    let db = Db::init();
    let server = Server::start(&db);
    signal(server.id(), "-STOP");
    let (_, error) = db.ends(5, &["kv", "list"]);
    assert!(error.contains("does not answer"), "{error}");
    signal(server.id(), "-CONT");
    assert!(server.interrupt());
}

#[test]
fn a_flood_of_callers_is_bounded() {
    let db = Db::init();
    let server = Server::start(&db);
    let mut watching: Vec<Child> = (0..48).map(|_| start(&db, &["kv", "watch", "a"])).collect();
    watching.iter_mut().for_each(|child| drop(first_line(child)));
    let (_, error) = db.ends(5, &["kv", "list"]);
    assert!(error.contains("as many commands as it can"), "{error}");
    let mut last = watching.pop().unwrap();
    last.kill().unwrap();
    last.wait().unwrap();
    db.ok(&["kv", "list"]);
    assert!(server.interrupt());
    for child in watching {
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(6));
    }
}

#[test]
fn shells_and_manuals_are_told_of_every_command_and_the_examples_name_such_as_there_are() {
    let db = Db::none();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = db.ok(&["completions", shell]);
        assert!(script.contains("require-complete") && script.contains("moderate"), "{shell}");
    }
    let man = db.path().with_extension("man");
    db.ok(&["man", man.to_str().unwrap()]);
    for page in ["kappa.1", "kappa-serve.1", "kappa-kv-put.1", "kappa-chat-moderate-add.1"] {
        let text = fs::read_to_string(man.join(page)).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".SH NAME"), "{page}");
    }
    let example = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        fs::read_to_string(path).unwrap()
    };
    let unit = example("systemd/kappa@.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = start.split(' ').skip(1).collect();
    assert!(db.run(&[&words[2..], &["--help"]].concat()).status.success(), "{start}");
    let file = example("container/Containerfile");
    let line = file.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let words: Vec<String> = serde_json::from_str(line).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    assert!(db.run(&words).status.success(), "{line}");
}

#[test]
fn a_command_waits_for_a_node_that_is_just_starting() {
    let db = Db::init();
    db.ok(&["map", "import", EXTRACT]);
    fs::remove_dir_all(db.path().join("derived")).unwrap();
    let mut serving = db.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("it has the folder", || kappadb::Database::builder(db.path()).is_in_use());
    assert_eq!(db.json(&["status", "--wait", "100"])["node"], serving.id());
    signal(serving.id(), "-INT");
    assert!(serving.wait().unwrap().success());
}
