//! What the fuzz targets do, one function each: feed foreign bytes to a decoder and check what must hold of the outcome.
//!
//! Not panicking is the least of it. What is decoded must have one encoding; what is proved must be what its writer
//! signed; what a hostile peer or file gets in must be what an honest one could have got in.
//!
//! The functions are here and not in `fuzz_targets/` so that plain tests can run the seeds through them, without
//! cargo-fuzz. Inputs that go deeper than a decoder are read with [`Input`], and written for the seeds with [`Output`].

#![forbid(unsafe_code)]

mod chat;
mod codecs;
mod files;
mod input;
mod journal;
mod map;
mod net;
#[path = "../../crates/sync/tests/sync/common/mod.rs"]
#[expect(missing_docs, reason = "a helper of the session's own tests, as it is there")]
pub mod peers;
mod proofs;
mod session;

pub use chat::{channel, chat, people};
pub use codecs::{block, codec, detached, entry, frame, hello, record, selector, text};
pub use files::{PbfBlob, import_geojson, import_osc, import_osm, import_pbf, pbf_file};
pub use input::{Input, Output};
pub use journal::segment;
pub use map::{delete, feature, filter, geojson};
pub use net::{seal_ticket, ticket, wire};
pub use proofs::{bundle, fork};
pub use session::{session, truths};

/// Runs one input.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 25] = [
    ("block", block),
    ("bundle", bundle),
    ("channel", channel),
    ("chat", chat),
    ("codec", codec),
    ("delete", delete),
    ("detached", detached),
    ("entry", entry),
    ("feature", feature),
    ("filter", filter),
    ("fork", fork),
    ("frame", frame),
    ("geojson", geojson),
    ("hello", hello),
    ("import_geojson", import_geojson),
    ("import_osc", import_osc),
    ("import_osm", import_osm),
    ("import_pbf", import_pbf),
    ("record", record),
    ("segment", segment),
    ("selector", selector),
    ("session", session),
    ("text", text),
    ("ticket", ticket),
    ("wire", wire),
];
