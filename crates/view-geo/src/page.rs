//! Packing items, in the order of their ranks, into pages, and pages into pages of their boxes: item by item, in little memory.

use crate::item::{ItemRef, box_bytes, read_box};
use crate::leaf::{self, Filling};
use crate::rank::{RANK_BYTES, Rank};
use bincode::{Decode, Encode};
use kappadb_core::GeoBox;
use kappadb_view::ViewError;

/// Boxes in an inner page: all but the last of a level have so many.
const FANOUT: u32 = 128;
/// Bytes of a child in an inner page.
const CHILD_BYTES: usize = 16 + RANK_BYTES;

const UNORDERED: ViewError = ViewError::Inconsistent("boxes of the map index are not in order");

/// What is known of a tree of pages without reading them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Shape {
    /// Pages of each level, leaves first; the last level has one. None if there are no items.
    pub levels: Vec<u32>,
    /// Items in the leaves.
    pub items: u64,
}

impl Shape {
    /// True if pages of that number can lie above each other like this, and hold that many items.
    pub fn is_possible(&self) -> bool {
        let tapers = self.levels.is_sorted_by(|below, above| *below > 1 && below.div_ceil(FANOUT) == *above);
        let leaves = u64::from(self.levels.first().copied().unwrap_or(0));
        let items = leaves..=leaves * leaf::MAX_ITEMS;
        tapers && self.levels.last().is_none_or(|top| *top == 1) && items.contains(&self.items)
    }

    /// Its leaf pages.
    pub fn leaves(&self) -> u32 {
        self.levels.first().copied().unwrap_or(0)
    }

    /// Its pages.
    pub fn pages(&self) -> u64 {
        self.levels.iter().copied().map(u64::from).sum()
    }
}

/// What an inner page says of a page below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Around all of its items.
    pub bbox: GeoBox,
    /// The rank of its first item.
    pub first: Rank,
}

impl Child {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(box_bytes(&self.bbox));
        out.extend_from_slice(&self.first.encode());
    }

    fn read(bytes: &[u8]) -> Option<(Child, &[u8])> {
        let (bbox, bytes) = read_box(bytes)?;
        let (rank, rest) = bytes.split_first_chunk()?;
        Some((Child { bbox, first: Rank::decode(*rank) }, rest))
    }
}

/// The children of an inner page with their numbers, in order; none if page `number` of a level above one of `below`
/// pages cannot look like this.
pub fn children(page: &[u8], number: u32, below: u32) -> Option<impl Iterator<Item = (Child, u32)> + '_> {
    let first = number.checked_mul(FANOUT)?;
    let count = below.checked_sub(first)?.min(FANOUT);
    let mut rest = page;
    let read = std::iter::from_fn(move || {
        let (child, after) = Child::read(rest)?;
        rest = after;
        Some(child)
    });
    (count > 0 && page.len() == count as usize * CHILD_BYTES).then(|| read.zip(first..))
}

/// Takes a finished page: its level (leaves are 0), its number in that, its bytes.
pub type Sink<'a> = &'a mut dyn FnMut(u8, u32, Vec<u8>) -> Result<(), ViewError>;

/// Packs a tree of pages from items that come in order.
#[derive(Debug, Default)]
pub struct Builder {
    leaf: Filling,
    levels: Vec<Level>,
    items: u64,
    last: Option<Rank>,
}

/// One level's page that is being filled.
#[derive(Debug, Default)]
struct Level {
    /// Of an inner page.
    bytes: Vec<u8>,
    entries: u32,
    around: Option<Child>,
    /// Pages that are finished.
    pages: u32,
}

impl Level {
    fn widen(&mut self, by: &Child) {
        self.entries += 1;
        match &mut self.around {
            Some(around) => around.bbox = around.bbox.hull(&by.bbox),
            none => *none = Some(*by),
        }
    }
}

impl Builder {
    /// Adds an item, whose rank is not before that of the last one.
    pub fn push(&mut self, item: &ItemRef<'_>, rank: Rank, sink: Sink<'_>) -> Result<(), ViewError> {
        if self.last.is_some_and(|last| rank < last) {
            return Err(UNORDERED);
        }
        self.last = Some(rank);
        self.items += 1;
        self.level(0).widen(&Child { bbox: item.bbox, first: rank });
        if self.leaf.push(item) { self.close(0, sink) } else { Ok(()) }
    }

    fn level(&mut self, level: u8) -> &mut Level {
        let at = usize::from(level);
        if self.levels.len() <= at {
            self.levels.resize_with(at + 1, Level::default);
        }
        #[expect(clippy::indexing_slicing, reason = "made just now if it was not there")]
        &mut self.levels[at]
    }

    /// Finishes the page of a level that is being filled, and those above that are full by that.
    fn close(&mut self, mut level: u8, sink: Sink<'_>) -> Result<(), ViewError> {
        loop {
            let open = self.level(level);
            let Some(around) = open.around.take() else { return Ok(()) };
            open.entries = 0;
            open.pages += 1;
            let (number, inner) = (open.pages - 1, std::mem::take(&mut open.bytes));
            sink(level, number, if level == 0 { self.leaf.take() } else { inner })?;
            level += 1;
            let above = self.level(level);
            around.encode(&mut above.bytes);
            above.widen(&around);
            if above.entries < FANOUT {
                return Ok(());
            }
        }
    }

    /// Finishes what is left, up to a level of one page.
    pub fn finish(mut self, sink: Sink<'_>) -> Result<Shape, ViewError> {
        let mut shape = Shape { levels: Vec::new(), items: self.items };
        for level in 0.. {
            if self.items == 0 {
                break;
            }
            self.close(level, sink)?;
            let pages = self.level(level).pages;
            shape.levels.push(pages);
            if pages == 1 {
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::Leaf;
    use std::collections::BTreeMap;

    fn point(n: u64) -> GeoBox {
        let n = i32::try_from(n).unwrap();
        GeoBox { west: n, south: 0, east: n, north: 0 }
    }

    type Pages = BTreeMap<(u8, u32), Vec<u8>>;

    /// The keys are so long that a page is full with 18 of them.
    fn packed(count: u64) -> (Shape, Pages) {
        let (mut builder, mut pages, key) = (Builder::default(), Pages::new(), [b'k'; 200]);
        let mut sink = |level, number, bytes| {
            assert!(pages.insert((level, number), bytes).is_none(), "a page twice");
            Ok(())
        };
        for n in 0..count {
            let item = ItemRef { bbox: point(n), slot: (0, n), flags: 0, key: &key };
            builder.push(&item, Rank::new(0, n), &mut sink).unwrap();
        }
        let shape = builder.finish(&mut sink).unwrap();
        (shape, pages)
    }

    #[test]
    fn what_is_packed_is_possible_and_all_there() {
        let fanout = u64::from(FANOUT);
        for count in [0, 1, 17, 18, 19, 18 * fanout, 18 * fanout + 1, 18 * fanout * 3 - 1] {
            let (shape, pages) = packed(count);
            assert!(shape.is_possible(), "{shape:?}");
            assert_eq!((shape.items, shape.pages()), (count, pages.len() as u64));
            let leaves = (0..shape.leaves())
                .flat_map(|n| Leaf::read(&pages[&(0, n)]).unwrap().items().map(|item| item.unwrap().slot.1));
            assert!(leaves.eq(0..count), "{count}");
        }
    }

    #[test]
    fn children_are_numbered_through_and_say_what_lies_below() {
        let (shape, pages) = packed(18 * 300);
        assert_eq!(shape.levels, [300, 3, 1]);
        let read = (0..3).flat_map(|n| children(&pages[&(1, n)], n, 300).unwrap());
        for ((child, number), leaf) in read.zip(0..) {
            assert_eq!(number, leaf);
            let first = u64::from(leaf) * 18;
            let expected = Child { bbox: point(first).hull(&point(first + 17)), first: Rank::new(0, first) };
            assert_eq!(child, expected);
        }
    }

    #[test]
    fn a_page_of_the_wrong_length_is_noticed() {
        let (_, pages) = packed(18 * u64::from(FANOUT) + 40);
        let last = &pages[&(1, 1)];
        assert!(children(last, 1, FANOUT + 3).is_some());
        assert!(children(&last[..CHILD_BYTES], 1, FANOUT + 3).is_none(), "a child is lost");
        assert!(children(last, 1, FANOUT + 4).is_none(), "a child is missing");
        assert!(children(last, 0, FANOUT + 3).is_none(), "another page");
        assert!(children(&[], 2, FANOUT + 3).is_none() && children(&[], u32::MAX, 1).is_none());
    }

    #[test]
    fn what_is_out_of_order_is_refused() {
        let (mut builder, mut sink) = (Builder::default(), |_, _, _| Ok(()));
        let item = ItemRef { bbox: point(0), slot: (0, 0), flags: 0, key: b"k" };
        builder.push(&item, Rank::new(3, 5), &mut sink).unwrap();
        assert!(builder.push(&item, Rank::new(4, 9), &mut sink).is_err_and(|e| e.wants_rebuild()));
    }

    #[test]
    fn what_no_items_give_is_refused() {
        let shape = |levels: &[u32], items| Shape { levels: levels.to_vec(), items };
        let possible = [
            shape(&[], 0),
            shape(&[1], 1),
            shape(&[1], leaf::MAX_ITEMS),
            shape(&[128, 1], 128),
            shape(&[129, 2, 1], 1_000),
        ];
        let impossible = [
            shape(&[], 1),
            shape(&[0], 0),
            shape(&[2], 2),
            shape(&[1, 1], 1),
            shape(&[1], leaf::MAX_ITEMS + 1),
            shape(&[128, 1], 127),
            shape(&[129, 1], 1_000),
            shape(&[128, u32::MAX, 1], 1_000), // to remove it would be to remove so many rows
            shape(&[1], u64::MAX),             // adding up would overflow
        ];
        possible.iter().for_each(|shape| assert!(shape.is_possible(), "{shape:?}"));
        impossible.iter().for_each(|shape| assert!(!shape.is_possible(), "{shape:?}"));
    }
}
