//! Files to import.

use crate::{Input, map};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use kappadb_geo::{Feature, hilbert};
use kappadb_import::{Ids, ImportError, Item, Skipped, read};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

/// Memory where there is some, so that the disk is left in peace.
fn folder() -> &'static Path {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared } else { Path::new("/tmp") }
}

fn import(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new_in(folder()).expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    let mut told = 0;
    let import = match read(file.path(), &Ids::New, folder(), &mut |progress| {
        assert!(told <= progress.bytes_done && progress.bytes_done <= progress.bytes_total, "{progress:?}");
        told = progress.bytes_done;
    }) {
        Ok(import) => import,
        Err(ImportError::Spool { source, .. }) => panic!("the spool failed: {source}"),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(import.skipped().first.len() <= Skipped::DETAILED);
    let items: Vec<Item> = import.items().expect("a spool").collect::<Result<_, _>>().expect("a spool");
    assert_eq!(items.len() as u64, import.len());
    let ids: BTreeSet<&str> = items.iter().map(Item::id).collect();
    assert_eq!(ids.len(), items.len(), "an id comes twice");
    assert!(items.is_sorted_by_key(|item| place(item, import.is_change())), "the order of the items");
    let located = |feature: &Feature| !feature.extent().boxes().is_empty();
    let features: Vec<Feature> = items.into_iter().filter_map(Item::into_feature).collect();
    assert!(import.is_change() || features.iter().all(located));
    features.iter().filter(|feature| located(feature)).take(16).for_each(map::check);
}

/// Where an item must come: its part of the order, and its place there.
fn place(item: &Item, change: bool) -> (u8, u64) {
    match item {
        Item::Put { feature, .. } => {
            let extent = feature.extent();
            let place = if extent.boxes().is_empty() { u64::MAX } else { hilbert(&extent) };
            let part = if change {
                ["n", "w", "r"].iter().position(|kind| feature.id.starts_with(kind))
            } else {
                None
            };
            (part.unwrap_or(0) as u8, place)
        }
        Item::Delete { id, .. } => {
            let part = ["r", "w", "n"].iter().position(|kind| id.starts_with(kind)).expect("an element");
            (4 + part as u8, 0)
        }
    }
}

/// An OSM XML file.
pub fn import_osm(data: &[u8]) {
    import(data);
}

/// An osmChange file.
pub fn import_osc(data: &[u8]) {
    import(data);
}

/// A GeoJSON file.
pub fn import_geojson(data: &[u8]) {
    import(data);
}

/// A blob of an `.osm.pbf` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PbfBlob {
    /// `OSMHeader`.
    Header,
    /// `OSMData`.
    Data,
    /// Of a type that readers skip.
    Other,
}

/// An `.osm.pbf` file. A first byte of 0: as it is. Else blobs, each how (u8: type and whether it is deflated) and its
/// content in a chunk: neither compression nor lengths are for a fuzzer to find out.
pub fn import_pbf(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() == 0 {
        return import(input.rest());
    }
    let mut file = Vec::new();
    while !input.is_empty() {
        let how = input.byte();
        let kind = [PbfBlob::Data, PbfBlob::Header, PbfBlob::Other][usize::from(how % 3)];
        pbf_blob(kind, how & 0x80 != 0, input.chunk(), &mut file);
    }
    import(&file);
}

/// The file of these blobs, deflated.
pub fn pbf_file(blobs: &[(PbfBlob, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    blobs.iter().for_each(|(kind, content)| pbf_blob(*kind, true, content, &mut file));
    file
}

fn pbf_blob(kind: PbfBlob, deflated: bool, content: &[u8], file: &mut Vec<u8>) {
    let mut blob = Vec::new();
    if deflated {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("writing to memory");
        blob.push(2 << 3);
        varint(content.len(), &mut blob);
        field(3, &encoder.finish().expect("writing to memory"), &mut blob);
    } else {
        field(1, content, &mut blob);
    }
    let mut header = Vec::new();
    let name: &[u8] = match kind {
        PbfBlob::Header => b"OSMHeader",
        PbfBlob::Data => b"OSMData",
        PbfBlob::Other => b"Other",
    };
    field(1, name, &mut header);
    header.push(3 << 3);
    varint(blob.len(), &mut header);
    file.extend_from_slice(&(header.len() as u32).to_be_bytes());
    file.extend_from_slice(&header);
    file.extend_from_slice(&blob);
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn varint(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
