//! The storeys of this crate hold: no room imports one above it, and none is so large that nobody knows what is in it.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "tests may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From below. A room may use those beside it and those before it.
const STOREYS: [&[&str]; 9] = [
    &["error", "lines"],
    &["folder"],
    &["engine"],
    &["network"],
    &["write"],
    &["views"],
    &["jobs"],
    &["node"],
    &["cause", "database", "glossary", "host", "lib", "view"],
];
/// Lines of a file, its tests included.
const MOST_LINES: usize = 400;
/// Files that methods of one type are in.
const MOST_FILES: usize = 5;

/// A file of the crate.
struct Room {
    /// Names of the modules that it lies in, its own the last.
    path: Vec<String>,
    lines: Vec<String>,
}

impl Room {
    fn read(file: &Path, root: &Path) -> Room {
        let inside = file.strip_prefix(root).unwrap().with_extension("");
        let mut path: Vec<String> = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        path.pop_if(|name| name == "mod");
        Room { path, lines: fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect() }
    }

    fn name(&self) -> String {
        self.path.join("::")
    }

    /// The code, without comments and without tests, which may use anything.
    fn code(&self) -> impl Iterator<Item = &str> {
        let is_tests = self.path.last().is_some_and(|name| name == "tests");
        let lines = self.lines.iter().map(|line| line.trim_start());
        let code = lines.take_while(move |line| !is_tests && *line != "#[cfg(test)]");
        code.filter(|line| !line.starts_with("//"))
    }

    /// The modules that it names, as paths from the root of the crate.
    fn uses(&self) -> Vec<Vec<String>> {
        let mut uses = Vec::new();
        for line in self.code() {
            for after in line.split("crate::").skip(1) {
                uses.push(names(after));
            }
            for (at, _) in line.match_indices("super::").filter(|(at, _)| !line[..*at].ends_with("super::")) {
                let mut after = &line[at..];
                let mut from = self.path.clone();
                while let Some(rest) = after.strip_prefix("super::") {
                    from.pop();
                    after = rest;
                }
                from.extend(names(after));
                uses.push(from);
            }
        }
        uses
    }
}

/// The modules at the beginning of a path: what is written in lower case.
fn names(path: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut names = Vec::new();
    for name in path.split("::") {
        let end = name.find(|c| !word(c)).unwrap_or(name.len());
        if end > 0 && !name[end..].starts_with(|c: char| c.is_ascii_alphanumeric()) {
            names.push(name[..end].to_owned());
        }
        if end < name.len() || end == 0 {
            break;
        }
    }
    names
}

fn storey(name: &str) -> Option<usize> {
    STOREYS.iter().position(|rooms| rooms.contains(&name))
}

fn rooms() -> Vec<Room> {
    fn files(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found.sort();
    found.iter().map(|file| Room::read(file, &root)).collect()
}

#[test]
fn no_storey_uses_one_above_it() {
    let mut wrong = Vec::new();
    for room in rooms() {
        let here = storey(&room.path[0]).unwrap_or_else(|| panic!("{} is on no storey", room.name()));
        for used in room.uses() {
            // What begins in upper case is the crate's face, which only the top may know; rooms in braces are to be named one by one.
            let there = used.first().map_or(Some(STOREYS.len() - 1), |name| storey(name));
            if there.is_none_or(|there| there > here) {
                wrong.push(format!("{} uses {}", room.name(), used.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_view_uses_another_but_blobs() {
    let views = ["kv", "map", "chat", "blobs"];
    let mut wrong = Vec::new();
    for room in rooms().iter().filter(|room| room.path[0] == "views" && room.path.len() > 1) {
        let is_view = |name: &str| views.contains(&name);
        for used in room.uses().iter().filter(|used| used.len() > 1 && used[0] == "views") {
            if is_view(&room.path[1])
                && is_view(&used[1])
                && ![&room.path[1], "blobs"].contains(&&used[1][..])
            {
                wrong.push(format!("{} uses {}", room.name(), used.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nobody_comes_into_the_network_but_by_its_door() {
    let mut wrong = Vec::new();
    for room in rooms().iter().filter(|room| room.path[0] != "network") {
        for used in room.uses().iter().filter(|used| used.len() > 1 && used[0] == "network") {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/network/mod.rs"));
            if text.unwrap().contains(&format!("\nmod {};", used[1])) {
                wrong.push(format!("{} uses {}", room.name(), used.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_methods_of_a_type_are_found_in_few_of_them() {
    let (mut wrong, mut types) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    for room in rooms() {
        if room.lines.len() > MOST_LINES {
            wrong.push(format!("{} has {} lines", room.name(), room.lines.len()));
        }
        for line in room.code().filter(|line| line.starts_with("impl") && !line.contains(" for ")) {
            // The parameters of the block come before the type.
            let line = line.strip_prefix("impl").unwrap_or_default();
            let line =
                if line.starts_with('<') { line.split_once("> ").map_or("", |(_, rest)| rest) } else { line };
            let name: String = line.trim_start().chars().take_while(|c| c.is_alphanumeric()).collect();
            types.entry(name).or_default().insert(room.name());
        }
    }
    let scattered = types.iter().filter(|(_, files)| files.len() > MOST_FILES);
    wrong.extend(scattered.map(|(name, files)| format!("{name} has methods in {files:?}")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
