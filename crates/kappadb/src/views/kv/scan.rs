//! Ranges of keys, page by page.

use super::Value;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvItem {
    /// The key.
    pub key: Vec<u8>,
    /// The value that is shown by default.
    pub value: Value,
}
