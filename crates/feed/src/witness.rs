//! The seam to what remembers, outside of the folder, how far own feeds were written.

use kappadb_core::{FeedKey, Head};
use std::io;

/// Is told how far own feeds were written, so that a folder that was copied or put back to an older state can be told from the one
/// that was written last.
pub trait Witness: Send + Sync {
    /// True if the feed may be appended to: this folder was found to be the one that was written last.
    fn vouches_for(&self, feed: &FeedKey) -> bool;
    /// A feed is about to be made. Durable on return; if it fails, the feed is not made.
    fn begin(&self, feed: &FeedKey) -> io::Result<()>;
    /// This head is durable in the journal, and who appended to it has not been told yet. What cannot be noted is not: the witness is then
    /// one that knows less.
    fn note(&self, feed: &FeedKey, head: &Head);
}
