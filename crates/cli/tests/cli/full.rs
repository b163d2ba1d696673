//! A disk of its own that is full. Needs to be allowed to mount one (root); else the tests say that they are skipped.

use crate::common::Db;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A database on a small disk in memory.
struct Small {
    db: Db,
}

impl Small {
    fn new(size: &str) -> Option<Small> {
        let db = Db::none();
        let mount = ["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(disk(&db)).status().is_ok_and(|s| s.success());
        let small = mounted.then_some(Small { db });
        if small.is_none() {
            skipped();
        }
        small
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut bytes = 64 << 20;
        while bytes > 0 {
            // What fits of it stays.
            let name =
                (0..).map(|n| disk(&self.db).join(format!("filler{bytes}-{n}"))).find(|path| !path.exists());
            drop(fs::write(name.unwrap(), vec![1; bytes]));
            bytes /= 2;
        }
    }

    /// Takes all but so many bytes.
    fn fill_all_but(&self, bytes: usize) {
        let hold = disk(&self.db).join("hold");
        fs::write(&hold, vec![1; bytes]).unwrap();
        self.fill();
        fs::remove_file(hold).unwrap();
    }

    /// The same with the rest of the journal's last page, by writing until that fails.
    fn fill_to_the_last_byte(&self) {
        self.fill();
        let value = "x".repeat(1000);
        let failed = (0..20).find_map(|_| {
            let output = self.db.run(&["kv", "put", "filler", &value]);
            (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
        });
        says_full(&self.db, &failed.unwrap());
    }

    fn make_room(&self) {
        for entry in fs::read_dir(disk(&self.db)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn skipped() {
    eprintln!("SKIPPED: this user may not mount a disk of a stated size");
}

fn disk(db: &Db) -> std::path::PathBuf {
    db.path().parent().map(Path::to_owned).unwrap()
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(disk(&self.db)).status());
    }
}

/// Lines for `kv import`.
fn lines(count: usize) -> String {
    let line = |n: usize| format!("{{\"key\":\"k{n}\",\"value\":\"{}{n}\"}}\n", "x".repeat(700));
    (0..count).map(line).collect()
}

/// In words, and with the folder; nothing of how it is kept.
fn says_full(db: &Db, text: &str) {
    assert!(text.contains("the disk is full") && text.contains(&*db.path().to_string_lossy()), "{text}");
    for inner in [".kj", "engine", "os error", "slab", "derived/"] {
        assert!(!text.contains(inner), "{inner}: {text}");
    }
}

#[test]
fn a_full_disk_is_read_and_says_so_in_words() {
    let Some(small) = Small::new("6m") else { return };
    let db = &small.db;
    db.ok(&["init"]);
    db.ok(&["kv", "put", "tea", "green"]);
    db.feed(&["kv", "import", "-"], &lines(200));
    small.fill();
    assert_eq!(db.ok(&["kv", "get", "tea"]), "green");
    assert_eq!(db.ok(&["kv", "list"]).lines().count(), 201);
    for args in [&["verify"][..], &["status"], &["feed", "list"], &["compact"], &["kv", "get", "k7"]] {
        db.ok(args);
    }
    // It has given back what derived data took up.
    small.fill_to_the_last_byte();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![7; 100_000]).unwrap();
    for args in [
        &["kv", "put", "tea", &"black".repeat(300)][..],
        &["chat", "post", "tea", &"hello ".repeat(200)],
        &["blob", "put", file.path().to_str().unwrap()],
        &["feed", "new"],
        &["writer", "new", "ann"],
    ] {
        says_full(db, &db.fails(args));
    }
    small.make_room();
    db.ok(&["kv", "put", "tea", "black"]);
    assert_eq!(db.ok(&["kv", "get", "tea"]), "black");
    assert_eq!(db.ok(&["verify"]), "");
}

#[test]
fn a_full_disk_is_left_by_clearing_and_compacting() {
    let Some(small) = Small::new("6m") else { return };
    let db = &small.db;
    db.ok(&["init"]);
    db.feed(&["kv", "import", "-"], &lines(4000));
    small.fill();
    // Nothing is to be gained yet, and that needs no room.
    db.ok(&["compact"]);
    small.fill_to_the_last_byte();
    let feed = db.ok(&["feed", "list"]);
    db.ok(&["clear", &feed[..16], "100-3899", "--force"]);
    let compacted = db.json(&["compact"]);
    let bytes = |name: &str| compacted[name].as_u64().unwrap();
    assert!(bytes("after") < bytes("before") - 2_000_000, "{compacted}");
    db.ok(&["kv", "put", "tea", "green"]);
    assert_eq!(db.ok(&["kv", "get", "k10"]).len(), 702);
    db.lacks(&["kv", "get", "k2000"]);
    assert_eq!(db.ok(&["kv", "get", "k3999"]).len(), 704);
    assert_eq!(db.ok(&["verify"]), "");
}

/// Imports on a disk with too little room, and again when there is more. The number of lines or features that the first said it took, what the second
/// said, and how many blocks there are then.
fn twice(room: usize, args: &[&str], text: &str) -> Option<(u64, Value, u64)> {
    let small = Small::new("24m")?;
    let (db, dir) = (&small.db, tempfile::tempdir().unwrap());
    let file = dir.path().join("lines");
    fs::write(&file, text).unwrap();
    let args = [args, &[file.to_str().unwrap()]].concat();
    db.ok(&["init"]);
    small.fill_all_but(room);
    let error = db.fails(&args);
    assert!(error.contains("the disk is full") && error.contains("goes on from there"), "{error}");
    let (_, rest) = error.split_once(": the first ").unwrap();
    let taken = rest.split(' ').next().unwrap().parse().unwrap();
    small.make_room();
    let report = db.json(&args);
    assert_eq!(db.ok(&["verify"]), "");
    let status = db.json(&["status"]);
    let blocks =
        status["feeds"].as_array().unwrap().iter().map(|feed| feed["length"].as_u64().unwrap()).sum();
    Some((taken, report, blocks))
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap()
}

#[test]
fn an_import_of_values_that_the_disk_broke_off_says_how_far_it_came_and_goes_on_there() {
    let Some((taken, report, blocks)) = twice(1_500_000, &["kv", "import"], &lines(4000)) else { return };
    assert!(taken > 500 && taken < 4000, "{taken}");
    assert_eq!(number(&report, "imported") + number(&report, "known"), 4000, "{report}");
    assert!(number(&report, "known") >= taken, "{report} {taken}");
    assert_eq!(blocks, 4000, "nothing was written twice");
}

#[test]
fn an_import_of_features_that_the_disk_broke_off_says_how_far_it_came_and_goes_on_there() {
    let feature = |n: usize| {
        let at = format!("[24.{n:05},60.1]");
        format!(
            "{{\"type\":\"Feature\",\"id\":\"p{n}\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":{at}}},\"properties\":{{\"note\":\"{}{n}\"}}}}\n",
            "x".repeat(700)
        )
    };
    let text: String = (0..7000).map(feature).collect();
    let Some((taken, report, blocks)) = twice(10_500_000, &["map", "import"], &text) else { return };
    assert!((1000..7000).contains(&taken), "{taken}");
    assert!(number(&report, "blocks") <= 7000 - taken, "{report} {taken}");
    assert_eq!(blocks, 7000, "nothing was written twice");
}
