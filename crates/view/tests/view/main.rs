//! One program of all tests, so that what they share is compiled and used as a whole.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod common;
mod damage;
mod engine;
mod feeds;
mod keyed;
mod packed;
mod properties;
mod upkeep;
mod wants;
