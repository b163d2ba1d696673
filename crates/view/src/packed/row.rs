//! Rows that are not packed yet.

use bytes::Bytes;
use std::borrow::Borrow;
use std::cmp::Ordering;

/// A row in memory: one allocation. Rows are ordered by their keys, and equal if these are.
#[derive(Debug, Clone)]
pub(super) struct Row {
    bytes: Bytes,
    key: usize,
}

impl Row {
    pub fn new(key: &[u8], value: &[u8]) -> Row {
        Row { bytes: [key, value].concat().into(), key: key.len() }
    }

    pub fn key(&self) -> &[u8] {
        self.bytes.split_at(self.key).0
    }

    /// Its value, which goes on when the row does not.
    pub fn value_bytes(&self) -> Bytes {
        self.bytes.slice(self.key..)
    }

    /// True if their values are equal, too.
    pub fn is_same(&self, other: &Row) -> bool {
        (self.key, &self.bytes) == (other.key, &other.bytes)
    }

    pub fn value(&self) -> &[u8] {
        self.bytes.split_at(self.key).1
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Row) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl Borrow<[u8]> for Row {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}
