//! A leaf page: its boxes side by side, so that a search reads little of what it does not want, then the rest of each item.
//!
//! ```text
//! count u16 | boxes, 16 each | ends u16 each | bodies: flags u8 | feed number u32 | seq u64 | key      little-endian
//! ```
//!
//! An end is where an item's body ends, counted from the first body.

use crate::item::{self, ItemRef, box_bytes, read_box};
use kappadb_core::GeoBox;
use kappadb_view::ViewError;

/// Bytes in a page, about: it ends with the item that passes this.
const LEAF_BYTES: usize = 4096;
/// Bytes of a box, and of an end.
const BOX: usize = 16;
const END: usize = 2;
/// Items in a page, at most: the last may lie beyond its end.
pub const MAX_ITEMS: u64 = (LEAF_BYTES / (BOX + END + item::BODY_BYTES)) as u64 + 1;

const BAD: ViewError = ViewError::Inconsistent("a leaf of the map index cannot be read");

/// A page of items, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    boxes: &'a [u8],
    ends: &'a [u8],
    bodies: &'a [u8],
}

impl<'a> Leaf<'a> {
    pub fn read(page: &'a [u8]) -> Result<Leaf<'a>, ViewError> {
        let (count, rest) = page.split_first_chunk().ok_or(BAD)?;
        let count = usize::from(u16::from_le_bytes(*count));
        let (boxes, rest) = rest.split_at_checked(BOX * count).ok_or(BAD)?;
        let (ends, bodies) = rest.split_at_checked(END * count).ok_or(BAD)?;
        let leaf = Leaf { boxes, ends, bodies };
        let end = count.checked_sub(1).and_then(|last| leaf.end(last));
        if end == Some(bodies.len()) { Ok(leaf) } else { Err(BAD) }
    }

    /// Items in it.
    pub fn len(&self) -> usize {
        self.boxes.len() / BOX
    }

    fn end(&self, at: usize) -> Option<usize> {
        let end = self.ends.get(END * at..)?.first_chunk()?;
        Some(u16::from_le_bytes(*end).into())
    }

    /// An item.
    pub fn item(&self, at: usize) -> Result<ItemRef<'a>, ViewError> {
        let read = || {
            let (bbox, _) = read_box(self.boxes.get(BOX * at..)?)?;
            let start = if at == 0 { 0 } else { self.end(at - 1)? };
            item::read_body(bbox, self.bodies.get(start..self.end(at)?)?)
        };
        read().ok_or(BAD)
    }

    /// All items, in order.
    pub fn items(self) -> impl Iterator<Item = Result<ItemRef<'a>, ViewError>> {
        (0..self.len()).map(move |at| self.item(at))
    }

    /// Calls `visit` with the items whose boxes are `wanted`.
    pub fn search(
        self,
        wanted: impl Fn(&GeoBox) -> bool,
        mut visit: impl FnMut(ItemRef<'a>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        for (at, bbox) in self.boxes.chunks_exact(BOX).enumerate() {
            if read_box(bbox).is_some_and(|(bbox, _)| wanted(&bbox)) {
                visit(self.item(at)?)?;
            }
        }
        Ok(())
    }
}

/// A page being filled.
#[derive(Debug, Default)]
pub struct Filling {
    boxes: Vec<u8>,
    ends: Vec<u8>,
    bodies: Vec<u8>,
}

impl Filling {
    /// Adds an item. True if the page is full with it.
    pub fn push(&mut self, item: &ItemRef<'_>) -> bool {
        self.boxes.extend(box_bytes(&item.bbox));
        item.encode_body(&mut self.bodies);
        let end = u16::try_from(self.bodies.len()).unwrap_or(u16::MAX);
        self.ends.extend_from_slice(&end.to_le_bytes());
        self.boxes.len() + self.ends.len() + self.bodies.len() >= LEAF_BYTES
    }

    /// The page; empties this.
    pub fn take(&mut self) -> Vec<u8> {
        let count = u16::try_from(self.boxes.len() / BOX).unwrap_or(u16::MAX);
        let page = [&count.to_le_bytes()[..], &self.boxes, &self.ends, &self.bodies].concat();
        [&mut self.boxes, &mut self.ends, &mut self.bodies].into_iter().for_each(Vec::clear);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Item, any_item};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(items in prop::collection::vec(any_item(), 1..9), cut in 1..40usize, least in any::<i32>()) {
            let mut filling = Filling::default();
            for item in &items {
                filling.push(&item.borrowed());
            }
            let page = filling.take();
            let leaf = Leaf::read(&page).unwrap();
            let read: Vec<Item> = leaf.items().map(|item| item.unwrap().to_item()).collect();
            prop_assert_eq!(&read, &items);
            prop_assert!(Leaf::read(&page[..page.len() - cut.min(page.len())]).is_err());

            let mut found = Vec::new();
            leaf.search(|b| b.west >= least, |item| {
                found.push(item.to_item());
                Ok(())
            }).unwrap();
            prop_assert!(items.iter().filter(|item| item.bbox.west >= least).eq(&found));
        }

        #[test]
        fn noise_never_panics(page in prop::collection::vec(any::<u8>(), 0..300), count in 0..6u8) {
            let page = [&[count, 0], &page[..]].concat();
            let Ok(leaf) = Leaf::read(&page) else { return Ok(()) };
            drop(leaf.items().collect::<Vec<_>>());
            let _ = leaf.search(|_| true, |_| Ok(()));
        }
    }

    #[test]
    fn a_page_has_no_more_items_than_it_can() {
        let bbox = GeoBox { west: 0, south: 0, east: 0, north: 0 };
        let mut filling = Filling::default();
        let items = (1u64..).find(|n| filling.push(&ItemRef { bbox, slot: (0, *n), flags: 0, key: b"" }));
        assert!(items.is_some_and(|items| items <= MAX_ITEMS));
    }
}
