use crate::KvIndex;
use crate::entry::beside;
use kappadb_entry::space;
use kappadb_store::Tree;
use kappadb_view::{Keyed, View, ViewError};
use std::sync::Arc;

/// The leading byte of its rows.
const KEYED: u8 = 1;

/// Keys and values: the view named `kv`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KvView;

impl View for KvView {
    type Index = KvIndex;

    fn name(&self) -> &str {
        "kv"
    }

    fn version(&self) -> u32 {
        4
    }

    fn space(&self) -> Option<u32> {
        Some(space::KV)
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<KvIndex, ViewError> {
        Ok(KvIndex::new(Keyed::open(KEYED, space::KV, &rows)?.keeping(beside)))
    }
}
