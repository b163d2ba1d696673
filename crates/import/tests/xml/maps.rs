//! What a map in XML becomes.

use super::*;
use kappadb_core::Timestamp;
use kappadb_geo::{Edit, ElementKind, Member, Meta, Shape};
use kappadb_import::{Counts, Ids, Progress};

fn meta(version: u32, time: i64, changeset: i64, uid: i64, user: &str) -> Option<Meta> {
    Some(Meta { version, edit: Edit { time: Some(Timestamp(time)), changeset, uid, user: user.to_owned() } })
}

#[test]
fn elements_in_any_order_find_their_parts() {
    let mut import = import(HARBOUR).unwrap();
    assert!(!import.is_change());
    assert_eq!(import.elements(), Counts { nodes: 5, ways: 2, relations: 1, free: 0 });
    assert_eq!(import.counts(), Counts { nodes: 2, ways: 2, relations: 1, free: 0 });
    assert_eq!((import.len(), import.deletes(), import.skipped().count), (6, 1, 0));
    let items = items_of(&mut import);
    let mut sorted = ids(&items);
    assert_eq!(sorted.pop(), Some("n5"), "deletes come last");
    sorted.sort_unstable();
    assert_eq!(sorted, ["n-4", "n3", "r9", "w7", "w8"]);

    let Shape::Way(nodes) = &element(&items, "w7").shape else { panic!() };
    let nodes: Vec<_> = nodes.iter().map(|n| (n.id, n.at.map(|at| (at.lon, at.lat)))).collect();
    let (first, second) = ((249_400_002, 601_700_001), (249_500_000, 601_710_000));
    assert_eq!(nodes, [(1, Some(first)), (2, Some(second)), (99, None), (1, Some(first))]);
    assert_eq!(place(feature(&items, "w7")), [[249_400_002, 601_700_001, 249_500_000, 601_710_000]]);
    assert_eq!(
        element(&items, "w7").meta,
        Some(Meta { version: 2, edit: Edit { changeset: 70, ..Edit::default() } })
    );

    let Shape::Relation { members, .. } = &element(&items, "r9").shape else { panic!() };
    let member = |kind, id, role: &str| Member { kind, id, role: role.to_owned() };
    let outer = member(ElementKind::Way, 7, "outer");
    let rest = member(ElementKind::Relation, -9, "the rest");
    assert_eq!(*members, [outer, member(ElementKind::Node, 3, ""), rest]);
    assert_eq!(place(feature(&items, "r9")), [[249_400_002, 601_600_000, 249_600_000, 601_710_000]]);
    assert_eq!(element(&items, "r9").tag("name"), Some("Harbour \"A\" <äää> \n"));
    assert_eq!(element(&items, "r9").tags[0].0, "name", "tags are sorted");

    assert_eq!(element(&items, "n3").meta, meta(3, 1_767_323_045_000, 78, 6, "Bé"));
    assert_eq!(element(&items, "n3").tags.len(), 1);
    assert_eq!(element(&items, "n-4").meta, None);
    let gone = Item::Delete { id: "n5".to_owned(), meta: meta(7, 1_769_990_400_000, 80, 6, "Bé") };
    assert_eq!(*find(&items, "n5"), gone);
}

#[test]
fn a_packed_file_is_the_same() {
    for text in [HARBOUR, DAY] {
        assert_eq!(items(gzip(text.as_bytes())), items(text));
    }
    let line = r#"{"type":"Feature","id":1,"geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}"#;
    assert_eq!(items(gzip(line.as_bytes())), items(line));
    for (packing, packed) in packed_harbours() {
        assert_eq!(items(&packed), items(HARBOUR), "{packing}");
    }
    // Two packed files, one after the other, are one.
    let (start, end) = HARBOUR.split_at(HARBOUR.len() / 2);
    let parts = [gzip(start.as_bytes()), gzip(end.as_bytes())].concat();
    assert_eq!(items(parts), items(HARBOUR));
}

#[test]
fn a_mark_and_a_document_type_do_not_matter() {
    let plain = HARBOUR.replace("<?xml version='1.0' encoding='UTF-8'?>\n", "");
    assert_eq!(items(&plain), items(HARBOUR));
    assert_eq!(items(format!("\u{feff}{HARBOUR}")), items(HARBOUR));
    assert_eq!(
        items(format!("<!DOCTYPE osm [ <!ELEMENT osm ANY> ]>\n{plain}\n<!-- end -->\n")),
        items(HARBOUR)
    );
    assert_eq!(items(HARBOUR.replace('\n', "\r\n")), items(HARBOUR));
}

#[test]
fn a_file_of_full_history_is_refused() {
    let history = r#"<osm version="0.6"><node id="1" version="1" visible="true" lat="60.1" lon="24.9"><tag k="name" v="one"/></node>
<node id="1" version="2" visible="true" lat="60.1" lon="24.9"><tag k="name" v="two"/></node>
<node id="2" version="1" visible="true" lat="60.2" lon="24.9"><tag k="name" v="gone"/></node><node id="2" version="2" visible="false"/></osm>"#;
    let error = import(history).unwrap_err().to_string();
    assert!(error.contains("full history") && error.contains("time-filter"), "{error}");
}

#[test]
fn the_highest_version_counts_and_deletes_are_versions_too() {
    let node = |version: u32, lat: i32, more: &str| {
        format!(r#"<node id="1" version="{version}" lat="{lat}" lon="0" {more}><tag k="a" v="b"/></node>"#)
    };
    // Versions right after each other are a full history.
    let other = r#"<node id="2" lat="0" lon="0"/>"#;
    let osm = |nodes: &[String]| format!("<osm>{}</osm>", nodes.join(other));
    let (old, new) = (node(2, 20, ""), node(3, 30, ""));
    let (gone, gone_early) = (node(4, 0, "visible='false'"), node(1, 0, "visible='false'"));
    for (nodes, expected) in [
        (vec![old.clone(), new.clone()], Some(30)),
        (vec![new.clone(), old.clone()], Some(30)),
        (vec![new.clone(), gone.clone(), old.clone()], None),
        (vec![gone_early, new.clone()], Some(30)),
        (vec![node(0, 1, ""), node(0, 2, "")], Some(2)),
        (vec![node(0, 1, ""), node(0, 2, "action='delete'")], None),
    ] {
        let mut import = import(osm(&nodes)).unwrap();
        assert_eq!(import.skipped().count, nodes.len() as u64 - 1);
        let items = items_of(&mut import);
        assert_eq!(ids(&items), ["n1"]);
        let south = items[0].clone().into_feature().map(|f| place(&f)[0][1] / 10_000_000);
        assert_eq!(south, expected, "{nodes:?}");
    }
}

#[test]
fn positions_that_come_with_the_ways_are_used() {
    let way = r#"<osm><way id="7"><nd ref="1" lat="1" lon="3"/><nd ref="2" lat="2" lon="4"/></way></osm>"#;
    assert_eq!(place(feature(&items(way), "w7")), [[30_000_000, 10_000_000, 40_000_000, 20_000_000]]);
    let gone = way.replace("<way", r#"<node id="2" visible="false"/><way"#);
    assert_eq!(items(gone).len(), 2);
}

#[test]
fn progress_never_goes_back_and_reaches_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, gzip(HARBOUR.as_bytes())).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    let mut steps: Vec<Progress> = Vec::new();
    read(&path, &Ids::Keep, dir.path(), &mut |p| steps.push(p)).unwrap();
    assert!(steps.is_sorted_by_key(|p| p.bytes_done));
    assert_eq!(steps.last(), Some(&Progress { bytes_done: 2 * length, bytes_total: 2 * length }));
}
