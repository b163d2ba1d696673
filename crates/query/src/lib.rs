//! Selectors: what a view can be asked.
//!
//! A [`Selector`] travels to peers and is kept in claims, so it has one encoding, limits, and a sound answer to
//! "does having all of this mean having all of that" ([`Selector::covers`]).
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod codec;
mod error;
mod matching;
mod selector;

pub use error::SelectorError;
pub use selector::{Bound, Selector};
