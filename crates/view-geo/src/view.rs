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

/// Boxes in memory for each key there.
const BOXES_A_KEY: usize = 4;

impl MapView {
    /// Boxes kept in memory before they are packed; at least 1. Default: 65,536, some 10 MiB. Of keys it is a quarter.
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
        10
    }

    fn space(&self) -> Option<u32> {
        Some(space::MAP)
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<MapIndex, ViewError> {
        let keyed = Keyed::with_memory(rows::KEYED, space::MAP, &rows, self.memory / BOXES_A_KEY)?;
        let (feeds, space) = (Feeds::load(&*rows)?, Space::open(&*rows, self.memory)?);
        let refs = Refs::load(&rows)?;
        Ok(MapIndex::new(rows, keyed, feeds, space, refs))
    }
}
