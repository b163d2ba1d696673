use crate::feeds::Feeds;
use crate::index::MapIndex;
use crate::refs::Refs;
use crate::rows;
use crate::space::Space;
use kappadb_entry::space;
use kappadb_store::Tree;
use kappadb_view::{Keyed, View, ViewError};
use std::sync::Arc;

/// Map features by box and by id: the view named `map`.
#[derive(Debug, Clone)]
pub struct MapView {
    memory: usize,
}

impl Default for MapView {
    fn default() -> Self {
        MapView { memory: 65_536 }
    }
}

impl MapView {
    /// Boxes kept in memory before they are packed; at least 1. Default: 65,536, some 10 MiB.
    pub fn with_memory(boxes: usize) -> Self {
        MapView { memory: boxes.max(1) }
    }
}

impl View for MapView {
    type Index = MapIndex;

    fn name(&self) -> &str {
        "map"
    }

    fn version(&self) -> u32 {
        7
    }

    fn space(&self) -> Option<u32> {
        Some(space::MAP)
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<MapIndex, ViewError> {
        let keyed = Keyed::open(rows::KEYED, space::MAP, &*rows)?;
        let (feeds, space) = (Feeds::load(&*rows)?, Space::load(&*rows, self.memory)?);
        let refs = Refs::load(&rows)?;
        Ok(MapIndex::new(rows, keyed, feeds, space, refs))
    }
}
