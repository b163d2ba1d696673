//! The map index against looking at everything.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;
mod cuts;
mod damage;
mod geometry;
mod paging;
mod properties;
mod refs;
mod storage;
