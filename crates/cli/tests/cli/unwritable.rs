//! Folders that cannot be written, or of which parts are gone.
use crate::common::Db;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Output;

/// A user who owns nothing else.
const NOBODY: u32 = 65_534;

fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn for_all(path: &Path, change: &dyn Fn(&Path)) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| for_all(&entry.unwrap().path(), change));
    }
    change(path);
}

fn with_mode(db: &Db, folder: u32, file: u32) {
    for_all(&db.path(), &|path| {
        let mode = if path.is_dir() { folder } else { file };
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    });
}

#[test]
fn a_folder_that_may_not_be_written_can_be_read() {
    let db = Db::init();
    db.ok(&["kv", "put", "tea", "green"]);
    // The superuser may write everything, so the program is run as somebody else.
    let is_root = fs::metadata(db.path()).unwrap().uid() == 0;
    if is_root {
        fs::set_permissions(db.path().parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        for_all(&db.path(), &|path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap());
    }
    with_mode(&db, 0o500, 0o400);
    let run = |args: &[&str]| {
        let mut command = db.command(args);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    };
    let (read, verified, written) =
        (run(&["kv", "get", "tea"]), run(&["verify"]), run(&["kv", "put", "tea", "black"]));
    with_mode(&db, 0o700, 0o600);
    let (out, err) = text(&read);
    assert_eq!((read.status.code(), &*out), (Some(0), "green"), "{err}");
    assert!(err.contains("cannot be written"), "{err}");
    assert_eq!(verified.status.code(), Some(0), "{:?}", text(&verified));
    let (_, err) = text(&written);
    assert_eq!(written.status.code(), Some(1), "{err}");
    assert!(err.contains("ermission denied") && err.contains("journal"), "{err}");
    assert_eq!(db.ok(&["kv", "get", "tea"]), "green");
}

#[test]
fn the_first_command_after_odd_damage_to_derived_data_works() {
    let db = Db::init();
    db.ok(&["kv", "put", "tea", "green"]);
    let derived = db.path().join("derived");
    let engine = derived.join("engine");
    let all_of = |change: &dyn Fn(&Path)| {
        for_all(&engine, &|path| {
            if path.is_file() {
                change(path);
            }
        });
    };
    let damage: [&dyn Fn(); 9] = [
        &|| fs::write(derived.join("seal"), "x").unwrap(),
        &|| fs::remove_file(derived.join("seal")).unwrap(),
        &|| all_of(&|path| fs::write(path, "").unwrap()),
        &|| all_of(&|path| fs::write(path, vec![0; 9_000]).unwrap()),
        &|| all_of(&|path| fs::remove_file(path).unwrap()),
        &|| {
            fs::remove_dir_all(&engine).unwrap();
            fs::write(&engine, "file").unwrap();
        },
        &|| {
            fs::remove_dir_all(&derived).unwrap();
            fs::write(&derived, "file").unwrap();
        },
        &|| {
            fs::remove_file(derived.join("lock")).unwrap();
            fs::create_dir(derived.join("lock")).unwrap();
        },
        &|| fs::remove_dir_all(&derived).unwrap(),
    ];
    for (n, damage) in damage.iter().enumerate() {
        damage();
        let output = db.run(&["kv", "get", "tea"]);
        let (out, err) = text(&output);
        assert_eq!((&*out, &*err, output.status.code()), ("green", "", Some(0)), "{n}");
    }
    db.ok(&["verify"]);
}

/// All files below.
fn files_below(path: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(files_below(&entry)) } else { files.push(entry) }
    }
    files.sort();
    files
}

fn copy_over(from: &Path, to: &Path) {
    let from = from.join(".");
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn files_of_derived_data_that_are_cut_swapped_removed_or_of_another_state_are_made_anew_by_the_first_command()
{
    let db = Db::init();
    db.ok(&["kv", "put", "tea", "green"]);
    let (derived, older, whole) =
        (db.path().join("derived"), db.path().join("../older"), db.path().join("../whole"));
    fs::create_dir(&older).unwrap();
    copy_over(&derived, &older);
    let lines: String = (0..300).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{n}\"}}\n")).collect();
    db.feed(&["kv", "import", "-"], &lines);
    fs::create_dir(&whole).unwrap();
    copy_over(&derived, &whole);
    let answers = |what: &str| {
        let output = db.run(&["kv", "get", "tea"]);
        let (out, err) = text(&output);
        assert_eq!((&*out, &*err, output.status.code()), ("green", "", Some(0)), "{what}");
    };
    type Hurt<'a> = (&'a str, &'a dyn Fn(&Path, &Path));
    let hurts: [Hurt<'_>; 5] = [
        ("cut in half", &|file, _| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("zeroed", &|file, _| fs::write(file, vec![0; fs::read(file).unwrap().len()]).unwrap()),
        ("swapped", &|file, other| {
            let aside = file.with_extension("aside");
            fs::rename(file, &aside).unwrap();
            fs::rename(other, file).unwrap();
            fs::rename(aside, other).unwrap();
        }),
        ("removed", &|file, _| fs::remove_file(file).unwrap()),
        ("longer", &|file, _| fs::write(file, [fs::read(file).unwrap(), vec![7; 5000]].concat()).unwrap()),
    ];
    let anew = || {
        fs::remove_dir_all(&derived).unwrap();
        fs::create_dir(&derived).unwrap();
        copy_over(&whole, &derived);
    };
    // Empty data files, of which there are many, are all the same.
    let hurt_ones = |path: &std::path::PathBuf| {
        fs::metadata(path).unwrap().len() > 0 || !path.to_string_lossy().contains("slabs")
    };
    let files: Vec<_> = files_below(&whole).into_iter().filter(hurt_ones).collect();
    for (n, file) in files.iter().enumerate() {
        let of_derived = |file: &Path| derived.join(file.strip_prefix(&whole).unwrap());
        let other = &files[(n + 1) % files.len()];
        for (what, hurt) in hurts {
            anew();
            hurt(&of_derived(file), &of_derived(other));
            answers(&format!("{what}: {}", file.display()));
        }
    }
    anew();
    copy_over(&older, &derived);
    answers("an older state copied over");
    fs::remove_dir_all(&derived).unwrap();
    fs::create_dir(&derived).unwrap();
    copy_over(&older, &derived);
    copy_over(&whole, &derived);
    answers("a newer state copied over");
    assert_eq!(db.ok(&["kv", "list"]).lines().count(), 301);
    assert_eq!(db.ok(&["verify"]), "");
}

#[test]
fn keys_without_a_journal_are_no_empty_database() {
    let db = Db::init();
    db.ok(&["kv", "put", "tea", "green"]);
    let (journal, away) = (db.path().join("journal"), db.path().join("away"));
    fs::rename(&journal, &away).unwrap();
    fs::remove_dir_all(db.path().join("derived")).unwrap();
    for args in [&["kv", "get", "tea"][..], &["status"], &["kv", "put", "tea", "black"]] {
        let error = db.fails(args);
        assert!(error.contains("is gone") && error.contains("backup"), "{error}");
    }
    assert!(!journal.exists());
    fs::rename(&away, &journal).unwrap();
    assert_eq!(db.ok(&["kv", "get", "tea"]), "green");
}

#[test]
fn a_missing_segment_is_told_by_verify_and_not_warned_of_once_it_is_settled() {
    let db = Db::init();
    db.ok(&["kv", "put", "tea", &"green ".repeat(99)]);
    let feed = db.ok(&["feed", "list"]);
    db.ok(&["clear", &feed[..16], "--force"]);
    db.ok(&["compact"]);
    db.ok(&["kv", "put", "coffee", "black"]);
    let mut segments: Vec<_> =
        fs::read_dir(db.path().join("journal")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    fs::remove_file(&segments[0]).unwrap();
    let (out, err) = db.ends(1, &["verify"]);
    assert!(out.contains("00000000.kj") && err.contains("the journal is damaged"), "{out}{err}");
    db.ok(&["compact"]);
    db.ok(&["settle"]);
    for args in [&["kv", "put", "water", "clear"][..], &["kv", "get", "water"]] {
        let (_, err) = text(&db.run(args));
        assert!(!err.contains("the journal is damaged"), "{err}");
    }
    // What was lost may have been of this key.
    assert_eq!(db.ends(3, &["kv", "get", "water"]).0, "clear");
    // It is still told where it is asked for.
    assert!(db.ends(1, &["verify"]).0.contains("00000000.kj"));
}
