//! Keys, ids, hashes, signatures, ranges, boxes, codec and limits: the words every other crate speaks.
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod block;
pub mod codec;
mod definition;
mod geo;
mod hash;
mod head;
mod id;
mod keys;
pub mod limits;
mod ranges;
mod serial;
mod threads;
mod time;

pub use block::{Form, StoredBlock, decode_blocks, encode_blocks};
pub use definition::{FeedDefinition, Predecessor};
pub use geo::{Coord, Extent, GeoBox, GeoError};
pub use hash::{Hash, blake2b256, derive_key};
pub use head::{Head, HeadError, SignedHead};
pub use id::{DatabaseId, EntryId, Lseq, ParseIdError, Seq};
pub use keys::{FeedKey, FeedName, KeyError, SecretKey, Signature};
pub use ranges::RangeSet;
pub use threads::{Job, Thread, Threads};
pub use time::{Clock, Timestamp, TimestampError};
