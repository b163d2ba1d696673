//! The program as its users run it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests may fail loudly"
)]

mod batch;
mod beside;
mod beside_ends;
mod beside_story;
mod blobs;
mod chat;
mod chat_export;
mod clocks;
mod common;
mod compact;
mod contract;
mod copies;
mod derived;
mod dm;
mod folder;
mod full;
mod kill;
mod kv;
mod live;
mod map;
mod map_peers;
mod moderation;
mod peers;
mod program;
mod readme;
mod room;
mod sync;
mod three_replicas;
mod two_processes;
mod unwritable;
