//! Histories that a number decides: seeded chance for tests and benches, and a world in which whole replicas live on it.
//!
//! - [`Random`], [`seeds`]: choices that are the same on every machine
//! - [`World`]: one thread, time that passes only when nothing is left to do, a network, disks and stores in memory. The replicas in it are the product's own
//!   code, from the public API down to the journal; with the feature `world`

mod chance;
#[cfg(feature = "world")]
mod disks;
#[cfg(feature = "world")]
mod link;
#[cfg(feature = "world")]
mod network;
#[cfg(feature = "world")]
mod threads;
#[cfg(feature = "world")]
mod world;

pub use chance::{Random, SEED, enough, seeds};
#[cfg(feature = "world")]
pub use disks::SimStore;
#[cfg(feature = "world")]
pub use network::{Host, SimNetwork, Traffic};
#[cfg(feature = "world")]
pub use threads::OneThread;
#[cfg(feature = "world")]
pub use world::{CLOCKS_DIFFER, Machine, SimClock, World};
