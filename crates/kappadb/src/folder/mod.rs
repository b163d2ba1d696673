//! What lies on the disk in the folder of a database, and beside it: the small files, and whose folder it is. Nothing here knows what is in the
//! feeds.

pub(crate) mod callers;
pub(crate) mod derived;
pub(crate) mod files;
pub(crate) mod listen;
#[cfg(feature = "chat")]
pub(crate) mod markers;
pub(crate) mod omissions;
pub(crate) mod peers;
#[cfg(feature = "chat")]
pub(crate) mod pins;
pub(crate) mod recovered;
pub(crate) mod refused;
pub(crate) mod replica;
pub(crate) mod reserve;
pub(crate) mod trust;
pub(crate) mod witness;
pub(crate) mod writers;

use std::sync::Arc;

/// Fills bytes at random.
pub(crate) type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
