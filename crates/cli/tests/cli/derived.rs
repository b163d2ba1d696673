//! Derived data that goes bad while it is in use.
use crate::common::Db;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// The engine prints about a file that is shorter than it was, on stdout, and a backtrace on stderr.
#[test]
fn what_the_engine_prints_reaches_nobody() {
    let db = Db::init();
    // More than the engine keeps in memory, of what nothing makes smaller.
    let text = |n: u64| {
        (0..20)
            .map(|at| format!("{:x}", (n * 20 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect::<String>()
    };
    let lines: String =
        (0..40_000).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{}\"}}\n", text(n))).collect();
    db.feed(&["kv", "import", "-"], &lines);
    let mut serve = db.command(&["--json", "serve", "--listen", "127.0.0.1:0", "-v"]);
    let mut serve = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut ticket) = (BufReader::new(serve.stdout.take().unwrap()), String::new());
    out.read_line(&mut ticket).unwrap();
    let ticket: serde_json::Value = serde_json::from_str(&ticket).unwrap();
    for slab in fs::read_dir(db.path().join("derived/engine/slabs")).unwrap() {
        File::options().write(true).open(slab.unwrap().path()).unwrap().set_len(0).unwrap();
    }
    let other = Db::join(ticket["ticket"].as_str().unwrap());
    // All of it: some rows are in memory already, as those of the latest keys are.
    other.run(&["kv", "list"]);
    Command::new("kill").args(["-INT", &serve.id().to_string()]).status().unwrap();
    let (mut rest, mut err) = (String::new(), String::new());
    out.read_to_string(&mut rest).unwrap();
    serve.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    serve.wait().unwrap();
    assert_eq!(rest, "");
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(err.lines().all(is_json), "{err}");
    assert!(err.contains("failed to fill whole buffer"), "the damage was met: {err}");
    assert!(!err.contains("src/"), "in users' words: {err}");
}
