//! Chat.

mod markers;
pub(crate) mod trust;

pub(crate) use markers::Markers;
pub(crate) use trust::TrustFile;
pub use trust::Trusted;
