//! Files in and out of the program, whole and in parts, here and from a peer.
use crate::common::{Db, Server};
use serde_json::Value;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * n / 11).to_le_bytes()[0]).collect()
}

#[test]
fn a_file_goes_in_and_comes_out_in_parts_from_a_peer() {
    let full = Db::init();
    let file = full.path().with_extension("bin");
    let all = content(700_000);
    std::fs::write(&file, &all).unwrap();
    let name = file.to_str().unwrap();
    let made = full.json(&["blob", "put", name, "--type", "application/x-test"]);
    let id = made["id"].as_str().unwrap();
    assert_eq!((made["bytes"].as_u64(), made["name"].as_str()), (Some(700_000), Some("db.bin")));

    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    assert!(sparse.lacks(&["blob", "get", id, "--local"]).contains("not held"));
    let got = sparse.run(&["blob", "get", id, "--range", "100000-100099"]);
    assert_eq!(got.stdout, &all[100_000..100_100]);
    let info = sparse.json(&["blob", "info", id, "--local"]);
    assert_eq!((info["bytes"].as_u64(), info["held"].as_u64()), (Some(700_000), Some(65_536)));
    assert_eq!(info["type"], "application/x-test");
    let error = sparse.lacks(&["blob", "get", id, "--local"]);
    assert!(error.contains("bytes 0 to 65535") && error.contains("not held"), "{error}");

    let out = sparse.path().with_extension("out");
    sparse.ok(&["blob", "get", id, "--output", out.to_str().unwrap()]);
    assert!(std::fs::read(&out).unwrap() == all);
    assert!(server.interrupt());
    assert_eq!(sparse.run(&["blob", "get", id, "--range", "-7", "--local"]).stdout, &all[699_993..]);
    assert!(sparse.fails(&["blob", "get", id, "--range", "700000-"]).contains("none of them"));
    assert_eq!(sparse.run(&["blob", "get", id, "--range", "9-8"]).status.code(), Some(2));
    assert_eq!(sparse.run(&["verify"]).status.code(), Some(0));
}

#[test]
fn stdin_becomes_a_blob_and_a_photo_is_attached() {
    let db = Db::init();
    let id = db.feed(&["blob", "put", "-", "--name", "greeting"], "hello");
    assert_eq!(db.ok(&["blob", "get", id.trim()]), "hello");
    assert!(db.ok(&["blob", "info", id.trim()]).contains("name  greeting"));

    let cafe = r#"{"type":"Feature","id":"cafe","properties":{"name":"Kolme"},"geometry":{"type":"Point","coordinates":[24.9,60.1]}}"#;
    db.feed(&["map", "put"], cafe);
    let photo = db.path().with_extension("jpg");
    std::fs::write(&photo, content(100_000)).unwrap();
    let path = photo.to_str().unwrap();
    let blob = db.ok(&["map", "attach", "cafe", path, "--name", "front", "--type", "image/jpeg"]);
    let feature: Value = serde_json::from_str(&db.ok(&["map", "get", "cafe"])).unwrap();
    assert_eq!(feature["properties"]["attachment:front"], blob.trim());
    assert!(db.run(&["blob", "get", blob.trim()]).stdout == content(100_000));
    assert!(db.lacks(&["map", "attach", "nowhere", path]).contains("no feature"));
    assert!(db.fails(&["blob", "put", "/nowhere/x"]).contains("/nowhere/x"));
    assert!(db.lacks(&["blob", "get", &format!("{}/999", "00".repeat(32))]).contains("not held"));
}

#[test]
fn blobs_are_listed_by_page_also_from_a_peer_that_is_gone_later() {
    let full = Db::init();
    let ids: Vec<String> = (0..3)
        .map(|n| full.feed(&["blob", "put", "-", "--name", &format!("{n}.txt")], "hello").trim().to_owned())
        .collect();
    let server = Server::start(&full);
    let sparse = Db::join(&server.ticket);
    let all = sparse.ok(&["blob", "list"]);
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 3, "{all}");
    for (line, n) in lines.iter().zip([2, 1, 0]) {
        assert!(line.contains(&ids[n]) && line.ends_with(&format!(" 5 B {n}.txt")), "{line}");
    }
    let page = sparse.run(&["blob", "list", "--json", "--limit", "2", "--local"]);
    let page: Vec<Value> =
        page.stdout.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    assert_eq!(page.iter().map(|blob| &blob["id"]).collect::<Vec<_>>(), [&ids[2], &ids[1]]);
    let next = sparse.run(&["blob", "list", "--limit", "2", "--local"]);
    assert!(String::from_utf8_lossy(&next.stderr).contains(&format!("more with --after '{}'", ids[1])));
    assert!(sparse.ok(&["blob", "list", "--after", &ids[1], "--local"]).contains(&ids[0]));
    let late = Db::join(&server.ticket);
    assert!(server.interrupt());
    // All was known a moment ago.
    assert_eq!(sparse.run(&["blob", "list"]).status.code(), Some(0));
    assert_eq!(late.run(&["blob", "list", "--require-complete"]).status.code(), Some(3));
}
