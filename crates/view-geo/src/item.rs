//! What the spatial index holds of a version: one item a box.

use crate::rank::Rank;
use crate::rows;
use kappadb_core::{FeedKey, GeoBox};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::CODE_BARE;
use kappadb_view::ViewError;
use std::sync::Arc;

/// A version's place in the spatial index: its feed's number and its seq.
pub type Slot = (u32, u64);

/// Bytes of an item's body without its key.
pub const BODY_BYTES: usize = 13;

/// The box covers where what the version replaces was; without it, where the version is.
const PAST: u8 = 1;
/// Nothing replaces the version.
const HEAD: u8 = 2;
/// The feature has several heads, or its head has several boxes: one item does not tell all.
const SEVERAL: u8 = 4;
/// The version is a node without tags.
const BARE: u8 = 8;

/// A box of a version, with the feature's id. The items of a version share one copy of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Item<K = Arc<[u8]>> {
    pub bbox: GeoBox,
    pub slot: Slot,
    pub flags: u8,
    pub key: K,
}

/// An item as it lies in a row.
pub type ItemRef<'a> = Item<&'a [u8]>;

/// The one order of items in a tree. No two items of a tree stand at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing<'a> {
    pub rank: Rank,
    key: &'a [u8],
    slot: Slot,
    bbox: GeoBox,
}

impl<'a> Standing<'a> {
    /// The standing of an item whose rank is known.
    pub fn new(rank: Rank, item: ItemRef<'a>) -> Self {
        Standing { rank, key: item.key, slot: item.slot, bbox: item.bbox }
    }
}

/// Calls `each` with every item of the `active` versions of `key`, version by version; none for one that neither is nor replaces
/// anything anywhere.
pub fn items(
    key: &[u8],
    active: &[Version],
    mut number: impl FnMut(&FeedKey) -> Result<u32, ViewError>,
    mut each: impl FnMut(Item),
) -> Result<(), ViewError> {
    let key: Arc<[u8]> = key.into();
    let heads = rules::heads(active);
    let several = heads.iter().map(|head| head.places.extents.len().max(1)).sum::<usize>() > 1;
    let is_head = |version: &Version| heads.binary_search_by_key(&version.id, |head| head.id).is_ok();
    let several = if several { SEVERAL } else { 0 };
    for version in active {
        let slot = (number(&version.id.feed)?, version.id.seq);
        let head = if is_head(version) { HEAD } else { 0 };
        let flags = several | head | if version.kind.code == CODE_BARE { BARE } else { 0 };
        let places = version.places.extents.iter().map(|bbox| (bbox, flags));
        let past = version.past.extents.iter().map(|bbox| (bbox, flags | PAST));
        places
            .chain(past)
            .for_each(|(bbox, flags)| each(Item { bbox: *bbox, slot, flags, key: key.clone() }));
    }
    Ok(())
}

impl<K: AsRef<[u8]>> Item<K> {
    /// True if this is where a head is: what an answer shows, with nodes without tags if `bare`.
    pub fn is_shown(&self, bare: bool) -> bool {
        self.flags & (PAST | HEAD) == HEAD && (bare || self.flags & BARE == 0)
    }

    /// True if this is where what the version replaces was.
    pub fn is_past(&self) -> bool {
        self.flags & PAST != 0
    }

    /// True if the feature has several heads, or its head several boxes.
    pub fn is_one_of_several(&self) -> bool {
        self.flags & SEVERAL != 0
    }

    /// The same, from or to a row.
    pub fn borrowed(&self) -> ItemRef<'_> {
        Item { bbox: self.bbox, slot: self.slot, flags: self.flags, key: self.key.as_ref() }
    }

    /// Appends `body length u16 | west i32 | south i32 | east i32 | north i32 | body`, little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let len = u16::try_from(BODY_BYTES + self.key.as_ref().len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend(box_bytes(&self.bbox));
        self.encode_body(out);
    }

    /// Appends `flags u8 | feed number u32 | seq u64 | key`, little-endian: what an item is besides its box.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        rows::push_slot(self.slot, out);
        out.extend_from_slice(self.key.as_ref());
    }
}

impl<'a> ItemRef<'a> {
    pub fn standing(&self) -> Standing<'a> {
        Standing::new(Rank::of(&self.bbox, self.key), *self)
    }

    /// A copy that stands alone.
    pub fn to_item(self) -> Item {
        Item { bbox: self.bbox, slot: self.slot, flags: self.flags, key: self.key.into() }
    }
}

/// Reads the items of a row one after the other. Ends after the first that is cut short.
pub struct Items<'a>(pub &'a [u8]);

const CUT: ViewError = ViewError::Inconsistent("an item of the map index is cut short");

impl<'a> Iterator for Items<'a> {
    type Item = Result<ItemRef<'a>, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = read(self.0);
        self.0 = read.map_or(&[], |(_, rest)| rest);
        Some(read.map(|(item, _)| item).ok_or(CUT))
    }
}

fn read(bytes: &[u8]) -> Option<(ItemRef<'_>, &[u8])> {
    let (len, bytes) = bytes.split_first_chunk()?;
    let (bbox, bytes) = read_box(bytes)?;
    let (body, rest) = bytes.split_at_checked(u16::from_le_bytes(*len).into())?;
    Some((read_body(bbox, body)?, rest))
}

/// The item with this box and this body.
pub fn read_body(bbox: GeoBox, body: &[u8]) -> Option<ItemRef<'_>> {
    let (&flags, body) = body.split_first()?;
    let (slot, key) = rows::read_slot(body)?;
    Some(Item { bbox, slot, flags, key })
}

/// `west i32 | south i32 | east i32 | north i32`, little-endian.
pub fn box_bytes(b: &GeoBox) -> impl Iterator<Item = u8> + use<> {
    [b.west, b.south, b.east, b.north].into_iter().flat_map(i32::to_le_bytes)
}

/// Reads a box and gives what is left.
pub fn read_box(bytes: &[u8]) -> Option<(GeoBox, &[u8])> {
    let (west, bytes) = bytes.split_first_chunk::<4>()?;
    let (south, bytes) = bytes.split_first_chunk::<4>()?;
    let (east, bytes) = bytes.split_first_chunk::<4>()?;
    let (north, rest) = bytes.split_first_chunk::<4>()?;
    let [west, south, east, north] = [west, south, east, north].map(|edge| i32::from_le_bytes(*edge));
    Some((GeoBox { west, south, east, north }, rest))
}

#[cfg(test)]
pub use tests::any_item;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn any_item() -> impl Strategy<Value = Item> {
        let edges = prop::array::uniform4(any::<i32>());
        let key = prop::collection::vec(any::<u8>(), 0..256);
        (edges, any::<Slot>(), any::<u8>(), key).prop_map(|([west, south, east, north], slot, flags, key)| {
            Item { bbox: GeoBox { west, south, east, north }, slot, flags, key: key.into() }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(items in prop::collection::vec(any_item(), 1..6), cut in 1..30usize) {
            let mut row = Vec::new();
            items.iter().for_each(|item| item.encode(&mut row));
            let read: Vec<Item> = Items(&row).map(|item| item.unwrap().to_item()).collect();
            prop_assert_eq!(&read, &items);
            // An item has 31 bytes or more, so a part of the last one is left.
            prop_assert!(Items(&row[..row.len() - cut]).last().is_some_and(|last| last.is_err()));
        }

        #[test]
        fn noise_never_panics(row in prop::collection::vec(any::<u8>(), 0..300)) {
            let read: Vec<_> = Items(&row).collect();
            prop_assert!(read.iter().rev().skip(1).all(Result::is_ok), "it ends at the first error");
        }
    }
}
