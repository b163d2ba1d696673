//! Ranges of keys, page by page.

use super::{Kv, Value};
use crate::error::ReadError;
use kappadb_view_kv::{KeyRange, ScanOptions};

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvItem {
    /// The key.
    pub key: Vec<u8>,
    /// The value that is shown by default.
    pub value: Value,
}

/// A part of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvPage {
    /// The keys in the order asked for.
    pub items: Vec<KvItem>,
    /// What to set [`ScanOptions::after`] to for the next page; none if there is no more.
    pub next: Option<Vec<u8>>,
}

impl Kv {
    /// The keys of a range that have a value, with their values, from what is held here. Deleted keys are left out, outside the
    /// limit. What one call returns is of one moment; paging with `after` neither skips nor repeats a key that stays, whatever is written meanwhile.
    ///
    /// Without a limit everything is read into memory: ask for pages of what may be large, or for [`Kv::items`].
    pub async fn scan(&self, range: &KeyRange, options: &ScanOptions) -> Result<KvPage, ReadError> {
        let (range, options) = (range.clone(), options.clone());
        self.ask(move |kv| kv.scan(&range, &options)).await
    }
}
