//! Cutting sorted items into pages, and pages into pages of their boxes.

use crate::item::{Item, box_bytes, read_box};
use kappadb_core::GeoBox;

/// Bytes of a leaf page, about: a page ends with the item that passes this.
const LEAF_BYTES: usize = 4096;
/// Boxes in an inner page: all but the last of a level have so many.
pub const FANOUT: u32 = 128;

/// Items in a leaf page, at most: one has 30 bytes and a key, and the last may lie beyond.
pub const MAX_LEAF_ITEMS: u64 = LEAF_BYTES as u64 / 30 + 1;

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

/// All levels of pages over these leaves, of which there is one at least: the leaves first, last one page.
pub fn levels(leaves: Vec<Packed>) -> Vec<Vec<Packed>> {
    let mut levels = vec![leaves];
    while let Some(below) = levels.last().filter(|pages| pages.len() > 1) {
        levels.push(inner(below));
    }
    levels
}

/// Pages of the boxes of `below`, in their order.
fn inner(below: &[Packed]) -> Vec<Packed> {
    let pages = below.chunks(FANOUT as usize).filter_map(|children| {
        let bbox = children.iter().map(|child| child.bbox).reduce(|a, b| a.hull(&b))?;
        let bytes = children.iter().flat_map(|child| box_bytes(&child.bbox)).collect();
        Some(Packed { bytes, bbox })
    });
    pages.collect()
}

/// The boxes of an inner page with their children's numbers, in order; none if page `number` of a level above one of
/// `below` pages cannot look like this.
pub fn children(page: &[u8], number: u32, below: u32) -> Option<impl Iterator<Item = (GeoBox, u32)> + '_> {
    let first = number.checked_mul(FANOUT)?;
    let count = below.checked_sub(first)?.min(FANOUT);
    let mut rest = page;
    let boxes = std::iter::from_fn(move || {
        let (bbox, after) = read_box(rest)?;
        rest = after;
        Some(bbox)
    });
    (count > 0 && page.len() == count as usize * 16).then(|| boxes.zip(first..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of_points(count: u32) -> Vec<Packed> {
        let point = |n| {
            let n = i32::try_from(n).unwrap();
            GeoBox { west: n, south: 0, east: n, north: 0 }
        };
        (0..count).map(|n| Packed { bytes: Vec::new(), bbox: point(n) }).collect()
    }

    #[test]
    fn children_are_numbered_through() {
        for count in [1, 2, FANOUT, FANOUT + 1, 3 * FANOUT - 1] {
            let below = row_of_points(count);
            let pages = inner(&below);
            let read = pages
                .iter()
                .zip(0..)
                .flat_map(|(page, number)| children(&page.bytes, number, count).unwrap().collect::<Vec<_>>());
            assert!(read.eq(below.iter().map(|page| page.bbox).zip(0..)), "{count}");
        }
    }

    #[test]
    fn a_page_of_the_wrong_length_is_noticed() {
        let pages = inner(&row_of_points(FANOUT + 3));
        let last = &pages[1].bytes;
        assert!(children(last, 1, FANOUT + 3).is_some());
        assert!(children(&last[..32], 1, FANOUT + 3).is_none(), "a child is lost");
        assert!(children(last, 1, FANOUT + 4).is_none(), "a child is missing");
        assert!(children(last, 0, FANOUT + 3).is_none(), "another page");
        assert!(children(&[], 2, FANOUT + 3).is_none() && children(&[], u32::MAX, 1).is_none());
    }
}
