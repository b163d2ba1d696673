//! Ranges of keys, page by page.

use super::Value;
use crate::lines::fields;
use serde::Serialize;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KvItem {
    /// The key.
    #[serde(flatten, serialize_with = "fields::key")]
    pub key: Vec<u8>,
    /// The value that is shown by default.
    #[serde(flatten)]
    pub value: Value,
}
