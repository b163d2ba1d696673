//! The chat view against a plain model of it: random histories, in any order and batches, with withdrawals, restarts and upkeep at any time;
//! and what peers are sent, against the union of what both hold.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod answers;
mod examples;
mod fixture;
mod histories;
mod model;
mod order;
mod sparse;
