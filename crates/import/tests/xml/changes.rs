//! What an osmChange file becomes.

use super::*;
use kappadb_core::Timestamp;
use kappadb_geo::{Edit, Meta, Shape};

#[test]
fn deletes_come_last_and_the_latest_version_wins() {
    let mut import = import(DAY).unwrap();
    assert!(import.is_change());
    assert_eq!(import.skipped().count, 0, "older versions are no mistake");
    let items = items_of(&mut import);
    assert_eq!((import.counts().features(), import.deletes()), (6, 4));
    let (puts, deletes) = items.split_at(6);
    let (mut puts, mut deleted) = (ids(puts), ids(deletes));
    puts.sort_unstable();
    deleted.sort_unstable();
    assert_eq!(puts, ["n11", "n12", "r30", "r31", "w20", "w21"]);
    assert_eq!(deleted, ["n13", "n14", "r32", "w22"]);
    assert!(deletes.iter().all(|item| matches!(item, Item::Delete { .. })));
    assert_eq!(bare(&mut import), [(10, true, true)]);
}

/// Nodes without tags: id, whether it is an edit, whether a way has it.
fn bare(import: &mut Import) -> Vec<(i64, bool, bool)> {
    let mut found = Vec::new();
    import
        .each_bare(&mut |bare| {
            found.push((bare.node.id, bare.is_edit, bare.is_carried));
            Ok::<_, ImportError>(())
        })
        .unwrap();
    found
}

#[test]
fn what_the_file_does_not_know_is_left_open() {
    let items = items(DAY);
    let Shape::Way(nodes) = &element(&items, "w20").shape else { panic!() };
    let south: Vec<_> = nodes.iter().map(|node| (node.id, node.at.map(|at| at.lat))).collect();
    assert_eq!(south, [(10, Some(603_000_000)), (500, None)], "the second version of n10");
    assert_eq!(place(feature(&items, "r30")), [[243_000_000, 603_000_000, 243_000_000, 603_000_000]]);
    assert_eq!(element(&items, "n12").tag("name"), Some("newest"));
    for id in ["w21", "r31"] {
        assert!(feature(&items, id).extent().boxes().is_empty(), "{id}");
    }
    assert_eq!(element(&items, "w21").tag("highway"), Some("track"));
}

#[test]
fn a_delete_says_which_edit_it_is() {
    let items = items(DAY);
    let time = Some(Timestamp(1_795_392_000_000));
    let meta = Meta { version: 3, edit: Edit { time, changeset: 9, uid: 1, user: "Ada".to_owned() } };
    assert_eq!(*find(&items, "n14"), Item::Delete { id: "n14".to_owned(), meta: Some(meta) });
    let Item::Delete { meta: Some(meta), .. } = find(&items, "n13") else { panic!() };
    assert_eq!(meta.version, 5);
    let bare = import("<osmChange><delete><way id='3'/></delete></osmChange>").unwrap();
    assert_eq!((bare.len(), bare.deletes()), (1, 1));
}

#[test]
fn without_versions_the_last_in_the_file_wins() {
    let (create, delete) = (
        r#"<create><way id="1"><nd ref="1"/></way><node id="1" lat="1" lon="1"/></create>"#,
        r#"<delete><way id="1"/><node id="1"/></delete>"#,
    );
    let created = items(format!("<osmChange>{delete}{create}</osmChange>"));
    assert_eq!(ids(&created), ["w1"]);
    assert_eq!(place(feature(&created, "w1")), [[10_000_000, 10_000_000, 10_000_000, 10_000_000]]);
    let deleted = items(format!("<osmChange>{create}{delete}</osmChange>"));
    assert_eq!(ids(&deleted), ["w1", "n1"]);
    assert!(deleted.iter().all(|item| matches!(item, Item::Delete { .. })));
}

#[test]
fn an_empty_change_is_one() {
    let import = import("<osmChange version='0.6'/>").unwrap();
    assert!(import.is_empty() && import.is_change());
}
