//! What compaction does to the files of the journal.

use crate::common::Db;
use serde_json::Value;
use std::fs;

fn segments(db: &Db) -> usize {
    fs::read_dir(db.path().join("journal")).unwrap().count()
}

#[test]
fn many_runs_and_compactions_leave_few_files() {
    let db = Db::init();
    for round in 0..12 {
        db.ok(&["kv", "put", &format!("key {round}"), &"value ".repeat(50)]);
        db.ok(&["kv", "put", "last", &round.to_string()]);
        let feed = db.ok(&["feed", "list"]);
        db.ok(&["clear", &feed[..16], &format!("{}-{0}", round * 2), "--force"]);
        let done = db.json(&["compact"]);
        assert_eq!((&done["files_after"], &done["lacking"]), (&Value::from(2), &Value::from(0)), "{done}");
        assert_eq!(segments(&db), 2);
        assert_eq!(db.ok(&["kv", "get", "last"]), round.to_string());
    }
    assert_eq!(db.ok(&["verify"]), "");
    db.ok(&["rebuild"]);
    assert_eq!(db.ok(&["kv", "list"]).lines().count(), 13);
    assert_eq!(db.ok(&["verify"]), "");
}

#[test]
fn a_compaction_that_gains_nothing_leaves_all_as_it_is() {
    let db = Db::init();
    for _ in 0..5 {
        db.ok(&["kv", "put", "tea", "green"]);
        let done = db.json(&["compact"]);
        assert_eq!(done["before"], done["after"], "{done}");
    }
    assert_eq!(segments(&db), 1);
}
