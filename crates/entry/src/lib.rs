//! What a block holds, and what replaces what.
//!
//! A block is a header and a payload; its tree leaf is hashed over the header and the payload's digest, so that a
//! payload can be dropped and the header is still proved (`design/formats.md`). [`rules`] is the one place that
//! decides which entry of a key replaces which; every keyed view uses it (`design/model.md`).
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod block;
mod bundle;
mod chunk;
mod context;
mod detached;
mod error;
mod header;
mod label;
mod naming;
mod origin;
mod places;
mod refs;
pub mod rules;

pub use block::{
    Entry, clear_block, context_of, decode_block, encode_block, kind_of, leaf_data, leaf_nodes, payload_of,
};
pub use bundle::{Bundle, BundleError};
pub use chunk::{ChunkError, chunk_block, chunk_payload, is_chunk, raw};
pub use context::Context;
pub use detached::{DETACHED, Detached, DetachedError};
pub use error::EntryError;
pub use header::{CRITICAL, Extension, Header, Kind, VERSION, space};
pub use label::{LABEL, Label};
pub use origin::{ORIGIN, origin_of, words_of};
pub use places::{Moment, Places};
pub use refs::REFS;
