//! Shared by the tests of the rules: the model's plain numbers as the crate's types.
//! Places are 1-D intervals, feeds are small numbers.

use kappadb_core::{EntryId, FeedKey, GeoBox};
use kappadb_entry::Places;

pub type Span = Option<(i32, i32)>;

pub fn feed(f: u8) -> FeedKey {
    FeedKey([f; 32])
}

pub fn id(f: u8, seq: u64) -> EntryId {
    EntryId { feed: feed(f), seq }
}

pub fn places(span: Span) -> Places {
    let boxes = span.iter().map(|&(west, east)| GeoBox { west, east, south: 0, north: 0 });
    Places::new(boxes.collect(), Vec::new())
}
