//! The journal from outside: what it keeps, what it reports, what it survives.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "tests may fail loudly"
)]
#![expect(clippy::cast_possible_truncation, reason = "small numbers made here")]
#![expect(clippy::large_enum_variant, reason = "a few dozen steps")]

mod codec;
mod common;
mod damage;
mod faults;
mod history;
mod rewrite;
