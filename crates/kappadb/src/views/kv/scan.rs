//! Ranges of keys, page by page.

use super::asking::ask_scan;
use super::ground::Ground;
use super::{Kv, Value};
use crate::network::Answer;
use crate::network::Read;
use kappadb_view_kv::{KeyRange, ScanOptions};

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvItem {
    /// The key.
    pub key: Vec<u8>,
    /// The value that is shown by default.
    pub value: Value,
}

impl Kv {
    /// The keys of a range that have a value, with their values. Deleted keys are left out, outside the limit. What one call returns is of one
    /// moment; paging with `after` neither skips nor repeats a key that stays, whatever is written meanwhile.
    ///
    /// Without a limit everything is read into memory: ask for pages of what may be large, or for [`Kv::items`]. Peers are asked for no more
    /// than they take to be within the limit, and what it takes to be sure of that.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions) -> Read<Answer<KvItem, Vec<u8>>> {
        let (range, options) = (range.clone(), options.clone());
        let ask = ask_scan(self.parts.clone(), range.clone(), options.clone());
        Read::new(&self.parts, ask, move |parts| Ground::now(parts.clone()).scan(&range, &options))
    }
}
