//! One program of all tests, so that what they share is compiled and used as a whole.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "tests may fail loudly"
)]

mod common;
mod forks;
mod frames;
mod hostile;
mod late;
mod live;
mod many_feeds;
mod sessions;
