//! Who may read a folder, what links in it lead to, and who has it.

use crate::common::{Db, files};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// All folders below, and itself.
fn folders(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut out = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            out.extend(folders(&entry.path()));
        }
    }
    out
}

#[test]
fn nobody_else_can_read_a_database_also_one_that_was_open_to_all() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    let looser = |open: bool| {
        let is_open = |path: &Path| (mode(path) & 0o077 != 0) == open;
        folders(&db.path()).iter().all(|path| is_open(path))
            && files(&db.path()).iter().all(|(path, _)| is_open(path))
    };
    assert_eq!(mode(&db.path()), 0o700);
    for segment in files(&db.path().join("journal")) {
        assert_eq!(mode(&segment.0), 0o600, "made so, not only tightened");
    }
    for path in folders(&db.path()) {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    for (path, _) in files(&db.path()) {
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    assert!(looser(true));
    assert_eq!(db.ok(&["kv", "get", "a"]), "1");
    db.ok(&["status"]);
    assert_eq!(mode(&db.path()), 0o700);
    for path in
        folders(&db.path()).into_iter().skip(1).filter(|path| !path.starts_with(db.path().join("derived")))
    {
        assert_eq!(mode(&path), 0o700, "{path:?}");
    }
    for (path, _) in files(&db.path()).iter().filter(|(path, _)| !path.starts_with(db.path().join("derived")))
    {
        assert_eq!(mode(path), 0o600, "{path:?}");
    }
}

#[test]
fn a_folder_that_was_handed_over_overwrites_nothing_elsewhere() {
    let db = Db::init();
    db.ok(&["kv", "put", "a", "1"]);
    let dear = db.path().with_extension("dear");
    fs::write(&dear, "dear").unwrap();
    let names = [
        "replica",
        "peers",
        "listen",
        "keys/access",
        "LOCK",
        "journal/9999.seg",
        "derived/seal.new",
        "witness",
        "trust",
    ];
    for name in names {
        let link = db.path().join(name);
        let before = fs::read(&link).ok();
        let _ = fs::remove_file(&link);
        symlink(&dear, &link).unwrap();
        let (_, told) = db.ends(1, &["kv", "put", "a", "2"]);
        assert!(told.contains(name) || name == "replica" || name.starts_with("keys"), "{name}: {told}");
        assert_eq!(fs::read_to_string(&dear).unwrap(), "dear", "{name}");
        fs::remove_file(&link).unwrap();
        before.into_iter().for_each(|before| fs::write(&link, before).unwrap());
    }
    // What is only written in passing is replaced.
    for name in ["peers.new", "listen.new", "writers.new", "trust.new"] {
        symlink(&dear, db.path().join(name)).unwrap();
    }
    db.ok(&["writer", "new", "anna"]);
    let feed = db.json(&["status"])["feeds"][0]["feed"].as_str().unwrap().to_owned();
    db.ok(&["chat", "moderate", "trust", &feed]);
    assert_eq!(fs::read_to_string(&dear).unwrap(), "dear");
    assert_eq!(db.ok(&["kv", "get", "a"]), "1");
}

#[test]
fn of_two_that_make_the_same_folder_at_once_one_does() {
    for _ in 0..3 {
        let db = Db::none();
        let start = || db.command(&["init"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let both = [start(), start()];
        let ended = both.map(|child| child.wait_with_output().unwrap());
        let mut codes = ended.each_ref().map(|output| output.status.code().unwrap());
        codes.sort_unstable();
        assert_eq!(codes, [0, 1], "{ended:?}");
        let lost = ended.iter().find(|output| !output.status.success()).unwrap();
        assert!(String::from_utf8_lossy(&lost.stderr).contains("already holds a database"), "{lost:?}");
        let won = ended.iter().find(|output| output.status.success()).unwrap();
        let id = String::from_utf8_lossy(&won.stdout).trim().to_owned();
        assert_eq!(db.json(&["status"])["database"], serde_json::json!(id));
    }
}
