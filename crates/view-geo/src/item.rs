//! What the spatial index holds of a version: one item a box.

use kappadb_core::GeoBox;
use kappadb_entry::rules::{Version, replaces};
use kappadb_view::ViewError;

/// A version's place in the spatial index: its feed's number and its seq.
pub type Slot = (u32, u64);

const PAST: u8 = 1;
const HEAD: u8 = 2;

/// A box of a version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    pub bbox: GeoBox,
    pub slot: Slot,
    /// True if the box covers where what it replaces was; false if it is where the version is.
    pub past: bool,
    /// True if nothing replaces the version.
    pub head: bool,
    /// The feature's id.
    pub key: Vec<u8>,
}

/// The items of `version`, one of the `active` ones of `key`.
pub fn items(key: &[u8], slot: Slot, version: &Version, active: &[Version]) -> Vec<Item> {
    let head = !active.iter().any(|other| replaces(other, version));
    let item = |past| move |bbox: &GeoBox| Item { bbox: *bbox, slot, past, head, key: key.to_vec() };
    let places = version.places.extents.iter().map(item(false));
    places.chain(version.past.extents.iter().map(item(true))).collect()
}

impl Item {
    /// Appends `west i32 | south i32 | east i32 | north i32 | flags u8 | feed u32 | seq u64 | key length u8 | key`,
    /// little-endian. Fixed widths, because a search reads many boxes and few keys.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for edge in [self.bbox.west, self.bbox.south, self.bbox.east, self.bbox.north] {
            out.extend_from_slice(&edge.to_le_bytes());
        }
        out.push((u8::from(self.past) * PAST) | (u8::from(self.head) * HEAD));
        out.extend_from_slice(&self.slot.0.to_le_bytes());
        out.extend_from_slice(&self.slot.1.to_le_bytes());
        out.push(u8::try_from(self.key.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.key.get(..usize::from(u8::MAX)).unwrap_or(&self.key));
    }
}

/// An item as it lies in a row.
#[derive(Debug, Clone, Copy)]
pub struct ItemRef<'a> {
    pub bbox: GeoBox,
    flags: u8,
    pub slot: Slot,
    pub key: &'a [u8],
}

impl ItemRef<'_> {
    pub fn past(&self) -> bool {
        self.flags & PAST != 0
    }

    pub fn head(&self) -> bool {
        self.flags & HEAD != 0
    }

    pub fn to_item(self) -> Item {
        Item {
            bbox: self.bbox,
            slot: self.slot,
            past: self.past(),
            head: self.head(),
            key: self.key.to_vec(),
        }
    }
}

impl<'a> From<&'a Item> for ItemRef<'a> {
    fn from(item: &'a Item) -> Self {
        let flags = (u8::from(item.past) * PAST) | (u8::from(item.head) * HEAD);
        ItemRef { bbox: item.bbox, flags, slot: item.slot, key: &item.key }
    }
}

/// Reads the items of a row one after the other.
pub struct Items<'a>(pub &'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<ItemRef<'a>, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = read(self.0);
        self.0 = read.map_or(&[], |(_, rest)| rest);
        Some(
            read.map(|(item, _)| item)
                .ok_or(ViewError::Inconsistent("an item of the map index is cut short")),
        )
    }
}

fn read(bytes: &[u8]) -> Option<(ItemRef<'_>, &[u8])> {
    let (bbox, bytes) = read_box(bytes)?;
    let (&flags, bytes) = bytes.split_first()?;
    let (feed, bytes) = bytes.split_first_chunk::<4>()?;
    let (seq, bytes) = bytes.split_first_chunk::<8>()?;
    let (&len, bytes) = bytes.split_first()?;
    let (key, rest) = bytes.split_at_checked(len.into())?;
    let slot = (u32::from_le_bytes(*feed), u64::from_le_bytes(*seq));
    Some((ItemRef { bbox, flags, slot, key }, rest))
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
