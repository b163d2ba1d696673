use bincode::{Decode, Encode};

/// Milliseconds since the Unix epoch, set by writers: a hint, never an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Timestamp(pub i64);

/// Where "now" comes from. Passed in everywhere, so that a test can run a year in a second.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}
