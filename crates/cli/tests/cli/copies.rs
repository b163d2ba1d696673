//! Folders that are copied and put back with the tools that people use, and what lies beyond a fork.

use crate::common::{Db, Server};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn sh(script: &str, from: &Path, to: &Path) {
    let done = Command::new("sh").args(["-ec", script, "sh"]).args([from, to]).status().unwrap();
    assert!(done.success(), "{script}");
}

/// `kappa args` on a machine that remembers what it wrote in `state`.
fn on(state: &Path, db: &Db, args: &[&str]) -> Output {
    db.command(args).env("KAPPA_STATE", state).output().unwrap()
}

/// The same to an end with this exit code: the lines of stdout, and stderr.
fn ends(code: i32, state: &Path, db: &Db, args: &[&str]) -> (Vec<Value>, String) {
    let output = on(state, db, &[&["--json"], args].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), told)
}

fn feed_of(line: &Value) -> String {
    line["id"].as_str().unwrap().split_once('/').unwrap().0.to_owned()
}

#[test]
fn a_backup_put_back_with_tar_or_as_rsync_does_goes_on_in_a_new_feed_once_with_a_warning() {
    let ways = [
        ("tar", r#"tar -C "$1" -cf - . | tar -C "$2" -xf -"#),
        (
            "in place",
            r#"cd "$1"; find . -type f | while read -r f; do mkdir -p "$2/$(dirname "$f")"; cat "$f" > "$2/$f"; done"#,
        ),
        (
            "by rename",
            r#"cd "$1"; find . -type d | while read -r d; do mkdir -p "$2/$d"; done
            find . -type f | while read -r f; do cp -p "$f" "$2/.part"; mv "$2/.part" "$2/$f"; done
            cd "$2"; find . -type f | while read -r f; do [ -e "$1/$f" ] || rm "$f"; done"#,
        ),
    ];
    for (way, script) in ways {
        let (db, state) = (Db::none(), tempfile::tempdir().unwrap());
        let ok = |args: &[&str]| ends(0, state.path(), &db, args);
        ok(&["init"]);
        let feed = feed_of(&ok(&["kv", "put", "a", "1"]).0[0]);
        let backup = db.path().with_extension("backup");
        sh(r#"cp -a "$1" "$2""#, &db.path(), &backup);
        assert_eq!(feed_of(&ok(&["kv", "put", "b", "2"]).0[0]), feed, "{way}");
        sh(script, &backup, &db.path());
        // Reading warns, and settles nothing.
        let first = on(state.path(), &db, &["kv", "get", "a"]);
        assert!(first.status.success() && first.stdout.ends_with(b"1"), "{way}: {first:?}");
        let (lines, told) = ok(&["kv", "get", "a"]);
        assert!(lines[0]["value"] == "1" && told.contains("older copy"), "{way}: {told}");
        let (lines, told) = ok(&["kv", "put", "c", "3"]);
        let new = feed_of(&lines[0]);
        assert_ne!(new, feed, "{way}");
        assert_eq!(told.matches("goes on in a new feed").count(), 1, "{way}, warned once: {told}");
        let (lines, told) = ok(&["kv", "put", "d", "4"]);
        assert_eq!((feed_of(&lines[0]), told.as_str()), (new, ""), "{way}: it is settled");
        let (lines, _) = ok(&["verify"]);
        assert_eq!(lines, [json!({ "problems": 0 })], "{way}");
    }
}

#[test]
fn a_writer_whose_copy_wrote_too_is_told_the_command_that_brings_its_entries_back() {
    let (home, copy, other) = (Db::none(), Db::none(), Db::none());
    let dir = tempfile::tempdir().unwrap();
    let [here, there, elsewhere] = ["here", "there", "elsewhere"].map(|name| dir.path().join(name));
    ends(0, &here, &home, &["init"]);
    let (lines, _) = ends(0, &here, &home, &["kv", "put", "both", "0"]);
    let feed = feed_of(&lines[0]);
    // A snapshot of the whole machine.
    sh(r#"cp -a "$1" "$2""#, &home.path(), &copy.path());
    sh(r#"cp -a "$1" "$2""#, &here, &there);
    for (state, db, name) in [(&here, &home, "home"), (&there, &copy, "copy")] {
        ends(0, state, db, &["kv", "put", name, name]);
        ends(0, state, db, &["chat", "post", "tea", name]);
    }
    let serve = |state: &Path, db: &Db| {
        let mut command = db.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("KAPPA_STATE", state);
        Server::of(command)
    };
    for (state, db) in [(&here, &home), (&there, &copy), (&here, &home), (&there, &copy)] {
        let server = serve(state, db);
        ends(0, &elsewhere, &other, &["join", &server.ticket]);
        for args in [&["kv", "list"][..], &["chat", "read", "tea"]] {
            let output = on(&elsewhere, &other, args);
            assert!(matches!(output.status.code(), Some(0 | 3 | 4)), "{output:?}");
        }
    }
    let command = format!("kappa feed recover {feed}");
    for (state, db, name) in [(&here, &home, "home"), (&there, &copy, "copy")] {
        let (_, told) = ends(4, state, db, &["kv", "get", "--local", name]);
        assert!(told.contains(&command), "{told}");
        let (lines, _) = ends(0, state, db, &["feed", "recover", &feed, "--list"]);
        let put = lines.iter().find(|line| line["key"] == name).unwrap();
        assert_eq!(
            [&put["kind"], &put["value"], &put["standing"], &put["by"]],
            ["put", name, "lost", ""]
                .map(|text| { if text.is_empty() { json!(null) } else { json!(text) } })
                .each_ref()
        );
        let said = lines.iter().find(|line| line["kind"] == "text").unwrap();
        assert_eq!([&said["channel"], &said["text"]], [&json!("tea"), &json!(name)]);
        let (again, _) = ends(0, state, db, &["feed", "recover", &feed[..8]]);
        let again = again.iter().find(|line| line["was"] == put["id"]).unwrap();
        let (lines, told) = ends(0, state, db, &["kv", "get", "--local", name]);
        assert_eq!((&lines[0]["id"], &lines[0]["value"], told.as_str()), (&again["id"], &json!(name), ""));
        assert_eq!(lines[0]["timestamp"], put["timestamp"]);
        let (lines, _) = ends(0, state, db, &["feed", "recover", &feed]);
        assert_eq!(lines, [json!(null); 0], "once");
        let (lines, _) = ends(0, state, db, &["feed", "recover", &feed, "--list"]);
        let put = lines.iter().find(|line| line["key"] == name).unwrap();
        assert_eq!((&put["standing"], &put["by"]), (&json!("recovered"), &again["id"]));
        let text = String::from_utf8(on(state, db, &["feed", "recover", &feed, "--list"]).stdout).unwrap();
        assert!(
            text.contains(&format!("put {name}: {name}")) && text.contains(&format!("text tea: {name}")),
            "{text}"
        );
    }
    // Feeds that are not known, or somebody else's.
    let (_, told) = ends(4, &here, &home, &["feed", "recover", &"0".repeat(64)]);
    assert!(told.contains("no feed"), "{told}");
    let (_, told) = ends(1, &elsewhere, &other, &["feed", "recover", &feed]);
    assert!(told.contains("not written here"), "{told}");
}
