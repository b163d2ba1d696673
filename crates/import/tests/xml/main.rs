//! `.osm` and `.osc` files.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod bad;
mod changes;
mod documents;
mod maps;
mod writer;

use flate2::Compression;
use flate2::write::GzEncoder;
use kappadb_geo::{Body, Element, Feature};
use kappadb_import::{Ids, Import, ImportError, Item, read};
use std::io::Write;

const HARBOUR: &str = include_str!("../data/harbour.osm");
const DAY: &str = include_str!("../data/day.osc");

fn import(bytes: impl AsRef<[u8]>) -> Result<Import, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.osm");
    std::fs::write(&path, bytes).unwrap();
    read(&path, &Ids::Keep, dir.path(), &mut |_| ())
}

fn items_of(import: &mut Import) -> Vec<Item> {
    import.items().unwrap().map(Result::unwrap).collect()
}

fn items(bytes: impl AsRef<[u8]>) -> Vec<Item> {
    let mut import = import(bytes).unwrap();
    assert_eq!(import.skipped().count, 0, "{:?}", import.skipped());
    items_of(&mut import)
}

fn ids(items: &[Item]) -> Vec<&str> {
    items.iter().map(Item::id).collect()
}

fn find<'a>(items: &'a [Item], id: &str) -> &'a Item {
    items.iter().find(|item| item.id() == id).unwrap_or_else(|| panic!("{id} is missing"))
}

fn feature<'a>(items: &'a [Item], id: &str) -> &'a Feature {
    let Item::Put { feature, .. } = find(items, id) else { panic!("{id} is gone") };
    feature
}

fn element<'a>(items: &'a [Item], id: &str) -> &'a Element {
    let Body::Osm(element) = &feature(items, id).body else { panic!("{id} is no element") };
    element
}

/// West, south, east, north of each box.
fn place(feature: &Feature) -> Vec<[i32; 4]> {
    feature.extent().boxes().iter().map(|b| [b.west, b.south, b.east, b.north]).collect()
}

/// One file as four programs packed it.
fn packed_harbours() -> [(&'static str, Vec<u8>); 4] {
    [
        ("gzip", gzip(HARBOUR.as_bytes())),
        ("bzip2", include_bytes!("../data/harbour.osm.bz2").to_vec()),
        ("xz", include_bytes!("../data/harbour.osm.xz").to_vec()),
        ("Zstandard", include_bytes!("../data/harbour.osm.zst").to_vec()),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
