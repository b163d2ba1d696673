//! Cutting sorted items into pages, and pages into pages of their boxes.

use crate::item::{Item, read_box};
use kappadb_core::GeoBox;

/// Bytes of a leaf page, about.
const LEAF_BYTES: usize = 4096;
/// Boxes in an inner page.
pub const FANOUT: u32 = 128;

/// A page to be written, and the box around what lies below it.
pub struct Packed {
    pub bytes: Vec<u8>,
    pub bbox: GeoBox,
}

/// Leaf pages of the items, in their order.
pub fn leaves(items: &[Item]) -> Vec<Packed> {
    let mut pages: Vec<Packed> = Vec::new();
    for item in items {
        match pages.last_mut().filter(|page| page.bytes.len() < LEAF_BYTES) {
            Some(page) => {
                page.bbox = page.bbox.hull(&item.bbox);
                item.encode(&mut page.bytes);
            }
            None => {
                let mut bytes = Vec::with_capacity(LEAF_BYTES + 300);
                item.encode(&mut bytes);
                pages.push(Packed { bytes, bbox: item.bbox });
            }
        }
    }
    pages
}

/// Pages of the boxes of `below`, in their order.
pub fn inner(below: &[Packed]) -> Vec<Packed> {
    let pages = below.chunks(FANOUT as usize).filter_map(|children| {
        let bbox = children.iter().map(|child| child.bbox).reduce(|a, b| a.hull(&b))?;
        let edges = |b: GeoBox| [b.west, b.south, b.east, b.north];
        let bytes = children.iter().flat_map(|child| edges(child.bbox)).flat_map(i32::to_le_bytes).collect();
        Some(Packed { bytes, bbox })
    });
    pages.collect()
}

/// The boxes of an inner page, in their order. Ends early if the page is cut short.
pub fn boxes(mut page: &[u8]) -> impl Iterator<Item = GeoBox> + '_ {
    std::iter::from_fn(move || {
        let (bbox, rest) = read_box(page)?;
        page = rest;
        Some(bbox)
    })
}
